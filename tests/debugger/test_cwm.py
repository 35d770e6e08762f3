"""Real runs as traces in CWM's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from debugger.actual.record import record_in_process
from debugger.predicted.codec import text_of
from debugger.report import Report, Result, Status, to_cwm
from debugger.target import find_targets
from debugger.trace import Trace
from nano.programs import training_segments
from quant.traces import read_traces

SOURCE = """\
import sys

LIMIT = 3


def unrelated(x):
    return x


def check(n):
    if n > LIMIT:
        raise ValueError("too large")
    return n + 1
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "p.py").write_text(SOURCE)
    return tmp_path / "p.py"


def result_of(program: Path, call: str, max_frames: int = 100) -> Result:
    (target,) = find_targets(f"{program}::{call.partition('(')[0]}")
    trace = record_in_process(program.read_text(), call, max_frames)
    return Result(target.name, program, target.first_line, call, Status.DONE, actual=trace)


def rows(*results: Result) -> tuple[list[dict[str, Any]], list[str]]:
    text, left_out = to_cwm(Report(results))
    return [json.loads(line) for line in text.splitlines()], left_out


@pytest.mark.parametrize("call", ["check(1)", "check(9)"])
def test_a_run_is_written_as_it_is_learned_from_what_a_prediction_is_given(program: Path, tmp_path: Path, call: str):
    result = result_of(program, call)
    (row,), left_out = rows(result)
    needed = "LIMIT = 3\n\ndef check" + SOURCE.partition("def check")[2]
    trace = result.actual
    assert isinstance(trace, Trace)
    given, rest = training_segments(needed, call, trace)
    assert row["text"][: row["given"]] == text_of(given) and row["text"][row["given"] :] == text_of(rest)
    assert row["call"] == call and row["target"].endswith("p.py::check") and left_out == []
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    assert read_traces(tmp_path / "t.jsonl")[0].text == row["text"]


def test_a_run_that_was_stopped_has_no_end(program: Path):
    (row,), _ = rows(result_of(program, "check(1)", max_frames=2))
    assert row["text"].endswith("    if n > LIMIT:\n<|frame_sep|>")


def test_what_cannot_be_written_is_left_out_and_named(program: Path):
    failed = Result("p.py::gone", program, 1, "gone(1)", Status.FAILED, "There is no Python.")
    without = Result("p.py::lonely", program, 1, None, Status.NO_CALL, "No call of lonely is known.")
    confusing = result_of(program, 'unrelated("<|line_sep|>")')
    changed = result_of(program, "unrelated(2)")
    program.write_text("\n" + SOURCE)
    found, left_out = rows(failed, confusing, without, changed)
    assert found == []
    assert left_out == [
        "gone(1) is left out: There is no Python.",
        f'unrelated("<|line_sep|>") is left out: {program}::unrelated has changed while it ran.',
        "p.py::lonely is left out: No call of lonely is known.",
        f"unrelated(2) is left out: {program}::unrelated has changed while it ran.",
    ]


def test_a_program_that_spells_a_special_token_is_left_out(program: Path):
    found, (sentence,) = rows(result_of(program, 'unrelated("<|line_sep|>")'))
    assert found == [] and "hold the characters <|line_sep|>" in sentence
