"""`foretrace model quantize`: a smaller build of a GGUF, calibrated on traces where there are any, and what it costs.

With `--json` one object is printed; sizes are bytes, `kl` is in nats a token:

    {"version": 1, "source", "out", "type", "size", "source_size", "bits_per_weight", "tensors": {TYPE: count},
     "unfitting": matrices of another type than asked for, since their rows are no multiple of its block,
     "raised": matrices of one type more than llama.cpp's choice, since most do not fit and have more, too,
     "calibration": {"traces", "cut", "left_out", "tokens"} or null,
     "measurement": {"traces", "cut", "left_out", "frames", "tokens", "kl", "agreement", "source_frames_right",
                     "build_frames_right"} or null,
     "notes": [sentences]}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from foretrace.model.files import bytes_bar, new_file
from foretrace.models import find_model
from foretrace.output import report_console
from foretrace.session import Exit
from quant.device import find_devices
from quant.gguf_file import read_gguf
from quant.importance import Importance, collect
from quant.load import load
from quant.measure import Comparison, compare
from quant.plan import LEAST_CONTEXT, choose
from quant.quantize import Build, check_source, quantize
from quant.runtime import Runtime
from quant.sizes import spelled_size
from quant.traces import WrittenTrace, hold_out, read_traces

_GET_TRACES = "`foretrace run TARGET --format cwm --output traces.jsonl` writes traces"


def quantize_model(
    source: str,
    out: Path,
    kind: str,
    calibrate: Path | None,
    measure: Path | None,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> int:
    """Build, measure and print; the exit code. Raises ModelError and UsageError, and then there is no build.

    Measuring comes last: where only that fails, the build is there and stays.
    """
    path = find_model(source).path
    check_source(path, out, kind)
    to_calibrate, to_measure, notes = _traces(calibrate, measure)
    importance = None
    with new_file(out, force=force) as part:
        if to_calibrate:
            importance = _calibrate(path, to_calibrate, threads, notes)
        with bytes_bar(f"Writing {out.name}") as show:
            build = quantize(path, part, kind, importance, threads, show)
    try:
        comparison = _measure(path, out, to_measure, threads, notes) if to_measure else None
    except BaseException:  # Ctrl-C and SIGTERM, too
        print(f"{out} is whole; only measuring it did not come to its end.", file=sys.stderr)
        raise
    if as_json:
        print(json.dumps(_json(path, out, build, importance, comparison, notes), indent=1))
    else:
        _print(path, out, build, importance, comparison, notes)
    return Exit.CONFIRMED


def _traces(calibrate: Path | None, measure: Path | None) -> tuple[list[WrittenTrace], list[WrittenTrace], list[str]]:
    """What to calibrate on, what to measure on, and what a person should know about it."""
    to_calibrate = read_traces(calibrate) if calibrate is not None else []
    if measure is not None:
        return to_calibrate, read_traces(measure), []
    if not to_calibrate:
        return [], [], [f"What it costs in predictions was not measured: --measure TRACES does that; {_GET_TRACES}."]
    kept, held_out = hold_out(to_calibrate)
    if held_out:
        return kept, held_out, []
    count = len(to_calibrate)
    return (
        kept,
        [],
        [
            f"What it costs in predictions was not measured: {_traces_are(count)} too few to keep any for that. "
            f"Give 5 or more to --calibrate, or others to --measure; {_GET_TRACES}."
        ],
    )


def _calibrate(path: Path, traces: Sequence[WrittenTrace], threads: int | None, notes: list[str]) -> Importance:
    devices = find_devices()
    choice = choose(read_gguf(path), devices.gpus, devices.host, LEAST_CONTEXT)
    notes += choice.notes
    with _tokens_bar("Calibrating") as show:
        importance = collect(
            path,
            traces,
            context=choice.context,
            kv_type=choice.kv_type,
            gpu_layers=choice.gpu_layers,
            threads=threads,
            on_progress=show,
        )
    if importance.cut:
        notes.append(f"{_traces_are(importance.cut)} longer than the context and calibrated on as far as it goes.")
    if importance.left_out:
        notes.append(f"{_traces_are(importance.left_out)} not calibrated on: the program alone fills the context.")
    return importance


def _measure(
    source: Path, build: Path, traces: Sequence[WrittenTrace], threads: int | None, notes: list[str]
) -> Comparison:
    # The build first: where a GPU has no room for both, it is the source that is evaluated more slowly.
    with (
        _open(build, threads, notes) as smaller,
        _open(source, threads, notes) as larger,
        _tokens_bar("Measuring") as show,
    ):
        (comparison,) = compare(larger, [smaller], traces, show)
    if comparison.cut:
        notes.append(f"{_traces_are(comparison.cut)} longer than the context and measured as far as it goes.")
    if comparison.left_out:
        notes.append(f"{_traces_are(comparison.left_out)} not measured on: the program alone fills the context.")
    return comparison


def _open(path: Path, threads: int | None, notes: list[str]) -> Runtime:
    """Load a model beside what is loaded already."""
    runtime, choice = load(path, context=LEAST_CONTEXT, threads=threads)
    notes += [note for note in choice.notes if note not in notes]
    return runtime


def _traces_are(count: int) -> str:
    return "1 trace is" if count == 1 else f"{count} traces are"


@contextmanager
def _tokens_bar(what: str) -> Generator[Callable[[int, int], None], None, None]:
    """A progress bar on standard error where a person looks; call it with tokens done and in all."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} tokens"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and sys.stderr.isatty()),
    )
    with progress:
        task = progress.add_task(what, total=1)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _json(
    source: Path,
    out: Path,
    build: Build,
    importance: Importance | None,
    comparison: Comparison | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    calibration = measurement = None
    if importance is not None:
        calibration = {name: getattr(importance, name) for name in ("traces", "cut", "left_out", "tokens")}
    if comparison is not None:
        counts = asdict(comparison)
        measurement = {name: counts[name] for name in ("traces", "cut", "left_out", "frames", "tokens")} | {
            "kl": comparison.mean_divergence,
            "agreement": comparison.agreement,
            "source_frames_right": comparison.source_frames,
            "build_frames_right": comparison.build_frames,
        }
    return {
        "version": 1,
        "source": str(source),
        "out": str(out),
        "type": build.kind,
        "size": build.size,
        "source_size": build.source_size,
        "bits_per_weight": round(build.bits_per_weight, 4),
        "tensors": dict(build.tensors),
        "unfitting": build.unfitting,
        "raised": build.raised,
        "calibration": calibration,
        "measurement": measurement,
        "notes": list(notes),
    }


def _print(
    source: Path,
    out: Path,
    build: Build,
    importance: Importance | None,
    comparison: Comparison | None,
    notes: Sequence[str],
) -> None:
    console = report_console()
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "size",
        f"{spelled_size(build.size)}, {build.size / build.source_size:.0%} of the {spelled_size(build.source_size)} "
        f"of {source.name}; {build.bits_per_weight:.2f} bits a weight",
    )
    table.add_row("tensors", ", ".join(f"{count} {kind}" for kind, count in build.tensors.items()))
    if build.unfitting:
        table.add_row(
            "",
            f"{build.unfitting} have rows that do not divide into {build.kind}'s blocks; llama.cpp chose their types.",
        )
    if build.raised:
        table.add_row("", f"{build.raised} others were given one type more, so that they are not the weakest.")
    if importance is not None:
        table.add_row("calibrated", f"on {importance.tokens:,} tokens; traces: {importance.traces}")
    else:
        table.add_row("calibrated", "no; --calibrate TRACES makes a better build of about the same size")
    if comparison is not None:
        frames = comparison.frames
        table.add_row("measured", f"on {comparison.tokens:,} tokens, {frames:,} frames; traces: {comparison.traces}")
        if frames:
            table.add_row(
                "",
                f"whole frames right: {comparison.build_frames / frames:.1%}, "
                f"of {source.name} {comparison.source_frames / frames:.1%}",
            )
        table.add_row("", f"same first choice as {source.name}: {comparison.agreement:.2%} of tokens")
        table.add_row("", f"KL divergence from it: {comparison.mean_divergence:.5f} nats a token")
    console.print(f"{out}  {build.kind}", markup=False, soft_wrap=True)
    console.print(table)
    for note in notes:
        console.print(note, markup=False)
