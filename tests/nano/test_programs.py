from __future__ import annotations

import itertools
from collections import Counter
from functools import cache

import pytest

from debugger.trace import Ending, Event
from nano.programs import KINDS, MAX_FRAMES, MIN_FRAMES, Program, programs, run, training_segments, value_type
from quant.specials import Special


@cache
def first(count: int, seed: int = 0, held_out: bool = False):
    return list(itertools.islice(programs(seed, held_out), count))


def test_a_seed_always_gives_the_same_programs():
    assert list(itertools.islice(programs(0, False), 200)) == first(200)
    assert {program for program, _ in first(50)}.isdisjoint({program for program, _ in first(50, seed=10**6)})


def test_no_program_comes_twice():
    seen = [(program.source, program.call) for program, _ in first(3000)]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("count", "held_out"), [(3000, False), (500, True)])
def test_every_kind_comes_about_as_often_as_its_share(count: int, held_out: bool):
    kinds = Counter(program.kind for program, _ in first(count, held_out=held_out))
    whole = sum(KINDS.values())
    for kind, share in KINDS.items():
        expected = count * share / whole
        assert expected / 3 - 4 < kinds[kind] < expected * 3 + 4, kind


def test_programs_end_within_the_limits():
    for _, trace in first(500):
        assert trace.outcome.ending in (Ending.RETURNED, Ending.RAISED)
        assert MIN_FRAMES <= len(trace.frames) <= MAX_FRAMES


def test_runs_that_do_not_end_are_not_learned_from():
    assert run(Program("while", "def f():\n    while True:\n        pass\n", "f()")) is None
    assert run(Program("while", "def f():\n    x = 'a' * 500\n    y = 1\n    return y\n", "f()")) is None


def test_what_differs_from_run_to_run_or_takes_long_is_not_learned_from(monkeypatch):
    assert run(Program("lists", "def f():\n    x = str(zip())\n    return x\n", "f()")) is None
    monkeypatch.setattr("nano.programs.SECONDS", 0.2)
    slow = "import fractions\ndef f(n):\n    x = max(map(fractions.Fraction, range(n)))\n    return x\n"
    assert run(Program("loops", slow, "f(10**9)")) is None


def test_sides_of_the_split_share_no_source():
    training = {program.source for program, _ in first(3000)}
    held_out = {program.source for program, _ in first(500, held_out=True)}
    assert training.isdisjoint(held_out)
    program = first(1, held_out=True)[0][0]
    assert Program(program.kind, program.source, "other()", program.origin).held_out


def test_training_text_ends_as_main_does():
    for program, trace in first(300):
        prompt, frames = training_segments(program.source, program.call, trace)
        assert prompt[:2] == [Special.BEGIN, Special.CONTEXT] and prompt[-1] is Special.FRAME
        assert prompt.count(Special.FRAME) == 3  # the context and main's first two frames
        assert frames[0] is Special.CALL and frames[-1] is Special.END
        extra = 1 if trace.outcome.ending is Ending.RETURNED else 2
        assert frames.count(Special.FRAME) == len(trace.frames) + extra


def test_an_exception_passes_through_main():
    source = "def f(x):\n    y = x // 0\n    return y\n"
    trace = run(Program("exceptions", source, "f(3)"))
    assert trace is not None and trace.frames[-2].event is Event.EXCEPTION
    _, frames = training_segments(source, "f(3)", trace)
    assert frames[-13:] == [
        Special.EXCEPTION, Special.ACTION, "    return f(3)\n", Special.ARG, frames[-9], Special.FRAME,
        Special.RETURN, Special.ACTION, "    return f(3)\n", Special.ARG, '"None"', Special.FRAME, Special.END,
    ]  # fmt: skip
    assert "integer division or modulo by zero" in str(frames[-9])


def test_programs_print_raise_catch_yield_and_have_classes():
    traces = [trace for _, trace in first(6000)]
    raised = [trace for trace in traces if trace.outcome.ending is Ending.RAISED]
    returned = [trace for trace in traces if trace.outcome.ending is Ending.RETURNED]
    caught = [trace for trace in returned if any(frame.event is Event.EXCEPTION for frame in trace.frames)]
    assert min(len(raised), len(caught)) > 30
    text = "".join(program.source for program, _ in first(6000))
    for words in ("print(", "yield", "class ", "lambda", "nonlocal", "finally:", "*args", "@property", "[::-1]"):
        assert text.count(words) > 1, words


@pytest.mark.parametrize(
    ("text", "name"),
    [("-3", "int"), ("0.5", "float"), ("1e-05", "float"), ("'1: {'", "str"), ("b'x'", "bytes"), ("[1]", "list"),
     ("{}", "dict"), ("{1: 2}", "dict"), ("{'a:b', 'c'}", "set"), ("{'a': {1}}", "dict"), ("set()", "set"),
     ("(1,)", "tuple"), ("None", "None"), ("True", "bool"), ("Point(1, 2)", "object"), ("<zip object>", "object")],
)  # fmt: skip
def test_the_type_of_a_value_is_read_from_its_repr(text: str, name: str):
    assert value_type(text) == name
