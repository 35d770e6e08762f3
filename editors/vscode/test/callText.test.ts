import assert from "node:assert/strict";
import { test } from "node:test";
import { problemOfCall } from "../src/commands/callText";

test("calls of the function are fine", () => {
  for (const call of ["total([1, 2])", " total(numbers=[4]) ", "total('a)', \"(\")", "total('it\\'s')", "m.total()"]) {
    assert.equal(problemOfCall(call, "total"), undefined, call);
  }
  assert.equal(problemOfCall("Account(3).deposit(4)", "Account.deposit"), undefined);
  assert.equal(problemOfCall("Account(3)", "Account.__init__"), undefined);
});

test("what is wrong is said in one sentence", () => {
  assert.equal(problemOfCall(" ", "total"), "Write a call, as in total(1).");
  assert.equal(problemOfCall("total([1)", "total"), "A ] is missing before the ).");
  assert.equal(problemOfCall("total(1))", "total"), "There is a ) too many.");
  assert.equal(problemOfCall("total([1]", "total"), "A ) is missing.");
  assert.equal(problemOfCall("total('a)", "total"), "The text has no end; a ' is missing.");
  assert.equal(problemOfCall("subtotal(1)", "total"), "It has to be a call of total, as in total(1).");
  assert.equal(problemOfCall("total", "total"), "It has to be a call of total, as in total(1).");
});
