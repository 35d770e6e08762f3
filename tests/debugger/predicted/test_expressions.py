"""What expressions give, as Python itself has it, and nothing where that is not certain."""

from __future__ import annotations

import ast

import pytest

from debugger.predicted.expressions import Expressions
from debugger.predicted.literals import UnknownError, value_of

SHOWN = {
    "n": "7",
    "x": "-2.5",
    "best": "inf",
    "s": "'Hello'",
    "xs": "[3, 1, 2]",
    "rows": "[[1, 2], [3]]",
    "pair": "(1, 'a')",
    "d": "{'a': 1, 'b': None}",
    "kinds": "{1, 2, 3}",
    "empty": "set()",
    "nothing": "None",
    "box": "<Box object>",
    "mixed": "[1, <Box object>]",
    "itself": "[1, [...]]",
    "big": "1" * 2000,
}
MODULE = "import math\nfrom os import path as max\nLIMIT = 3\nNAMES = ('a', 'b')\nxs_made = [1]\ncount = 0\ncount = 1\n"


def expressions(source: str = MODULE, call: str = "f(1)") -> Expressions:
    return Expressions(ast.parse(source), ast.parse(call, mode="eval"))


def node(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def value(text: str, source: str = MODULE, variables: tuple[str, ...] = ("local",)) -> object:
    return expressions(source).value(node(text), SHOWN, variables)


@pytest.mark.parametrize(
    "text",
    """
    n > 3 and xs[0] == 3|n < 3 or not xs|not s|1 < n < 10 != 3|n == 7 == x|s[::-1].lower().startswith('o')|s[-1]
    xs[1:]|rows[0][1]|d['a']|d.get('z')|d.get('z', n)|'a' in d|n not in xs|'ell' in s|n in range(3, n + 1)|pair[1] * 3
    n % 2 == 0|n // 2|n / 2|-n ** 2|~n|n << 2|n & 3 | 8 ^ 1|x + n|x > best|best == best|s + '!'|[0] * n|xs + [n]
    len(xs)|len(set(s))|sorted(xs, reverse=True)|sum(xs, 1)|abs(-n)|min(xs)|list(range(3))|tuple(s)|str(n)|int('12')
    float('nan') == x|isinstance(n, (int, str))|isinstance(s, list)|type(n) is int|type(s) == str|bool(d)|ord('a')
    nothing is None|nothing is not None|n is None|(n > 3) is True|n if n > 3 else x|s.isdigit()|s.count('l')|xs.index(2)
    kinds & {1, 9}|kinds == {3, 2, 1}|len(kinds)|max(kinds) == 3|empty == set()|kinds.issubset({1})
    d.keys() == {'a', 'b'}|', '.join(['a', 'b'])
    s.replace('l', '')|s.split('l')|round(x)|divmod(n, 2)|any(xs)|all([n, x])|{n: s}|{n, 1}|[n, x]
    """.replace("\n", "|").split("|"),
)
def test_what_python_gives(text):
    names = {name: value_of(text) for name, text in SHOWN.items() if "Box" not in text and "..." not in text}
    if text.strip():
        source = MODULE.replace("max", "other")
        assert repr(value(text.strip(), source)) == repr(eval(text, dict(names)))


@pytest.mark.parametrize("text", ["LIMIT", "n > LIMIT", "s[:1].lower() in NAMES"])
def test_what_the_module_says_once_and_for_all_is_known(text):
    names = {name: value_of(text) for name, text in SHOWN.items() if "Box" not in text and "..." not in text}
    assert value(text) == eval(text, {**names, "LIMIT": 3, "NAMES": ("a", "b")})


@pytest.mark.parametrize(
    "text",
    [
        *("box", "box is n", "mixed[0]", "itself == 1", "missing > 1", "local > 1", "big * big", "big + 1 > 0"),
        *("xs.pop()", "xs.append(1)", "d.setdefault('a', 2)", "s.format(n)", "f(n)", "box.n", "s.__len__()", "math.pi"),
        *("count", "xs_made", "max(xs)", "[y for y in xs]", "any(y for y in xs)", "(y := n)", "lambda: n", "f'{n}'"),
        *("n[0]", "xs[9]", "d['z']", "n / 0", "s + n", "int(s)", "xs < n", "sorted([1, 'a'])", "len(n)", "{[]}"),
        *("n is 7", "s is 'Hello'", "list(kinds)", "str(kinds)", "', '.join({'a', 'b'})", "sorted(xs, key=f)"),
        *("{**d}", "f(*xs)", "print(*xs)", "print(n)", "len", "type('A', (), {})", "d.keys"),
        *("'%s' % n", "await n", "1.5 in range(9)", "sum(kinds)"),
        *("10 ** 10 ** 10", "2 << 99999", "[0] * 10 ** 9", "'a' * 10 ** 9", "list(range(10 ** 9))", "pow(2, 10 ** 9)"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_not_told(text):
    with pytest.raises(UnknownError):
        value(text)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("len(s)", "def len(x):\n    return 1\n"),
        ("len(s)", "from tools import *\n"),
        ("len(s)", "class A:\n    pass\nwith a as (b, len):\n    pass\n"),
        ("len(s)", "def f():\n    global len\n    len = 3\n"),
        ("len(s)", "globals()['len'] = 3\n"),
        ("len(s)", "try:\n    pass\nexcept E as len:\n    pass\n"),
        ("LIMIT", "LIMIT = 1\nfor LIMIT in range(3):\n    pass\n"),
        ("LIMIT", "LIMIT = 1\ndef f():\n    global LIMIT\n    LIMIT = 2\n"),
        ("LIMIT", "if a:\n    LIMIT = 1\n"),
        ("LIMIT", "LIMIT = 1\ndel LIMIT\n"),
        ("LIMIT", "LIMIT = f()\n"),
        ("__limit", "__limit = 1\nclass A:\n    def f(self):\n        __limit = 2\n"),
    ],
)
def test_names_may_mean_something_else(text, source):
    with pytest.raises(UnknownError):
        value(text, source)


def test_a_call_may_give_names_a_meaning():
    with pytest.raises(UnknownError):
        expressions(call="f((LIMIT := 5))").value(node("LIMIT"), SHOWN, ())


def test_what_other_functions_call_their_own_is_not_of_the_module():
    assert value("len(s)", "def f(len):\n    sum = 1\n    return lambda max: max\n") == 5


@pytest.mark.parametrize(
    "source",
    [
        "class Score:\n    def __repr__(self):\n        return '3'\n",
        "class Score(int):\n    pass\n",
        "import builtins\nclass Score(builtins.str, Other):\n    pass\n",
        "class Score(base()):\n    pass\n",
        "Score = type('Score', (str,), {})\n",
        "from collections import UserList\n",
        "import collections\nclass Stack(collections.UserList):\n    pass\n",
        "import numpy\n",
    ],
)
def test_where_objects_may_look_like_others_nothing_is_certain(source):
    assert not expressions(source).are_certain


@pytest.mark.parametrize(
    "source",
    [MODULE, "class A:\n    def __eq__(self, other):\n        return True\nclass B(A, E):\n    x: int\n"],
)
def test_elsewhere_values_are_what_they_look_like(source):
    assert expressions(source).are_certain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *(("box", "<Box object>"), ("[box, n]", "[<Box object>, 7]"), ("(box,)", "(<Box object>,)"), ("[]", "[]")),
        *(("n + 1", "8"), ("missing", None), ("[missing]", None), ("s", "'Hello'"), ("kinds | {1}", "{1, 2, 3}")),
    ],
)
def test_a_guess_also_copies_what_is_not_understood(text, told):
    assert expressions().text(node(text), SHOWN, ()) == told


def test_nothing_is_returned_as_none():
    assert expressions().text(None, SHOWN, ()) == "None"
