import assert from "node:assert/strict";
import { test } from "node:test";
import { CollapsingQueue } from "../src/queue";

/** A queue whose jobs end when they are told to. */
function gated() {
  const jobs: { requests: readonly number[]; end: () => void; fail: (error: Error) => void }[] = [];
  const queue = new CollapsingQueue<number>(
    (requests) => new Promise((resolve, reject) => { jobs.push({ requests, end: resolve, fail: reject }); }),
  );
  return { queue, jobs };
}

const settled = () => new Promise((resolve) => { setImmediate(resolve); });

test("what comes during a job is done in one go afterwards", async () => {
  const { queue, jobs } = gated();
  const all = [queue.add(1), queue.add(2), queue.add(3)];
  assert.deepEqual(jobs.map((job) => job.requests), [[1]]);
  jobs[0]?.end();
  await settled();
  assert.deepEqual(jobs.map((job) => job.requests), [[1], [2, 3]]);
  jobs[1]?.end();
  await Promise.all(all);
  assert.equal(jobs.length, 2);
});

test("a job that fails is told to whoever asked for it, and the next one is done", async () => {
  const { queue, jobs } = gated();
  const first = queue.add(1);
  const second = queue.add(2);
  jobs[0]?.fail(new Error("no"));
  await assert.rejects(first, /no/);
  await settled();
  jobs[1]?.end();
  await second;
});

test("after a job the queue is idle again", async () => {
  const { queue, jobs } = gated();
  for (const number of [1, 2]) {
    const added = queue.add(number);
    jobs.at(-1)?.end();
    await added;
  }
  assert.deepEqual(jobs.map((job) => job.requests), [[1], [2]]);
});
