/** What is done with one function: by keys and menus with that of the cursor, by a lens with its own. */

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import type { CursorTeller } from "../cursor";
import { placeOfCursor } from "../documents";
import { functionAt } from "../functions";
import { isPlace, type KnownCall, type Place, type Summary } from "../protocol";
import type { Server } from "../server/server";
import type { FramesView } from "../view/panel";
import { askForCall } from "./calls";
import { execute, say, tell, turnText } from "./execute";

/** Gives what is to be told of a prediction or a check. */
type Action = (
  client: LanguageClient,
  place: Place & { readonly call?: string },
) => Promise<Summary | null | undefined>;

export class FunctionCommands {
  readonly #server: Server;
  readonly #cursor: CursorTeller;
  readonly #view: FramesView;
  /** By the extension's command: what is done, and the server's command for it, which lenses name. */
  readonly #actions: Readonly<Record<string, { readonly lens?: string; readonly run: Action }>> = {
    predictFunction: { lens: "predict", run: predict },
    checkFunction: { lens: "check", run: check },
    predictOtherCall: { lens: "otherCall", run: predictOtherCall },
    cancelPrediction: { lens: "cancel", run: cancel },
    showNextTurn: { lens: "nextIteration", run: (client, place) => turn(client, place, "nextIteration") },
    showPreviousTurn: { lens: "previousIteration", run: (client, place) => turn(client, place, "previousIteration") },
    showView: { run: (client, place) => this.#view.show(client, place) },
  };

  constructor(server: Server, view: FramesView, cursor: CursorTeller) {
    this.#server = server;
    this.#cursor = cursor;
    this.#view = view;
  }

  register(): vscode.Disposable {
    return vscode.Disposable.from(
      ...Object.entries(this.#actions).map(([name, { run }]) =>
        vscode.commands.registerCommand(`foretrace.${name}`, (given?: unknown) => this.#run(run, given)),
      ),
    );
  }

  /** Does what a lens asks for with a command of the server; false where that is left to the server. */
  onLens(command: string, argument: unknown): boolean {
    const name = command.replace(/^foretrace\./, "");
    const action = Object.values(this.#actions).find(({ lens }) => lens === name);
    if (action === undefined || !isPlace(argument)) {
      return false;
    }
    void this.#run(action.run, argument);
    return true;
  }

  async #run(action: Action, given: unknown): Promise<void> {
    const client = this.#server.client;
    if (client === undefined) {
      await vscode.commands.executeCommand("foretrace.explain");
      return;
    }
    // A menu hands over the file that it was opened on, which names no function.
    const place = isPlace(given) ? given : (this.#view.place ?? placeOfCursor() ?? (await this.#cursor.goBack()));
    if (place === undefined) {
      void vscode.window.showInformationMessage("Open a Python file and put the cursor into a function first.");
      return;
    }
    const summary = await action(client, place);
    if (summary != null) {
      tell(summary, this.#view.isShowing(summary));
    }
  }
}

async function predict(client: LanguageClient, place: Place): Promise<Summary | undefined> {
  return await execute<Summary>(client, "predict", place);
}

async function check(client: LanguageClient, place: Place): Promise<Summary | undefined> {
  if (!vscode.workspace.isTrusted) {
    const manage = "Manage workspace trust";
    const message = "A check runs your code, and this workspace is not trusted. Trust it to go on.";
    if ((await vscode.window.showWarningMessage(message, manage)) === manage) {
      await vscode.commands.executeCommand("workbench.trust.manage");
    }
    return undefined;
  }
  const document = vscode.workspace.textDocuments.find((each) => each.uri.toString() === place.uri);
  if (document?.isDirty === true && !document.isUntitled) {
    const save = "Save and check";
    const message = "A check runs the file as it is on disk, and it has unsaved changes.";
    if ((await vscode.window.showInformationMessage(message, save)) !== save || !(await document.save())) {
      return undefined;
    }
  }
  return await execute<Summary>(client, "check", place);
}

async function predictOtherCall(
  client: LanguageClient,
  place: Place & { readonly call?: string },
): Promise<Summary | null | undefined> {
  const found = await functionAt(client, place);
  if (found === undefined) {
    return undefined;
  }
  const named = { uri: place.uri, function: found.function };
  let call = place.call;
  if (call === undefined) {
    const known = await execute<KnownCall[]>(client, "calls", named);
    call = known && (await askForCall(found.function, known));
  }
  return call === undefined ? undefined : await execute<Summary | null>(client, "otherCall", named, { call });
}

async function cancel(client: LanguageClient, place: Place): Promise<undefined> {
  await execute(client, "cancel", place);
}

async function turn(client: LanguageClient, place: Place, command: string): Promise<undefined> {
  const summary = await execute<Summary>(client, command, place);
  if (summary !== undefined) {
    say(turnText(summary));
  }
}
