/** Paths in settings, as the server wants them: it does not stand in the workspace, and knows no variables. */

import { homedir } from "node:os";
import * as path from "node:path";

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
  // The server does not stand in the workspace, so a relative path would lead nowhere. An address stays what it is.
  if (
    typeof model === "string" &&
    folder !== undefined &&
    /[\\/]/.test(model) &&
    !/^https?:/i.test(model) &&
    !path.isAbsolute(model)
  ) {
    spelled.model = path.join(folder, model);
  }
  return spelled;
}
