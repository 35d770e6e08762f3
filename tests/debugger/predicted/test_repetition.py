"""A model that goes round in circles is given up, and no run that really happens is."""

from __future__ import annotations

import ast
import contextlib
import io
import os
from functools import cache

import pytest

from debugger.actual.record import record_in_process
from debugger.predicted.codec import FrameEncoder, tokenize
from debugger.predicted.predict import predict
from debugger.predicted.prompt import main_frames
from debugger.predicted.repetition import LEAST_REPETITIONS, RepetitionLimit
from debugger.predicted.writer import MAX_FRAME_TOKENS
from debugger.trace import Ending
from foretrace.models import bundled_path
from quant.runtime import Runtime
from quant.specials import Special, special_ids
from tests.data import real_functions
from tests.debugger.predicted.scripted import ScriptedRuntime
from tests.debugger.predicted.test_predict import GIVEN, LOOP, target_of


def limit(source: str, call: str) -> RepetitionLimit:
    return RepetitionLimit([ast.parse(source), ast.parse(call, mode="eval")])


def longest_run(found: RepetitionLimit) -> int:
    """How often something may come before it is too often."""
    return next(times for times in range(1, 100_000) if found.exceeded([7, 1, 2] + [3, 4] * times)) - 1


@pytest.mark.parametrize(
    ("source", "call", "times"),
    [
        ("def f(n): return n", "f(3)", LEAST_REPETITIONS),
        ("def f(n): return [0] * n", "f(300)", 300),
        ("def f(n, m): return [0] * (n * m)", "f(30, m=20)", 600),
        ("def f(word): return 'a' * len(word)", "f('" + 50 * "x" + "')", 50),
        ("def f(rows): return [0] * len(rows) * len(rows[0])", f"f({[[1, 2, 3, 4, 5]] * 40})", 40 * 5),
        ("SIZE = 256\ndef f(n): return [0] * SIZE", "f(3)", 256 * 3),
    ],
)
def test_a_part_may_come_as_often_as_the_numbers_say(source, call, times):
    assert longest_run(limit(source, call)) == times


def test_numbers_that_come_up_count():
    found = limit("def f(n): return n", "f(3)")
    found.learn({"table": "{'a': [1, 2, 70]}", "broken": "<object>"})
    assert longest_run(found) == 3 * 70


@pytest.mark.parametrize("source", ["def f(n): return [0] * 2 ** n", "def f(n): return [0] * (1 << n)"])
def test_where_numbers_grow_fast_nothing_is_too_often(source):
    assert not limit(source, "f(3)").exceeded([1] * 5000)


def test_what_differs_is_no_repetition():
    found = limit("def f(n): return n", "f(3)")
    assert not found.exceeded(list(range(5000)))
    assert not found.exceeded([1, 2] * 500 + [3])
    assert found.exceeded([5] * 3 + list(range(64)) * (LEAST_REPETITIONS + 1))
    assert not found.exceeded(list(range(65)) * (LEAST_REPETITIONS + 1))


def test_a_prediction_in_circles_is_given_up_early(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for drafting in (True, False):
        first = [Special.LINE, '{"n": ".."}', Special.ACTION, "    total = 0\n", Special.FRAME]
        runtime = ScriptedRuntime([*GIVEN, *first, Special.LINE, '{"n": "..", "total": "' + "'ab" * 2000])
        trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)", drafting=drafting)
        assert trace.outcome.ending is Ending.OUT_OF_CONTEXT
        assert trace.outcome.detail == "The model repeated itself for 128 tokens without ending a step."
        assert len(trace.frames) == 2


def test_no_real_frame_is_given_up():
    step = 1 if os.environ.get("FORETRACE_TEST_ALL") else 10
    with Runtime.open(bundled_path(), context=256) as runtime:
        specials = special_ids(runtime.vocabulary, runtime.path)
        text_tokens = cache(runtime.vocabulary.tokenize)
        for row in real_functions()[::step]:
            for call in row["calls"]:
                with contextlib.redirect_stdout(io.StringIO()):
                    frames = record_in_process(row["source"], call, 400).frames
                found = limit(row["source"], call)
                encoder = FrameEncoder()
                for frame in [*main_frames(call), *frames]:
                    tokens = tokenize(encoder.encode(frame), text_tokens, specials)[:MAX_FRAME_TOKENS]
                    for length in range(LEAST_REPETITIONS, len(tokens) + 1, 8):
                        assert not found.exceeded(tokens[:length]), (row["id"], call, frame)
                    found.learn(frame.locals)
