import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from debugger.bindings import Binding
from debugger.flow import CodeFlow, ModuleFlow
from tests.data import rows

ROOT = Path(__file__).resolve().parents[2]
ORACLE = Path(__file__).with_name("flow_oracle.py")
ZOO = Path(__file__).with_name("zoo")


def interpreters() -> dict[str, str]:
    """Every supported interpreter on this machine: this one, those of pyenv, those on PATH."""
    found = {f"3.{sys.version_info.minor}": sys.executable}
    places = [*sorted(Path.home().glob(".pyenv/versions/3.*/bin")), *map(Path, os.environ["PATH"].split(os.pathsep))]
    for minor in range(10, 14):
        for place in places:
            path = place / f"python3.{minor}"
            if place.name != "shims" and path.exists():
                found.setdefault(f"3.{minor}", str(path))
    return dict(sorted(found.items()))


INTERPRETERS = interpreters()


def oracle(version: str, programs: list[dict[str, object]]) -> dict[str, object]:
    done = subprocess.run(
        [INTERPRETERS[version], "-W", "ignore", str(ORACLE), str(ROOT)],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def flow_of(source: str, name: str) -> CodeFlow:
    return next(flow for flow in ModuleFlow.from_source(source, "program.py").codes if flow.name == name)


@pytest.mark.parametrize("version", INTERPRETERS)
@pytest.mark.parametrize("name", ["mbpp", "humaneval"])
def test_every_step_of_a_real_run_is_allowed(version: str, name: str) -> None:
    programs = rows(f"{name}_calls.jsonl")
    if "FORETRACE_TEST_ALL" not in os.environ:
        programs = programs[::10]
    report = oracle(version, programs)
    assert report["failures"] == []
    assert report["broken"] == []
    assert report["raised"] == 0
    assert report["line_steps"] > 5_000
    assert report["choices"] / report["line_steps"] < 2.1
    assert report["kept"] > report["line_steps"] / 2
    assert report["returned"] > len(programs) / 2
    assert report["decided"] > report["line_steps"] / 3
    assert report["items"] > report["line_steps"] / 10


@pytest.mark.parametrize("version", INTERPRETERS)
def test_every_step_of_a_hard_program_is_allowed(version: str) -> None:
    programs: list[dict[str, object]] = []
    for path in sorted(ZOO.glob("py*.txt")):
        if int(path.stem[3:5]) <= int(version.partition(".")[2]):
            source = path.read_text("utf-8")
            runs = re.findall(r"^def (run_\w+)", source, re.M)
            programs += [{"id": run, "source": source, "calls": [f"{run}()"]} for run in runs]
    report = oracle(version, programs)
    assert report["failures"] == []
    assert report["broken"] == []
    assert report["raised"] == 0
    assert report["events"] > 4_000


SMALL = "def f(a, b):\n    for b in (7, b):\n        b += 1\n    if a:\n        a = 2\n    return a\n"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("lines.add(line)", "lines.add(line + 1)"),
        ("difference(instruction.deletes).union(instruction.stores)", "union({'c'})"),
        ("possible.union(instruction.deletes, instruction.stores)", "possible"),
        ("self._instructions[start].loads", "'b'"),
        ("holds = bool(", "holds = not bool("),
        ("yield name, repr(item)", "yield name, '3'"),
    ],
)
def test_the_oracle_notices_a_wrong_step(tmp_path: Path, right: str, wrong: str) -> None:
    for path in (ROOT / "debugger").glob("**/*.py"):
        changed = tmp_path / path.relative_to(ROOT)
        changed.parent.mkdir(parents=True, exist_ok=True)
        changed.write_text(path.read_text("utf-8").replace(right, wrong), "utf-8")
    programs = [{"id": "p", "source": SMALL, "calls": ["f(1, 3)"]}]
    done = subprocess.run(
        [sys.executable, str(ORACLE), str(tmp_path)],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert json.loads(done.stdout)["failures"]


def test_branches_loops_and_the_end() -> None:
    source = (
        "def f(n):\n"  # 1
        "    total = 0\n"  # 2
        "    while n:\n"  # 3
        "        if n % 2:\n"  # 4
        "            total += n\n"  # 5
        "        n -= 1\n"  # 6
        "    return total\n"  # 7
    )
    f = flow_of(source, "f")
    assert f.first_line == 1
    assert f.entry_lines == {2}
    assert f.after_line(2) == {3}
    assert f.after_line(3) == {4, 7}
    assert f.after_line(4) == {5, 6}
    assert f.after_line(5) == {6}
    assert f.after_line(6) == {4, 7} or f.after_line(6) == {3}
    assert f.after_line(7) == set()
    assert [line for line in f.line_numbers if f.may_return(line)] == [7]
    assert f.after_line(99) == set()


def binding(certain: str, possible: str = "", gone: str = "") -> Binding:
    every = frozenset(f"{certain} {possible} {gone}".split())
    return Binding(frozenset(certain.split()), every, frozenset(gone.split()))


def test_what_a_line_gives_a_value() -> None:
    flow = flow_of(
        "def f(n):\n    if n: k = 1\n    a = b = 1\n    for x in n:\n        y = x\n    del y\n    return a\n", "f"
    )
    assert flow.entry.bindings == {2: binding("")}
    assert flow.next(2).bindings[3] == binding("", "k")
    assert flow.next(3).bindings == {4: binding("a b")}
    assert flow.next(4).bindings == {5: binding("x"), 6: binding("")}
    assert flow.next(5).bindings == {4: binding("y")}
    assert flow.next(6).bindings == {7: binding("", gone="y")}


def test_the_name_of_an_exception_is_gone_behind_its_handler() -> None:
    flow = flow_of(
        "def f(n):\n    try:\n        n()\n    except E as e:\n        if n: e = 1\n        n = 2\n    return n\n",
        "f",
    )
    assert flow.next(4).bindings[5] == binding("e")
    assert flow.next(5).bindings == {6: binding("", "e")}
    assert flow.next(6).bindings == {7: binding("n", gone="e")}


def test_what_others_share_may_change_at_any_time() -> None:
    source = "def f(n, m):\n    k = m\n    def g():\n        nonlocal n\n        n = k\n    g()\n    return n\n"
    assert flow_of(source, "f").next(6).bindings == {7: binding("", "n")}
    assert flow_of(source, "g").next(5).bindings == {}
    assert flow_of(source, "g").entry.bindings == {5: binding("", "k")}
    assert flow_of(source + "frame.f_locals\n", "f").next(6).bindings == {}
    assert flow_of("class C:\n    a = 1\n    b = a\n", "C").next(2).bindings == {}


@pytest.mark.parametrize(
    ("body", "line", "name"),
    [
        ("    return n\n", 2, "n"),
        ("    for i in n:\n        return i\n", 3, "i"),
        ("    try:\n        return n\n    finally:\n        n = 1\n", 3, None),
        ("    if n: return n\n", 2, None),
        ("    return -n\n", 2, None),
        ("    return len\n", 2, None),
        ("    yield n\n    return n\n", 3, None),
        ("    n\n    return\n", 2, None),
    ],
)
def test_a_line_that_returns_a_name_returns_its_value(body: str, line: int, name: str | None) -> None:
    assert flow_of("def f(n):\n" + body, "f").next(line).returns == name


def test_what_a_line_did_before_it_raised_is_not_told() -> None:
    flow = flow_of("def f(n):\n    try:\n        a = 1 / n; b = 2\n    except Exception:\n        return n\n", "f")
    assert flow.next_after_exception(3).lines == {4}
    assert flow.next_after_exception(3).bindings == {}


def test_exceptions_lead_to_handlers_or_out() -> None:
    source = (
        "def f(n):\n"  # 1
        "    try:\n"  # 2
        "        n = 1 / n\n"  # 3
        "    except ZeroDivisionError:\n"  # 4
        "        n = 0\n"  # 5
        "    finally:\n"  # 6
        "        n += 1\n"  # 7
        "    return n\n"  # 8
    )
    f = flow_of(source, "f")
    assert f.after_line(3) == {7}
    assert f.after_exception(3) == {4}
    assert f.after_line(4) == {5, 7}
    assert f.may_return(7)
    assert f.after_line(7) == {8}
    assert f.may_unwind(7)
    assert not f.may_unwind(3)
    assert not f.may_raise(2)


def test_a_multi_line_statement_visits_lines_back_and_forth() -> None:
    f = flow_of("def f(a, b):\n    return max(\n        a + 1,\n        b,\n    )\n", "f")
    assert f.entry_lines == {2}
    assert f.after_line(2) == {3}
    assert f.after_line(3) == {4}
    assert f.after_line(4) == {2}
    assert f.may_return(2)


def test_simple_moves_neither_call_nor_raise() -> None:
    f = flow_of("def g(a): pass\ndef f(a):\n    b = 1\n    a = (b, 2)\n    b = g(a)\n    return b\n", "f")
    assert [line for line in sorted(f.line_numbers) if f.may_call(line)] == [5]
    assert not f.may_raise(3)


def test_operators_call_only_where_something_can_be_behind_them() -> None:
    plain = "def f(a):\n    return a + 1\n"
    assert not flow_of(plain, "f").may_call(2)
    assert flow_of(plain + "class C:\n    def __add__(self, other):\n        return 1\n", "f").may_call(2)
    assert flow_of(plain + "g = f\n", "f").may_call(2)
    passed = ModuleFlow.from_source(plain, "program.py", calls=["f(map(f, [1]))"])
    assert passed.codes[0].may_call(2)


CALLER = """\
import math
def g(a):
    return a
def f(a):
    a = math.sqrt(len(a))
    a.append(max(
        g(a),
        1))
    print(a)
    a = [b for b in a]
    return a[0](1)
"""


def test_only_lines_that_name_a_function_call_one() -> None:
    f = flow_of(CALLER, "f")
    assert [line for line in sorted(f.line_numbers) if f.may_call(line)] == [7, 10, 11]
    assert f.may_raise(5)


@pytest.mark.parametrize(
    "more",
    [
        "import helpers\n",
        "from . import helpers\n",
        "from sys import modules\n",
        "import sys\nsys.modules[__name__]\n",
        "from operator import attrgetter\n",
        "math.sqrt.__self__\n",
        "eval('g(1)')\n",
        "class A: pass\n",
        "later = lambda a: a\n",
        "def h(): yield 1\n",
        "h = g\n",
    ],
)
def test_what_can_find_a_function_otherwise_lets_every_call_reach_it(more: str) -> None:
    assert flow_of(CALLER + more, "f").may_call(9)


CLASSES = """\
import os
class Stack:
    def push(self, x):
        print(helper(x))
    def helped(self, x): return [
        helper(
            x)]
def helper(x):
    return x if x else alone()
def alone(): return os.getcwd()
def passed(x): return x
def never(x): return x
key = passed
"""


def test_what_is_only_called_by_its_name_is_called_from_there_alone() -> None:
    module = ModuleFlow.from_source(CLASSES, "program.py", ["never(3)"])
    found = {code.name: code.called_from for code in module.codes}
    assert found["helper"] == {4, 6, 7}
    assert found["alone"] == {9}
    assert found["never"] == frozenset()
    for name in ("passed", "push", "helped", "Stack"):
        assert found[name] is None


@pytest.mark.parametrize(
    ("more", "call"),
    [
        ("import unheard_of\n", "never(3)"),
        ("globals()\n", "never(3)"),
        ("name = 'never'\n", "never(3)"),
        ("from functools import never\n", "never(3)"),
        ("never = print\n", "never(3)"),
        ("def never(x): yield x\n", "never(3)"),
        ("", "passed(never)"),
        ("", "passed(lambda: never(3))"),
        ("", "passed(never(x) for x in 'abc')"),
    ],
)
def test_what_may_be_called_otherwise_is_called_from_anywhere(more: str, call: str) -> None:
    module = ModuleFlow.from_source(CLASSES + more, "program.py", [call])
    assert all(code.called_from is None for code in module.codes if code.name == "never")


def test_a_generator_is_entered_where_it_is_first_asked() -> None:
    module = ModuleFlow.from_source("def f():\n    yield 1\ndef g():\n    return sum(f())\n", "program.py")
    assert module.codes[0].called_from is None


@pytest.mark.parametrize(
    ("names", "can"),
    [("a b args k more", True), ("a b args k more free", True), ("a b k more", False), ("a b args k more x", False)],
)
def test_a_function_is_entered_with_its_parameters_and_what_it_captured(names: str, can: bool) -> None:
    source = "def f(free):\n    def g(a, /, b, *args, k, **more):\n        x = free\n    return g\n"
    code = ModuleFlow.from_source(source, "program.py").code_at(2, "g")
    assert code is not None
    assert code.entering == ("a", "b", "k", "args", "more", "free")
    assert code.enters_with(names.split()) is can


def test_the_locals_of_a_class_body_are_a_namespace() -> None:
    (code,) = ModuleFlow.from_source("class C:\n    n = 1\n", "program.py").codes
    assert code.entering is None
    assert code.enters_with([]) and code.enters_with(["n"]) and not code.enters_with(["m"])


def test_generators_yield_and_go_on() -> None:
    g = flow_of("def g():\n    for i in range(3):\n        yield i\n", "g")
    assert g.is_generator
    assert g.may_yield(3)
    assert not g.may_yield(2)
    assert g.after_line(3) == {2}
    assert g.next(3).yield_lines == {3}


def test_a_decorated_function_is_called_at_its_first_decorator() -> None:
    source = "import functools\n@functools.cache\n@print\ndef f():\n    return 1\n"
    module = ModuleFlow.from_source(source, "program.py")
    f = module.code_at(2, "f")
    assert f is not None
    assert f.entry_lines == {5}
    assert module.code_at(4, "f") is None


def test_nesting_names_and_order() -> None:
    source = "class C:\n    def m(self):\n        def inner():\n            return lambda: self\n        return inner\n"
    module = ModuleFlow.from_source(source, "program.py")
    assert [code.qualname for code in module.codes] == [
        "C",
        "C.m",
        "C.m.<locals>.inner",
        "C.m.<locals>.inner.<locals>.<lambda>",
    ]
    inner = module.codes[2]
    assert inner.parent is module.codes[1]
    assert module.codes[0].parent is None
    assert inner.variables == ("self",)


def test_several_lambdas_on_one_line_are_all_found() -> None:
    module = ModuleFlow.from_source("f = (lambda a: a), (lambda b: b)\n", "program.py")
    assert [code.variables for code in module.codes_at(1, "<lambda>")] == [("a",), ("b",)]


def test_nothing_of_the_file_is_run() -> None:
    ModuleFlow.from_source("raise SystemExit\nimport nowhere\n", "program.py")


def test_a_syntax_error_is_raised_as_such() -> None:
    with pytest.raises(SyntaxError):
        ModuleFlow.from_source("def f(:\n", "program.py")
