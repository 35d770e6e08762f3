from __future__ import annotations

import ast
import itertools
import warnings
from collections import Counter

from debugger.trace import Ending, Event
from nano.programs import KINDS, MAX_FRAMES, MIN_FRAMES, Program, generate, programs, run, training_segments
from quant.specials import Special
from tests.data import real_functions


def first(count: int, seed: int = 0, held_out: bool = False):
    return list(itertools.islice(programs(seed, held_out), count))


def test_a_seed_always_gives_the_same_programs():
    assert [program for program, _ in first(200)] == [program for program, _ in first(200)]
    assert generate(7) == generate(7)
    assert {program for program, _ in first(50)}.isdisjoint({program for program, _ in first(50, seed=10**6)})


def test_no_program_comes_twice():
    seen = [(program.source, program.call) for program, _ in first(2000)]
    assert len(set(seen)) == len(seen)


def test_every_kind_comes_about_as_often_as_its_share():
    kinds = Counter(program.kind for program, _ in first(3000))
    assert set(kinds) == set(KINDS)
    whole = sum(KINDS.values())
    for kind, share in KINDS.items():
        assert kinds[kind] / 3000 > share / whole / 3, kind


def test_programs_end_within_the_limits():
    for _, trace in first(500):
        assert trace.outcome.ending in (Ending.RETURNED, Ending.RAISED)
        assert MIN_FRAMES <= len(trace.frames) <= MAX_FRAMES


def test_runs_that_do_not_end_are_not_learned_from():
    assert run(Program("while", "def f():\n    while True:\n        pass\n", "f()")) is None
    assert run(Program("while", "def f():\n    x = 'a' * 500\n    y = 1\n    return y\n", "f()")) is None


def test_sides_of_the_split_share_no_source():
    training = {program.source for program, _ in first(3000)}
    held_out = {program.source for program, _ in first(300, held_out=True)}
    assert training.isdisjoint(held_out)
    program = first(1, held_out=True)[0][0]
    assert Program(program.kind, program.source, "other()").held_out


def test_no_program_is_one_of_the_benchmarks():
    def shape(source: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the benchmarks hold invalid escapes
            return ast.dump(ast.parse(source))

    real = {shape(row["source"]) for row in real_functions()}
    assert not [program for program, _ in first(1000) if shape(program.source) in real]


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
