from __future__ import annotations

import itertools
import re

from nano.chooser import Chooser
from nano.mutate import renamed
from nano.programs import programs
from nano.real import extracted, forbidden, held_out_shapes, humaneval_shapes, is_held_out, mbpp, quiet_shapes, stdlib
from tests.data import real_functions


def of(prefix: str) -> list[dict[str, str]]:
    return [row for row in real_functions() if row["id"].startswith(prefix)]


def test_humaneval_is_known_by_its_shapes():
    shapes = {shape for row in of("HumanEval") for shape in quiet_shapes(row["source"]).values()}
    assert shapes == humaneval_shapes()


def test_nothing_of_humaneval_is_learned_from_or_used_to_measure_mbpp():
    for row in of("HumanEval"):
        call = row["calls"][0]
        assert forbidden(row["source"], call, False) and forbidden(row["source"], call, True)
        assert forbidden(renamed(Chooser(1), row["source"]), call, False)
    entries = {row["source"] for row in of("HumanEval")}
    assert not entries & {function.source for side in (False, True) for function in mbpp(side)}


def test_a_tenth_of_mbpp_is_held_out_and_kept_out():
    assert of("MBPP")  # or the test is skipped
    train, held_out = mbpp(False), mbpp(True)
    assert len(train) + len(held_out) > 950
    assert 0.07 < len(held_out) / (len(train) + len(held_out)) < 0.13
    assert all(is_held_out(function.source) for function in held_out)
    assert all(forbidden(function.source, function.calls[0], False) for function in held_out)
    assert not any(forbidden(function.source, function.calls[0], True) for function in held_out)
    learned = [program for program, _ in itertools.islice(programs(0, False, {"mbpp": 1}), 400)]
    for program in learned:
        assert not is_held_out(program.origin) and not program.held_out
        entry = re.match(r"\w+", program.call)
        assert entry and quiet_shapes(program.source)[entry.group()] not in held_out_shapes()


def test_a_helper_of_one_statement_is_nobodys():
    assert of("MBPP")  # or the test is skipped
    held_out = next(function for function in mbpp(True) if len(function.source.split("\n")) == 3)
    source = held_out.source + "\n\ndef unlike_any_other(aa):\n    return aa * 12345 - 54321\n"
    assert not forbidden(source, "unlike_any_other(1)", False)
    assert forbidden(source, held_out.calls[0], False)


def test_library_functions_come_with_what_they_need():
    functions = {function.name: function for side in (False, True) for function in stdlib(side)}
    assert len(functions) > 90
    namespace: dict[str, object] = {}
    source = extracted("calendar", "monthrange")
    assert source is not None and '"""' not in source
    exec(source, namespace)
    assert eval("monthrange(2024, 2)", namespace) == (3, 29)
    assert extracted("calendar", "no_such_function") is None and extracted("no_such_module", "f") is None


def test_nearly_all_library_functions_run():
    names = {program.call.split("(")[0] for program, _ in itertools.islice(programs(0, False, {"stdlib": 1}), 600)}
    assert len(names) > 0.9 * len(stdlib(False))
