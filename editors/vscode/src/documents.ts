/** The documents that foretrace looks at, and what of them a command is about. */

import * as vscode from "vscode";
import type { Place } from "./protocol";
import { PYTHON_FILES } from "./server/client";

export function isFollowed(document: vscode.TextDocument): boolean {
  return vscode.languages.match(PYTHON_FILES, document) > 0;
}

/** Where the cursor is; undefined where that is no Python code. */
export function placeOfCursor(): Place | undefined {
  const editor = vscode.window.activeTextEditor;
  return editor !== undefined && isFollowed(editor.document)
    ? { uri: editor.document.uri.toString(), line: editor.selection.active.line }
    : undefined;
}

/** The notebook that a document is a cell of. */
export function notebookOf(document: vscode.TextDocument): vscode.NotebookDocument | undefined {
  return vscode.workspace.notebookDocuments.find((notebook) =>
    notebook.getCells().some((cell) => cell.document === document),
  );
}
