/** What is said of a model in a list: what it is, and how it fits this machine. */

/** One of `foretrace model list --json`. A file that cannot be read has a problem and nothing else. */
export interface ListedModel {
  readonly name: string;
  readonly path: string;
  readonly problem: string | null;
  readonly summary?: string;
  readonly size?: number;
  readonly context?: number | null;
}

export interface ModelList {
  readonly models: readonly ListedModel[];
}

/** What is read of `foretrace model plan --json`; sizes are bytes. */
export interface Plan {
  readonly model: { readonly layers: number };
  readonly device: { readonly name: string; readonly memory: number } | null;
  readonly host: { readonly name: string };
  readonly recommended: {
    readonly context: number;
    readonly layers_on_gpu: number;
    readonly whole: boolean;
    readonly memory: { readonly device: { readonly total: number }; readonly host: { readonly total: number } };
    readonly tokens_per_s: { readonly empty: number; readonly full: number } | null;
  };
}

export function modelText(model: ListedModel): string {
  if (model.problem !== null) {
    return model.problem;
  }
  return [model.summary, model.size === undefined ? undefined : sizeText(model.size)]
    .filter((part) => part !== undefined)
    .join(", ");
}

export function fitText(plan: Plan): string {
  const { device, host, recommended } = plan;
  const context = `${recommended.context.toLocaleString("en")} tokens of context`;
  if (device === null) {
    return `Runs on ${host.name} with ${context}, in ${sizeText(recommended.memory.host.total)} of memory`;
  }
  if (recommended.whole) {
    const used = sizeText(recommended.memory.device.total);
    return `Fits ${device.name} whole, with ${context}, in ${used} of ${sizeText(device.memory)}`;
  }
  if (recommended.layers_on_gpu === 0) {
    return `Does not fit ${device.name}; runs on ${host.name} with ${context}`;
  }
  const layers = `${recommended.layers_on_gpu} of ${plan.model.layers} layers`;
  return `${layers} fit ${device.name}, with ${context}; the rest is slow`;
}

export function sizeText(bytes: number): string {
  const giga = bytes / 2 ** 30;
  return giga >= 1 ? `${giga.toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}
