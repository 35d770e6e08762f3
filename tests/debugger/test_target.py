import itertools
from pathlib import Path

import pytest

from debugger.target import SourceFile, TargetError, build_context, find_targets

PROGRAM = '''\
"""A module."""
from __future__ import annotations

import math
import os, sys
from math import *

LIMIT = 3
TABLE = {}
UNUSED = [1,
          2]


for number in range(LIMIT):
    TABLE[number] = number


def helper(x):
    """Explain at length what this does, for the sake of whoever reads it."""
    return far(x) + LIMIT


def far(x):
    return math.floor(x)


# A comment that belongs to nobody.
def target(n):
    """Its own docstring stays."""
    def inner(m):
        return m

    local = TABLE[n]
    return helper(inner(local))


class Stack:
    size = 1

    def __init__(self, items):
        self.items = items

    @staticmethod
    def unrelated():
        return 1

    def push(self, item):
        self.grow(item)
        return self.items

    def grow(self, item):
        self.items.append(item)

    class Inner:
        def deep(self):
            return 1


def unused():
    return UNUSED


print(target(3))

if __name__ == "__main__":
    target(1)
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, "utf-8")
    return path


def words(text: str) -> int:
    return len(text.split())


def line_of(text: str) -> int:
    return PROGRAM.splitlines().index(text) + 1


def write(path: Path, data: bytes) -> SourceFile:
    path.write_bytes(data)
    return SourceFile.read(path)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", ()),
        (b"a = 1", ("a = 1\n",)),
        (b"a = 1\r\nb = 2\r\n", ("a = 1\n", "b = 2\n")),
        (b"a = 1\rb = 2", ("a = 1\n", "b = 2\n")),
        (b"\xef\xbb\xbfa = '\xc3\xa9'\n", ("a = 'é'\n",)),
        (b"# coding: latin-1\n\xe9 = 1\n", ("# coding: latin-1\n", "é = 1\n")),
        ("größe = '\u2028'\n".encode(), ("größe = '\u2028'\n",)),
        (b"if 1:\n\ta = 1\n\x0c\nb = 2\n", ("if 1:\n", "\ta = 1\n", "\x0c\n", "b = 2\n")),
    ],
)
def test_a_file_is_read_as_python_reads_it(tmp_path: Path, data: bytes, lines: tuple[str, ...]) -> None:
    file = write(tmp_path / "a.py", data)
    assert file.lines == lines
    assert file.text == "".join(lines)
    file.parse()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"a = '\0'\n", "NUL bytes"),
        (b"a = 1\nb = 2\nc = '\xe9'\n", "line 3: byte 0xe9 is not UTF-8 text"),
        (b"a = '\xe9'\n", "UTF-8"),
        (b"# coding: klingon\n", "klingon"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence) as caught:
        write(tmp_path / "a.py", data)
    assert "\n" not in str(caught.value)


def test_a_file_stands_for_its_functions_and_methods(program: Path) -> None:
    found = find_targets(str(program))
    assert [target.qualname for target in found] == [
        "helper",
        "far",
        "target",
        "Stack.__init__",
        "Stack.unrelated",
        "Stack.push",
        "Stack.grow",
        "Stack.Inner.deep",
        "unused",
    ]
    first = found[0]
    assert (first.first_line, first.last_line) == (line_of("def helper(x):"), line_of("def helper(x):") + 2)
    assert first.name == f"{program}::helper"
    assert [target.qualname for target in find_targets(first.name)] == ["helper"]
    assert first.node().name == "helper"


def test_a_name_stands_for_a_function_a_method_or_a_class(program: Path) -> None:
    assert [t.qualname for t in find_targets(f"{program}::Stack.push")] == ["Stack.push"]
    assert len(find_targets(f"{program}::Stack")) == 5


@pytest.mark.parametrize(
    ("text", "qualname"),
    [
        ("def helper(x):", "helper"),
        ("        return m", "target"),
        ("    @staticmethod", "Stack.unrelated"),
        ("        self.grow(item)", "Stack.push"),
    ],
)
def test_a_line_stands_for_the_function_around_it(program: Path, text: str, qualname: str) -> None:
    assert [t.qualname for t in find_targets(f"{program}:{line_of(text)}")] == [qualname]
    assert [t.qualname for t in find_targets(f"{program}:{line_of(text)}:7")] == [qualname]


def test_a_path_with_a_drive_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("C:x.py").write_text("def f():\n    return 1\n", "utf-8")
    assert [t.qualname for t in find_targets("C:x.py")] == ["f"]
    assert [t.qualname for t in find_targets("C:x.py:2")] == ["f"]
    assert [t.qualname for t in find_targets("C:x.py::f")] == ["f"]


def test_the_last_of_several_definitions_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "try:\n    def f(): return 1\nexcept OSError:\n    def f(): return 2\n\nif 1:\n    def g(): pass\n", "utf-8"
    )
    assert [(t.qualname, t.first_line) for t in find_targets(str(path))] == [("f", 4), ("g", 7)]


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    for name in ("b.py", "sub/a.py", ".hidden/c.py", "__pycache__/d.py", "node_modules/e.py", "env/lib/f.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def f():\n    pass\n", "utf-8")
    (tmp_path / "env" / "pyvenv.cfg").write_text("", "utf-8")
    (tmp_path / "broken.py").write_text("def f(:\n", "utf-8")
    problems: list[TargetError] = []
    found = find_targets(str(tmp_path), problems.append)
    assert [str(t.file.path.relative_to(tmp_path)) for t in found] == ["b.py", str(Path("sub/a.py"))]
    assert [str(problem) for problem in problems] == [
        f"{tmp_path / 'broken.py'}, line 1: syntax error: invalid syntax."
    ]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("{}/missing.py", "No such file or folder: .*missing.py."),
        ("{}/missing.py::f", "No such file: .*missing.py."),
        ("{}/missing.py:3", "No such file: .*missing.py."),
        ("{}/program.py::targe", "has no function 'targe'; did you mean target?"),
        ("{}/program.py::pusch", "did you mean Stack.push?"),
        ("{}/program.py::zzz", "has no function 'zzz'; it has helper, far, .* and 1 more."),
        ("{}/program.py::target.inner", "name target, the function around it"),
        ("{}/program.py:8", "Line 8 of .* is outside any function; the nearest is helper"),
        ("{}/program.py:999", "has no line 999; it ends with line"),
        ("{}/empty", "no Python file in .*empty"),
        ("{}/none.py", "defines no function"),
        ("{}/none.py:1", "the file defines none"),
        ("{}/broken.py", "broken.py, line 2: syntax error"),
        ("{}/broken.py::f", "broken.py, line 2: syntax error"),
        ("{}/notes.md", r"notes.md does not end in .py and seems to be no Python file; line 1: syntax error: "),
        ("{}/notes.md::f", "notes.md does not end in .py and seems to be no Python file"),
        ("{}/notes.md:1", "notes.md does not end in .py and seems to be no Python file"),
        (
            "{}/program.py:target",
            r":target names no function: .* as in .*program.py:12, .* as in .*program.py::target\.$",
        ),
        ("{}/program.py:39-41", r":39-41 names no function: .* as in .*program.py:39, .* as in .*program.py::NAME\.$"),
        ("{}/program.py:", r"program.py: names no function: .* as in .*program.py:12, .* as in .*program.py::NAME\.$"),
        ("{}/missing.py:39-41", "No such file or folder: .*missing.py:39-41"),
        ("{}/return.py", "line 1: syntax error: 'return' outside function"),
    ],
)
def test_a_wrong_target_gets_one_sentence(program: Path, spec: str, sentence: str) -> None:
    folder = program.parent
    (folder / "empty").mkdir()
    (folder / "none.py").write_text("a = 1\n", "utf-8")
    (folder / "broken.py").write_text("def f():\n    return (\n", "utf-8")
    (folder / "return.py").write_text("return 1\n", "utf-8")
    (folder / "notes.md").write_text("It's not Python.\n", "utf-8")
    with pytest.raises(TargetError, match=sentence) as caught:
        find_targets(spec.format(folder))
    assert "\n" not in str(caught.value)


def test_a_python_program_may_have_any_name(program: Path) -> None:
    (found,) = find_targets(f"{program.rename(program.with_name('script'))}::target")
    assert found.qualname == "target"


def test_the_context_holds_what_the_function_needs_and_nothing_else(program: Path) -> None:
    (target,) = find_targets(f"{program}::target")
    context = build_context(target, "target(2)", 1000, words)
    assert (
        context.source
        == '''\
from __future__ import annotations

import math
from math import *

LIMIT = 3
TABLE = {}

for number in range(LIMIT):
    TABLE[number] = number

def helper(x):
    """Explain at length what this does, for the sake of whoever reads it."""
    return far(x) + LIMIT

def far(x):
    return math.floor(x)

def target(n):
    """Its own docstring stays."""
    def inner(m):
        return m

    local = TABLE[n]
    return helper(inner(local))
'''
    )
    lines = context.source.splitlines(keepends=True)
    assert lines == [target.file.lines[number - 1] for number in context.lines]


def test_the_context_holds_what_the_call_names(program: Path) -> None:
    (target,) = find_targets(f"{program}::far")
    assert "UNUSED" not in build_context(target, "far(2)", 1000, words).source
    source = build_context(target, "far(unused()[0])", 1000, words).source
    assert "def unused():" in source
    assert "UNUSED = [1,\n          2]\n" in source


def test_a_method_brings_its_class(program: Path) -> None:
    (target,) = find_targets(f"{program}::Stack.push")
    source = build_context(target, "Stack([]).push(1)", 1000, words).source
    assert source.startswith("from __future__")
    assert "unrelated" in source
    assert "def target" not in source


def test_a_small_budget_drops_in_order_and_never_the_target(program: Path) -> None:
    (target,) = find_targets(f"{program}::target")
    sizes: list[str] = []
    for budget in range(70, 5, -1):
        try:
            sizes.append(build_context(target, "target(2)", budget, words).source)
        except TargetError as error:
            assert "is too long for the model's context" in str(error)
            break
    else:
        pytest.fail("a budget below the target's own size was accepted")
    assert all("def target(n):" in source and "Its own docstring stays." in source for source in sizes)
    for source in sizes:
        compile(source, "context.py", "exec", dont_inherit=True)
    assert all(words(source) >= words(later) for source, later in itertools.pairwise(sizes))
    first_without = {
        text: next(index for index, source in enumerate(sizes) if text not in source)
        for text in ("Explain", "def far", "def helper", "import math")
    }
    assert list(first_without) == sorted(first_without, key=lambda text: first_without[text])


def test_methods_out_of_reach_go_before_definitions(program: Path) -> None:
    (target,) = find_targets(f"{program}::Stack.push")
    whole = words(build_context(target, "Stack([]).push(1)", 1000, words).source)
    source = build_context(target, "Stack([]).push(1)", whole - 1, words).source
    assert "unrelated" not in source
    assert "@staticmethod" not in source
    assert "def grow" in source
    assert "def __init__" in source


def test_one_line_pieces_and_decorators_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("import functools\na = 1; b = 2\n@functools.cache\ndef f(x): return x + b\n", "utf-8")
    (target,) = find_targets(f"{path}::f")
    assert build_context(target, "f(1)", 100, words).source == path.read_text("utf-8")
