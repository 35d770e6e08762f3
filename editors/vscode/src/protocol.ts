/** The messages of docs/protocol.md that are not in LSP. Lines and columns count from 0. */

import { NotificationType, RequestType } from "vscode-languageclient/node";

export type HintState = "predicted" | "confirmed" | "diverged" | "unsure" | "stale";

export interface Hint {
  readonly line: number;
  readonly character: number;
  readonly text: string;
  readonly state: HintState;
  readonly function: string;
}

/** All hints of a document, and the version of the text that they are about. */
export interface Hints {
  readonly version: number;
  readonly hints: readonly Hint[];
}

export interface Status {
  readonly state: "stopped" | "starting" | "loading" | "ready" | "busy" | "failed";
  /** One sentence, or empty. */
  readonly detail: string;
  readonly model: {
    readonly name: string;
    readonly path: string;
    readonly description: string;
    readonly context: number | null;
  };
  readonly device: string;
  readonly interpreter: { readonly path: string; readonly version: string; readonly source: string };
  readonly predicting: number;
  readonly checking: number;
  readonly trusted: boolean;
  readonly hints: boolean;
}

/** What a command that predicts, checks or turns answers. */
export interface Summary {
  readonly uri: string;
  readonly version: number;
  readonly function: string;
  readonly call: string | null;
  readonly status: string | null;
  /** A sentence for the user. */
  readonly text: string;
  /** From 0; null where all turns are shown. */
  readonly turn: number | null;
  readonly turns: number;
}

export interface KnownCall {
  readonly call: string;
  readonly origin: "given" | "comment" | "doctest" | "test" | "main" | "module" | "defaults";
  readonly line: number | null;
}

export interface FunctionState extends Summary {
  readonly firstLine: number;
  readonly lastLine: number;
  readonly predicting: boolean;
  /** So far, while it is being predicted. */
  readonly steps: number;
  readonly checking: boolean;
  readonly stale: boolean;
  /** Why there is nothing to show, or empty. */
  readonly problem: string;
}

export interface Functions {
  readonly version: number;
  /** Why the document has no functions, or empty. */
  readonly problem: string;
  readonly functions: readonly FunctionState[];
}

export interface Item {
  readonly name: string | null;
  readonly text: string;
  readonly wrong: boolean;
  /** The model's probability, where it told one. */
  readonly sure: number | null;
}

/** One line that ran. */
export interface Row {
  /** Where it is now; null where it was edited. */
  readonly line: number | null;
  readonly source: string;
  readonly depth: number;
  readonly function: string;
  readonly state: "same" | "differs" | "open";
  /** Whether it is the first difference. */
  readonly first: boolean;
  readonly predicted: readonly Item[];
  readonly actual: readonly Item[];
}

/** Both runs of one function, row by row. */
export interface Frames extends FunctionState {
  readonly model: string;
  readonly rows: readonly Row[];
  readonly stories: readonly { readonly line: number; readonly text: string }[];
  /** How the prediction ended; null while it is under way. */
  readonly predicted?: string | null;
  /** How the real run ended; null without one. */
  readonly actual?: string | null;
  readonly python?: string | null;
  readonly output?: string;
  /** The row that each turn of the loop begins at. */
  readonly turnRows?: readonly number[];
}

/** What a command is about: a function by name, or by a line of it. */
export interface Place {
  readonly uri: string;
  readonly function?: string;
  readonly line?: number;
}

export function isPlace(value: unknown): value is Place {
  return (
    typeof value === "object" && value !== null && "uri" in value && typeof value.uri === "string" &&
    (("function" in value && typeof value.function === "string") || ("line" in value && typeof value.line === "number"))
  );
}

export const StatusChanged = new NotificationType<Status>("foretrace/status");
export const DocumentUpdated = new NotificationType<{ uri: string; version: number }>("foretrace/didUpdate");
export const CursorMoved = new NotificationType<{ uri: string; position: { line: number; character: number } }>(
  "foretrace/cursor",
);
export const TrustChanged = new NotificationType<{ trusted: boolean }>("foretrace/trust");
export const InterpreterChanged = new NotificationType<{ path: string }>("foretrace/interpreter");
export const HintsRequest = new RequestType<{ uri: string }, Hints | null, void>("foretrace/hints");
export const FunctionsRequest = new RequestType<{ uri: string }, Functions | null, void>("foretrace/functions");
export const FramesRequest = new RequestType<{ uri: string; function: string }, Frames | null, void>(
  "foretrace/frames",
);
