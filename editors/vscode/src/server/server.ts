/** The one server of this window: found, started, started again when something about it has changed. */

import { isDeepStrictEqual } from "node:util";
import * as vscode from "vscode";
import { ShowMessageNotification, State, type LanguageClient } from "vscode-languageclient/node";
import { DocumentUpdated, InterpreterChanged, StatusChanged, TrustChanged, type Status } from "../protocol";
import { CollapsingQueue } from "../queue";
import { createClient, type LensHandler } from "./client";
import { discover, type Discovery, type Places } from "./discovery";
import { Messages } from "./messages";
import type { EditorPython } from "./pythonExtension";
import { isSameServer, type ServerResolution } from "./resolution";

/** Where the server is on its way. */
export type Phase = "looking" | "starting" | "running" | "missing" | "ended";

interface StartRequest {
  readonly reason: string;
  /** Also where the same server runs already. */
  readonly isForced: boolean;
}

const CRASHES = 3;
const CRASH_MINUTES = 3;
const STOP_SECONDS = 5;

export class Server implements vscode.Disposable {
  readonly #places: Places;
  readonly #python: EditorPython;
  readonly #log: vscode.LogOutputChannel;
  readonly #onLens: LensHandler;
  readonly #queue = new CollapsingQueue<StartRequest>((requests) => this.#start(requests));
  readonly #phaseChanged = new vscode.EventEmitter<Phase>();
  readonly #statusChanged = new vscode.EventEmitter<Status | undefined>();
  readonly #updated = new vscode.EventEmitter<vscode.Uri>();
  readonly #messages = new Messages();
  readonly #crashes: number[] = [];
  #client: LanguageClient | undefined;
  #resolution: ServerResolution | undefined;
  #discovery: Discovery | undefined;
  #phase: Phase = "looking";
  #status: Status | undefined;
  /** Whether the server has run, so that it may be started again when it crashes. */
  #hasRun = false;
  /** Whether that is under way. */
  #isComingBack = false;
  #isDisposed = false;

  readonly onDidChangePhase = this.#phaseChanged.event;
  readonly onDidChangeStatus = this.#statusChanged.event;
  /** There is something new to show of a document. */
  readonly onDidUpdate = this.#updated.event;

  constructor(places: Places, python: EditorPython, log: vscode.LogOutputChannel, onLens: LensHandler) {
    this.#places = places;
    this.#python = python;
    this.#log = log;
    this.#onLens = onLens;
  }

  /** The client, while it can be asked something. */
  get client(): LanguageClient | undefined {
    return this.#phase === "running" ? this.#client : undefined;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get status(): Status | undefined {
    return this.#status;
  }

  get resolution(): ServerResolution | undefined {
    return this.#resolution;
  }

  get discovery(): Discovery | undefined {
    return this.#discovery;
  }

  /** Look for the server again, and start what is found unless it runs already. */
  async reconsider(reason: string): Promise<void> {
    await this.#queue.add({ reason, isForced: false });
  }

  async restart(reason: string): Promise<void> {
    this.#crashes.length = 0;
    await this.#queue.add({ reason, isForced: true });
  }

  async tellTrust(): Promise<void> {
    await this.client?.sendNotification(TrustChanged, { trusted: vscode.workspace.isTrusted });
    await this.reconsider("the workspace is trusted now");
  }

  async tellInterpreter(): Promise<void> {
    const path = (await this.#python.interpreter()) ?? "";
    await this.client?.sendNotification(InterpreterChanged, { path });
    await this.reconsider("another interpreter was chosen");
  }

  async #start(requests: readonly StartRequest[]): Promise<void> {
    if (this.#isDisposed) {
      return;
    }
    this.#log.info(`Looking for the server, since ${requests.map((request) => request.reason).join(", and ")}.`);
    if (this.#client === undefined) {
      this.#setPhase("looking");
    }
    const interpreter = await this.#python.interpreter();
    const discovery = await discover(this.#places, interpreter, this.#log);
    this.#discovery = discovery;
    const isForced = requests.some((request) => request.isForced);
    if (!isForced && this.client !== undefined && isSameServer(discovery.server, this.#resolution)) {
      this.#log.info("That one runs already; it goes on.");
      return;
    }
    await this.#stop();
    this.#resolution = discovery.server;
    if (discovery.server === undefined) {
      this.#setPhase("missing");
      return;
    }
    this.#setPhase("starting");
    const client = createClient({
      server: discovery.server,
      folder: this.#places.extension,
      editorInterpreter: interpreter,
      log: this.#log,
      onLens: this.#onLens,
      onEnd: () => this.#mayStartAgain(),
    });
    this.#client = client;
    client.onNotification(ShowMessageNotification.type, (params) => void this.#messages.show(params));
    client.onNotification(StatusChanged, (status) => { this.#setStatus(status); });
    client.onNotification(DocumentUpdated, ({ uri }) => {
      this.#updated.fire(client.protocol2CodeConverter.asUri(uri));
    });
    client.onDidChangeState(({ newState }) => { this.#follow(client, newState); });
    try {
      await client.start();
    } catch (error) {
      this.#log.error(`The server did not start: ${String(error)}`);
      if (this.#client === client) {
        this.#setPhase("ended");
      }
    }
  }

  #follow(client: LanguageClient, state: State): void {
    if (this.#client !== client) {
      return; // it is being stopped
    }
    if (state === State.Running) {
      this.#hasRun = true;
      this.#setPhase("running");
      this.#isComingBack = false;
    } else if (state === State.Starting || this.#isComingBack) {
      this.#setPhase("starting");
    } else {
      this.#setPhase("ended");
    }
  }

  /** After a crash; a server that crashes again and again stays away. */
  #mayStartAgain(): boolean {
    const now = Date.now();
    this.#crashes.push(now);
    const recent = this.#crashes.filter((time) => now - time < CRASH_MINUTES * 60_000);
    const may = this.#hasRun && !this.#isDisposed && recent.length <= CRASHES;
    this.#isComingBack = may;
    this.#log.warn(
      may ? "The server has ended; it is started again." : "The server has ended, and is not started again.",
    );
    return may;
  }

  #setPhase(phase: Phase): void {
    if (phase !== "running") {
      this.#setStatus(undefined);
    }
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#phaseChanged.fire(phase);
    }
  }

  #setStatus(status: Status | undefined): void {
    if (!isDeepStrictEqual(status, this.#status)) {
      this.#status = status;
      this.#statusChanged.fire(status);
    }
  }

  async #stop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    this.#hasRun = this.#isComingBack = false;
    if (client === undefined) {
      return;
    }
    try {
      await client.dispose(STOP_SECONDS * 1000);
    } catch (error) {
      this.#log.info(`The server did not end by itself: ${String(error)}`);
    }
  }

  /** Resolves when the server has ended. */
  async end(): Promise<void> {
    this.#isDisposed = true;
    await this.#stop();
  }

  dispose(): void {
    vscode.Disposable.from(this.#phaseChanged, this.#statusChanged, this.#updated).dispose();
  }
}
