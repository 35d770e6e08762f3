import assert from "node:assert/strict";
import { test } from "node:test";
import { candidates, type Surroundings } from "../src/server/candidates";

function surroundings(files: readonly string[], more: Partial<Surroundings> = {}): Surroundings {
  return {
    serverCommand: [], interpreter: "", editorInterpreter: undefined, folders: ["/work/project"], isTrusted: true,
    ownEnvironment: "/storage/environment", searchPath: ["/usr/bin"], home: "/home/me", isWindows: false,
    exists: (file) => files.includes(file), realFolder: (folder) => folder, ...more,
  };
}

function programs(given: Surroundings): string[] {
  return candidates(given).map((candidate) => candidate.command.join(" "));
}

const EVERYWHERE = [
  "/work/project/.venv/bin/python", "/storage/environment/bin/python", "/usr/bin/foretrace", "/usr/bin/python3",
  "/home/me/.local/bin/foretrace",
];

test("settings come first, then the Python extension, the workspace, our own environment, and the path", () => {
  assert.deepEqual(
    programs(surroundings(EVERYWHERE, { interpreter: "/opt/python", editorInterpreter: "/conda/bin/python" })),
    [
      "/opt/python", "/conda/bin/python", "/work/project/.venv/bin/python", "/storage/environment/bin/python",
      "/usr/bin/foretrace", "/home/me/.local/bin/foretrace", "/usr/bin/python3",
    ],
  );
});

test("who names a command gets that one", () => {
  const found = candidates(surroundings(EVERYWHERE, { serverCommand: ["/opt/foretrace", "lsp"] }));
  assert.deepEqual(found.map((each) => [each.kind, each.command]), [["command", ["/opt/foretrace", "lsp"]]]);
});

test("each is tried once", () => {
  assert.deepEqual(programs(surroundings(["/usr/bin/python3"], { editorInterpreter: "/usr/bin/python3" })), [
    "/usr/bin/python3",
  ]);
});

test("nothing of an untrusted workspace runs, whatever way leads there", () => {
  const files = [
    "/work/project/.venv/bin/python", "/work/project/bin/foretrace", "/link/bin/python3", "/usr/bin/python3",
  ];
  const given = surroundings(files, {
    isTrusted: false,
    searchPath: ["/work/project/bin", "/link/bin", "/usr/bin"],
    realFolder: (folder) => folder.replace("/link", "/work/project"),
  });
  assert.deepEqual(programs(given), ["/usr/bin/python3"]);
  assert.equal(programs({ ...given, isTrusted: true }).length, 4);
});

test("a workspace that is opened by a link counts by where it leads", () => {
  const given = surroundings(["/data/project/bin/python3"], {
    isTrusted: false,
    searchPath: ["/data/project/bin"],
    realFolder: (folder) => folder.replace("/work/project", "/data/project"),
  });
  assert.deepEqual(programs(given), []);
});

test("relative entries of the path are left out", () => {
  assert.deepEqual(programs(surroundings(["bin/python3", "./python3"], { searchPath: ["bin", "."] })), []);
});

test("an interpreter by name is looked for on the path, a relative one in the workspace", () => {
  assert.deepEqual(programs(surroundings(["/usr/bin/python3.12"], { interpreter: "python3.12" })), [
    "/usr/bin/python3.12",
  ]);
  assert.deepEqual(programs(surroundings(["/work/project/env2/bin/python"], { interpreter: "env2/bin/python" })), [
    "/work/project/env2/bin/python",
  ]);
});
