from __future__ import annotations

import ast

import pytest

from debugger.predicted.entry import misfit

MODULE = ast.parse(
    "import os\n"
    "def f(a, b=2, *, c=3):\n    return a\n"
    "def g(x, /, *rest, k, **more):\n    return x\n"
    "@os.fspath\ndef wrapped(a):\n    return a\n"
    "class C:\n    pass\n"
)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("f()", "missing a required argument: 'a' in f(a, b=2, *, c=3)"),
        ("f(1, 2, 3)", "too many positional arguments in f(a, b=2, *, c=3)"),
        ("f(1, d=2)", "got an unexpected keyword argument 'd' in f(a, b=2, *, c=3)"),
        ("f(1, a=2)", "multiple values for argument 'a' in f(a, b=2, *, c=3)"),
        ("g(1, 2)", "missing a required argument: 'k' in g(x, /, *rest, k, **more)"),
        ("nope(1)", "nothing in the file is named nope"),
        ("f(1)", None),
        ("f(1, 2, c=4)", None),
        ("f(*[1, 2, 3, 4])", None),
        ("f(**{})", None),
        ("g(1, 2, 3, k=4, z=5)", None),
        ("wrapped()", None),
        ("C(1, 2)", None),
        ("len()", None),
        ("os.getcwd(1)", None),
        ("sorted([1])", None),
        ("f", None),
    ],
)
def test_what_is_certainly_wrong_with_a_call(call: str, why: str | None):
    found = misfit(MODULE, call)
    # Python 3.12 and newer say "a required keyword-only argument" where older ones say "a required argument".
    assert (found.replace("keyword-only ", "") if found else found) == why


def test_a_module_that_may_have_other_names_is_not_judged():
    for text in ("from os.path import *", "globals().update(nope=len)", "exec('def nope(): pass')"):
        assert misfit(ast.parse(text), "nope(1)") is None
    assert misfit(ast.parse("def start():\n    global nope\n    nope = len\n"), "nope(1)") is None
