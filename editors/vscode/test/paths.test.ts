import assert from "node:assert/strict";
import { homedir } from "node:os";
import { test } from "node:test";
import { forServer, withVariables } from "../src/paths";

test("the home and the folder are spelled out", () => {
  assert.equal(withVariables("~/models/a.gguf", "/work", "/home/me"), "/home/me/models/a.gguf");
  assert.equal(withVariables("${workspaceFolder}/env/bin/python", "/work", "/home/me"), "/work/env/bin/python");
  assert.equal(withVariables("~me/a", "/work", "/home/me"), "~me/a");
  assert.equal(withVariables("${workspaceFolder}/a", undefined), "${workspaceFolder}/a");
});

test("the server is told whole paths, and names as they are", () => {
  const settings = { model: "models/a.gguf", interpreter: "~/env/bin/python", hints: false };
  assert.deepEqual(forServer(settings, "/work"), {
    model: "/work/models/a.gguf",
    interpreter: `${homedir()}/env/bin/python`,
    hints: false,
  });
  assert.deepEqual(forServer({ model: "nano", interpreter: "" }, "/work"), { model: "nano", interpreter: "" });
  const address = { model: "http://gpu-machine:8080" };
  assert.deepEqual(forServer(address, "/work"), address);
  assert.deepEqual(forServer({ model: "/a.gguf" }, undefined), { model: "/a.gguf" });
  assert.equal(forServer(null, "/work"), null);
});
