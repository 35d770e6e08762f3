"""Programs written one by one: MBPP's functions (CC-BY-4.0), small ones of the library (PSF), those of `nano/written/`.

MBPP is read from ../shared/data beside the checkout, or from nano/work/data. Its functions are called as its own tests
do, and with other arguments; they come as they are, with variables renamed, and with a bug. The standard library's
functions are those of the interpreter at hand, with what they need of their module (`nano/stdlib.txt` names them).

A tenth of each is held out by function: `is_held_out` decides, for training and for measuring alike.
Nothing here is from HumanEval, and `forbidden` finds what is equal to one of its functions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nano.chooser import Chooser
from nano.mutate import renamed, shapes, with_bug, with_other_arguments
from nano.template import Filling, Part, parts_of

HERE = Path(__file__).parent
FOLDERS = (HERE.parents[1] / "shared" / "data", HERE / "work" / "data")
HELD_OUT_SHARE = 10
"""One function in this many is held out."""
LONGEST = 1800
"""Characters of a library function with what it needs."""


class MissingDataError(Exception):
    """A file of the shared data is absent; the message is one sentence that says which, and where it belongs."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as it was written, with the module that it needs."""

    name: str
    source: str
    calls: tuple[str, ...] = ()
    """Calls that came with it."""
    arguments: tuple[tuple[Part, ...], ...] = ()
    """Or templates of calls."""

    def call(self, choose: Chooser) -> str:
        """A call of it."""
        if self.arguments:
            return Filling(choose).text(choose.of(self.arguments))
        call = choose.of(self.calls)
        return call if choose.chance(0.25) else with_other_arguments(choose, call)


def is_held_out(source: str) -> bool:
    """Whether a function's module, as MBPP or the standard library has it, is kept from training.

    Names, hints and layout do not matter, so that functions which differ in nothing else are on one side.
    """
    return digest(b"".join(sorted(quiet_shapes(source).values()))) % HELD_OUT_SHARE == 0


def digest(data: bytes) -> int:
    """A number of 64 bits that tells texts apart, the same in every run."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def quiet_shapes(source: str) -> dict[str, bytes]:
    """`shapes`; the benchmarks' invalid escapes are not worth a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return shapes(source)


def data_file(name: str) -> Path | None:
    """A file of the shared data, or None where it is absent."""
    return next((folder / name for folder in FOLDERS if (folder / name).exists()), None)


def needed_data_file(name: str) -> Path:
    """A file of the shared data. Raises MissingDataError."""
    path = data_file(name)
    if path is None:
        raise MissingDataError(
            f"{name} is missing: put it into {FOLDERS[0]} or {FOLDERS[1]}; nano/README.md says what is in it."
        )
    return path


@cache
def mbpp(held_out: bool) -> tuple[Function, ...]:
    """MBPP's functions of one side; none where the data is absent."""
    path = data_file("mbpp_calls.jsonl")
    if path is None:
        return ()
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(
        Function(row["entry"], row["source"], tuple(row["calls"]))
        for row in rows
        if is_held_out(row["source"]) is held_out
        and row["source"].isascii()
        and humaneval_shapes().isdisjoint(quiet_shapes(row["source"]).values())
    )


@cache
def humaneval_shapes() -> frozenset[bytes]:
    """The shapes of HumanEval's functions, which nothing to learn from may have."""
    text = (HERE / "humaneval_shapes.txt").read_text(encoding="ascii")
    return frozenset(bytes.fromhex(line) for line in text.split())


@cache
def held_out_shapes() -> frozenset[bytes]:
    """The shapes of the functions of MBPP's held-out tenth."""
    return frozenset(shape for function in mbpp(True) for shape in quiet_shapes(function.source).values())


def forbidden(source: str, call: str, held_out: bool) -> bool:
    """Whether a program has a function of HumanEval's, or, to learn from, of MBPP's held-out tenth.

    The function that is called always counts, a helper only with more than one statement: `return a + b` is nobody's.
    """
    found = quiet_shapes(source)
    barred = humaneval_shapes() if held_out else humaneval_shapes() | held_out_shapes()
    if barred.isdisjoint(found.values()):
        return False
    entry = re.match(r"\w+", call)
    body = {node.name: len(node.body) for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    return any(
        shape in barred and (body[name] > 1 or (entry is not None and name == entry.group()))
        for name, shape in found.items()
    )


def written_in(text: str) -> Iterator[Function]:
    """The programs of a file of `nano/written/`: first their calls, a line with `>>> ` each, then the module's text."""
    for calls, source in re.findall(r"((?:^>>> .*\n)+)((?:^(?!>>> ).*\n)+)", text, flags=re.MULTILINE):
        lines = tuple(line.removeprefix(">>> ") for line in calls.splitlines())
        yield Function(lines[0].partition("(")[0], source.strip("\n") + "\n", lines)


@cache
def written(held_out: bool) -> tuple[Function, ...]:
    """The functions of `nano/written/` of one side."""
    texts = (path.read_text(encoding="ascii") for path in sorted((HERE / "written").glob("*.txt")))
    found = (function for text in texts for function in written_in(text))
    return tuple(function for function in found if is_held_out(function.source) is held_out)


@cache
def stdlib(held_out: bool) -> tuple[Function, ...]:
    """The functions of `nano/stdlib.txt` that this interpreter has, of one side."""
    templates: dict[tuple[str, str], list[tuple[Part, ...]]] = {}
    for line in (HERE / "stdlib.txt").read_text(encoding="utf-8").splitlines():
        module, call = line.split(": ", 1)
        templates.setdefault((module, call[: call.index("(")]), []).append(parts_of(call))
    functions: list[Function] = []
    for (module, name), calls in templates.items():
        source = extracted(module, name)
        if source is not None and is_held_out(source) is held_out:
            functions.append(Function(name, source, arguments=tuple(calls)))
    return tuple(functions)


def extracted(module: str, name: str) -> str | None:
    """A library function and what it needs of its module, without docstrings and comments; None if it is not there."""
    if module == "_pydatetime" and importlib.util.find_spec(module) is None:
        module = "datetime"  # up to Python 3.11
    try:
        text = inspect.getsource(importlib.import_module(module))
    except ModuleNotFoundError:
        return None
    tree = ast.parse(text)
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for defined_name in _names_defined(statement):
            defined.setdefault(defined_name, []).append(statement)
    needed: dict[int, ast.stmt] = {}
    todo = [name]
    while todo:
        for statement in defined.get(todo.pop(), ())[:2]:
            if id(statement) not in needed:
                needed[id(statement)] = statement
                todo += _names_used(statement)
    statements = [_without_docstrings(statement) for statement in tree.body if id(statement) in needed]
    source = "\n\n".join(map(ast.unparse, statements)) + "\n"
    return source if name in defined and source.isascii() and len(source) <= LONGEST else None


def _names_used(statement: ast.stmt) -> set[str]:
    """The names of the module that a statement may need."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    inner: set[str] = {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
    if isinstance(statement, ast.FunctionDef):
        inner |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    inner -= {name for node in ast.walk(statement) if isinstance(node, ast.Global) for name in node.names}
    return {node.id for node in names} - inner


def _names_defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.For):  # fills a table, or what looks like one
        yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
    elif isinstance(statement, ast.Assign):
        yield from (node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _without_docstrings(statement: ast.stmt) -> ast.stmt:
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return statement


def variant(choose: Chooser, functions: tuple[Function, ...]) -> tuple[str, str, str]:
    """A function's text, a call, and the text as it was written: as it is, renamed, or with a bug."""
    function = choose.of(functions)
    source = function.source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if choose.chance(0.6):
            source = renamed(choose, source)
        if choose.chance(0.3):
            source = with_bug(choose, source) or source
    return source, function.call(choose), function.source
