import assert from "node:assert/strict";
import { test } from "node:test";
import { afterEdit } from "../src/hints/edits";
import type { Hint } from "../src/protocol";

function hint(line: number, name = "f"): Hint {
  return { line, character: 9, text: `n = ${line}`, state: "predicted", function: name };
}

const HINTS = [hint(1), hint(2), hint(3), hint(6, "g")];

test("the hint of an edited line goes, those of its function are of an older text, others stay", () => {
  assert.deepEqual(
    afterEdit(HINTS, { first: 2, last: 2, added: 0 }).map(({ line, state }) => [line, state]),
    [[1, "stale"], [3, "stale"], [6, "predicted"]],
  );
});

test("hints behind an edit move along with their lines", () => {
  assert.deepEqual(
    afterEdit(HINTS, { first: 4, last: 4, added: 2 }).map(({ line, state }) => [line, state]),
    [[1, "predicted"], [2, "predicted"], [3, "predicted"], [8, "predicted"]],
  );
  assert.deepEqual(afterEdit(HINTS, { first: 2, last: 4, added: -2 }).map(({ line }) => line), [1, 4]);
});
