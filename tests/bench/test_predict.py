"""The parts of the benchmark of predictions, without its numbers."""

from __future__ import annotations

import pytest

from bench.predict.cases import EDITED, LONG_FRAMES, edited_cases, long_cases, short_cases
from bench.predict.cost import CallCosts, Cost, Meter, predicted
from debugger.actual.record import record_in_process
from debugger.trace import Ending
from foretrace.models import bundled_path
from quant.runtime import Runtime


def test_an_edit_changes_the_last_line_alone(tmp_path):
    for before, after, call in edited_cases(tmp_path):
        assert len(before.file.lines) == len(after.file.lines) == EDITED
        assert before.file.lines[:-1] == after.file.lines[:-1] and before.file.text != after.file.text
        for target in (before, after):
            assert record_in_process(target.file.text, call).outcome.ending is Ending.RETURNED


def test_long_runs_are_long(tmp_path):
    found = list(long_cases(10, tmp_path))
    assert len(found) == 10
    assert all(LONG_FRAMES <= len(actual.frames) < 1.4 * LONG_FRAMES for _, _, actual in found)


def test_cases_are_the_same_every_time(tmp_path):
    first, second = (list(short_cases(5, 40, tmp_path / name)) for name in "ab")
    assert [(target.file.text, call) for target, call in first] == [(t.file.text, call) for t, call in second]
    assert len(first) == 5


def test_a_meter_sees_every_call_and_leaves_the_runtime_as_it_was(tmp_path):
    target, _, call = next(edited_cases(tmp_path))
    with Runtime.open(bundled_path(), context=1024) as runtime:
        cost = Cost()
        with Meter(runtime) as meter:
            run = predicted(runtime, target, call, 3, cost)
        assert len(meter.sizes) == cost.calls == runtime.calls
        assert meter.tokens >= len(run.tokens) - 1
        assert 0 < meter.model_seconds <= meter.seconds
        assert "evaluate" not in vars(runtime)
        costs = CallCosts(runtime, run.prompt)
    assert costs.seconds(128) == pytest.approx(costs.full(128))
    assert costs.seconds(256) == pytest.approx(2 * costs.full(128))
    low, high = sorted((costs.seconds(16), costs.seconds(32)))
    assert low <= costs.seconds(24) <= high
