/** The page of the view, before anything is in it. */

import { randomBytes } from "node:crypto";

export interface PageParts {
  /** Where the editor lets a page load files from. */
  readonly source: string;
  readonly style: string;
  readonly script: string;
}

/** Only the extension's own style sheet and script are let in; everything else comes as text, in messages. */
export function html({ source, style, script }: PageParts, nonce = randomBytes(16).toString("base64")): string {
  const policy = `default-src 'none'; style-src ${source}; script-src 'nonce-${nonce}'`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="UTF-8">
  <meta http-equiv="Content-Security-Policy" content="${policy}">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="${style}">
  <title>Predicted and actual</title>
</head>
<body>
  <main id="view" class="empty">
    <header>
      <h1 id="call"></h1>
      <div role="status"><ul id="outcomes"><li>Waiting for foretrace.</li></ul></div>
      <ul id="stories" aria-label="Where the runs part"></ul>
    </header>
    <div role="toolbar" aria-label="Runs and turns">
      <button id="predict" type="button">Predict</button>
      <button id="check" type="button">Check against a real run</button>
      <button id="previous" type="button" aria-label="Previous turn" title="Previous turn (left arrow)">◀</button>
      <span id="turn" role="status"></span>
      <button id="next" type="button" aria-label="Next turn" title="Next turn (right arrow)">▶</button>
      <button id="all" type="button">All turns</button>
    </div>
    <div id="rows" role="grid" aria-label="Rows in the order in which they ran. Enter goes to the line.">
      <div class="row head" role="row" aria-rowindex="1">
        <span class="mark" role="columnheader"><span class="hidden">Comparison</span></span>
        <span class="line" role="columnheader">Line</span>
        <span class="source" role="columnheader">Source</span>
        <span class="predicted" role="columnheader">Predicted</span>
        <span class="actual" role="columnheader">Actual</span>
      </div>
    </div>
    <section id="printed" hidden>
      <h2>What the real run printed</h2>
      <pre id="output"></pre>
    </section>
  </main>
  <script nonce="${nonce}" src="${script}"></script>
</body>
</html>
`;
}
