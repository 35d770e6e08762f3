import assert from "node:assert/strict";
import { test } from "node:test";
import { foretraceCommand, isSameServer } from "../src/server/resolution";

const SERVER = { command: "/usr/bin/python3", args: ["-m", "foretrace", "lsp"], source: "the path" };

test("a server is the same whoever named it", () => {
  assert.ok(isSameServer(SERVER, { ...SERVER, source: "the Python extension" }));
  assert.ok(isSameServer(undefined, undefined));
  assert.ok(!isSameServer(SERVER, undefined));
  assert.ok(!isSameServer(SERVER, { ...SERVER, command: "/usr/bin/python" }));
  assert.ok(!isSameServer(SERVER, { ...SERVER, args: ["-m", "foretrace"] }));
});

test("the command for something else is the server's own one", () => {
  assert.deepEqual(foretraceCommand(SERVER, "model", "list"), ["/usr/bin/python3", "-m", "foretrace", "model", "list"]);
  assert.equal(foretraceCommand({ ...SERVER, args: ["-m", "other"] }, "model"), undefined);
});
