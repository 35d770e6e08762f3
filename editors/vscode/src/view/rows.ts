/** What the view says and selects; nothing here touches the page. */

import type { Frames, Item, Row } from "../protocol";

/** The first ones explain the others. */
const STORIES = 3;

export interface Mark {
  readonly kind: "same" | "first" | "differs" | "none";
  readonly text: string;
  /** For those who do not see the sign. */
  readonly label: string;
}

export type ItemLook = "wrong" | "same" | "unsure" | "plain";

export function isChecked(frames: Frames): boolean {
  return frames.actual != null;
}

export function markOf(row: Row, checked: boolean): Mark {
  if (row.first) {
    return { kind: "first", text: "▶", label: "first difference" };
  }
  if (row.state === "differs") {
    return { kind: "differs", text: "≠", label: "different" };
  }
  return checked && row.state === "same"
    ? { kind: "same", text: "✓", label: "as predicted" }
    : { kind: "none", text: "", label: "" };
}

export function lookOf(item: Item, row: Row, checked: boolean, confidence: number): ItemLook {
  if (item.wrong) {
    return "wrong";
  }
  if (checked && row.state === "same") {
    return "same";
  }
  return item.sure !== null && item.sure < confidence ? "unsure" : "plain";
}

/** An item, with how sure the model is where that is little. */
export function textOf(item: Item, look: ItemLook): string {
  return look === "unsure" && item.sure !== null ? `${item.text} (${Math.round(100 * item.sure)}% sure)` : item.text;
}

/** One sentence for each run, and what is under way. */
export function outcomes(frames: Frames): string[] {
  const said: string[] = [];
  if (frames.predicting) {
    said.push(`Predicting: ${frames.steps} steps so far.`);
  } else if (frames.predicted != null) {
    said.push(`Predicted by ${frames.model}: ${frames.predicted}.`);
  }
  if (frames.checking) {
    said.push("Checking against a real run.");
  } else if (frames.actual != null) {
    said.push(`Real run${frames.python == null ? "" : ` in Python ${frames.python}`}: ${frames.actual}.`);
  }
  if (frames.stale) {
    said.push("The function has changed since.");
  }
  return said;
}

/** What explains the differences, and how many more there are. */
export function stories(frames: Frames): string[] {
  const said = frames.stories.slice(0, STORIES).map(({ line, text }) =>
    new RegExp(`\\bline ${line + 1}\\b`, "i").test(text) ? text : `Line ${line + 1}: ${text}`,
  );
  const more = frames.stories.length - said.length;
  return more > 0 ? [...said, `And ${more} more ${more === 1 ? "difference" : "differences"}.`] : said;
}

/** A sentence in pieces: those between backticks are code. */
export function codeParts(sentence: string): { readonly text: string; readonly isCode: boolean }[] {
  const parts = sentence.split("`");
  // A backtick without a partner is one of a value.
  const isWhole = parts.length % 2 === 1;
  return isWhole
    ? parts.map((text, index) => ({ text, isCode: index % 2 === 1 })).filter(({ text }) => text !== "")
    : [{ text: sentence, isCode: false }];
}

export function turnText(frames: Frames): string {
  if (frames.turns === 0) {
    return "No line ran more than once";
  }
  return frames.turn === null ? `All ${frames.turns} turns` : `Turn ${frames.turn + 1} of ${frames.turns}`;
}

/** The rows of the turn that is shown: the first, and the one behind the last; undefined where all are. */
export function rowsOfTurn(frames: Frames): readonly [number, number] | undefined {
  const first = frames.turn === null ? undefined : frames.turnRows?.[frames.turn];
  if (first === undefined || frames.turn === null) {
    return undefined;
  }
  return [first, frames.turnRows?.[frames.turn + 1] ?? frames.rows.length];
}

/** The row that a key leads to; undefined where it is no such key. */
export function rowAfterKey(key: string, selected: number, rows: number, page: number): number | undefined {
  const steps: Readonly<Record<string, number>> = {
    ArrowDown: selected + 1,
    ArrowUp: selected - 1,
    PageDown: selected + page,
    PageUp: selected - page,
    Home: 0,
    End: rows - 1,
  };
  const wanted = steps[key];
  return wanted === undefined || rows === 0 ? undefined : Math.min(Math.max(wanted, 0), rows - 1);
}

/** The row of a line that is nearest to the selected one, in the turn that is shown where that has one. */
export function rowOfLine(frames: Frames, line: number, selected: number): number | undefined {
  const all = frames.rows.flatMap((row, index) => (row.line === line ? [index] : []));
  const [first, behind] = rowsOfTurn(frames) ?? [0, frames.rows.length];
  const inTurn = all.filter((index) => first <= index && index < behind);
  return (inTurn.length > 0 ? inTurn : all).reduce<number | undefined>(
    (best, index) =>
      best === undefined || Math.abs(index - selected) < Math.abs(best - selected) ? index : best,
    undefined,
  );
}
