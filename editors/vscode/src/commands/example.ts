/** A small file to try things on. It is a real file of the user's, so that it can be edited and checked. */

import * as vscode from "vscode";

const EXAMPLE = `"""How many times does a letter occur in a word?

Behind each line stands what a model expects its variables to hold. Nothing of this has run yet.
"""


# foretrace: count_letter("strawberry", "r")
def count_letter(word, letter):
    count = 0
    for char in word:
        if char == letter:
            count += 1
    return count
`;

export async function openExample(storage: vscode.Uri): Promise<void> {
  const file = vscode.Uri.joinPath(storage, "example", "strawberry.py");
  try {
    await vscode.workspace.fs.stat(file);
  } catch {
    await vscode.workspace.fs.writeFile(file, new TextEncoder().encode(EXAMPLE));
  }
  const document = await vscode.workspace.openTextDocument(file);
  const start = document.positionAt(Math.max(0, document.getText().indexOf("count = 0")));
  await vscode.window.showTextDocument(document, { selection: new vscode.Range(start, start) });
}
