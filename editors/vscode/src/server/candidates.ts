/** Where a server may be, in order of preference. Nothing is run here. */

import * as path from "node:path";

/** A Python that may have foretrace, or a program that is known to be foretrace. */
export interface Candidate {
  readonly kind: "command" | "python" | "program";
  /** The command and its arguments; of a Python and a program, its path alone. */
  readonly command: readonly [string, ...string[]];
  /** Who names it, for the log. */
  readonly source: string;
}

/** All that decides which candidates there are. */
export interface Surroundings {
  readonly serverCommand: readonly string[];
  readonly interpreter: string;
  /** What the Python extension has chosen. */
  readonly editorInterpreter: string | undefined;
  /** The folders of the workspace. */
  readonly folders: readonly string[];
  readonly isTrusted: boolean;
  /** The folder of the environment that the extension itself has installed foretrace into. */
  readonly ownEnvironment: string;
  readonly searchPath: readonly string[];
  readonly home: string;
  readonly isWindows: boolean;
  readonly exists: (file: string) => boolean;
  /** A folder without symbolic links. */
  readonly realFolder: (folder: string) => string;
}

/** The Python of a virtual environment. */
export function pythonIn(environment: string, isWindows: boolean): string {
  return isWindows ? path.join(environment, "Scripts", "python.exe") : path.join(environment, "bin", "python");
}

/** Those that are there and may run, best first, each once. */
export function candidates(surroundings: Surroundings): Candidate[] {
  const found = [...all(surroundings)];
  return found.filter(
    (candidate, index) =>
      mayRun(candidate, surroundings) &&
      found.findIndex((other) => other.command.join("\0") === candidate.command.join("\0")) === index,
  );
}

function* all(surroundings: Surroundings): Generator<Candidate> {
  const { exists, home, isWindows, searchPath } = surroundings;
  const [program, ...rest] = surroundings.serverCommand;
  if (program !== undefined) {
    yield { kind: "command", command: [program, ...rest], source: "the setting foretrace.serverCommand" };
    return; // who names a command wants no other one
  }
  if (surroundings.interpreter !== "") {
    yield python(onPath(surroundings.interpreter, surroundings), "the setting foretrace.interpreter");
  }
  if (surroundings.editorInterpreter !== undefined) {
    yield python(surroundings.editorInterpreter, "the Python extension");
  }
  for (const folder of surroundings.folders) {
    for (const name of [".venv", "venv", "env"]) {
      const found = pythonIn(path.join(folder, name), isWindows);
      if (exists(found)) {
        yield python(found, `${name} of the workspace`);
      }
    }
  }
  const own = pythonIn(surroundings.ownEnvironment, isWindows);
  if (exists(own)) {
    yield python(own, "installed by this extension");
  }
  const ending = isWindows ? ".exe" : "";
  for (const folder of [...searchPath, path.join(home, ".local", "bin")]) {
    const found = path.join(folder, `foretrace${ending}`);
    // A relative entry of the path means something else in every folder.
    if (path.isAbsolute(folder) && exists(found)) {
      yield { kind: "program", command: [found], source: "the path" };
    }
  }
  for (const folder of searchPath) {
    for (const name of ["python3", "python"]) {
      const found = path.join(folder, name + ending);
      if (path.isAbsolute(folder) && exists(found)) {
        yield python(found, "the path");
      }
    }
  }
}

function python(file: string, source: string): Candidate {
  return { kind: "python", command: [file], source };
}

/** A name without a folder is looked for on the path, a relative path in the workspace. */
function onPath(file: string, surroundings: Surroundings): string {
  const { exists, folders, searchPath } = surroundings;
  if (path.isAbsolute(file)) {
    return file;
  }
  const places = /[\\/]/.test(file) ? folders : searchPath.filter((folder) => path.isAbsolute(folder));
  return places.map((folder) => path.join(folder, file)).find(exists) ?? file;
}

/** Nothing that lies in an untrusted workspace runs. */
function mayRun(candidate: Candidate, { isTrusted, folders, realFolder }: Surroundings): boolean {
  const [program] = candidate.command;
  if (isTrusted || !path.isAbsolute(program)) {
    return isTrusted || candidate.kind === "command"; // a name, which the user's own settings give
  }
  // An interpreter itself is often a link that leads out of its environment; its folder says where it belongs.
  const real = realFolder(path.dirname(program));
  return ![path.dirname(program), real].some((own) =>
    folders.some((folder) => isInside(own, folder) || isInside(own, realFolder(folder))),
  );
}

function isInside(inner: string, outer: string): boolean {
  const relative = path.relative(outer, inner);
  return !relative.startsWith("..") && !path.isAbsolute(relative);
}
