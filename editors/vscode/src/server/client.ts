/** The language client: how messages are let through, and what is done here instead. */

import * as vscode from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";
import { forServer } from "../paths";
import type { ServerResolution } from "./resolution";

export const PYTHON_FILES = ["file", "untitled", "vscode-notebook-cell"].map((scheme) => ({
  scheme,
  language: "python",
}));

/** Does what one of the server's commands asks for; false leaves it to the server. */
export type LensHandler = (command: string, argument: unknown) => boolean;

export interface ClientOptions {
  readonly server: ServerResolution;
  /** A folder without modules: Python would look for them where it starts. */
  readonly folder: string;
  readonly editorInterpreter: string | undefined;
  readonly log: vscode.LogOutputChannel;
  readonly onLens: LensHandler;
  /** The server ended by itself; the answer says whether it shall be started again. */
  readonly onEnd: () => boolean;
}

/** Leaves it to the extension to tell the user what went wrong, in words that say what to do. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export function createClient(options: ClientOptions): LanguageClient {
  const { server, folder, log } = options;
  const clientOptions: LanguageClientOptions = {
    documentSelector: PYTHON_FILES,
    outputChannel: log,
    traceOutputChannel: log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationOptions: () => ({
      trusted: vscode.workspace.isTrusted,
      interpreter: options.editorInterpreter ?? "",
    }),
    // Whoever starts it tells the user.
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue }),
      closed: () => ({
        action: options.onEnd() ? CloseAction.Restart : CloseAction.DoNotRestart,
        handled: true,
      }),
    },
    middleware: createMiddleware(options),
  };
  return new QuietClient(
    "foretrace",
    "foretrace",
    { command: server.command, args: [...server.args], options: { cwd: folder } },
    clientOptions,
  );
}

function createMiddleware({ onLens }: ClientOptions): Middleware {
  return {
    // The values are drawn by the extension, in a colour for each state. The server still hears what is visible.
    provideInlayHints: async (document, range, token, next) => {
      await next(document, range, token);
      return [];
    },
    executeCommand: async (command, args: unknown[], next): Promise<unknown> => {
      return onLens(command, args[0]) ? undefined : ((await next(command, args)) as unknown);
    },
    workspace: {
      configuration: async (params, token, next) => {
        const answers: unknown = await next(params, token);
        return Array.isArray(answers)
          ? answers.map((answer: unknown, index) => forServer(answer, folderOf(params.items[index]?.scopeUri)))
          : [];
      },
      // Without a section the server pulls, for each folder, instead of being handed one set for all.
      didChangeConfiguration: (_sections, next) => next(undefined),
    },
  };
}

function folderOf(uri: string | undefined): string | undefined {
  const folder =
    uri === undefined
      ? vscode.workspace.workspaceFolders?.[0]
      : vscode.workspace.getWorkspaceFolder(vscode.Uri.parse(uri));
  return folder?.uri.fsPath;
}
