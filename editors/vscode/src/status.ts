/** The language status item: which model predicts, on what, and what it is doing. */

import * as vscode from "vscode";
import type { Status } from "./protocol";
import { PYTHON_FILES } from "./server/client";
import type { Phase, Server } from "./server/server";
import { phaseLook, statusLook, type Look } from "./statusText";

export class StatusItem implements vscode.Disposable {
  readonly #server: Server;
  readonly #item = vscode.languages.createLanguageStatusItem("foretrace.status", PYTHON_FILES);
  readonly #disposables: readonly { dispose(): unknown }[];

  constructor(server: Server) {
    this.#server = server;
    this.#item.name = "foretrace";
    this.#disposables = [
      this.#item,
      server.onDidChangePhase((phase) => { this.#show(phase, server.status); }),
      server.onDidChangeStatus((status) => { this.#show(server.phase, status); }),
    ];
    this.#show(server.phase, undefined);
  }

  #show(phase: Phase, status: Status | undefined): void {
    const hasPython = this.#server.discovery?.python !== undefined;
    const look: Look = phase === "running" && status !== undefined ? statusLook(status) : phaseLook(phase, hasPython);
    this.#item.text = look.text;
    this.#item.detail = look.detail;
    this.#item.busy = look.isBusy;
    this.#item.severity = {
      fine: vscode.LanguageStatusSeverity.Information,
      warning: vscode.LanguageStatusSeverity.Warning,
      error: vscode.LanguageStatusSeverity.Error,
    }[look.severity];
    this.#item.command = { title: look.action.title, command: look.action.command };
    this.#item.accessibilityInformation = { label: `foretrace: ${look.text}. ${look.detail}` };
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }
}
