/** The page of the view: draws what the extension tells, and tells it what the user does. */

import type { Frames, Item, Row } from "../protocol";
import type { FromPage, PageCommand, ToPage, ViewState } from "./messages";
import {
  codeParts, isChecked, lookOf, markOf, outcomes, rowAfterKey, rowOfLine, rowsOfTurn, stories, textOf, turnText,
} from "./rows";

interface PageState extends ViewState {
  readonly selected: number;
}

declare function acquireVsCodeApi(): {
  postMessage(message: FromPage): void;
  getState(): PageState | undefined;
  setState(state: PageState): void;
};

const ROWS_OF_A_PAGE = 10;

class ViewPage {
  readonly #editor = acquireVsCodeApi();
  readonly #grid = byId("rows");
  /** What each row was drawn from, so that only those that have changed are drawn again. */
  #drawn: string[] = [];
  #rows: HTMLElement[] = [];
  #frames: Frames | undefined;
  /** May be behind the last row, while a prediction is under way. */
  #selected = this.#editor.getState()?.selected ?? 0;
  /** The line of the cursor, where it has no row yet. */
  #awaitedLine: number | undefined;

  start(): void {
    for (const name of ["predict", "check", "previous", "next", "all"] as const) {
      byId(name).addEventListener("click", () => { this.#command(name); });
    }
    this.#grid.addEventListener("click", (event) => {
      const row = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-row]") : null;
      if (row !== null) {
        this.#select(Number(row.dataset.row), { focus: true, follow: "show" });
      }
    });
    this.#grid.addEventListener("dblclick", () => { this.#follow(true); });
    document.addEventListener("keydown", (event) => { this.#key(event); });
    window.addEventListener("message", (event: MessageEvent<ToPage>) => { this.#told(event.data); });
    this.#editor.postMessage({ kind: "ready" });
  }

  #told(message: ToPage): void {
    switch (message.kind) {
      case "frames":
        this.#show(message.frames, message.confidence);
        break;
      case "nothing":
        this.#frames = undefined;
        this.#drawRows([], []);
        byId("call").textContent = "";
        setLines("outcomes", [message.sentence]);
        setLines("stories", []);
        byId("view").classList.add("empty");
        break;
      case "cursor":
        this.#selectLine(message.line);
        break;
    }
  }

  #show(frames: Frames, confidence: number): void {
    const before = this.#frames;
    this.#frames = frames;
    const checked = isChecked(frames);
    byId("view").classList.remove("empty");
    byId("view").classList.toggle("checked", checked);
    byId("view").classList.toggle("stale", frames.stale);
    byId("call").textContent = frames.call ?? frames.function;
    setLines("outcomes", frames.rows.length === 0 && frames.problem !== "" ? [frames.problem] : outcomes(frames));
    setLines("stories", stories(frames));
    byId("turn").textContent = turnText(frames);
    for (const name of ["previous", "next", "all"]) {
      setDisabled(name, frames.turns === 0 || (name === "all" && frames.turn === null));
    }
    byId("predict").hidden = frames.rows.length > 0;
    setDisabled("predict", frames.predicting);
    setDisabled("check", frames.checking);
    byId("check").textContent = checked ? "Check again" : "Check against a real run";
    byId("output").textContent = frames.output ?? "";
    byId("printed").hidden = (frames.output ?? "") === "";
    this.#drawRows(
      frames.rows.map((row) => JSON.stringify([row, checked, confidence])),
      frames.rows.map((row, index) => () => drawRow(row, index, checked, confidence)),
    );
    this.#markTurn(frames);
    const isOther = before?.function !== frames.function || before.uri !== frames.uri;
    if (before !== undefined && isOther) {
      this.#select(0, { focus: false, follow: "no" });
    } else if (before !== undefined && before.turn !== frames.turn) {
      this.#select(rowsOfTurn(frames)?.[0] ?? this.#selected, { focus: this.#hasFocus(), follow: "show" });
    } else {
      this.#select(this.#selected, { focus: false, follow: "no" });
    }
    if (this.#awaitedLine !== undefined) {
      this.#selectLine(this.#awaitedLine);
    }
  }

  #drawRows(contents: readonly string[], draw: readonly (() => HTMLElement)[]): void {
    const focused = this.#rows.findIndex((row) => row === document.activeElement);
    draw.forEach((make, index) => {
      if (contents[index] !== this.#drawn[index]) {
        const row = make();
        const old = this.#rows[index];
        if (old === undefined) {
          this.#grid.append(row);
        } else {
          old.replaceWith(row);
        }
        this.#rows[index] = row;
      }
    });
    for (const row of this.#rows.splice(draw.length)) {
      row.remove();
    }
    this.#drawn = [...contents];
    this.#grid.setAttribute("aria-rowcount", String(draw.length + 1));
    if (focused !== -1) {
      this.#rows[Math.min(focused, this.#rows.length - 1)]?.focus();
    }
  }

  #markTurn(frames: Frames): void {
    const [first, behind] = rowsOfTurn(frames) ?? [0, 0];
    this.#rows.forEach((row, index) => {
      row.classList.toggle("turn", first <= index && index < behind);
    });
  }

  #select(index: number, { focus, follow }: { focus: boolean; follow: "show" | "no" }): void {
    const frames = this.#frames;
    this.#selected = index;
    const row = this.#selectedRow;
    for (const each of this.#rows) {
      each.setAttribute("aria-selected", String(each === row));
      each.tabIndex = each === row ? 0 : -1;
    }
    if (focus || follow === "show") {
      row?.scrollIntoView({ block: "nearest" });
    }
    if (focus) {
      row?.focus({ preventScroll: true });
    }
    if (follow === "show") {
      this.#awaitedLine = undefined;
      this.#follow(false);
    }
    if (frames !== undefined) {
      this.#editor.setState({ uri: frames.uri, function: frames.function, selected: this.#selected });
    }
  }

  #selectLine(line: number): void {
    const index = this.#frames && rowOfLine(this.#frames, line, this.#selected);
    this.#awaitedLine = index === undefined ? line : undefined;
    if (index !== undefined) {
      this.#select(index, { focus: false, follow: "no" });
      this.#rows[index]?.scrollIntoView({ block: "nearest" });
    }
  }

  #follow(open: boolean): void {
    const line = Number(this.#selectedRow?.dataset.line ?? NaN);
    if (!Number.isNaN(line)) {
      this.#editor.postMessage({ kind: "follow", line, open });
    }
  }

  get #selectedRow(): HTMLElement | undefined {
    return this.#rows[Math.min(this.#selected, this.#rows.length - 1)];
  }

  #hasFocus(): boolean {
    return this.#rows.some((row) => row === document.activeElement);
  }

  #command(name: PageCommand): void {
    this.#editor.postMessage({ kind: "command", name });
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) {
      return;
    }
    const turn = { ArrowLeft: "previous", ArrowRight: "next" } as const;
    const isOnButton = event.target instanceof HTMLButtonElement;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      this.#command(turn[event.key]);
    } else if (event.key === "Enter" && !isOnButton) {
      this.#follow(true);
    } else {
      const selected = Math.min(this.#selected, this.#rows.length - 1);
      const index = rowAfterKey(event.key, selected, this.#rows.length, ROWS_OF_A_PAGE);
      if (index === undefined) {
        return;
      }
      this.#select(index, { focus: true, follow: "show" });
    }
    event.preventDefault();
  }
}

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`The page has no ${id}.`);
  }
  return found;
}

function setDisabled(id: string, isDisabled: boolean): void {
  (byId(id) as HTMLButtonElement).disabled = isDisabled;
}

/** Those that are read out when they change are left alone where they have not. */
function setLines(id: string, lines: readonly string[]): void {
  const list = byId(id);
  const text = lines.join("\n");
  if (list.dataset.text === text) {
    return;
  }
  list.dataset.text = text;
  list.replaceChildren(
    ...lines.map((line) => {
      const made = element("li", "");
      made.append(...codeParts(line).map((part) => (part.isCode ? element("code", "", part.text) : part.text)));
      return made;
    }),
  );
}

function element(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function drawRow(row: Row, index: number, checked: boolean, confidence: number): HTMLElement {
  const made = element("div", "row");
  made.setAttribute("role", "row");
  made.setAttribute("aria-rowindex", String(index + 2));
  made.dataset.row = String(index);
  made.dataset.state = row.state;
  if (row.line !== null) {
    made.dataset.line = String(row.line);
  }
  if (row.first) {
    made.dataset.first = "true";
  }
  const mark = markOf(row, checked);
  const sign = element("span", `mark ${mark.kind}`, mark.text);
  if (mark.label !== "") {
    sign.setAttribute("aria-label", mark.label);
    sign.title = mark.label;
  }
  const source = element("span", "source", row.source.trim());
  source.title = row.source.trim(); // it is cut where the view is narrow
  source.style.setProperty("--depth", String(row.depth));
  made.append(sign, element("span", "line", row.line === null ? "" : String(row.line + 1)), source);
  for (const [name, items] of [["predicted", row.predicted], ["actual", row.actual]] as const) {
    made.append(drawItems(name, items, row, checked, confidence));
  }
  for (const cell of made.children) {
    cell.setAttribute("role", "gridcell");
  }
  return made;
}

function drawItems(
  name: string,
  items: readonly Item[],
  row: Row,
  checked: boolean,
  confidence: number,
): HTMLElement {
  const cell = element("span", name);
  items.forEach((item, index) => {
    const look = lookOf(item, row, checked, confidence);
    cell.append(index === 0 ? "" : ", ", element("span", `item ${look}`, textOf(item, look)));
  });
  return cell;
}

new ViewPage().start();
