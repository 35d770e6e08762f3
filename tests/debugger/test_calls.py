from pathlib import Path

import pytest

from debugger.calls import Origin, find_calls, parse_call, running_call
from debugger.target import TargetError, find_targets


def calls(tmp_path: Path, source: str, name: str = "f", *origins: Origin, **others: str) -> list[str]:
    """Expressions found for a target of `mod.py`, of the given origins only; `others` are further files."""
    (tmp_path / "pyproject.toml").write_text("", "utf-8")
    path = tmp_path / "mod.py"
    path.write_text(source, "utf-8")
    for file, text in others.items():
        other = tmp_path / (file.replace("__", "/") + ".py")
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text(text, "utf-8")
    (target,) = find_targets(f"{path}::{name}")
    found = [call for call in find_calls(target) if not origins or call.origin in origins]
    namespace: dict[str, object] = {"__name__": "mod"}
    exec(compile(source, "mod.py", "exec", dont_inherit=True), namespace)
    for call in found:
        eval(compile(call.expression, "<call>", "eval"), namespace)  # each can be evaluated after an import
    return [call.expression for call in found]


def test_comments_in_above_and_about_the_function(tmp_path: Path) -> None:
    source = (
        "LIMIT = 3\n"
        "# foretrace: g(f(9))\n"
        "\n"
        "# A note.\n"
        "# foretrace: f(LIMIT)\n"
        "def f(n):\n"
        '    x = "# foretrace: f(77)"\n'
        "    # foretrace: f(1)   # the smallest\n"
        "    return n  #foretrace:f( 2 )\n"
        "\n"
        "def g(n):\n"
        "    return n  # foretrace: g(5)\n"
    )
    assert calls(tmp_path, source) == ["g(f(9))", "f(LIMIT)", "f(1)", "f(2)"]
    assert calls(tmp_path, source, "g") == ["g(f(9))", "g(5)"]
    (target,) = find_targets(f"{tmp_path / 'mod.py'}::f")
    assert [(call.origin, call.line) for call in find_calls(target)] == [
        (Origin.COMMENT, line) for line in (2, 5, 8, 9)
    ]


def test_a_comment_for_a_method(tmp_path: Path) -> None:
    source = (
        "class Stack:\n"
        "    # foretrace: Stack([1]).push(2)\n"
        "    def __init__(self, items):\n"
        "        self.items = items\n"
        "\n"
        "    def push(self, item):\n"
        "        self.items.append(item)\n"
        "        return self\n"
    )
    assert calls(tmp_path, source, "Stack.push") == ["Stack([1]).push(2)"]


def test_a_comment_that_does_not_parse_is_told(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"mod.py, line 2: The call 'f\(1' does not parse: .* was never closed"):
        calls(tmp_path, "def f(n):\n    return n  # foretrace: f(1\n")


def test_doctests(tmp_path: Path) -> None:
    source = '''\
"""
>>> f(0)
0
"""

def f(n):
    """Double.

    >>> f(1)
    2
    >>> x = 3
    >>> print(f(x))
    6
    >>> unknown = open("nowhere")
    >>> f(unknown)
    >>> f(
    """
    return n * 2
'''
    assert calls(tmp_path, source, "f", Origin.DOCTEST) == ["f(1)", "f(3)", "f(0)"]
    (target,) = find_targets(f"{tmp_path / 'mod.py'}::f")
    assert [call.line for call in find_calls(target)] == [9, 12, 2]


def test_a_doctest_that_builds_the_instance_first(tmp_path: Path) -> None:
    source = '''\
class Stack:
    """
    >>> s = Stack([1])
    >>> s.push(2)
    """
    def __init__(self, items):
        self.items = items
    def push(self, item):
        self.items.append(item)
'''
    assert calls(tmp_path, source, "Stack.push") == ["Stack([1]).push(2)"]


def test_tests_that_import_the_function(tmp_path: Path) -> None:
    source = "import math\n\ndef f(a, b=0):\n    return a + b\n\ndef other():\n    return f(1000)\n"
    test = """\
import math
import os
import pytest
import mod
import mod as renamed
from mod import f as function, other
from elsewhere import g

SHARED = 7

def helper(n):
    return function(n)

@pytest.mark.parametrize("a, b", [(1, 2), pytest.param(3, 4, id="x")])
@pytest.mark.parametrize("c", [5])
def test_rows(a, b, c):
    assert function(a, b=b) == c

def test_plain(tmp_path):
    assert function(10) == 10
    with pytest.raises(TypeError):
        mod.f(1, 2)
    n = 11
    renamed.f(n, SHARED)
    n = os.getpid()
    function(n)
    function(tmp_path)
    for item in ["a", "b"]:
        function(item, "z")
    function(math.floor(2.5))

class TestIt:
    def test_method(self):
        self.assertEqual(function(12), 12)
"""
    found = calls(
        tmp_path, source, "f", Origin.TEST, test_mod=test, tests__unit__test_more="from pkg import mod\nmod.f(99)\n"
    )
    assert found == [
        "f(1, b=2)",
        "f(3, b=4)",
        "f(10)",
        "f(1, 2)",
        "f(11, 7)",
        "f('a', 'z')",
        "f('b', 'z')",
        "f(math.floor(2.5))",
        "f(12)",
        "f(99)",
    ]


def test_a_test_of_another_module_does_not_count(tmp_path: Path) -> None:
    source = "def f(a):\n    return a\n"
    assert calls(tmp_path, source, "f", test_x="from other import f\nf(1)\n", x_test="def f(a): pass\nf(2)\n") == []
    assert calls(tmp_path, source, "f", test_broken="from mod import f\nf(1\n") == []


def test_module_level_and_main_calls(tmp_path: Path) -> None:
    source = """\
import sys
WORDS = ["a"]

def f(a, b=1):
    return a

def main():
    data = {"k": 1}
    f(data)

x = f(2)
assert f(WORDS) == WORDS
print("result", f(x))
for i in range(2):
    print(f(i))

def unrelated():
    f(100)

if __name__ == "__main__":
    text = "abc"
    print(f(text, b=2))
    print(f(input()))
    print(f(int(sys.argv[1])))
    print(f(undefined))
    for word in ("p", "q"):
        f(word)
"""
    assert calls(tmp_path, source, "f", Origin.MAIN) == ["f({'k': 1})", "f('abc', b=2)", "f('p')", "f('q')"]
    assert calls(tmp_path, source, "f", Origin.MODULE) == ["f(2)", "f(WORDS)", "f(x)", "f(i)"]


def test_instances_at_module_level(tmp_path: Path) -> None:
    source = (
        "class C:\n"
        "    def __init__(self, n):\n"
        "        self.n = n\n"
        "    def m(self, k):\n"
        "        return k\n"
        "\n"
        "c = C(1)\n"
        "c.m(2)\n"
    )
    assert calls(tmp_path, source, "C.m") == ["C(1).m(2)"]
    assert calls(tmp_path, source, "C.__init__") == ["C(1)"]
    assert calls(tmp_path, source + "\nif __name__ == '__main__':\n    c.m(3)\n", "C.m") == ["C(1).m(3)", "C(1).m(2)"]


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("def f(): pass\n", "f", ["f()"]),
        ("def f(a=1, *args, b=2, **rest): pass\n", "f", ["f()"]),
        ("def f(a): pass\n", "f", []),
        ("def f(a=1, *, b): pass\n", "f", []),
        ("def f():\n    yield 1\n", "f", ["list(f())"]),
        ("async def f(): return 1\n", "f", ["__import__('asyncio').run(f())"]),
        ("class C:\n    def m(self): pass\n", "C.m", ["C().m()"]),
        ("class C:\n    def m(self, a): pass\n", "C.m", []),
        ("class C:\n    def __init__(self, a): pass\n    def m(self): pass\n", "C.m", []),
        ("class C:\n    def __init__(self, a=1): pass\n", "C.__init__", ["C()"]),
        ("class C:\n    @staticmethod\n    def m(): pass\n", "C.m", ["C.m()"]),
        ("class C:\n    @classmethod\n    def m(cls, a=1): pass\n", "C.m", ["C.m()"]),
        ("class C:\n    @property\n    def p(self): return 1\n", "C.p", ["C().p"]),
        ("class A:\n    def __init__(self, a): pass\nclass B(A):\n    def m(self): pass\n", "B.m", []),
        ("class A:\n    pass\nclass B(A):\n    def m(self): pass\n", "B.m", ["B().m()"]),
        ("class C:\n    class D:\n        def m(self): pass\n", "C.D.m", ["C.D().m()"]),
        (
            "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1\n    def m(self): return self.x\n",
            "P.m",
            ["P().m()"],
        ),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    def m(self): pass\n", "P.m", []),
    ],
)
def test_defaults(tmp_path: Path, source: str, name: str, expected: list[str]) -> None:
    assert calls(tmp_path, source, name) == expected


def test_what_was_done_to_a_value_before_comes_with_it(tmp_path: Path) -> None:
    source = """\
class Stack:
    \"\"\"
    >>> s = Stack()
    >>> s.push(3)
    >>> s.push(4)
    >>> s.pop()
    4
    >>> s.items = [7]
    >>> s.pop()
    7
    \"\"\"
    def __init__(self): self.items = []
    def push(self, x): self.items.append(x)
    def pop(self): return self.items.pop()

def total(xs):
    return sum(xs)
"""
    test = """\
from mod import Stack, total

class TestThem:
    def test_stack(self):
        s = Stack()
        s.push(1)
        self.assertEqual(s.pop(), 1)
        s.push(2)
        assert s.pop() == 2

    def test_total(self):
        xs = [1]
        xs.append(2)
        assert total(xs) == 3
        xs[0] = 5
        assert total(xs) == 7
"""
    kinds = Origin.DOCTEST, Origin.TEST
    # Storing into an object is no expression: what comes after it is left out.
    assert calls(tmp_path, source, "Stack.pop", *kinds, test_mod=test) == [
        "((s := Stack()), s.push(3), s.push(4), s)[-1].pop()",
        "((s := Stack()), s.push(1), s)[-1].pop()",
        "((s := Stack()), s.push(1), s.pop(), s.push(2), s)[-1].pop()",
    ]
    assert calls(tmp_path, source, "Stack.push", *kinds, test_mod=test) == [
        "Stack().push(3)",
        "((s := Stack()), s.push(3), s)[-1].push(4)",
        "Stack().push(1)",
        "((s := Stack()), s.push(1), s.pop(), s)[-1].push(2)",
    ]
    assert calls(tmp_path, source, "total", *kinds, test_mod=test) == ["total(((xs := [1]), xs.append(2), xs)[-1])"]


def test_what_was_done_under_a_name_of_the_module_is_left_out(tmp_path: Path) -> None:
    """The call gives the name a value in the module, where the program means another by it."""
    source = "class C:\n    def put(self): pass\n    def take(self): return c\n\n\nc = 7\n"
    test = "from mod import C\ndef test_it():\n    c = C()\n    c.put()\n    assert c.take() == 7\n"
    assert calls(tmp_path, source, "C.take", Origin.TEST, test_mod=test) == []
    assert calls(tmp_path, source, "C.put", Origin.TEST, test_mod=test) == ["C().put()"]


def test_a_call_that_only_makes_an_object_is_made_to_run(tmp_path: Path) -> None:
    source = "import asyncio\n\n# foretrace: f(2)\nasync def f(n):\n    return n\n\n\ndef g(n):\n    yield n\n"
    assert calls(tmp_path, source, "f", Origin.COMMENT) == ["asyncio.run(f(2))"]
    (target,) = find_targets(f"{tmp_path / 'mod.py'}::g")
    assert running_call(target, "g(1)") == "list(g(1))"
    assert running_call(target, "next(g(1))") == "next(g(1))"


def test_the_best_origin_comes_first_and_each_call_once(tmp_path: Path) -> None:
    source = (
        'def f(a="x"):\n'
        '    """\n    >>> f( "y" )\n    """\n'
        '    # foretrace: f("z")\n'
        "\n"
        'f("y")\nf("z")\nf("w")\nf("v",)\n'
    )
    assert calls(tmp_path, source, "f", test_mod="from mod import f\nf('w')\n") == [
        "f('z')",
        "f('y')",
        "f('w')",
        "f('v')",
        "f()",
    ]


def test_a_given_call_is_checked() -> None:
    assert parse_call(' f(3, "a") ') == 'f(3, "a")'
    assert parse_call("f(\n    1,\n)") == "f(1)"
    assert parse_call("größe('<|frame_sep|>')") == "größe('<|frame_sep|>')"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The call is empty"),
        ("   ", "The call is empty"),
        ("f(3", r"The call 'f\(3' does not parse: .* was never closed, at column 2."),
        ("f(3))", r"does not parse: unmatched '\)', at column 5."),
        ("x = f(3)", "is a statement; write one expression"),
        ("f(1); f(2)", "is a statement"),
        ("f(1)\nf(2)", "is a statement"),
        ("return f(1)", "does not parse"),
        ("(yield 1)", "does not parse"),
        ("f('\0')", "does not parse"),
        ("f(" + "(" * 500 + ")" * 500 + ")", "does not parse"),
    ],
)
def test_a_given_call_that_is_none_gets_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence) as caught:
        parse_call(text)
    assert "\n" not in str(caught.value)


def test_a_broken_comment_in_another_function_is_that_functions_problem(tmp_path):
    path = tmp_path / "two.py"
    path.write_text("def f(n):\n    # foretrace: f(1)\n    return n\n\ndef g(n):\n    # foretrace: g(\n    return n\n")
    assert [call.expression for call in find_calls(find_targets(f"{path}::f")[0])] == ["f(1)"]
    with pytest.raises(TargetError, match="line 6"):
        find_calls(find_targets(f"{path}::g")[0])
