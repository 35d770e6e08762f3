from __future__ import annotations

import pytest

from debugger.actual.record import record_in_process
from debugger.trace import Ending
from nano.chooser import Chooser
from nano.template import parse, templates


def fill(text: str, seed: int = 0) -> tuple[str, str]:
    return parse("test", text).fill(Chooser(seed))


def test_every_template_makes_programs_that_run():
    for kind, found in templates().items():
        for template in found:
            endings = []
            for seed in range(3):
                source, call = template.fill(Chooser(seed))
                assert not set("«»¦$") & set(source + call), (kind, source)
                endings.append(record_in_process(source, call, 300).outcome.ending)
            assert set(endings) <= {Ending.RETURNED, Ending.RAISED}, (kind, template)


def test_a_name_is_the_same_everywhere_and_none_of_the_templates_own():
    template = "$f: go run\ndef $f($xs, $n):\n    count = items = $n\n    return $xs, $n2\n>>> $f(1, 2)"
    for seed in range(50):
        source, call = fill(template, seed)
        name, xs, n = source[4:].replace("(", ", ").split("):")[0].split(", ")
        assert name in ("go", "run") and call == f"{name}(1, 2)"
        assert source.startswith(f"def {name}({xs}, {n}):\n    count = items = {n}\n    return {xs}, ")
        assert len({xs, n, "count", "items", source.split(", ")[-1].strip()}) == 5


def test_values_are_literals_and_can_be_used_again():
    source, call = fill("$w = 'ab'\ndef f(x, y):\n    return $w\n>>> f(${k = w + 'c'}, ${len(k)})\n")
    assert source == "def f(x, y):\n    return 'ab'\n" and call == "f('abc', 3)"


def test_choices_may_be_kept_and_made_alike():
    seen = {fill("def f():\n    return «@a:1¦2» + «#a:10¦20» + $a«?0»\n>>> f()", seed)[0] for seed in range(40)}
    assert seen == {f"def f():\n    return {a} + {a}0 + {a}{rest}\n" for a in (1, 2) for rest in ("", 0)}


def test_lines_may_be_chosen():
    text = "def f(n):\n«\n    n += 1\n¦\n    n += 2\n    n += 3\n»\n    return n\n>>> f(1)"
    assert {fill(text, seed)[0] for seed in range(20)} == {
        "def f(n):\n    n += 1\n    return n\n",
        "def f(n):\n    n += 2\n    n += 3\n    return n\n",
    }


@pytest.mark.parametrize("text", ["def f():\n    pass\n", "def f():\n    «a¦b\n>>> f()", "def f():\n    a»\n>>> f()"])
def test_a_broken_template_is_refused(text: str):
    with pytest.raises(ValueError, match="template"):
        parse("test", text)
