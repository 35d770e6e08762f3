/** Installs foretrace with pip. Not as a task: those want a folder that is open and trusted. */

import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import { createInterface } from "node:readline";
import * as vscode from "vscode";
import { pythonIn } from "./candidates";
import type { Places } from "./discovery";
import type { Python } from "./probe";
import type { Server } from "./server";

/** Characters of a line in the progress. */
const WIDTH = 80;

/** Where something is run, and who hears of it. */
interface Surroundings {
  readonly folder: string;
  readonly log: vscode.LogOutputChannel;
  readonly progress: vscode.Progress<{ message: string }>;
  readonly token: vscode.CancellationToken;
}

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
  const outcome = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: "Installing foretrace", cancellable: true },
    async (progress, token) => {
      progress.report({ message: "This takes some minutes." });
      const isWell = await installFor(python, places, { folder: places.extension, log, progress, token });
      return token.isCancellationRequested ? "cancelled" : isWell;
    },
  );
  if (outcome === true) {
    await server.restart("foretrace was installed");
  } else if (outcome === false) {
    await explainFailure();
  }
}

async function installFor(python: Python, { ownEnvironment }: Places, surroundings: Surroundings): Promise<boolean> {
  let target = python.path;
  if (!python.isEnvironment) {
    surroundings.log.info(`${python.path} is a system's Python; foretrace gets an environment in ${ownEnvironment}.`);
    await mkdir(path.dirname(ownEnvironment), { recursive: true });
    if (!(await run(python.path, ["-m", "venv", ownEnvironment], surroundings))) {
      return false;
    }
    target = pythonIn(ownEnvironment, process.platform === "win32");
  }
  return await run(target, ["-m", "pip", "install", "--upgrade", "foretrace"], surroundings);
}

async function explainFailure(): Promise<void> {
  const chosen = await vscode.window.showErrorMessage(
    "foretrace could not be installed. The log shows why.",
    { title: "Show log", command: "foretrace.showOutput" },
    { title: "Try again", command: "foretrace.installServer" },
  );
  if (chosen !== undefined) {
    await vscode.commands.executeCommand(chosen.command);
  }
}

/** Run a program whose output goes to the log, and its last line to the progress. Whether it ended well. */
function run(program: string, args: readonly string[], surroundings: Surroundings): Promise<boolean> {
  const { folder, log, progress, token } = surroundings;
  log.info(`Running ${[program, ...args].join(" ")}`);
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on("line", (line) => {
        log.info(line);
        progress.report({ message: line.trim().slice(0, WIDTH) });
      });
    }
    const cancelled = token.onCancellationRequested(() => child.kill());
    const end = (how: string, isWell: boolean): void => {
      cancelled.dispose();
      log.info(`${path.basename(program)} ended: ${how}.`);
      resolve(isWell);
    };
    child.on("error", (error) => { end(error.message, false); });
    child.on("close", (code, signal) => { end(signal ?? `exit code ${code ?? "unknown"}`, code === 0); });
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
