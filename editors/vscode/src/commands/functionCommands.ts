/** What is done with one function: by keys and menus with that of the cursor, by a lens with its own. */

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { placeOfCursor } from "../documents";
import { FunctionsRequest, type FunctionState, type KnownCall, type Place, type Summary } from "../protocol";
import type { Server } from "../server/server";
import { askForCall } from "./calls";
import { execute, say, tell, turnText } from "./execute";

type Action = (client: LanguageClient, place: Place & { readonly call?: string }) => Promise<void>;

/** The function that the view shows, while the view has the focus. */
export type ViewPlace = () => Place | undefined;

export class FunctionCommands {
  readonly #server: Server;
  readonly #viewPlace: ViewPlace;
  /** By the extension's command: the server's command that lenses name, and what is done. */
  readonly #actions: Readonly<Record<string, { readonly lens: string; readonly run: Action }>> = {
    predictFunction: { lens: "predict", run: predict },
    checkFunction: { lens: "check", run: check },
    predictOtherCall: { lens: "otherCall", run: predictOtherCall },
    cancelPrediction: { lens: "cancel", run: cancel },
    showNextTurn: { lens: "nextIteration", run: (client, place) => turn(client, place, "nextIteration") },
    showPreviousTurn: { lens: "previousIteration", run: (client, place) => turn(client, place, "previousIteration") },
  };

  constructor(server: Server, viewPlace: ViewPlace) {
    this.#server = server;
    this.#viewPlace = viewPlace;
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
    const action = Object.values(this.#actions).find(({ lens }) => `foretrace.${lens}` === command);
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
    const place = isPlace(given) ? given : (this.#viewPlace() ?? placeOfCursor());
    if (place === undefined) {
      void vscode.window.showInformationMessage("Open a Python file and put the cursor into a function first.");
      return;
    }
    await action(client, place);
  }
}

export function isPlace(value: unknown): value is Place {
  return (
    typeof value === "object" && value !== null && "uri" in value && typeof value.uri === "string" &&
    (("function" in value && typeof value.function === "string") || ("line" in value && typeof value.line === "number"))
  );
}

/** The innermost function at a line, or the one with that name. */
export async function functionAt(client: LanguageClient, place: Place): Promise<FunctionState | undefined> {
  const answer = await client.sendRequest(FunctionsRequest, { uri: place.uri });
  const { line } = place;
  const found = (answer?.functions ?? []).filter((each) =>
    place.function !== undefined
      ? each.function === place.function
      : line !== undefined && each.uri === place.uri && each.firstLine <= line && line <= each.lastLine,
  );
  if (found.length === 0) {
    void vscode.window.showInformationMessage(
      answer?.problem !== undefined && answer.problem !== ""
        ? answer.problem
        : "This line is outside any function; put the cursor into one.",
    );
  }
  return found.reduce<FunctionState | undefined>(
    (inner, each) => (inner === undefined || each.firstLine >= inner.firstLine ? each : inner),
    undefined,
  );
}

async function predict(client: LanguageClient, place: Place): Promise<void> {
  const summary = await execute<Summary>(client, "predict", place);
  if (summary !== undefined) {
    tell(summary);
  }
}

async function check(client: LanguageClient, place: Place): Promise<void> {
  if (!vscode.workspace.isTrusted) {
    const manage = "Manage workspace trust";
    const message = "A check runs your code, and this workspace is not trusted. Trust it to go on.";
    if ((await vscode.window.showWarningMessage(message, manage)) === manage) {
      await vscode.commands.executeCommand("workbench.trust.manage");
    }
    return;
  }
  const document = vscode.workspace.textDocuments.find((each) => each.uri.toString() === place.uri);
  if (document?.isDirty === true && !document.isUntitled) {
    const save = "Save and check";
    const message = "A check runs the file as it is on disk, and it has unsaved changes.";
    if ((await vscode.window.showInformationMessage(message, save)) !== save || !(await document.save())) {
      return;
    }
  }
  const summary = await execute<Summary>(client, "check", place);
  if (summary !== undefined) {
    tell(summary);
  }
}

async function predictOtherCall(client: LanguageClient, place: Place & { readonly call?: string }): Promise<void> {
  const found = await functionAt(client, place);
  if (found === undefined) {
    return;
  }
  const named = { uri: place.uri, function: found.function };
  let call = place.call;
  if (call === undefined) {
    const known = await execute<KnownCall[]>(client, "calls", named);
    call = known && (await askForCall(found.function, known));
  }
  if (call === undefined) {
    return;
  }
  const summary = await execute<Summary | null>(client, "otherCall", { ...named, call } as Place);
  if (summary != null) {
    tell(summary);
  }
}

async function cancel(client: LanguageClient, place: Place): Promise<void> {
  await execute(client, "cancel", place);
}

async function turn(client: LanguageClient, place: Place, command: string): Promise<void> {
  const summary = await execute<Summary>(client, command, place);
  if (summary !== undefined) {
    say(turnText(summary));
  }
}
