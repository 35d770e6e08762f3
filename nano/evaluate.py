"""How well a GGUF traces, through the runtime and the predictor that the product uses.

    python -m nano.evaluate [--quick] [--set generated|mbpp|humaneval] [--programs N] [--model GGUF] [--unconstrained]
                            [--plot FILE.svg]

A frame is exact if event, line, every local and the value are. Measured are

* the next frame, forced: the model is shown the real frames and asked for each next one;
* the whole trace, free run: the model goes on from its own frames, and the outcome must be right too;
* the final value, free run: the outcome alone, as benchmarks of output prediction count;
* the first divergence: how many frames come before the first that is not exact;
* values by type: each value that the real frame writes out because it is new or changed, forced;
* confidence: whether values are right as often as the model's probability says (nano/calibration.py).

Tables by kind of program, length of trace and type of value; the last line is the same as JSON.

Generated programs are held out from training by their source (see nano.programs). MBPP and HumanEval are read from
../shared/data beside the checkout, or from nano/work/data: the first call of each function whose run ends within
--max-frames frames; of MBPP only the tenth of the functions that training never sees.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import io
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from debugger.actual.record import record_in_process
from debugger.predicted.check import check
from debugger.predicted.codec import same_python_frame
from debugger.predicted.mode import CheckMode
from debugger.target import Target, find_targets
from debugger.trace import VALUE, Ending, Frame, Trace
from nano.calibration import Judged, calibration_error, plot
from nano.programs import GENERATED, programs
from nano.real import MissingDataError, is_held_out, needed_data_file
from quant.errors import ModelError
from quant.gguf_file import TEMPERATURE_KEY
from quant.runtime import Runtime

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "foretrace" / "data" / "nano.gguf"
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


@dataclass(frozen=True, slots=True)
class Value:
    """A value that the real frame writes out, and what became of it in the prediction."""

    type: str
    right: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on one case."""

    kind: str
    exact: Sequence[bool]
    """Forced: for each frame asked for."""
    whole: bool
    """Free run: every frame and the outcome."""
    final: bool
    """Free run: the outcome."""
    values: Sequence[Value]
    judged: Sequence[Judged]
    """Forced: the values that the model wrote, as sure as it was of them."""

    @property
    def length(self) -> int:
        """Frames asked for."""
        return len(self.exact)

    @property
    def depth(self) -> int:
        """Frames before the first divergence."""
        return next((index for index, exact in enumerate(self.exact) if not exact), self.length)


def generated(count: int) -> Iterator[Case]:
    """Held-out generated programs."""
    for program, trace in itertools.islice(programs(HELD_OUT_SEED, held_out=True, kinds=GENERATED), count):
        yield Case(program.kind, program.source, program.call, trace)


def real_functions(name: str, count: int, max_frames: int) -> Iterator[Case]:
    """Calls of a benchmark's functions whose runs are short enough, spread over the whole of it.

    Raises MissingDataError at once, and not when the first is asked for.
    """
    lines = needed_data_file(f"{name}_calls.jsonl").read_text(encoding="utf-8").splitlines()
    return _short_runs(name, [json.loads(line) for line in lines], count, max_frames)


def _short_runs(name: str, rows: list[dict[str, Any]], count: int, max_frames: int) -> Iterator[Case]:
    if name == "mbpp":  # the other functions are trained on
        rows = [row for row in rows if is_held_out(row["source"])]
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
    """The function that the call enters first, in a file of its own."""
    path = folder / "program.py"
    path.write_text(case.source, encoding="utf-8")
    return find_targets(f"{path}:{case.actual.frames[0].line}")[0]


@dataclass(frozen=True, slots=True)
class Forced:
    """What the model makes of each next frame of a case when it is shown the real ones before."""

    exact: Sequence[bool]
    values: Sequence[Value]
    judged: Sequence[Judged]


def measure_forced(runtime: Runtime, case: Case, folder: Path, constrained: bool = True) -> Forced:
    """The next frames of one case: each real frame is read once, and only what is wrong is written."""
    forced = check(
        runtime, target_of(case, folder), case.call, case.actual, mode=CheckMode.FORCED, constrained=constrained,
        temperature=1.0, max_frames=len(case.actual.frames),
    )  # fmt: skip
    exact: list[bool] = []
    values: list[Value] = []
    judged: list[Judged] = []
    last_of_frame: dict[int, Frame] = {}
    for index, frame in enumerate(case.actual.frames):
        previous = case.actual.frames[index - 1] if index else None
        known = last_of_frame.get(frame.depth) if same_python_frame(previous, frame) else None
        if frame.value is None:
            last_of_frame[frame.depth] = frame
        if index < forced.given:
            continue
        proposed = forced.proposals[index] if index < len(forced.proposals) else None
        exact.append(proposed is not None and same(proposed, frame))
        values += list(_judge_values(frame, proposed, known.locals if known else {}))
        if proposed is not None:
            judged += [
                Judged(sure, (proposed.value if name == VALUE else proposed.locals.get(name)) == _value(frame, name))
                for name, sure in proposed.confidence.items()
            ]
    return Forced(exact, values, judged)


def measure(runtime: Runtime, case: Case, folder: Path, constrained: bool = True) -> Measured:
    """One case, forced and free."""
    forced = measure_forced(runtime, case, folder, constrained)
    free = check(
        runtime, target_of(case, folder), case.call, case.actual, constrained=constrained,
        max_frames=len(case.actual.frames) + 10,
    ).predicted  # fmt: skip
    final = free.outcome.ending is case.actual.outcome.ending and free.outcome.value == case.actual.outcome.value
    whole = final and len(free.frames) == len(case.actual.frames) and all(map(same, free.frames, case.actual.frames))
    return Measured(case.kind, forced.exact, whole, final, forced.values, forced.judged)


def _judge_values(actual: Frame, proposed: Frame | None, known: Mapping[str, str]) -> Iterator[Value]:
    """The values that a real frame does not share with the one before."""
    if actual.value is not None:
        yield Value(type_of(actual.value), proposed is not None and proposed.value == actual.value)
    for name, value in actual.locals.items():
        if known.get(name) != value:
            yield Value(type_of(value), proposed is not None and proposed.locals.get(name) == value)


def _value(frame: Frame, name: str) -> str | None:
    return frame.value if name == VALUE else frame.locals.get(name)


def type_of(value: str) -> str:
    """The type that a `repr` shows; 'other' for what is no literal."""
    try:
        return type(ast.literal_eval(value)).__name__
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return "exception" if value.startswith("(<class '") else "other"


def length_class(measured: Measured) -> str:
    """How long the trace is."""
    for limit in (8, 16, 32, 64):
        if measured.length <= limit:
            return f"up to {limit:2} frames"
    return "longer"


@dataclass(frozen=True, slots=True)
class Summary:
    """Shares over some cases."""

    traces: int
    frames: int
    next_frame_exact: float
    whole_trace_exact: float
    final_value_exact: float
    first_divergence: float
    """The median of the frames before it."""

    @classmethod
    def of(cls, cases: Sequence[Measured]) -> Summary:
        """Sum up; there must be at least one frame."""
        exact = [each for case in cases for each in case.exact]
        return cls(
            len(cases),
            len(exact),
            sum(exact) / len(exact),
            sum(case.whole for case in cases) / len(cases),
            sum(case.final for case in cases) / len(cases),
            statistics.median(case.depth for case in cases),
        )


def by(cases: Iterable[Measured], key: Callable[[Measured], str]) -> dict[str, Summary]:
    """A summary for each group of cases."""
    groups: dict[str, list[Measured]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    return {name: Summary.of(group) for name, group in sorted(groups.items()) if any(case.exact for case in group)}


def values_by_type(cases: Iterable[Measured]) -> dict[str, tuple[int, float]]:
    """For each type how many values were asked for, and the share that is right."""
    groups: dict[str, list[bool]] = {}
    for value in (value for case in cases for value in case.values):
        groups.setdefault(value.type, []).append(value.right)
    ranked = sorted(groups.items(), key=lambda item: -len(item[1]))
    return {name: (len(rights), sum(rights) / len(rights)) for name, rights in ranked}


def evaluate(runtime: Runtime, cases: Iterable[Case], constrained: bool = True) -> list[Measured]:
    """Measure each case."""
    with tempfile.TemporaryDirectory() as folder:
        return [measure(runtime, case, Path(folder), constrained) for case in cases]


def print_tables(measured: Sequence[Measured]) -> None:
    """Print what was found, for people."""
    console = Console()
    table = Table("", "traces", "frames", "next frame", "whole trace", "final value", "first divergence after")
    for grouped in (by(measured, lambda case: case.kind), by(measured, length_class), by(measured, lambda _: "all")):
        for name, summary in grouped.items():
            table.add_row(
                name,
                str(summary.traces),
                str(summary.frames),
                f"{summary.next_frame_exact:.1%}",
                f"{summary.whole_trace_exact:.1%}",
                f"{summary.final_value_exact:.1%}",
                f"{summary.first_divergence:g}",
            )
        table.add_section()
    console.print(table)
    types = Table("type of value", "asked for", "right")
    for name, (count, share) in values_by_type(measured).items():
        types.add_row(name, str(count), f"{share:.1%}")
    console.print(types)


def to_json(measured: Sequence[Measured], temperature: float) -> dict[str, Any]:
    """The same for machines."""
    judged = [each for case in measured for each in case.judged]
    return {
        **asdict(Summary.of(measured)),
        "calibration_error": calibration_error(judged, temperature) if judged else None,
        "calibration_error_uncalibrated": calibration_error(judged) if judged else None,
        "confidence_temperature": temperature,
        "by_kind": {name: asdict(summary) for name, summary in by(measured, lambda case: case.kind).items()},
        "by_length": {name: asdict(summary) for name, summary in by(measured, length_class).items()},
        "values": {name: {"count": n, "right": share} for name, (n, share) in values_by_type(measured).items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--set", default="generated", choices=("generated", "mbpp", "humaneval"))
    parser.add_argument("--programs", type=int, default=0, help=f"how many (default {FULL}, with --quick {QUICK})")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--max-frames", type=int, default=60, help="longest real run of mbpp and humaneval")
    parser.add_argument("--unconstrained", action="store_true", help="without the limits to what can come next")
    parser.add_argument("--threads", type=int, help="of llama.cpp; else one for each core")
    parser.add_argument("--plot", type=Path, help="write the reliability diagram here (.svg or .png)")
    options = parser.parse_args()
    if options.plot and options.unconstrained:
        parser.error("without limits no confidence is told, so there is nothing to plot: leave out one of the two")
    count = options.programs or (QUICK if options.quick else FULL)
    if options.set == "generated":
        cases = generated(count)
    else:
        try:
            cases = real_functions(options.set, count, options.max_frames)
        except MissingDataError as error:
            parser.exit(2, f"{error}\n")

    start = time.monotonic()
    try:
        with Runtime.open(options.model, context=CONTEXT, threads=options.threads) as runtime:
            measured = evaluate(runtime, cases, not options.unconstrained)
            temperature = float(runtime.metadata(TEMPERATURE_KEY) or 1.0)
    except ModelError as error:
        parser.exit(2, f"{error}\n")
    print_tables(measured)
    if options.plot:
        judged = [each for case in measured for each in case.judged]
        plot(options.plot, judged, temperature, f"{options.model.name} on {options.set}")
    result = {
        "set": options.set,
        "model": options.model.name,
        "sha256": hashlib.sha256(options.model.read_bytes()).hexdigest()[:16],
        "constrained": not options.unconstrained,
        **to_json(measured, temperature),
        "seconds": round(time.monotonic() - start, 1),
    }
    print(json.dumps(result, default=str))


if __name__ == "__main__":
    main()
