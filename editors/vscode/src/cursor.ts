/** Tells the server where the user is: that function is predicted first. */

import * as vscode from "vscode";
import { isFollowed, notebookOf } from "./documents";
import { CursorMoved, type Place } from "./protocol";
import type { Server } from "./server/server";

export class CursorTeller implements vscode.Disposable {
  readonly #server: Server;
  readonly #disposable: vscode.Disposable;
  #told = "";
  #last: vscode.TextEditor | undefined;

  constructor(server: Server) {
    this.#server = server;
    this.#disposable = vscode.Disposable.from(
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => { this.#tell(textEditor); }),
      vscode.window.onDidChangeActiveTextEditor((editor) => { this.#tell(editor); }),
      server.onDidChangePhase(() => {
        this.#told = "";
        this.#tell(vscode.window.activeTextEditor);
      }),
    );
  }

  /** Go back to the code that the user was last in, from a page such as the walkthrough. */
  async goBack(): Promise<Place | undefined> {
    const last = this.#last;
    if (last === undefined || last.document.isClosed) {
      return undefined;
    }
    const { document, selection } = last;
    if (notebookOf(document) === undefined) {
      await vscode.window.showTextDocument(document, { selection, preview: false });
    }
    return { uri: document.uri.toString(), line: selection.active.line };
  }

  #tell(editor: vscode.TextEditor | undefined): void {
    if (editor === undefined || !isFollowed(editor.document)) {
      return;
    }
    this.#last = editor;
    const { client } = this.#server;
    if (client === undefined) {
      return;
    }
    const uri = client.code2ProtocolConverter.asUri(editor.document.uri);
    const { line } = editor.selection.active;
    const place = `${uri}:${line}`;
    if (place !== this.#told) {
      this.#told = place;
      void client.sendNotification(CursorMoved, { uri, position: { line, character: 0 } });
    }
  }

  dispose(): void {
    this.#disposable.dispose();
  }
}
