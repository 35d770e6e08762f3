import assert from "node:assert/strict";
import { test } from "node:test";
import type { Status } from "../src/protocol";
import { phaseLook, statusLook } from "../src/statusText";

const STATUS: Status = {
  state: "ready", detail: "", model: { name: "nano", path: "", description: "", context: 8192 }, device: "CPU",
  interpreter: { path: "/usr/bin/python3", version: "3.12.1", source: ".venv" },
  predicting: 0, checking: 0, trusted: true, hints: true,
};

test("a server that runs shows its model, its device and its interpreter", () => {
  const look = statusLook(STATUS);
  assert.equal(look.text, "nano on CPU");
  assert.equal(look.detail, "ready · Python 3.12.1 (.venv)");
  assert.deepEqual([look.severity, look.isBusy, look.action.command], ["fine", false, "foretrace.showMenu"]);
});

test("it is busy while it works", () => {
  assert.ok(statusLook({ ...STATUS, state: "loading" }).isBusy);
  const look = statusLook({ ...STATUS, checking: 1, hints: false });
  assert.ok(look.isBusy);
  assert.equal(look.detail, "checking against a real run · Python 3.12.1 (.venv) · values are hidden");
});

test("a model that failed says why, and offers another one", () => {
  const look = statusLook({ ...STATUS, state: "failed", detail: "There is no model called x.", device: "" });
  assert.equal(look.text, "nano");
  assert.equal(look.detail, "There is no model called x. · Python 3.12.1 (.venv)");
  assert.deepEqual([look.severity, look.action.command], ["error", "foretrace.chooseModel"]);
});

test("a server that does not run says what to do", () => {
  assert.equal(phaseLook("missing", true).action.command, "foretrace.installServer");
  assert.equal(phaseLook("missing", false).action.command, "foretrace.chooseInterpreter");
  assert.equal(phaseLook("ended", true).action.command, "foretrace.restartServer");
  assert.ok(phaseLook("looking", false).isBusy);
});
