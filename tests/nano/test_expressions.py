from __future__ import annotations

import ast
import re
from collections import Counter

from nano.chooser import Chooser
from nano.expressions import RULES, expressions


def test_every_rule_names_types_and_is_python():
    for kind, rules in RULES.items():
        for rule in rules:
            slots = {slot.split(" ")[0] for slot in re.findall(r"<([a-z]+(?: [a-z])?)>", rule)}
            assert slots <= {*RULES, "small", "letter", "sep", "name"}, rule
            ast.parse(re.sub(r"<[a-z]+(?: [a-z])?>", "x", rule).replace("$v", "v"), mode="eval")
        assert kind in ("dict", "float") or any("<" not in re.sub(f"<{kind}", "", rule) for rule in rules)


def test_expressions_are_programs_and_most_of_them_run():
    ends: Counter[str] = Counter()
    for seed in range(400):
        source, call = expressions(Chooser(seed))
        namespace: dict[str, object] = {}
        exec(source, namespace)
        try:
            eval(call, namespace)
            ends["returned"] += 1
        except (IndexError, ValueError, TypeError, ZeroDivisionError, AttributeError, OverflowError) as error:
            ends[type(error).__name__] += 1
    assert ends["returned"] > 360, ends
