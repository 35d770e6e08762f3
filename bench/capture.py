"""How fast an actual run is recorded: `python -m bench.capture [--quick]`.

A loop over a few numbers, strings and a list, recorded in three ways in the same run: by our run under debugpy, by
stepping through it with debugpy's own requests, and by debugpy's log points. The last two are slow and are given fewer
frames; what is compared is the rate, without the time that it takes to start. That is told by itself: in a fresh
debuggee, in one that was started ahead, and what of it is starting Python and debugpy.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import debugpy
from rich.console import Console
from rich.table import Table

from bench.stepping import log_points, step_through
from debugger.actual.run import run
from debugger.actual.session import Session
from debugger.actual.spare import Spares

PROGRAM = """def walk(count):
    n = 27
    seen = []
    word = ""
    for step in range(count):
        n = 3 * n + 1 if n % 2 else n // 2
        seen = [*seen[-8:], n]
        word = word[-12:] + str(n % 10)
    return word


if __name__ == "__main__":
    walk({count})
"""
LINES_PER_ROUND = 4
LOOP_LINES = [5, 6, 7, 8]


def main() -> None:
    """Measure, print a table for people and one line of JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and fewer frames where it is slow")
    quick: bool = parser.parse_args().quick
    frames, rounds = 10_000, 1 if quick else 3
    stepped, logged = (60, 400) if quick else (300, 4_000)

    with tempfile.TemporaryDirectory() as folder:
        start_up = statistics.median(_seconds_of_run(Path(folder), 1)[0] for _ in range(rounds))
        warm = statistics.median(_seconds_with_a_spare(Path(folder)) for _ in range(rounds))
        preparing = statistics.median(_seconds_of_preparing(folder) for _ in range(rounds))
        runs = [_seconds_of_run(Path(folder), frames) for _ in range(rounds)]
        ours = statistics.median(count / (seconds - start_up) for seconds, count in runs)
        whole = statistics.median(count / seconds for seconds, count in runs)
        naive = _rate(step_through(_program(Path(folder), stepped), 2), stepped)
        log = _rate(log_points(_program(Path(folder), logged), LOOP_LINES, "locals()"), logged)

    table = Table("way", "frames", "frames/s", title="Recording an actual run under debugpy")
    table.add_row("foretrace run", f"{frames:,}", f"{ours:,.0f}")
    table.add_row("foretrace run, start included", f"{frames:,}", f"{whole:,.0f}")
    table.add_row("log points", f"{logged:,}", f"{log:,.0f}")
    table.add_row("stepping", f"{stepped:,}", f"{naive:,.1f}")
    Console().print(table)
    starts = Table("one short run", "ms", title="From nothing to its last frame")
    starts.add_row("in a fresh debuggee", f"{1000 * start_up:,.0f}")
    starts.add_row("of these: Python and debugpy start", f"{1000 * preparing:,.0f}")
    starts.add_row("in one that was started ahead", f"{1000 * warm:,.0f}")
    Console().print(starts)
    print(
        json.dumps(
            {
                "bench": "capture",
                "frames": frames,
                "frames_per_s": round(ours),
                "frames_per_s_with_start_up": round(whole),
                "log_points_frames_per_s": round(log),
                "naive_frames_per_s": round(naive, 1),
                "ratio": round(ours / naive),
                "start_up_s": round(start_up, 3),
                "start_up_preparing_s": round(preparing, 3),
                "start_up_warm_s": round(warm, 3),
                "python": platform.python_version(),
                "debugpy": debugpy.__version__,
                "machine": platform.machine(),
            }
        )
    )


def _program(folder: Path, frames: int) -> Path:
    path = folder / f"walk_{frames}.py"
    path.write_text(PROGRAM.format(count=max(1, (frames - 8) // LINES_PER_ROUND)), "utf-8")
    return path


def _seconds_of_run(folder: Path, frames: int) -> tuple[float, int]:
    """Wall time of one whole run, and how many frames it gave."""
    path = _program(folder, frames)
    call = path.read_text("utf-8").splitlines()[-1].strip()
    began = time.perf_counter()
    trace = run(path, call, timeout=120, max_frames=2 * frames + 20)
    return time.perf_counter() - began, len(trace.frames)


def _seconds_with_a_spare(folder: Path) -> float:
    """Wall time of a short run whose debuggee waits for it."""
    path = _program(folder, 1)
    call = path.read_text("utf-8").splitlines()[-1].strip()
    with closing(Spares()) as spares:
        spares.prepare(sys.executable, str(Path.cwd()))
        spares.wait()
        began = time.perf_counter()
        run(path, call, spares=spares)
        return time.perf_counter() - began


def _seconds_of_preparing(folder: str) -> float:
    """Wall time until a debuggee waits for what to do."""
    with Session(sys.executable, folder) as session:
        began = time.perf_counter()
        session.prepare()
        return time.perf_counter() - began


def _rate(events: Iterable[object], count: int) -> float:
    """Events a second, from the first on."""
    began, seen = 0.0, -1
    for seen, _ in enumerate(events):
        began = began or time.perf_counter()
        if seen == count:
            break
    return seen / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
