/** Has the server do what one of its commands says, and tells the user what became of it. */

import * as vscode from "vscode";
import { ExecuteCommandRequest, LSPErrorCodes, ResponseError, type LanguageClient } from "vscode-languageclient/node";
import type { Place, Summary } from "../protocol";
import { showWithWays } from "../server/messages";

const MESSAGE_MILLISECONDS = 8000;

/** The answer of the server's command `foretrace.NAME`; undefined where it has told the user why there is none. */
export async function execute<Answer>(
  client: LanguageClient,
  name: string,
  place: Place | Record<string, never> = {},
  more: Readonly<Record<string, unknown>> = {},
): Promise<Answer | undefined> {
  try {
    const params = { command: `foretrace.${name}`, arguments: [{ ...place, ...more }] };
    return (await client.sendRequest(ExecuteCommandRequest.type, params)) as Answer;
  } catch (error) {
    if (error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled) {
      say("It was cancelled.");
    } else {
      void showWithWays(error instanceof Error ? error.message : String(error), false);
    }
    return undefined;
  }
}

/** In the status bar, for a moment. */
export function say(sentence: string): void {
  vscode.window.setStatusBarMessage(`$(eye) ${sentence}`, MESSAGE_MILLISECONDS);
}

/** What became of a prediction or a check; a difference offers both runs, unless they are on the screen. */
export function tell(summary: Summary, areRunsShown: boolean): void {
  if (summary.status !== "diverged" || areRunsShown) {
    say(summary.text);
    return;
  }
  const show = "Show both runs";
  void vscode.window.showWarningMessage(summary.text, show).then((chosen) =>
    chosen === show
      ? vscode.commands.executeCommand("foretrace.showView", { uri: summary.uri, function: summary.function })
      : undefined,
  );
}

export function turnText(summary: Pick<Summary, "function" | "turn" | "turns">): string {
  if (summary.turns === 0) {
    return `${summary.function}: no line ran more than once.`;
  }
  return summary.turn === null
    ? `${summary.function}: all ${summary.turns} turns.`
    : `${summary.function}: turn ${summary.turn + 1} of ${summary.turns}.`;
}
