"""A model host whose model is a stand-in: it runs the program itself, and says what it saw as if it had predicted it.

    python -m tests.lsp_server.fake_host --model FILE --idle SECONDS

Comments in the program say how the model behaves: `# slow` takes a moment for each frame, `# endless` never ends,
`# broken` does not predict, `# deadly` ends the process the first time, and `# believes: A -> B` has it read B for A.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from pathlib import Path

from debugger.actual.record import record_in_process
from debugger.trace import Ending, Outcome, Trace
from lsp_server.host.place import place_of
from lsp_server.host.server import main
from quant.errors import ModelError

STEP = 0.005
BELIEF = re.compile(r"# believes: (.*) -> (.*)")


class StandIn:
    description = "a stand-in"
    context = 1000
    device = "nothing"
    warning = ""

    def __init__(self, model: Path) -> None:
        self._model = model
        if model.read_text().startswith("broken"):
            raise ModelError(f"{model} is broken.")
        with model.with_suffix(".loads").open("a") as file:
            file.write(f"{os.getpid()}\n")

    def predict(self, request, *, cancelled, on_frame):
        text = request.text
        with self._model.with_suffix(".asked").open("a") as file:
            file.write(f"{request.call}\n")
        if "# broken" in text:
            raise ModelError("The stand-in does not predict this.")
        killed = self._model.with_suffix(".killed")
        if "# deadly" in text and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        for before, after in BELIEF.findall(text):
            lines = text.splitlines(keepends=True)
            text = "".join(line if "# believes" in line else line.replace(before, after) for line in lines)
        believed = record_in_process(text, request.call)
        lines = request.text.splitlines(keepends=True)
        trace = Trace(tuple(_as_in(frame, lines) for frame in believed.frames), believed.outcome)
        frames = list(trace.frames)
        count = 0
        while count < len(frames) or "# endless" in text:
            if cancelled():
                return Trace(tuple(frames[:count]), Outcome(Ending.CANCELLED))
            if count >= request.max_frames:
                return Trace(tuple(frames[:count]), Outcome(Ending.OUT_OF_FRAMES))
            if count >= len(frames):
                frames.append(frames[-2])
            on_frame(frames[count])
            count += 1
            if "# slow" in text or "# endless" in text:
                time.sleep(STEP)
        return trace

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


def _as_in(frame, lines):
    from dataclasses import replace

    return replace(frame, source=lines[frame.line - 1], confidence={name: 0.99 for name in frame.locals})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--context", type=int)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--loopback", action="store_true")
    options = parser.parse_args()
    sys.exit(
        main(
            options.model,
            place_of(options.model, options.context),
            lambda: StandIn(options.model),
            idle_seconds=options.idle,
            unix_sockets=not options.loopback,
        )
    )
