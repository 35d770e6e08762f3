/** Values behind the lines, in the colour of their state. */

import * as vscode from "vscode";
import { isFollowed, notebookOf } from "../documents";
import { HintsRequest, type Hint, type HintState } from "../protocol";
import { CollapsingQueue } from "../queue";
import type { Server } from "../server/server";
import { areHintsWanted, SECTION } from "../settings";
import { afterEdit } from "./edits";

const EDIT_MILLISECONDS = 80;
const LOOKS: Record<HintState, vscode.DecorationRenderOptions> = {
  predicted: {},
  confirmed: {},
  diverged: { after: { fontWeight: "bold" } },
  unsure: { after: { fontStyle: "italic" } },
  stale: { after: { fontStyle: "italic" } },
};

interface Shown {
  hints: readonly Hint[];
  /** One request is under way at a time; what changes meanwhile is asked for afterwards. */
  readonly requests: CollapsingQueue<undefined>;
  timer: NodeJS.Timeout | undefined;
}

export class HintPainter implements vscode.Disposable {
  readonly #server: Server;
  readonly #types = new Map<HintState, vscode.TextEditorDecorationType>();
  readonly #shown = new Map<vscode.TextDocument, Shown>();
  readonly #disposables: vscode.Disposable[] = [];

  constructor(server: Server) {
    this.#server = server;
    for (const [state, look] of Object.entries(LOOKS) as [HintState, vscode.DecorationRenderOptions][]) {
      const color = new vscode.ThemeColor(`${SECTION}.${state}Foreground`);
      const type = vscode.window.createTextEditorDecorationType({
        after: { color, margin: "0 0 0 2ch", ...look.after },
        rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
      });
      this.#types.set(state, type);
    }
    this.#disposables.push(
      server.onDidUpdate((uri) => { this.#updated(uri); }),
      server.onDidChangePhase((phase) => { this.#phaseChanged(phase === "running"); }),
      server.onDidChangeStatus(() => { this.#redrawAll(); }),
      vscode.workspace.onDidChangeTextDocument((event) => { this.#edited(event); }),
      vscode.workspace.onDidCloseTextDocument((document) => { this.#forget(document); }),
      vscode.window.onDidChangeVisibleTextEditors((editors) => { this.#becameVisible(editors); }),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration(SECTION)) {
          this.#redrawAll();
        }
      }),
      ...this.#types.values(),
    );
  }

  #phaseChanged(isRunning: boolean): void {
    if (isRunning) {
      this.#becameVisible(vscode.window.visibleTextEditors);
      return;
    }
    for (const document of [...this.#shown.keys()]) {
      this.#forget(document);
    }
    void this.#tellWhetherThereAreValues();
  }

  #becameVisible(editors: readonly vscode.TextEditor[]): void {
    for (const editor of editors.filter((each) => isFollowed(each.document))) {
      this.#draw(editor.document);
      this.#ask(editor.document);
    }
  }

  /** A notebook's document stands for all its cells. */
  #updated(uri: vscode.Uri): void {
    const editors = vscode.window.visibleTextEditors.filter(({ document }) => isFollowed(document));
    const named = uri.toString();
    for (const document of new Set(editors.map((editor) => editor.document))) {
      if (document.uri.toString() === named || notebookOf(document)?.uri.toString() === named) {
        this.#ask(document);
      }
    }
  }

  #edited(event: vscode.TextDocumentChangeEvent): void {
    const { document, contentChanges } = event;
    const shown = this.#shown.get(document);
    if (shown === undefined || contentChanges.length === 0) {
      return;
    }
    // Changes are told from the end of the text on, each in lines of the text before it.
    for (const change of [...contentChanges].sort((one, other) => other.rangeOffset - one.rangeOffset)) {
      const { start, end } = change.range;
      const lines = change.text.split(/\r\n|\r|\n/).length - 1;
      shown.hints = afterEdit(shown.hints, {
        first: start.line,
        last: end.line,
        added: lines - (end.line - start.line),
      });
    }
    this.#draw(document);
    clearTimeout(shown.timer);
    shown.timer = setTimeout(() => { this.#ask(document); }, EDIT_MILLISECONDS);
  }

  #ask(document: vscode.TextDocument): void {
    let shown = this.#shown.get(document);
    if (shown === undefined) {
      shown = { hints: [], requests: new CollapsingQueue(() => this.#refresh(document)), timer: undefined };
      this.#shown.set(document, shown);
    }
    void shown.requests.add(undefined);
  }

  async #refresh(document: vscode.TextDocument): Promise<void> {
    const shown = this.#shown.get(document);
    const { client } = this.#server;
    if (client === undefined || shown === undefined) {
      return;
    }
    const uri = client.code2ProtocolConverter.asUri(document.uri);
    const answer = await client.sendRequest(HintsRequest, { uri }).catch(() => null);
    // An answer about an older text is dropped; the edit has asked again.
    if (answer?.version === versionOf(document) && this.#shown.get(document) === shown) {
      shown.hints = answer.hints;
      this.#draw(document);
      await this.#tellWhetherThereAreValues();
    }
  }

  #redrawAll(): void {
    for (const document of this.#shown.keys()) {
      this.#draw(document);
    }
  }

  #draw(document: vscode.TextDocument): void {
    const isWanted = areHintsWanted(document) && this.#server.status?.hints !== false;
    const hints = isWanted ? (this.#shown.get(document)?.hints ?? []) : [];
    for (const editor of vscode.window.visibleTextEditors.filter((each) => each.document === document)) {
      for (const [state, type] of this.#types) {
        editor.setDecorations(type, decorations(document, hints.filter((hint) => hint.state === state)));
      }
    }
  }

  async #tellWhetherThereAreValues(): Promise<void> {
    const hasValues = [...this.#shown.values()].some((shown) => shown.hints.length > 0);
    await vscode.commands.executeCommand("setContext", "foretrace.hasValues", hasValues);
  }

  #forget(document: vscode.TextDocument): void {
    clearTimeout(this.#shown.get(document)?.timer);
    this.#shown.delete(document);
    this.#draw(document);
  }

  dispose(): void {
    for (const shown of this.#shown.values()) {
      clearTimeout(shown.timer);
    }
    vscode.Disposable.from(...this.#disposables).dispose();
  }
}

function decorations(document: vscode.TextDocument, hints: readonly Hint[]): vscode.DecorationOptions[] {
  return hints
    .filter((hint) => hint.line < document.lineCount)
    .map((hint) => {
      const { end } = document.lineAt(hint.line).range;
      return { range: new vscode.Range(end, end), renderOptions: { after: { contentText: hint.text } } };
    });
}

/** The version that the server counts by: of a cell, its notebook's. */
function versionOf(document: vscode.TextDocument): number {
  return notebookOf(document)?.version ?? document.version;
}
