/** What the server says to the user, with a way to do something about it: without one, a long sentence is cut. */

import * as vscode from "vscode";
import { MessageType, type ShowMessageParams } from "vscode-languageclient/node";

interface Way extends vscode.MessageItem {
  readonly command: string;
  readonly argument?: string;
}

const LOG: Way = { title: "Show log", command: "foretrace.showOutput" };

export class Messages {
  /** Those on the screen: said again they would push others away. */
  readonly #shown = new Set<string>();

  async show({ type, message }: ShowMessageParams): Promise<void> {
    if (type !== MessageType.Error && type !== MessageType.Warning) {
      void vscode.window.showInformationMessage(message);
      return;
    }
    if (this.#shown.has(message)) {
      return;
    }
    this.#shown.add(message);
    try {
      await showWithWays(message, type === MessageType.Error);
    } finally {
      this.#shown.delete(message);
    }
  }
}

/** Resolves when the user has answered or put it away. */
export async function showWithWays(message: string, isError: boolean): Promise<void> {
  const show = isError ? vscode.window.showErrorMessage : vscode.window.showWarningMessage;
  const chosen = await show(message, ...waysOutOf(message));
  if (chosen !== undefined) {
    await vscode.commands.executeCommand(chosen.command, ...(chosen.argument === undefined ? [] : [chosen.argument]));
  }
}

function waysOutOf(message: string): Way[] {
  const setting = /^foretrace\.\w+/.exec(message)?.[0];
  if (setting !== undefined) {
    return [{ title: "Open settings", command: "workbench.action.openSettings", argument: setting }, LOG];
  }
  return /\b(model|GGUF)\b/.test(message)
    ? [{ title: "Choose a model", command: "foretrace.chooseModel" }, LOG]
    : [LOG];
}
