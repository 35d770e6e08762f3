/** Which function is where. */

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { FunctionsRequest, type FunctionState, type Functions, type Place } from "./protocol";

/** The innermost function at a line, or the one with that name. Where there is none, the user is told. */
export async function functionAt(client: LanguageClient, place: Place): Promise<FunctionState | undefined> {
  const answer = await client.sendRequest(FunctionsRequest, { uri: place.uri });
  const found = answer === null ? undefined : innermost(answer, place);
  if (found === undefined) {
    void vscode.window.showInformationMessage(
      answer?.problem !== undefined && answer.problem !== ""
        ? answer.problem
        : "This line is outside any function; put the cursor into one.",
    );
  }
  return found;
}

/** Of all functions, the one with the name of a place, or the innermost one at its line. */
export function innermost({ functions }: Functions, { uri, line, function: name }: Place): FunctionState | undefined {
  return functions
    .filter((each) =>
      name !== undefined
        ? each.function === name
        : line !== undefined && each.uri === uri && each.firstLine <= line && line <= each.lastLine,
    )
    .reduce<FunctionState | undefined>(
      (inner, each) => (inner === undefined || each.firstLine >= inner.firstLine ? each : inner),
      undefined,
    );
}
