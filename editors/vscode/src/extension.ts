/** Wires the extension: one server, and what shows and asks for what it knows. */

import * as vscode from "vscode";
import { copyDebugInformation } from "./commands/debugInformation";
import { openExample } from "./commands/example";
import { execute, say } from "./commands/execute";
import { FunctionCommands } from "./commands/functionCommands";
import { showMenu } from "./commands/menu";
import { chooseModel } from "./commands/models";
import { CursorTeller } from "./cursor";
import { HintPainter } from "./hints/hints";
import type { Places } from "./server/discovery";
import { chooseInterpreter, explainMissing, install } from "./server/install";
import { EditorPython } from "./server/pythonExtension";
import { Server } from "./server/server";
import { SECTION } from "./settings";
import { StatusItem } from "./status";
import { FramesView } from "./view/panel";

/** For `deactivate`, which VS Code hands nothing. */
let running: Server | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("foretrace", { log: true });
  const places: Places = {
    extension: context.extensionUri.fsPath,
    ownEnvironment: vscode.Uri.joinPath(context.globalStorageUri, "environment").fsPath,
  };
  const version = String((context.extension.packageJSON as { version: unknown }).version);
  log.info(`foretrace ${version} in ${vscode.env.appName} ${vscode.version}, ${vscode.env.remoteName ?? "local"}.`);
  const python = new EditorPython(log);
  const server: Server = new Server(places, python, log, (name, argument) => functions.onLens(name, argument));
  const cursor = new CursorTeller(server);
  const view = new FramesView(server, context.extensionUri);
  const functions: FunctionCommands = new FunctionCommands(server, view, cursor);
  running = server;
  const explain = (): Promise<void> => explainWhy(server);
  context.subscriptions.push(
    log,
    python,
    server,
    new StatusItem(server),
    new HintPainter(server),
    cursor,
    view,
    functions.register(),
    command("explain", explain),
    command("toggleValues", () => toggleValues(server)),
    command("chooseModel", () => chooseModel(server, places.extension, log)),
    command("chooseInterpreter", () => chooseInterpreter(python.isInstalled)),
    command("installServer", () => install(server, places, log)),
    command("restartServer", () => restart(server)),
    command("showOutput", () => { log.show(); }),
    command("copyDebugInformation", () => copyDebugInformation(server, version)),
    command("showMenu", () => showMenu(server)),
    command("openExample", () => openExample(context.globalStorageUri)),
    command("openWalkthrough", () =>
      vscode.commands.executeCommand("workbench.action.openWalkthrough", `${context.extension.id}#start`, false),
    ),
    server.onDidChangePhase((phase) => {
      void vscode.commands.executeCommand("setContext", "foretrace.isRunning", phase === "running");
      if (phase === "missing" || phase === "ended") {
        void explain();
      }
    }),
    python.onDidChange(() => void server.tellInterpreter()),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void server.tellTrust()),
    vscode.workspace.onDidChangeWorkspaceFolders(() => void server.reconsider("the folders have changed")),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (["serverCommand", "interpreter"].some((name) => event.affectsConfiguration(`${SECTION}.${name}`))) {
        void server.reconsider("the settings have changed");
      }
    }),
  );
  void server.reconsider("the extension was started");
}

export async function deactivate(): Promise<void> {
  await running?.end();
  running = undefined;
}

function command(name: string, run: () => unknown): vscode.Disposable {
  return vscode.commands.registerCommand(`${SECTION}.${name}`, run);
}

/** Why there is no server, and what to do. */
async function explainWhy(server: Server): Promise<void> {
  if (server.phase === "missing") {
    await explainMissing(server.discovery?.python !== undefined);
  } else if (server.phase === "ended") {
    const message = "foretrace has ended unexpectedly. Restart it; if that does not help, the log says why.";
    const chosen = await vscode.window.showErrorMessage(
      message,
      { title: "Restart", command: "foretrace.restartServer" },
      { title: "Show log", command: "foretrace.showOutput" },
    );
    if (chosen !== undefined) {
      await vscode.commands.executeCommand(chosen.command);
    }
  } else {
    say("foretrace is still starting; try again in a moment.");
  }
}

async function toggleValues(server: Server): Promise<void> {
  if (server.client === undefined) {
    await explainWhy(server);
    return;
  }
  const areShown = await execute<boolean>(server.client, "toggleHints");
  if (areShown !== undefined) {
    say(areShown ? "Values are shown." : "Values are hidden; the same command shows them again.");
  }
}

/** Everything anew, the model included. */
async function restart(server: Server): Promise<void> {
  if (server.client !== undefined) {
    await execute(server.client, "restart");
  }
  await server.restart("it was asked for");
}
