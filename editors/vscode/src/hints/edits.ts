/** Keeps hints true between an edit and the server's answer about it. */

import type { Hint } from "../protocol";

/** One change of a text: its lines `first` to `last` became `last - first + 1 + added` lines. */
export interface Edit {
  readonly first: number;
  readonly last: number;
  readonly added: number;
}

/**
 * The hints that are still true of the text after an edit: those of its lines are gone, later ones move along, and the
 * others of the same functions are of an older text.
 */
export function afterEdit(hints: readonly Hint[], edit: Edit): Hint[] {
  const changed = changedFunctions(hints, edit);
  return hints
    .filter((hint) => hint.line < edit.first || hint.line > edit.last)
    .map((hint) => ({
      ...hint,
      line: hint.line > edit.last ? hint.line + edit.added : hint.line,
      state: changed.has(hint.function) ? "stale" : hint.state,
    }));
}

/** Functions that have hints on both sides of the edit, or in it. */
function changedFunctions(hints: readonly Hint[], edit: Edit): Set<string> {
  const before = new Set(hints.filter((hint) => hint.line <= edit.last).map((hint) => hint.function));
  const behind = new Set(hints.filter((hint) => hint.line >= edit.first).map((hint) => hint.function));
  return new Set([...before].filter((name) => behind.has(name)));
}
