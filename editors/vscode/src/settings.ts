/** The settings that the extension itself reads; the server pulls its own ones, by the same names. */

import * as vscode from "vscode";
import { withVariables } from "./paths";

export const SECTION = "foretrace";

/** What decides which server is started. */
export interface ServerSettings {
  readonly serverCommand: readonly string[];
  readonly interpreter: string;
}

/** The settings of the first folder: there is one server for all folders of a window. */
export function serverSettings(): ServerSettings {
  const folder = vscode.workspace.workspaceFolders?.[0];
  const settings = vscode.workspace.getConfiguration(SECTION, folder);
  return {
    serverCommand: settings.get<string[]>("serverCommand", []).map((part) => withVariables(part, folder?.uri.fsPath)),
    interpreter: withVariables(settings.get<string>("interpreter", ""), folder?.uri.fsPath),
  };
}

/** Whether a document's values are wanted. */
export function areHintsWanted(document: vscode.TextDocument): boolean {
  return vscode.workspace.getConfiguration(SECTION, document).get<boolean>("hints", true);
}

/** From which probability on a value looks sure. */
export function confidence(uri: vscode.Uri): number {
  return vscode.workspace.getConfiguration(SECTION, uri).get<number>("confidence", 0.5);
}
