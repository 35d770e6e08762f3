from __future__ import annotations

import ast

from nano.chooser import Chooser
from nano.mutate import renamed, shapes, with_bug, with_other_arguments

SOURCE = '''import math
LIMIT = 5

def helper(x):
    return x + 1

def count(items, limit=LIMIT):
    """Count items."""
    found = 0
    for i in range(len(items)):  # all
        if items[i] < limit and items[i] > 0:
            found += helper(items[i])
    print(f"{found} of {limit}")
    return (found)
'''


def test_a_bug_is_one_small_change():
    made = {with_bug(Chooser(seed), SOURCE) for seed in range(300)}
    assert len(made) > 20 and SOURCE not in made and None not in made
    for source in made:
        assert source is not None
        ast.parse(source)
        changed = [new for old, new in zip(SOURCE.split("\n"), source.split("\n"), strict=True) if old != new]
        assert len(changed) == 1
    assert SOURCE.replace("range(len(items))", "range(1, len(items))") in made
    assert SOURCE.replace("< limit", "<= limit") in made
    assert SOURCE.replace("return (found)", "(found)") in made
    assert SOURCE.replace("return x + 1", "return x - 1") in made
    assert with_bug(Chooser(0), "pass\n") is None


def test_renaming_keeps_the_shape_and_what_others_see():
    made = {renamed(Chooser(seed), SOURCE) for seed in range(50)}
    assert len(made) > 10
    for source in made:
        assert shapes(source) == shapes(SOURCE)
        assert "LIMIT = 5" in source and "def helper(" in source and 'f"{found} of {limit}"' in source
    assert not any("for i in" in source for source in made) or any("for i in" not in source for source in made)


def test_a_shape_ignores_names_hints_docstrings_and_layout_only():
    one = shapes("def f(a, b):\n    '''Doc.'''\n    return a + b\n")["f"]
    assert shapes("def g(x: int, y: int) -> int:\n\n    return (x +  y)  # sum\n")["g"] == one
    assert shapes("def f(a, b):\n    return b + a\n")["f"] != one
    assert shapes("def f(a, b):\n    return a - b\n")["f"] != one
    assert shapes("def f(a, b=1):\n    return a + b\n")["f"] != one


def test_other_arguments_have_the_same_types():
    call = "f([1, 20, 3], {'ab': 2.5}, (True, None), 'a bc', key={3})"
    made = {with_other_arguments(Chooser(seed), call) for seed in range(60)}
    assert len(made) > 50
    for other in made:
        tree = ast.parse(other, mode="eval").body
        assert isinstance(tree, ast.Call)
        numbers, table, pair, text = map(ast.literal_eval, tree.args)
        assert all(type(n) is int for n in numbers) and 2 <= len(numbers) <= 4
        assert [type(v) for v in table.values()] == [float] and type(text) is str
        assert type(pair[0]) is bool and pair[1] is None and tree.keywords[0].arg == "key"
    assert with_other_arguments(Chooser(0), "A(1).go") == "A(1).go"
