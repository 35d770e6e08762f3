/** Shows in the source where a row of the view is. */

import * as vscode from "vscode";
import { notebookOf } from "../documents";

export class SourceFollower implements vscode.Disposable {
  readonly #line = vscode.window.createTextEditorDecorationType({
    backgroundColor: new vscode.ThemeColor("foretrace.followedLineBackground"),
    isWholeLine: true,
  });

  /** Show a line; with `open`, put the cursor there. */
  async follow(uri: vscode.Uri, line: number, open: boolean): Promise<void> {
    const editor = await editorOf(uri);
    if (editor === undefined || line >= editor.document.lineCount) {
      return;
    }
    this.clear();
    const start = new vscode.Position(line, editor.document.lineAt(line).firstNonWhitespaceCharacterIndex);
    const range = new vscode.Range(start, start);
    editor.setDecorations(this.#line, [range]);
    editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
    editor.selection = new vscode.Selection(start, start);
    if (open) {
      const { document, viewColumn } = editor;
      if (notebookOf(document) === undefined) {
        await vscode.window.showTextDocument(document, {
          selection: range,
          ...(viewColumn === undefined ? {} : { viewColumn }),
        });
      }
    }
  }

  clear(): void {
    for (const editor of vscode.window.visibleTextEditors) {
      editor.setDecorations(this.#line, []);
    }
  }

  dispose(): void {
    this.#line.dispose();
  }
}

/** The editor of a document; where none is to be seen, one is opened, without taking the focus. */
async function editorOf(uri: vscode.Uri): Promise<vscode.TextEditor | undefined> {
  const isIt = (editor: vscode.TextEditor): boolean => editor.document.uri.toString() === uri.toString();
  const visible = vscode.window.visibleTextEditors.find(isIt);
  if (visible !== undefined) {
    return visible;
  }
  const document = await vscode.workspace.openTextDocument(uri);
  const notebook = notebookOf(document);
  if (notebook === undefined) {
    return await vscode.window.showTextDocument(document, {
      viewColumn: vscode.ViewColumn.One,
      preserveFocus: true,
    });
  }
  const index = notebook.getCells().findIndex((cell) => cell.document === document);
  await vscode.window.showNotebookDocument(notebook, {
    viewColumn: vscode.ViewColumn.One,
    preserveFocus: true,
    selections: [new vscode.NotebookRange(index, index + 1)],
  });
  return vscode.window.visibleTextEditors.find(isIt);
}
