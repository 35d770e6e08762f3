/** The view "Predicted and actual": both runs of one function beside its source. */

import * as vscode from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { execute } from "../commands/execute";
import { isFollowed, notebookOf } from "../documents";
import { functionAt, innermost } from "../functions";
import { FramesRequest, FunctionsRequest, type Place } from "../protocol";
import { CollapsingQueue } from "../queue";
import type { Server } from "../server/server";
import { confidence } from "../settings";
import { html } from "./html";
import type { FromPage, PageCommand, ToPage, ViewState } from "./messages";
import { SourceFollower } from "./source";

export const VIEW_TYPE = "foretrace.view";
const TITLE = "Predicted and actual";
const CURSOR_MILLISECONDS = 150;

/** What is named by a button of the page, as a command of the extension. */
const COMMANDS: Record<Exclude<PageCommand, "all">, string> = {
  predict: "foretrace.predictFunction",
  check: "foretrace.checkFunction",
  next: "foretrace.showNextTurn",
  previous: "foretrace.showPreviousTurn",
};

export class FramesView implements vscode.Disposable {
  readonly #server: Server;
  readonly #extension: vscode.Uri;
  readonly #source = new SourceFollower();
  readonly #refreshes = new CollapsingQueue<undefined>(() => this.#refresh());
  readonly #disposables: readonly { dispose(): unknown }[];
  #panel: vscode.WebviewPanel | undefined;
  #shown: ViewState | undefined;
  /** Where the cursor was when a function was asked for: its row is selected first. */
  #cursorLine: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(server: Server, extension: vscode.Uri) {
    this.#server = server;
    this.#extension = extension;
    this.#disposables = [
      this.#source,
      server.onDidUpdate((uri) => {
        if (this.#shown !== undefined && isAbout(uri, this.#shown.uri)) {
          void this.#refreshes.add(undefined);
        }
      }),
      server.onDidChangePhase(() => void this.#refreshes.add(undefined)),
      vscode.window.onDidChangeTextEditorSelection((event) => { this.#cursorMoved(event); }),
      vscode.window.registerWebviewPanelSerializer(VIEW_TYPE, {
        deserializeWebviewPanel: async (panel, state: unknown) => {
          const shown = isViewState(state) ? state : undefined;
          this.#adopt(panel, shown);
          if (shown !== undefined) {
            await vscode.workspace.openTextDocument(vscode.Uri.parse(shown.uri)); // else the server does not know it
          }
        },
      }),
    ];
  }

  /** The function that is shown, while the view has the focus. */
  get place(): Place | undefined {
    return this.#panel?.active === true ? this.#shown : undefined;
  }

  isShowing(place: { readonly uri: string; readonly function: string }): boolean {
    return (
      this.#panel?.visible === true && this.#shown?.uri === place.uri && this.#shown.function === place.function
    );
  }

  /** Show a function; it is the innermost one where the place is a line. */
  async show(client: LanguageClient, place: Place): Promise<undefined> {
    const found = await functionAt(client, place);
    if (found === undefined) {
      return;
    }
    this.#shown = { uri: found.uri, function: found.function };
    this.#cursorLine = place.line;
    if (this.#panel === undefined) {
      const column = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: false };
      this.#adopt(vscode.window.createWebviewPanel(VIEW_TYPE, TITLE, column), this.#shown);
    } else {
      this.#panel.reveal();
      await this.#refreshes.add(undefined);
    }
  }

  #adopt(panel: vscode.WebviewPanel, shown: ViewState | undefined): void {
    this.#panel?.dispose();
    this.#panel = panel;
    this.#shown = shown;
    const { webview } = panel;
    webview.options = {
      enableScripts: true,
      localResourceRoots: ["dist", "media"].map((name) => vscode.Uri.joinPath(this.#extension, name)),
    };
    webview.onDidReceiveMessage((message: FromPage) => void this.#told(message));
    panel.onDidDispose(() => {
      if (this.#panel === panel) {
        this.#panel = undefined;
        this.#source.clear();
        this.#tellWhetherOpen();
      }
    });
    const file = (...names: string[]): string =>
      webview.asWebviewUri(vscode.Uri.joinPath(this.#extension, ...names)).toString();
    webview.html = html({
      source: webview.cspSource,
      style: file("media", "view.css"),
      script: file("dist", "view.js"),
    });
    this.#tellWhetherOpen();
  }

  #tellWhetherOpen(): void {
    void vscode.commands.executeCommand("setContext", "foretrace.viewIsOpen", this.#panel !== undefined);
  }

  async #told(message: FromPage): Promise<void> {
    const shown = this.#shown;
    if (message.kind === "ready") {
      await this.#refreshes.add(undefined);
    } else if (shown === undefined) {
      return;
    } else if (message.kind === "follow") {
      await this.#source.follow(vscode.Uri.parse(shown.uri), message.line, message.open);
    } else if (message.name === "all") {
      const { client } = this.#server;
      if (client !== undefined) {
        await execute(client, "showIteration", shown, { turn: null });
      }
    } else {
      await vscode.commands.executeCommand(COMMANDS[message.name], shown);
    }
  }

  async #refresh(): Promise<void> {
    const { client } = this.#server;
    const shown = this.#shown;
    if (this.#panel === undefined) {
      return;
    }
    if (shown === undefined) {
      this.#tell({
        kind: "nothing",
        sentence: "Put the cursor into a Python function, and show predicted and actual again.",
      });
      return;
    }
    if (client === undefined) {
      return; // what is known stays until the server is back
    }
    const frames = await client.sendRequest(FramesRequest, shown).catch(() => null);
    if (frames !== null && this.#shown === shown) {
      this.#tell({ kind: "frames", frames, confidence: confidence(vscode.Uri.parse(shown.uri)) });
      if (this.#cursorLine !== undefined) {
        this.#tell({ kind: "cursor", line: this.#cursorLine });
        this.#cursorLine = undefined;
      }
    } // else the function is being renamed, or is gone: what was known of it stays
  }

  #tell(message: ToPage): void {
    void this.#panel?.webview.postMessage(message);
  }

  /** The user moves the cursor: the view selects that line, and changes to that function. */
  #cursorMoved({ kind, textEditor, selections }: vscode.TextEditorSelectionChangeEvent): void {
    const isUsers =
      kind === vscode.TextEditorSelectionChangeKind.Mouse || kind === vscode.TextEditorSelectionChangeKind.Keyboard;
    const line = selections[0]?.active.line;
    if (!isUsers || line === undefined || this.#panel?.visible !== true || !isFollowed(textEditor.document)) {
      return;
    }
    clearTimeout(this.#timer);
    const uri = textEditor.document.uri.toString();
    this.#timer = setTimeout(() => void this.#cursorAt(uri, line), CURSOR_MILLISECONDS);
  }

  async #cursorAt(uri: string, line: number): Promise<void> {
    const answer = await this.#server.client?.sendRequest(FunctionsRequest, { uri }).catch(() => null);
    const inner = answer ? innermost(answer, { uri, line }) : undefined;
    if (inner === undefined) {
      return;
    }
    if (inner.uri !== this.#shown?.uri || inner.function !== this.#shown.function) {
      this.#shown = { uri: inner.uri, function: inner.function };
      this.#source.clear();
      this.#cursorLine = line;
      await this.#refreshes.add(undefined);
    } else {
      this.#tell({ kind: "cursor", line });
    }
  }

  dispose(): void {
    clearTimeout(this.#timer);
    vscode.Disposable.from(...this.#disposables).dispose();
  }
}

/** Whether news of a document are news of what is shown, which may be a cell of it. */
function isAbout(updated: vscode.Uri, shown: string): boolean {
  const document = vscode.workspace.textDocuments.find((each) => each.uri.toString() === shown);
  const notebook = document && notebookOf(document);
  return updated.toString() === (notebook?.uri.toString() ?? shown);
}

function isViewState(state: unknown): state is ViewState {
  return (
    typeof state === "object" && state !== null && "uri" in state && typeof state.uri === "string" &&
    "function" in state && typeof state.function === "string"
  );
}
