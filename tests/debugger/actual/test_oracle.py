"""The debugpy run against a plain `sys.settrace` tracer, frame for frame, on real functions with real calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from debugger.actual.run import run_many
from debugger.trace import Trace
from tests.data import real_functions

ORACLE = Path(__file__).with_name("oracle.py")
ALL = os.environ.get("FORETRACE_TEST_ALL") == "1"


def oracle(path: Path, calls: list[str], folder: Path) -> list[dict]:
    jobs = folder / f"{path.stem}.json"
    jobs.write_text(json.dumps([[str(path), call] for call in calls]))
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    answer = subprocess.run(
        [sys.executable, str(ORACLE), str(jobs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in answer.stdout.splitlines()]


def as_oracle(trace: Trace) -> dict:
    frames = [
        [
            frame.event.value,
            frame.line,
            [list(item) for item in frame.locals.items()] if frame.event.value in ("call", "line") else None,
            frame.value,
            frame.function,
            frame.depth,
        ]
        for frame in trace.frames
    ]
    return {"frames": frames, "ending": trace.outcome.ending.value, "value": trace.outcome.value}


def difference(actual: dict, expected: dict) -> str | None:
    for index, (ours, theirs) in enumerate(zip(actual["frames"], expected["frames"], strict=False)):
        if ours != theirs:
            return f"frame {index}: {ours} instead of {theirs}"
    if len(actual["frames"]) != len(expected["frames"]):
        return f"{len(actual['frames'])} frames instead of {len(expected['frames'])}"
    ends = [(run["ending"], run["value"]) for run in (actual, expected)]
    return None if ends[0] == ends[1] else f"ended {ends[0]} instead of {ends[1]}"


def check_row(row: dict, folder: Path) -> tuple[int, list[str]]:
    path = folder / (row["id"].replace("/", "_") + ".py")
    path.write_text(row["source"], "utf-8")
    expected = oracle(path, row["calls"], folder)
    wrong = []
    for call, result, answer in zip(row["calls"], run_many(path, row["calls"], timeout=60), expected, strict=True):
        why = difference(as_oracle(result), answer) if isinstance(result, Trace) else str(result)
        if why is not None:
            wrong.append(f"{row['id']} {call}: {why}")
    return len(row["calls"]), wrong


@pytest.mark.parametrize("source", ["MBPP", "HumanEval"])
def test_every_frame_of_real_functions_is_that_of_settrace(source, tmp_path):
    rows = [row for row in real_functions() if row["id"].startswith(source)]
    chosen = [row for row in rows if ALL or zlib.crc32(row["id"].encode()) % 10 == 0]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda row: check_row(row, tmp_path), chosen))
    calls = sum(count for count, _ in results)
    wrong = [line for _, lines in results for line in lines]
    print(f"{source}: {calls - len(wrong)} of {calls} calls agree")
    assert calls > 0
    assert not wrong, "\n".join(wrong)
