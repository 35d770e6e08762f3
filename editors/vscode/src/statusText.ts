/** A status in words. */

import type { Status } from "./protocol";
import type { Phase } from "./server/server";

export interface Look {
  readonly text: string;
  readonly detail: string;
  readonly severity: "fine" | "warning" | "error";
  readonly isBusy: boolean;
  readonly action: { readonly title: string; readonly command: string };
}

const MENU = { title: "More…", command: "foretrace.showMenu" };
const STATES: Record<Status["state"], string> = {
  stopped: "the model is loaded when it is needed",
  starting: "starting",
  loading: "loading the model",
  ready: "ready",
  busy: "predicting",
  failed: "the model does not work",
};

/** Of a server that runs. */
export function statusLook(status: Status): Look {
  const name = status.model.name === "" ? "foretrace" : status.model.name;
  const device = status.device === "" ? "" : ` on ${status.device}`;
  const isFailed = status.state === "failed";
  const doing = status.checking > 0 ? "checking against a real run" : STATES[status.state];
  const said = isFailed && status.detail !== "" ? status.detail : doing;
  return {
    text: name + device,
    detail: [said, interpreterText(status), status.hints ? "" : "values are hidden"]
      .filter((part) => part !== "")
      .join(" · "),
    severity: isFailed ? "error" : "fine",
    isBusy: ["starting", "loading", "busy"].includes(status.state) || status.checking > 0,
    action: isFailed ? { title: "Choose another model", command: "foretrace.chooseModel" } : MENU,
  };
}

function interpreterText({ interpreter }: Status): string {
  if (interpreter.path === "") {
    return "";
  }
  const version = interpreter.version === "" ? "" : ` ${interpreter.version}`;
  return `Python${version} (${interpreter.source})`;
}

/** Of a server that does not. */
export function phaseLook(phase: Phase, hasPython: boolean): Look {
  const look = { text: "foretrace", severity: "fine", isBusy: false, action: MENU } as const;
  switch (phase) {
    case "looking":
      return { ...look, detail: "looking for Python", isBusy: true };
    case "starting":
    case "running":
      return { ...look, detail: "starting", isBusy: true };
    case "missing":
      return hasPython
        ? {
            ...look,
            detail: "not installed for Python yet",
            severity: "warning",
            action: { title: "Install", command: "foretrace.installServer" },
          }
        : {
            ...look,
            detail: "needs Python 3.10 or newer",
            severity: "warning",
            action: { title: "Choose Python", command: "foretrace.chooseInterpreter" },
          };
    case "ended":
      return {
        ...look,
        detail: "it has ended",
        severity: "error",
        action: { title: "Restart", command: "foretrace.restartServer" },
      };
  }
}
