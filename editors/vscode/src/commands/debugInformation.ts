/** What somebody who looks into a problem wants to know, as text to paste. */

import * as vscode from "vscode";
import type { Server } from "../server/server";
import { SECTION } from "../settings";

export async function copyDebugInformation(server: Server, version: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration(SECTION);
  const information = {
    extension: version,
    editor: `${vscode.env.appName} ${vscode.version}, ${vscode.env.appHost}`,
    remote: vscode.env.remoteName ?? "none",
    platform: `${process.platform} ${process.arch}`,
    trusted: vscode.workspace.isTrusted,
    folders: vscode.workspace.workspaceFolders?.length ?? 0,
    phase: server.phase,
    server: server.resolution ?? "none",
    python: server.discovery?.python ?? "unknown",
    status: server.status ?? "none",
    settings: changedSettings(settings),
  };
  await vscode.env.clipboard.writeText(`\`\`\`json\n${JSON.stringify(information, undefined, 2)}\n\`\`\`\n`);
  void vscode.window.showInformationMessage("Debug information was copied. Paste it where you report the problem.");
}

/** The settings that are not as they come. */
function changedSettings(settings: vscode.WorkspaceConfiguration): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  for (const name of Object.keys(settings).filter((each) => settings.has(each))) {
    const inspected = settings.inspect(name);
    const value: unknown = settings.get(name);
    if (inspected !== undefined && JSON.stringify(value) !== JSON.stringify(inspected.defaultValue)) {
      changed[name] = value;
    }
  }
  return changed;
}
