/** The settings that the extension itself reads; the server pulls its own ones, by the same names. */

import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";

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

/** Spell `~` and `${workspaceFolder}` out. */
export function withVariables(text: string, folder: string | undefined, home = homedir()): string {
  const whole = text === "~" || text.startsWith("~/") ? path.join(home, text.slice(1)) : text;
  return folder === undefined ? whole : whole.replaceAll("${workspaceFolder}", folder);
}

/** What the server is told of its settings: paths spelled out, the model's one from the folder on. */
export function forServer(settings: unknown, folder: string | undefined): unknown {
  if (typeof settings !== "object" || settings === null) {
    return settings;
  }
  const spelled: Record<string, unknown> = { ...settings };
  for (const name of ["model", "interpreter"]) {
    const value = spelled[name];
    if (typeof value === "string" && value !== "") {
      spelled[name] = withVariables(value, folder);
    }
  }
  const model = spelled.model;
  // The server does not stand in the workspace, so a relative path would lead nowhere.
  if (typeof model === "string" && folder !== undefined && /[\\/]/.test(model) && !path.isAbsolute(model)) {
    spelled.model = path.join(folder, model);
  }
  return spelled;
}
