/** Tells the server where the user is: that function is predicted first. */

import * as vscode from "vscode";
import { isFollowed } from "./documents";
import { CursorMoved } from "./protocol";
import type { Server } from "./server/server";

export class CursorTeller implements vscode.Disposable {
  readonly #server: Server;
  readonly #disposable: vscode.Disposable;
  #told = "";

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

  #tell(editor: vscode.TextEditor | undefined): void {
    const client = this.#server.client;
    if (editor === undefined || client === undefined || !isFollowed(editor.document)) {
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
