/** Lets the user pick a known call of a function, or write another one. */

import * as vscode from "vscode";
import type { KnownCall } from "../protocol";
import { problemOfCall } from "./callText";

const ORIGINS: Record<KnownCall["origin"], string> = {
  given: "the one that is shown",
  comment: "from a # foretrace: comment",
  doctest: "from a docstring",
  test: "from a test",
  main: "from the end of the file",
  module: "from this file",
  defaults: "with the default values",
};

/** The call that the user wants; undefined where none. */
export async function askForCall(functionName: string, known: readonly KnownCall[]): Promise<string | undefined> {
  const [best] = known;
  if (best === undefined) {
    return await writeCall(functionName, `${functionName.split(".").at(-1) ?? functionName}()`);
  }
  const another: vscode.QuickPickItem = { label: "$(edit) Write another call…", alwaysShow: true };
  const items = known.map((each) => ({ label: each.call, description: ORIGINS[each.origin] }));
  const chosen = await vscode.window.showQuickPick([...items, another], {
    title: `Predict which call of ${functionName}?`,
    placeHolder: "Nothing is run for a prediction.",
  });
  return chosen === another ? await writeCall(functionName, best.call) : chosen?.label;
}

async function writeCall(functionName: string, start: string): Promise<string | undefined> {
  const call = await vscode.window.showInputBox({
    title: `Which call of ${functionName}?`,
    prompt: "Values of your own, as Python writes them. Nothing is run for a prediction.",
    value: start,
    valueSelection: [start.indexOf("(") + 1, start.lastIndexOf(")")],
    validateInput: (text) => problemOfCall(text, functionName),
  });
  return call?.trim();
}
