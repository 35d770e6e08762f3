/** Lets the user choose the model that predicts: one of this machine, or a file. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { foretraceCommand, type ServerResolution } from "../server/resolution";
import type { Server } from "../server/server";
import { SECTION } from "../settings";
import { fitText, type ListedModel, type ModelList, modelText, type Plan } from "./modelText";

const SECONDS = 60;

interface ModelItem extends vscode.QuickPickItem {
  readonly model?: ListedModel;
}

export async function chooseModel(server: Server, folder: string, log: vscode.LogOutputChannel): Promise<void> {
  const pick = vscode.window.createQuickPick<ModelItem>();
  const browse = { label: "$(folder-opened) A file…", description: "a GGUF on this machine", alwaysShow: true };
  pick.title = "Which model predicts?";
  pick.placeholder = "Looking for models…";
  pick.matchOnDescription = true;
  pick.items = [browse];
  pick.busy = true;
  const chosen = new Promise<ModelItem | undefined>((resolve) => {
    pick.onDidAccept(() => { resolve(pick.selectedItems[0]); });
    pick.onDidHide(() => { resolve(undefined); });
  });
  pick.show();
  const { resolution } = server;
  void (resolution === undefined ? Promise.reject(new Error("foretrace was not found")) : list(resolution, folder))
    .then(async (models) => {
      const items = models.map((model) => itemOf(model, server));
      pick.placeholder = "It is used from now on, in all windows.";
      pick.items = [...items, browse];
      pick.activeItems = items.filter((item) => item.model?.name === server.status?.model.name);
      // What fits is asked of one model after the other: each takes a moment.
      for (const [index, model] of models.entries()) {
        const fit = resolution && (await plan(resolution, folder, model, log));
        if (fit !== undefined && fit !== "") {
          const active = pick.activeItems;
          items[index] = Object.assign(items[index] ?? { label: model.name }, { detail: fit });
          pick.items = [...items, browse];
          pick.activeItems = active;
        }
      }
    })
    .catch((error: unknown) => {
      log.error(`The models cannot be listed: ${String(error)}`);
      pick.placeholder = "The models cannot be listed; the log says why. A file can be chosen.";
    })
    .finally(() => { pick.busy = false; });
  const item = await chosen;
  pick.dispose();
  if (item !== undefined) {
    await use(item === browse ? await browseForFile() : item.model?.name);
  }
}

function itemOf(model: ListedModel, server: Server): ModelItem {
  const isUsed = server.status?.model.name === model.name;
  return { label: `${isUsed ? "$(check)" : "$(circuit-board)"} ${model.name}`, description: modelText(model), model };
}

async function list(server: ServerResolution, folder: string): Promise<readonly ListedModel[]> {
  return ((await asked(server, folder, "model", "list", "--json")) as ModelList).models;
}

async function plan(
  server: ServerResolution,
  folder: string,
  model: ListedModel,
  log: vscode.LogOutputChannel,
): Promise<string | undefined> {
  try {
    return fitText((await asked(server, folder, "model", "plan", model.path, "--json")) as Plan);
  } catch (error) {
    log.info(`Whether ${model.name} fits is not known: ${String(error)}`);
    return undefined;
  }
}

async function asked(server: ServerResolution, folder: string, ...args: string[]): Promise<unknown> {
  const command = foretraceCommand(server, ...args);
  if (command === undefined) {
    throw new Error("foretrace.serverCommand does not end in lsp");
  }
  const [program, ...rest] = command;
  const { stdout } = await promisify(execFile)(program, rest, { cwd: folder, timeout: SECONDS * 1000 });
  return JSON.parse(stdout);
}

async function browseForFile(): Promise<string | undefined> {
  const files = await vscode.window.showOpenDialog({
    title: "The model that predicts",
    openLabel: "Use this model",
    filters: { "GGUF models": ["gguf"] },
  });
  return files?.[0]?.fsPath;
}

/** Where the workspace has a setting of its own, that one counts, so that one is changed. */
async function use(model: string | undefined): Promise<void> {
  if (model === undefined) {
    return;
  }
  const settings = vscode.workspace.getConfiguration(SECTION);
  const isOfWorkspace = settings.inspect("model")?.workspaceValue !== undefined;
  await settings.update(
    "model",
    model,
    isOfWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global,
  );
}
