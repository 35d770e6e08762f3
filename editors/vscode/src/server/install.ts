/** Installs foretrace with pip, in a terminal where the user sees what it does. */

import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import * as vscode from "vscode";
import { pythonIn } from "./candidates";
import type { Places } from "./discovery";
import type { Python } from "./probe";
import type { Server } from "./server";

/**
 * Into the chosen environment; where the best Python is the system's own, which is not to be changed, into an
 * environment that the extension keeps for itself.
 */
export async function install(server: Server, places: Places, log: vscode.LogOutputChannel): Promise<void> {
  if (server.discovery === undefined) {
    await server.reconsider("foretrace is to be installed");
  }
  if (server.discovery?.server !== undefined) {
    const version = server.discovery.python?.foretrace;
    void vscode.window.showInformationMessage(
      `foretrace${version === undefined ? "" : ` ${version}`} is installed already. Open a Python file to see values.`,
    );
    return;
  }
  const python = server.discovery?.python;
  if (python === undefined) {
    await explainMissing(false);
    return;
  }
  if (await installFor(python, places, log)) {
    await server.restart("foretrace was installed");
    return;
  }
  const again = "Try again";
  const message = "foretrace could not be installed. The terminal shows why.";
  if ((await vscode.window.showErrorMessage(message, again)) === again) {
    await install(server, places, log);
  }
}

async function installFor(python: Python, places: Places, log: vscode.LogOutputChannel): Promise<boolean> {
  let target = python.path;
  if (!python.isEnvironment) {
    log.info(`${python.path} is a system's Python; foretrace gets an environment in ${places.ownEnvironment}.`);
    await mkdir(path.dirname(places.ownEnvironment), { recursive: true });
    if (!(await runTask("Make an environment", python.path, ["-m", "venv", places.ownEnvironment], places, log))) {
      return false;
    }
    target = pythonIn(places.ownEnvironment, process.platform === "win32");
  }
  return await runTask("Install foretrace", target, ["-m", "pip", "install", "--upgrade", "foretrace"], places, log);
}

/** Whether it ended well. */
async function runTask(
  name: string,
  program: string,
  args: string[],
  places: Places,
  log: vscode.LogOutputChannel,
): Promise<boolean> {
  log.info(`${name}: ${[program, ...args].join(" ")}`);
  const task = new vscode.Task(
    { type: "process" },
    vscode.TaskScope.Workspace,
    name,
    "foretrace",
    new vscode.ProcessExecution(program, args, { cwd: places.extension }),
  );
  task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, panel: vscode.TaskPanelKind.Shared };
  const execution = await vscode.tasks.executeTask(task);
  return await new Promise((resolve) => {
    const ended = vscode.tasks.onDidEndTaskProcess((event) => {
      if (event.execution === execution) {
        ended.dispose();
        log.info(`${name}: ended with ${event.exitCode ?? "no exit code"}.`);
        resolve(event.exitCode === 0);
      }
    });
  });
}

/** Say what is missing, and offer to do something about it. */
export async function explainMissing(hasPython: boolean): Promise<void> {
  const choose = { title: "Choose interpreter", command: "foretrace.chooseInterpreter" };
  const log = { title: "Show log", command: "foretrace.showOutput" };
  const chosen = hasPython
    ? await vscode.window.showWarningMessage(
        "foretrace is not installed for Python yet. Install it to see predicted values in your code.",
        { title: "Install", command: "foretrace.installServer" },
        choose,
        log,
      )
    : await vscode.window.showWarningMessage(
        "foretrace needs Python 3.10 or newer, and found none. Install Python, or choose it.",
        choose,
        log,
      );
  if (chosen !== undefined) {
    await vscode.commands.executeCommand(chosen.command);
  }
}

export async function chooseInterpreter(hasPythonExtension: boolean): Promise<void> {
  if (hasPythonExtension) {
    await vscode.commands.executeCommand("python.setInterpreter");
    return;
  }
  const files = await vscode.window.showOpenDialog({
    title: "The Python that runs your code",
    openLabel: "Use this Python",
  });
  const file = files?.[0]?.fsPath;
  if (file !== undefined) {
    await vscode.workspace
      .getConfiguration("foretrace")
      .update("interpreter", file, vscode.ConfigurationTarget.Global);
  }
}
