/** Finds the server: the first candidate that has foretrace. Every step goes to the log. */

import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import * as vscode from "vscode";
import { serverSettings } from "../settings";
import { candidates, type Candidate, type Surroundings } from "./candidates";
import { probe, type Python } from "./probe";
import type { ServerResolution } from "./resolution";

/** A server, or what is missing. */
export interface Discovery {
  readonly server: ServerResolution | undefined;
  /** The best Python that foretrace could be installed for. */
  readonly python: Python | undefined;
}

export interface Places {
  /** A folder without modules, to run Python in. */
  readonly extension: string;
  readonly ownEnvironment: string;
}

export function surroundings(places: Places, editorInterpreter: string | undefined): Surroundings {
  const settings = serverSettings();
  return {
    ...settings,
    editorInterpreter,
    folders: (vscode.workspace.workspaceFolders ?? [])
      .filter((folder) => folder.uri.scheme === "file")
      .map((folder) => folder.uri.fsPath),
    isTrusted: vscode.workspace.isTrusted,
    ownEnvironment: places.ownEnvironment,
    searchPath: (process.env.PATH ?? "").split(path.delimiter).filter((folder) => folder !== ""),
    home: homedir(),
    isWindows: process.platform === "win32",
    exists: isProgram,
    realFolder,
  };
}

export async function discover(
  places: Places,
  editorInterpreter: string | undefined,
  log: vscode.LogOutputChannel,
): Promise<Discovery> {
  let best: Python | undefined;
  for (const candidate of candidates(surroundings(places, editorInterpreter))) {
    const [program, ...rest] = candidate.command;
    if (candidate.kind !== "python") {
      const args = candidate.kind === "program" ? ["lsp"] : rest;
      log.info(`Server: ${[program, ...args].join(" ")}, from ${candidate.source}.`);
      return { server: { command: program, args, source: candidate.source }, python: best };
    }
    const python = await asked(candidate, places, log);
    if (python?.foretrace !== undefined && python.isNewEnough) {
      log.info(`Server: ${program} -m foretrace lsp (${python.foretrace}), from ${candidate.source}.`);
      return { server: { command: program, args: ["-m", "foretrace", "lsp"], source: candidate.source }, python };
    }
    best ??= python?.isNewEnough === true ? python : undefined;
  }
  log.warn(
    best === undefined
      ? "Server: no Python 3.10 or newer was found."
      : `Server: foretrace was not found; it could be installed for ${best.path}.`,
  );
  return { server: undefined, python: best };
}

async function asked(
  candidate: Candidate,
  places: Places,
  log: vscode.LogOutputChannel,
): Promise<Python | undefined> {
  const [program] = candidate.command;
  try {
    const python = await probe(program, places.extension);
    if (!python.isNewEnough) {
      log.info(`Not ${program} (${candidate.source}): Python ${python.version} is older than 3.10.`);
    } else if (python.foretrace === undefined) {
      log.info(`Not ${program} (${candidate.source}): Python ${python.version} has no foretrace.`);
    }
    return python;
  } catch (error) {
    log.info(`Not ${program} (${candidate.source}): it does not run. ${firstLine(error)}`);
    return undefined;
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function realFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder; // it is not there
  }
}
