import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frames, Item, Row } from "../src/protocol";
import {
  codeParts, isChecked, lookOf, markOf, outcomes, rowAfterKey, rowOfLine, rowsOfTurn, stories, textOf, turnText,
} from "../src/view/rows";

function item(text: string, more: Partial<Item> = {}): Item {
  return { name: null, text, wrong: false, sure: null, ...more };
}

function row(line: number | null, more: Partial<Row> = {}): Row {
  return {
    line, source: `line ${String(line)}`, depth: 0, function: "f", state: "same", first: false,
    predicted: [], actual: [], ...more,
  };
}

/** A loop of two turns, rows 1 and 2, then 3 and 4. */
function frames(more: Partial<Frames> = {}): Frames {
  return {
    uri: "file:///a.py", version: 1, function: "f", call: "f(2)", status: "done", text: "", turn: null, turns: 2,
    firstLine: 0, lastLine: 3, predicting: false, steps: 0, checking: false, stale: false, problem: "",
    model: "nano", predicted: "returned 3", actual: null, python: null, output: "", stories: [],
    rows: [row(0), row(1), row(2), row(1), row(2), row(3)], turnRows: [1, 3], ...more,
  };
}

test("rows of a prediction alone have no marks", () => {
  assert.equal(isChecked(frames()), false);
  assert.deepEqual(markOf(row(1), false), { kind: "none", text: "", label: "" });
});

test("marks tell agreement and differences by sign and by word, the first one apart", () => {
  assert.deepEqual(markOf(row(1), true), { kind: "same", text: "✓", label: "as predicted" });
  assert.deepEqual(markOf(row(1, { state: "differs", first: true }), true), {
    kind: "first", text: "▶", label: "first difference",
  });
  assert.equal(markOf(row(1, { state: "differs" }), true).text, "≠");
  assert.equal(markOf(row(1, { state: "open" }), true).text, "");
});

test("an item is wrong before it is confirmed, and confirmed before it is unsure", () => {
  assert.equal(lookOf(item("n = 1", { wrong: true, sure: 0.1 }), row(1, { state: "differs" }), true, 0.5), "wrong");
  assert.equal(lookOf(item("n = 1", { sure: 0.1 }), row(1), true, 0.5), "same");
  assert.equal(lookOf(item("n = 1", { sure: 0.1 }), row(1), false, 0.5), "unsure");
  assert.equal(lookOf(item("n = 1", { sure: 0.5 }), row(1), false, 0.5), "plain");
  assert.equal(lookOf(item("n = 1"), row(1), false, 0.5), "plain");
});

test("only unsure items say how sure the model is", () => {
  assert.equal(textOf(item("n = 1", { sure: 0.336 }), "unsure"), "n = 1 (34% sure)");
  assert.equal(textOf(item("n = 1", { sure: 0.9 }), "plain"), "n = 1");
});

test("both runs have a sentence, as far as they are known", () => {
  assert.deepEqual(outcomes(frames()), ["Predicted by nano: returned 3."]);
  assert.deepEqual(outcomes(frames({ predicting: true, steps: 4, predicted: null })), ["Predicting: 4 steps so far."]);
  assert.deepEqual(outcomes(frames({ actual: "raised ValueError", python: "3.12.1", stale: true })), [
    "Predicted by nano: returned 3.",
    "Real run in Python 3.12.1: raised ValueError.",
    "The function has changed since.",
  ]);
  assert.deepEqual(outcomes(frames({ checking: true })).at(-1), "Checking against a real run.");
});

test("the first three stories are told, and how many more there are", () => {
  const story = (line: number) => ({ line, text: `line ${line + 1} ran.` });
  assert.deepEqual(stories(frames({ stories: [story(1)] })), ["line 2 ran."]);
  assert.deepEqual(stories(frames({ stories: [{ line: 1, text: "It raised." }] })), ["Line 2: It raised."]);
  assert.equal(stories(frames({ stories: [1, 2, 3, 4].map(story) })).at(-1), "And 1 more difference.");
  assert.equal(stories(frames({ stories: [1, 2, 3, 4, 5].map(story) })).at(-1), "And 2 more differences.");
});

test("names between backticks are code", () => {
  assert.deepEqual(codeParts("After line 3, `n` was 2."), [
    { text: "After line 3, ", isCode: false }, { text: "n", isCode: true }, { text: " was 2.", isCode: false },
  ]);
  assert.deepEqual(codeParts("It is '`'."), [{ text: "It is '`'.", isCode: false }]);
});

test("turns are counted from one", () => {
  assert.equal(turnText(frames()), "All 2 turns");
  assert.equal(turnText(frames({ turn: 1 })), "Turn 2 of 2");
  assert.equal(turnText(frames({ turns: 0 })), "No line ran more than once");
});

test("a turn goes to the next one, the last one to the end", () => {
  assert.equal(rowsOfTurn(frames()), undefined);
  assert.deepEqual(rowsOfTurn(frames({ turn: 0 })), [1, 3]);
  assert.deepEqual(rowsOfTurn(frames({ turn: 1 })), [3, 6]);
  assert.equal(rowsOfTurn(frames({ turn: 1, turnRows: [] })), undefined);
});

test("keys move within the rows", () => {
  assert.equal(rowAfterKey("ArrowDown", 0, 3, 10), 1);
  assert.equal(rowAfterKey("ArrowDown", 2, 3, 10), 2);
  assert.equal(rowAfterKey("ArrowUp", 0, 3, 10), 0);
  assert.equal(rowAfterKey("PageDown", 0, 30, 10), 10);
  assert.equal(rowAfterKey("End", 0, 30, 10), 29);
  assert.equal(rowAfterKey("Home", 9, 30, 10), 0);
  assert.equal(rowAfterKey("a", 0, 3, 10), undefined);
  assert.equal(rowAfterKey("End", 0, 0, 10), undefined);
});

test("a line's row is the nearest one, in the turn that is shown", () => {
  assert.equal(rowOfLine(frames(), 1, 0), 1);
  assert.equal(rowOfLine(frames(), 1, 4), 3);
  assert.equal(rowOfLine(frames({ turn: 0 }), 2, 5), 2);
  assert.equal(rowOfLine(frames({ turn: 1 }), 0, 5), 0);
  assert.equal(rowOfLine(frames(), 9, 0), undefined);
});
