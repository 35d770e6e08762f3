import assert from "node:assert/strict";
import { test } from "node:test";
import { fitText, modelText, type Plan } from "../src/commands/modelText";

const GIB = 2 ** 30;

function plan(more: Partial<Plan["recommended"]>, device: Plan["device"] = { name: "a card", memory: 24 * GIB }): Plan {
  return {
    model: { layers: 64 },
    device,
    host: { name: "the CPU" },
    recommended: {
      context: 32768, layers_on_gpu: 64, whole: true, tokens_per_s: null,
      memory: { device: { total: 22.2 * GIB }, host: { total: 2 ** 29 } }, ...more,
    },
  };
}

test("a model is told by what it is, or by why it cannot be used", () => {
  const file = { name: "nano", path: "/nano.gguf", problem: null };
  assert.equal(modelText({ ...file, summary: "CWM 116M, Q4_0", size: 67821472 }), "CWM 116M, Q4_0, 65 MiB");
  assert.equal(modelText({ ...file, problem: "It is no GGUF." }), "It is no GGUF.");
});

test("what fits is told for whole, partly and not fitting models, and for the CPU", () => {
  assert.equal(fitText(plan({})), "Fits a card whole, with 32,768 tokens of context, in 22.2 GiB of 24.0 GiB");
  assert.equal(
    fitText(plan({ whole: false, layers_on_gpu: 40 })),
    "40 of 64 layers fit a card, with 32,768 tokens of context; the rest is slow",
  );
  assert.equal(
    fitText(plan({ whole: false, layers_on_gpu: 0 })),
    "Does not fit a card; runs on the CPU with 32,768 tokens of context",
  );
  assert.equal(fitText(plan({}, null)), "Runs on the CPU with 32,768 tokens of context, in 512 MiB of memory");
});
