import assert from "node:assert/strict";
import { test } from "node:test";
import { html } from "../src/view/html";

const PARTS = { source: "https://files", style: "https://files/view.css", script: "https://files/view.js" };

test("the page lets in its own style sheet and script, and nothing written into it", () => {
  const page = html(PARTS);
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1] ?? "";
  assert.match(policy, /^default-src 'none'; style-src https:\/\/files; script-src 'nonce-[\w+/=]{20,}'$/);
  assert.doesNotMatch(page, / style=|<style|\son\w+=|unsafe/);
  assert.equal([...page.matchAll(/<script/g)].length, 1);
});

test("each page has a nonce of its own", () => {
  assert.notEqual(html(PARTS), html(PARTS));
});
