"""Where two runs part: every kind of difference, cut runs, and comprehensions that Python 3.12 inlines."""

from __future__ import annotations

import dataclasses
import random
import sys
import time

import pytest

from debugger.actual.record import record_in_process
from debugger.diff import Divergence, Kind, Verdict, cause, compare, inlined_statements, verdict_of
from debugger.trace import Ending, Event, Frame, Outcome, Trace

TOTAL = """\
def total(n):
    s = 0
    i = 0
    while i < n:
        s += i
        i += 1
    return s
"""


def run(source: str, call: str) -> Trace:
    return record_in_process(source, call)


def edited(trace: Trace, index: int, **changes) -> Trace:
    frames = list(trace.frames)
    frames[index] = dataclasses.replace(frames[index], **changes)
    return dataclasses.replace(trace, frames=tuple(frames))


def cut(trace: Trace, length: int, ending: Ending = Ending.OUT_OF_FRAMES) -> Trace:
    return Trace(trace.frames[:length], Outcome(ending))


def test_equal_runs_are_confirmed():
    actual = run(TOTAL, "total(3)")
    assert compare(actual, actual) == ()
    assert verdict_of(actual, actual, ()) is Verdict.CONFIRMED


def test_confidence_does_not_count():
    actual = run(TOTAL, "total(1)")
    assert compare(edited(actual, 0, confidence={"n": 0.3}), actual) == ()


def test_a_wrong_value_is_reported_where_it_becomes_wrong_and_when_it_changes():
    actual = run(TOTAL, "total(3)")
    frames = [
        dataclasses.replace(f, locals={**f.locals, "s": str(int(f.locals["s"]) + 10)})
        if i >= 8 and f.event is Event.LINE
        else f
        for i, f in enumerate(actual.frames)
    ]
    predicted = dataclasses.replace(actual, frames=tuple(frames))
    divergences = compare(predicted, actual)
    shown = [(d.frame, d.line, d.predicted, d.actual) for d in divergences]
    first = actual.frames[8]
    assert shown[0] == (8, first.line, str(int(first.locals["s"]) + 10), first.locals["s"])
    assert len(shown) == len({(p, a) for _, _, p, a in shown}), "an unchanged wrong value is told once"
    assert {d.kind for d in divergences} == {Kind.VALUE}
    assert verdict_of(predicted, actual, divergences) is Verdict.DIVERGED


def test_a_name_on_one_side_only():
    actual = run(TOTAL, "total(0)")
    extra = edited(actual, 2, locals={**actual.frames[2].locals, "ghost": "1"})
    assert compare(extra, actual) == (Divergence(Kind.VALUE, 2, 3, "ghost", "1", None),)
    assert compare(actual, extra) == (Divergence(Kind.VALUE, 2, 3, "ghost", None, "1"),)


def test_order_of_names_does_not_count():
    actual = run(TOTAL, "total(0)")
    turned = edited(actual, 3, locals=dict(reversed(actual.frames[3].locals.items())))
    assert compare(turned, actual) == ()


def test_return_and_exception_values():
    actual = run(TOTAL, "total(3)")
    last = len(actual.frames) - 1
    assert compare(edited(actual, last, value="4"), actual) == (Divergence(Kind.RETURN, last, 7, None, "4", "3"),)
    raised = run("def f():\n    raise ValueError('no')\n", "f()")
    index = next(i for i, f in enumerate(raised.frames) if f.event is Event.EXCEPTION)
    (only,) = compare(edited(raised, index, value="(KeyError)"), raised)
    assert (only.kind, only.frame, only.line, only.predicted) == (Kind.EXCEPTION, index, 2, "(KeyError)")


def test_one_iteration_too_few_is_a_wrong_line_and_then_what_is_missing():
    predicted, actual = run(TOTAL, "total(2)"), run(TOTAL, "total(3)")
    predicted = dataclasses.replace(
        predicted,
        frames=tuple(
            dataclasses.replace(f, locals={**f.locals, "n": "3"}) if f.locals else f for f in predicted.frames
        ),
    )
    divergences = compare(predicted, actual)
    fork = len(predicted.frames) - 2
    assert divergences[0] == Divergence(Kind.LINE, fork, 5, None, "7", "5")
    assert [(d.kind, d.frame) for d in divergences[1:3]] == [(Kind.MISSING, fork + 1), (Kind.MISSING, fork + 2)]
    # Behind the gap both return, and the states are compared again.
    rest = [(d.kind, d.name, d.predicted, d.actual) for d in divergences[3:]]
    assert rest == [
        (Kind.VALUE, "s", "1", "3"),
        (Kind.VALUE, "i", "2", "3"),
        (Kind.RETURN, None, "1", "3"),
    ]


def test_one_iteration_too_many_counts_in_the_predicted_frames():
    predicted, actual = run(TOTAL, "total(3)"), run(TOTAL, "total(2)")
    predicted = dataclasses.replace(
        predicted,
        frames=tuple(
            dataclasses.replace(f, locals={**f.locals, "n": "2"}) if f.locals else f for f in predicted.frames
        ),
    )
    divergences = compare(predicted, actual)
    fork = len(actual.frames) - 2
    assert divergences[0] == Divergence(Kind.LINE, fork, 7, None, "5", "7")
    assert [(d.kind, d.frame, d.line) for d in divergences[1:3]] == [
        (Kind.EXTRA, fork + 1, 6),
        (Kind.EXTRA, fork + 2, 4),
    ]


def test_a_return_where_the_run_goes_on():
    actual = run(TOTAL, "total(1)")
    index = 5
    end = Frame(Event.RETURN, 5, "        s += i\n", value="0", function="total")
    predicted = Trace((*actual.frames[:index], end), Outcome(Ending.RETURNED, "0"))
    divergences = compare(predicted, actual)
    assert divergences[0] == Divergence(Kind.EVENT, 5, actual.frames[5].line, None, "return", "line")
    assert [d.kind for d in divergences[1:]] == [Kind.MISSING] * (len(actual.frames) - 6)


def test_a_run_that_goes_on_after_the_end_of_the_other():
    actual = run(TOTAL, "total(1)")
    ended = Trace(actual.frames[:4], Outcome(Ending.RETURNED, "0"))
    assert [(d.kind, d.frame) for d in compare(ended, actual)] == [
        (Kind.MISSING, i) for i in range(4, len(actual.frames))
    ]
    assert [(d.kind, d.frame) for d in compare(actual, ended)] == [
        (Kind.EXTRA, i) for i in range(4, len(actual.frames))
    ]


@pytest.mark.parametrize("ending", [e for e in Ending if e not in (Ending.RETURNED, Ending.RAISED)])
def test_stopping_early_is_not_a_divergence(ending):
    whole = run(TOTAL, "total(3)")
    for length in (0, 1, 5, len(whole.frames) - 1):
        part = cut(whole, length, ending)
        assert compare(part, whole) == compare(whole, part) == ()
        assert verdict_of(part, whole, ()) is verdict_of(whole, part, ()) is Verdict.UNCHECKED


def test_a_cut_prediction_still_diverges_before_its_end():
    actual = run(TOTAL, "total(3)")
    predicted = edited(cut(actual, 6), 4, line=7)
    divergences = compare(predicted, actual)
    assert divergences[0] == Divergence(Kind.LINE, 4, 5, None, "7", "5") or divergences[0].frame == 4
    assert all(d.frame < 6 for d in divergences)
    assert verdict_of(predicted, actual, divergences) is Verdict.DIVERGED


def test_a_line_that_the_file_does_not_have_is_told_by_its_words():
    actual = run(TOTAL, "total(3)")
    predicted = edited(cut(actual, 6), 5, line=0, source="Now solve this problem:\n")
    assert compare(predicted, actual)[0].predicted == "Now solve this problem:"


def test_the_same_line_in_another_function_is_another_line():
    source = "def f(x):\n    return (lambda y: y + x)(1)\n"
    actual = run(source, "f(1)")
    index = next(i for i, f in enumerate(actual.frames) if f.function == "<lambda>" and f.event is Event.LINE)
    (first, *_) = compare(edited(actual, index, function="f", depth=0), actual)
    assert (first.kind, first.frame, first.predicted, first.actual) == (Kind.LINE, index, "2 in f", "2 in <lambda>")


def test_cause_is_the_line_before_in_the_same_python_frame():
    source = "def g(n):\n    return n\n\ndef f():\n    a = g(1)\n    return a\n"
    frames = run(source, "f()").frames
    index = next(i for i, f in enumerate(frames) if f.line == 6 and f.event is Event.LINE)
    assert (cause(frames, index).line, cause(frames, index).event) == (5, Event.LINE)
    assert cause(frames, 0) is frames[0]


COMPREHENSIONS = """\
def double(x):
    return 2 * x

def f(n):
    a = [i * i for i in range(n)]
    b = {
        k: double(v)
        for k, v in enumerate(a)
        if v
    }
    if {q for q in a}:
        c = [double(x) for x in [y + 1 for y in a]] + [double(7)]
    i = sum(w for w in c)
    return i
"""


def comprehension_frames() -> Trace:
    """What CWM predicts for `f(2)`, as Python 3.11 runs it: comprehensions are frames of their own."""
    lines = COMPREHENSIONS.splitlines(keepends=True)
    frames = []

    def step(event, line, function, depth, values=None, value=None):
        frames.append(Frame(event, line, lines[line - 1], values or {}, value, function, depth))

    def comprehension(line, name, first, steps, result):
        step(Event.CALL, line, name, 1, {".0": first})
        for call in steps:
            step(Event.LINE, line, name, 1, {".0": first})
            if call:
                doubling(2, call)
        step(Event.RETURN, line, name, 1, value=result)

    def doubling(depth, number):
        step(Event.CALL, 1, "double", depth, {"x": str(number)})
        step(Event.LINE, 2, "double", depth, {"x": str(number)})
        step(Event.RETURN, 2, "double", depth, value=str(2 * number))

    state = {"n": "2"}
    step(Event.CALL, 4, "f", 0, state)
    step(Event.LINE, 5, "f", 0, state)
    comprehension(5, "<listcomp>", "<range_iterator object>", [0, 0, 0], "[0, 1]")
    state = {**state, "a": "[0, 1]"}
    step(Event.LINE, 6, "f", 0, state)
    step(Event.LINE, 8, "f", 0, state)
    step(Event.LINE, 6, "f", 0, state)
    comprehension(6, "<dictcomp>", "<enumerate object>", [0, 1], "{1: 2}")
    state = {**state, "b": "{1: 2}"}
    step(Event.LINE, 11, "f", 0, state)
    comprehension(11, "<setcomp>", "<list_iterator object>", [0, 0, 0], "{0, 1}")
    step(Event.LINE, 12, "f", 0, state)
    comprehension(12, "<listcomp>", "<list_iterator object>", [0, 0, 0], "[1, 2]")
    comprehension(12, "<listcomp>", "<list_iterator object>", [1, 2], "[2, 4]")
    doubling(1, 7)
    state = {**state, "c": "[2, 4, 14]"}
    step(Event.LINE, 13, "f", 0, state)
    for i, given in enumerate(["2", "4", "14", "None"]):
        before = {} if i == 0 else {"w": ["2", "4", "14"][i - 1]}
        step(Event.CALL, 13, "<genexpr>", 1, {".0": "<list_iterator object>", **before})
        step(Event.LINE, 13, "<genexpr>", 1, {".0": "<list_iterator object>", **before})
        step(Event.RETURN, 13, "<genexpr>", 1, value=given)
    step(Event.LINE, 14, "f", 0, {**state, "i": "20"})
    step(Event.RETURN, 14, "f", 0, value="20")
    return Trace(tuple(frames), Outcome(Ending.RETURNED, "20"))


def inlined_frames() -> Trace:
    """The same run as Python 3.12 makes it (lines and locals as `sys.settrace` gave them there)."""
    lines = COMPREHENSIONS.splitlines(keepends=True)
    frames = []
    for frame in comprehension_frames().frames:
        if frame.function in ("<listcomp>", "<setcomp>", "<dictcomp>"):
            if frame.event is Event.LINE:
                state = {**frames[-1].locals} if frames[-1].function == "f" else {"n": "2"}
                moved = {6: 8}.get(frame.line, frame.line)
                frames.append(Frame(Event.LINE, moved, lines[moved - 1], {**state, "i": "0"}, None, "f", 0))
            continue
        inside = frame.function == "double" and frame.depth != 1
        frames.append(dataclasses.replace(frame, depth=frame.depth - inside))
    return Trace(tuple(frames), Outcome(Ending.RETURNED, "20"))


def test_inlined_comprehensions_are_folded_on_both_sides():
    predicted, actual = comprehension_frames(), inlined_frames()
    statements = inlined_statements(COMPREHENSIONS)
    assert set(statements) == {range(5, 6), range(6, 11), range(11, 12), range(12, 13)}
    assert compare(predicted, actual), "without folding they differ"
    assert compare(predicted, actual, inlined=statements) == ()


def test_divergences_between_folded_comprehensions_keep_the_numbers_of_the_actual_frames():
    predicted, actual = comprehension_frames(), inlined_frames()
    last = len(predicted.frames) - 1
    divergences = compare(edited(predicted, last, value="21"), actual, inlined=inlined_statements(COMPREHENSIONS))
    assert divergences == (Divergence(Kind.RETURN, len(actual.frames) - 1, 14, None, "21", "20"),)
    wrong = next(i for i, f in enumerate(predicted.frames) if f.function == "double" and f.value)
    (first,) = compare(edited(predicted, wrong, value="3"), actual, inlined=inlined_statements(COMPREHENSIONS))
    assert actual.frames[first.frame].function == "double"
    assert (first.predicted, first.actual) == ("3", "2")


def test_this_interpreters_own_run_agrees_with_what_cwm_would_say():
    inlined = inlined_statements(COMPREHENSIONS) if sys.version_info >= (3, 12) else ()
    actual = run(COMPREHENSIONS, "f(2)")
    folded = inlined_statements(COMPREHENSIONS)
    assert compare(comprehension_frames(), actual, inlined=folded) == ()
    assert compare(actual, actual, inlined=inlined) == ()


def noisy(length: int, seed: int, noise: float) -> Trace:
    choose = random.Random(seed)
    frames = [Frame(Event.CALL, 1, "def f():\n", function="f")]
    while len(frames) < length:
        line = choose.randrange(2, 9) if choose.random() < noise else 2 + len(frames) % 4
        frames.append(Frame(Event.LINE, line, "x\n", {"i": str(len(frames) // 4)}, function="f"))
    return Trace(tuple(frames), Outcome(Ending.RETURNED))


@pytest.mark.parametrize("noise", [0.01, 0.3, 1.0])
def test_ten_thousand_frames_are_compared_in_bounded_time_and_every_frame_is_accounted_for(noise):
    predicted, actual = noisy(10_000, 1, noise), noisy(10_000, 2, noise)
    start = time.monotonic()
    divergences = compare(predicted, actual)
    assert time.monotonic() - start < 10
    first = next(i for i, (p, a) in enumerate(zip(predicted.frames, actual.frames, strict=True)) if p != a)
    assert divergences[0].frame == first
    actual_only = {d.frame for d in divergences if d.kind is Kind.MISSING}
    predicted_only = {d.frame for d in divergences if d.kind is Kind.EXTRA}
    forks = [d for d in divergences if d.kind in (Kind.LINE, Kind.EVENT)]
    # Each fork takes a frame of one side or of both; what is left on both sides is paired with an equal.
    left = len(predicted.frames) - len(predicted_only), len(actual.frames) - len(actual_only)
    assert abs(left[0] - left[1]) <= len(forks)
    assert len(actual_only) == sum(d.kind is Kind.MISSING for d in divergences)


def test_passing_an_exception_on_is_not_returning_none():
    source = "def f(x):\n    return 10 // x\n"
    actual = run(source, "f(0)")
    believed = run(source.replace("10 // x", "None"), "f(0)")
    predicted = dataclasses.replace(
        believed,
        frames=tuple(dataclasses.replace(f, source=actual.frames[i].source) for i, f in enumerate(believed.frames)),
    )
    assert predicted.frames[-1].value == actual.frames[-1].value == "None"
    divergences = compare(predicted, actual)
    assert [(d.kind, d.frame, d.predicted, d.actual) for d in divergences] == [
        (Kind.EVENT, 2, "return", "exception"),
        (Kind.MISSING, 3, None, "return"),
    ]
