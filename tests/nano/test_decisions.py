from __future__ import annotations

import itertools
import re
from collections import Counter

from debugger.trace import Event
from nano.chooser import Chooser
from nano.decisions import Scope, condition
from nano.programs import programs


def test_conditions_turn_out_either_way_about_as_often():
    ways: Counter[bool] = Counter()
    for program, trace in itertools.islice(programs(0, False, {"decisions": 1}), 300):
        lines = ["", *program.source.splitlines()]
        for frame, after in itertools.pairwise(trace.frames):
            if frame.event is Event.LINE and re.match(r"(el)?if\b", lines[frame.line].strip()):
                ways[after.line == frame.line + 1] += 1
    assert 0.4 < ways[True] / ways.total() < 0.6 and ways.total() > 1000


def test_nearly_all_programs_of_decisions_are_fit():
    found = list(itertools.islice(programs(0, False, {"decisions": 1}), 200))
    assert sum(trace.outcome.ending.name == "RETURNED" for _, trace in found) > 190
    assert len({program.source for program, _ in found}) == len(found)


def test_a_condition_turns_out_as_wanted_where_there_is_such_a_one():
    for seed in range(200):
        scope = Scope(Chooser(seed))
        scope.add(7)
        scope.add("banana")
        wanted = seed % 2 == 0
        assert scope.truth(condition(scope, list(scope.values), wanted)) is wanted
