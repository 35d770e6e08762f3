/** What can be done, in a list: behind the language status item. */

import * as vscode from "vscode";
import type { Server } from "../server/server";

interface Entry extends vscode.QuickPickItem {
  readonly command: string;
}

export async function showMenu(server: Server): Promise<void> {
  const isRunning = server.phase === "running";
  const isHidden = server.status?.hints === false;
  const entries: Entry[] = [
    ...(server.phase === "missing"
      ? [{ label: "$(cloud-download) Install foretrace for Python", command: "foretrace.installServer" }]
      : []),
    ...(isRunning
      ? [
          { label: "$(circuit-board) Choose the model…", command: "foretrace.chooseModel" },
          {
            label: isHidden ? "$(eye) Show values" : "$(eye-closed) Hide values",
            command: "foretrace.toggleValues",
          },
        ]
      : []),
    { label: "$(symbol-namespace) Choose the Python interpreter…", command: "foretrace.chooseInterpreter" },
    { label: "$(debug-restart) Restart", command: "foretrace.restartServer" },
    { label: "$(output) Show the log", command: "foretrace.showOutput" },
    { label: "$(copy) Copy debug information", command: "foretrace.copyDebugInformation" },
    { label: "$(book) Learn what foretrace shows", command: "foretrace.openWalkthrough" },
  ];
  const chosen = await vscode.window.showQuickPick(entries, { title: "foretrace" });
  if (chosen !== undefined) {
    await vscode.commands.executeCommand(chosen.command);
  }
}
