"""How well a GGUF traces, through the runtime and the predictor that the product uses.

    python -m nano.evaluate [--quick] [--set generated|mbpp|humaneval] [--programs N] [--model GGUF] [--unconstrained]

Prints, by kind of program: next frame exact (forced: the model is shown the real frames and asked for each next one)
and whole trace exact (free run: it goes on from its own frames, and the outcome must be right too). A frame is exact if
event, line, every local and the value are. The last line is the same as JSON.

Generated programs are held out from training by their source (see nano.programs). MBPP and HumanEval are read from
../shared/data beside the checkout: the first call of each function whose run ends within --max-frames frames.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import io
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from debugger.actual.record import record_in_process
from debugger.predicted.predict import Predictor, Proposal, predict
from debugger.target import Target, find_targets
from debugger.trace import Ending, Frame, Trace
from nano.programs import programs
from quant.runtime import Runtime

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "foretrace" / "data" / "nano.gguf"
SHARED = ROOT.parent / "shared" / "data"
HELD_OUT_SEED = 2_000_000_000
"""Where the seeds of the programs measured on start; training looked at others of the held-out side on its way."""
QUICK, FULL = 25, 200
CONTEXT = 4096


@dataclass(frozen=True, slots=True)
class Case:
    """A call and its real run."""

    kind: str
    source: str
    call: str
    actual: Trace


@dataclass(slots=True)
class Tally:
    """Counts over cases."""

    frames: int = 0
    frames_exact: int = 0
    traces: int = 0
    traces_exact: int = 0
    values_exact: int = 0
    """Traces whose last frame was predicted exactly from the real ones before it, for the most part a value."""

    def add(self, other: Tally) -> None:
        """Count another tally's cases too."""
        self.frames += other.frames
        self.frames_exact += other.frames_exact
        self.traces += other.traces
        self.traces_exact += other.traces_exact
        self.values_exact += other.values_exact


def generated(count: int) -> Iterator[Case]:
    """Held-out generated programs."""
    for program, trace in itertools.islice(programs(HELD_OUT_SEED, held_out=True), count):
        yield Case(program.kind, program.source, program.call, trace)


def real_functions(name: str, count: int, max_frames: int) -> Iterator[Case]:
    """Calls of a benchmark's functions whose runs are short enough, spread over the whole of it."""
    rows = [json.loads(line) for line in (SHARED / f"{name}_calls.jsonl").read_text(encoding="utf-8").splitlines()]
    found = 0
    for row in rows[:: max(1, len(rows) // (2 * count))]:
        if found == count:
            return
        with contextlib.redirect_stdout(io.StringIO()):
            trace = record_in_process(row["source"], row["calls"][0], max_frames)
        if trace.outcome.ending in (Ending.RETURNED, Ending.RAISED) and trace.frames:
            found += 1
            yield Case(name, row["source"], row["calls"][0], trace)


def same(predicted: Frame, actual: Frame) -> bool:
    """Whether two frames show the same step and the same values."""
    return (
        predicted.event is actual.event
        and predicted.line == actual.line
        and dict(predicted.locals) == dict(actual.locals)
        and predicted.value == actual.value
    )


def target_of(case: Case, folder: Path) -> Target:
    """The function that the case calls, in a file of its own."""
    path = folder / "program.py"
    path.write_text(case.source, encoding="utf-8")
    called = ast.parse(case.call, mode="eval").body
    assert isinstance(called, ast.Call) and isinstance(called.func, ast.Name)
    return find_targets(f"{path}::{called.func.id}")[0]


def measure(runtime: Runtime, case: Case, folder: Path, constrained: bool) -> Tally:
    """One case, forced and then, where no frame was wrong, run freely (before a wrong frame both are the same)."""
    target = target_of(case, folder)
    predictor = Predictor(runtime, target, case.call, constrained=constrained)
    exact: list[bool] = []
    for frame in case.actual.frames[len(predictor.frames) :]:  # a first frame that the call spells out is no prediction
        proposal = predictor.propose()
        exact.append(isinstance(proposal, Proposal) and same(proposal.frame, frame))
        predictor.force(frame)
    whole = False
    if all(exact):
        free = predict(runtime, target, case.call, max_frames=len(case.actual.frames) + 10, constrained=constrained)
        whole = len(free.frames) == len(case.actual.frames) and all(map(same, free.frames, case.actual.frames))
        whole = whole and free.outcome.ending is case.actual.outcome.ending
        whole = whole and free.outcome.value == case.actual.outcome.value
    return Tally(len(exact), sum(exact), 1, whole, exact[-1])


def evaluate(runtime: Runtime, cases: Iterator[Case], constrained: bool = True) -> dict[str, Tally]:
    """Tallies by kind."""
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            tallies.setdefault(case.kind, Tally()).add(measure(runtime, case, Path(folder), constrained))
    return tallies


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--set", default="generated", choices=("generated", "mbpp", "humaneval"))
    parser.add_argument("--programs", type=int, default=0, help=f"how many (default {FULL}, with --quick {QUICK})")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--max-frames", type=int, default=60, help="longest real run of mbpp and humaneval")
    parser.add_argument("--unconstrained", action="store_true", help="without the limit to possible next lines")
    options = parser.parse_args()
    count = options.programs or (QUICK if options.quick else FULL)
    cases = generated(count) if options.set == "generated" else real_functions(options.set, count, options.max_frames)

    start = time.monotonic()
    with Runtime.open(options.model, context=CONTEXT) as runtime:
        tallies = evaluate(runtime, cases, not options.unconstrained)
    total = Tally()
    table = Table("kind", "programs", "frames", "next frame exact", "whole trace exact")
    for kind, tally in sorted(tallies.items()):
        total.add(tally)
        table.add_row(kind, str(tally.traces), str(tally.frames), f"{tally.frames_exact / tally.frames:.1%}",
                      f"{tally.traces_exact / tally.traces:.1%}")  # fmt: skip
    table.add_section()
    table.add_row("all", str(total.traces), str(total.frames), f"{total.frames_exact / total.frames:.1%}",
                  f"{total.traces_exact / total.traces:.1%}")  # fmt: skip
    Console().print(table)
    result = {
        "set": options.set,
        "model": options.model.name,
        "sha256": hashlib.sha256(options.model.read_bytes()).hexdigest()[:16],
        "constrained": not options.unconstrained,
        "next_frame_exact": round(total.frames_exact / total.frames, 4),
        "whole_trace_exact": round(total.traces_exact / total.traces, 4),
        **asdict(total),
        "by_kind": {kind: asdict(tally) for kind, tally in sorted(tallies.items())},
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
