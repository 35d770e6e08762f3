/** Asks an interpreter what it is and whether foretrace is there. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";

export interface Python {
  readonly path: string;
  /** As in `3.12.1`. */
  readonly version: string;
  readonly isNewEnough: boolean;
  /** Whether packages may be installed into it without touching the system's own Python. */
  readonly isEnvironment: boolean;
  /** The version of foretrace; undefined where it is not installed. */
  readonly foretrace: string | undefined;
}

// What pip has installed: a folder that happens to be called foretrace would not run.
const QUESTION = `
import json, sys
from importlib.metadata import PackageNotFoundError, version
try:
    found = version("foretrace")
except PackageNotFoundError:
    found = None
print(json.dumps([list(sys.version_info[:3]), sys.prefix != sys.base_prefix, found]))
`;
const SECONDS = 15;

/** Run `python -c`. `folder` has no modules of anyone in it: Python looks there first. Throws where it does not run. */
export async function probe(python: string, folder: string): Promise<Python> {
  const { stdout } = await promisify(execFile)(python, ["-c", QUESTION], { cwd: folder, timeout: SECONDS * 1000 });
  const [version, isEnvironment, foretrace] = JSON.parse(stdout) as [[number, number, number], boolean, string | null];
  return {
    path: python,
    version: version.join("."),
    isNewEnough: version[0] > 3 || (version[0] === 3 && version[1] >= 10),
    isEnvironment,
    foretrace: foretrace ?? undefined,
  };
}
