"""What was predicted before an edit makes the next prediction cheap, and changes nothing in it."""

from __future__ import annotations

import pytest

from debugger.actual.record import record_in_process
from debugger.predicted.earlier import EarlierRuns, carried_over
from debugger.predicted.predict import predict
from debugger.trace import Ending, Event, Frame, Outcome, Trace
from tests.debugger.predicted.scripted import ScriptedRuntime
from tests.debugger.predicted.test_draft import MoodyRuntime
from tests.debugger.predicted.test_predict import script, target_of

BEFORE = """\
def f(words):
    found = {}
    for word in words:
        key = word.lower().strip(".")
        found[key] = found.get(key, 0) + len(word) % 3
    best = max(found.values())
    return best
"""
CALL = "f(['One', 'two.', 'one', 'Three', 'two'])"
EDITS = {
    "the last line": BEFORE.replace("return best", "return -best"),
    "a line before": BEFORE.replace("    found = {}\n", "    # counts\n\n    found = {}\n"),
    "a line less": BEFORE.replace("    best = max(found.values())\n    return best", "    return max(found.values())"),
    "other values": BEFORE.replace("% 3", "% 4"),
    "another name": BEFORE.replace("key", "name"),
    "nothing": BEFORE,
}


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def calls_of_the_model(kind: str, moods: float) -> list[int]:
    """From nothing, and with the run before the edit as draft; what comes out must be the same."""
    earlier = record_in_process(BEFORE, CALL)
    after = EDITS[kind]
    traces, calls = [], []
    for known in (False, True):
        target = target_of(after, CALL)
        expected = carried_over(earlier.frames, BEFORE.splitlines(True), after.splitlines(True)) if known else ()
        runtime = MoodyRuntime(script(CALL, record_in_process(after, CALL)), moods=moods)
        traces.append(predict(runtime, target, CALL, max_frames=60, expected=expected))
        calls.append(runtime.calls)
    assert traces[0] == traces[1]
    assert [frame.confidence for frame in traces[0].frames] == [frame.confidence for frame in traces[1].frames]
    return calls


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_only_how_often_the_model_is_asked(kind):
    cold, known = calls_of_the_model(kind, 0)
    assert known <= cold
    if kind not in ("another name", "other values"):
        assert known < 0.6 * cold


def test_an_edit_changes_nothing_for_a_model_that_is_not_sure_either():
    cold, known = (sum(calls) for calls in zip(*(calls_of_the_model(kind, 0.02) for kind in EDITS), strict=True))
    assert known < cold


def test_frames_go_where_their_lines_went():
    before = ["a\n", "b\n", "c\n", "d\n", "e\n"]
    frames = [Frame(Event.LINE, line, before[line - 1]) for line in range(1, 6)]

    def lines(*after: str) -> list[int]:
        return [frame.line for frame in carried_over(frames, before, after)]

    assert lines(*before) == [1, 2, 3, 4, 5]
    assert lines("x\n", *before) == [2, 3, 4, 5, 6]
    assert lines("a\n", "b\n", "C\n", "d\n", "e\n") == [1, 2, 3, 4, 5]
    assert lines("a\n", "b\n", "d\n", "e\n") == [1, 2, 0, 3, 4]
    assert lines("a\n", "b\n", "x\n", "y\n", "c\n", "d\n", "e\n") == [1, 2, 5, 6, 7]
    assert lines() == [0, 0, 0, 0, 0]


def test_the_longest_part_of_a_run_that_was_given_up_is_kept():
    actual = record_in_process(BEFORE, CALL)
    given_up = Trace(actual.frames[:3], Outcome(Ending.CANCELLED))
    runs = EarlierRuns()
    target = target_of(BEFORE, CALL)
    assert runs.expected(target, CALL) == []
    runs.keep(target, CALL, given_up)
    assert tuple(runs.expected(target, CALL)) == given_up.frames
    runs.keep(target, CALL, actual)
    runs.keep(target, CALL, given_up)
    assert tuple(runs.expected(target, CALL)) == actual.frames
    assert runs.expected(target, "f([])") == []
    short = Trace(actual.frames[:2], Outcome(Ending.RETURNED, "1"))
    runs.keep(target, CALL, short)
    assert tuple(runs.expected(target, CALL)) == short.frames


def test_few_runs_are_kept():
    actual = record_in_process(BEFORE, CALL)
    runs = EarlierRuns()
    target = target_of(BEFORE, CALL)
    for number in range(200):
        runs.keep(target, f"f([{number}])", actual)
    assert sum(bool(runs.expected(target, f"f([{number}])")) for number in range(200)) == 64
    assert runs.expected(target, "f([199])")


def test_a_prediction_of_its_own_words_takes_few_calls():
    runtime = ScriptedRuntime(script(CALL, record_in_process(BEFORE, CALL)))
    target = target_of(BEFORE, CALL)
    first = predict(runtime, target, CALL)
    runtime.forget(0)
    asked = runtime.calls
    predict(runtime, target, CALL, expected=first.frames)
    written = len(runtime.tokens)
    assert runtime.calls - asked < written / 60
