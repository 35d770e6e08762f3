/** The interpreter that the user has chosen in the Python extension, where that is installed. */

import { PVSC_EXTENSION_ID, PythonExtension } from "@vscode/python-extension";
import * as vscode from "vscode";

const SECONDS = 5;

export class EditorPython implements vscode.Disposable {
  readonly #log: vscode.LogOutputChannel;
  readonly #changed = new vscode.EventEmitter<void>();
  readonly #disposables: { dispose(): unknown }[] = [this.#changed];
  #api: Promise<PythonExtension> | undefined;

  readonly onDidChange = this.#changed.event;

  constructor(log: vscode.LogOutputChannel) {
    this.#log = log;
  }

  get isInstalled(): boolean {
    return vscode.extensions.getExtension(PVSC_EXTENSION_ID) !== undefined;
  }

  /**
   * The path of the interpreter; undefined where nobody tells one. In an untrusted workspace it is not asked: the
   * workspace may have had its say in it.
   */
  async interpreter(): Promise<string | undefined> {
    if (!this.isInstalled || !vscode.workspace.isTrusted) {
      return undefined;
    }
    this.#api ??= this.#connect();
    try {
      const api = await within(SECONDS, this.#api);
      if (api === undefined) {
        this.#log.info(`The Python extension has not answered within ${SECONDS} s; foretrace starts without it.`);
        void this.#api.then(
          () => { this.#changed.fire(); },
          () => undefined,
        );
        return undefined;
      }
      const resource = vscode.window.activeTextEditor?.document.uri ?? vscode.workspace.workspaceFolders?.[0]?.uri;
      const found = await api.environments.resolveEnvironment(api.environments.getActiveEnvironmentPath(resource));
      return found?.executable.uri?.fsPath;
    } catch (error) {
      this.#log.warn(`The Python extension does not tell its interpreter: ${String(error)}`);
      return undefined;
    }
  }

  async #connect(): Promise<PythonExtension> {
    const api = await PythonExtension.api();
    this.#disposables.push(api.environments.onDidChangeActiveEnvironmentPath(() => { this.#changed.fire(); }));
    return api;
  }

  dispose(): void {
    vscode.Disposable.from(...this.#disposables).dispose();
  }
}

/** What a promise gives, or undefined when that takes longer. */
async function within<Value>(seconds: number, promise: Promise<Value>): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => { resolve(undefined); }, seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
