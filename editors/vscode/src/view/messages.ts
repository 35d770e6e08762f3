/** What the extension and the page of the view "Predicted and actual" tell each other. */

import type { Frames } from "../protocol";

/** What the page shows; it is kept while the view is hidden, and over restarts of the window. */
export interface ViewState {
  readonly uri: string;
  readonly function: string;
}

export type ToPage =
  | { readonly kind: "frames"; readonly frames: Frames; readonly confidence: number }
  /** There is nothing to show; why, in a sentence. */
  | { readonly kind: "nothing"; readonly sentence: string }
  /** The cursor of the source is in this line. */
  | { readonly kind: "cursor"; readonly line: number };

export type PageCommand = "predict" | "check" | "next" | "previous" | "all";

export type FromPage =
  | { readonly kind: "ready" }
  /** Show the source of a row; with `open` go there. */
  | { readonly kind: "follow"; readonly line: number; readonly open: boolean }
  | { readonly kind: "command"; readonly name: PageCommand };
