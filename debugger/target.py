"""The function a run is about: where it stands in its file, and the part of its module that a prediction needs."""

from __future__ import annotations

import ast
import difflib
import functools
import io
import os
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from debugger.pieces import (
    Definition,
    Piece,
    distances,
    docstring_of,
    first_line_of,
    is_main_block,
    methods_reached,
    pieces_of,
)

_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages"})
_SUFFIXES = frozenset({".py", ".pyw", ".pyi"})
_FILE_AND_LINE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::\d+)?$")
_NEWLINES = re.compile(r"\r\n?")


class TargetError(Exception):
    """A target, a file or a call that cannot be used; its text is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Python file as text."""

    path: Path
    text: str
    """Decoded as Python itself does, newlines normalised to `\\n`, the last line ended."""
    lines: tuple[str, ...]
    """Physical lines; each ends in `\\n`."""

    @classmethod
    def read(cls, path: str | Path) -> SourceFile:
        """Read and decode a file by its byte order mark or PEP 263 comment, else as UTF-8. Raises TargetError."""
        path = Path(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise TargetError(f"No such file: {path}.") from None
        except OSError as error:
            raise TargetError(f"{path} cannot be read: {error.strerror or error}.") from None
        if b"\0" in data:
            raise TargetError(f"{path} holds NUL bytes, so it is no Python source; save it again as UTF-8 text.")
        return cls.from_text(path, _decode(path, data))

    @classmethod
    def from_text(cls, path: str | Path, text: str) -> SourceFile:
        """A file as an editor holds it, whatever is on the disk."""
        text = _NEWLINES.sub("\n", text)
        if text and not text.endswith("\n"):
            text += "\n"
        return cls(Path(path), text, tuple(_split(text)))

    def parse(self) -> ast.Module:
        """The syntax tree, which is shared: nobody may change it. Raises TargetError where it does not compile."""
        return _parse(self)

    def pieces(self) -> tuple[Piece, ...]:
        """The module's pieces, shared like the tree. Raises TargetError."""
        return _pieces(self)


@dataclass(frozen=True, slots=True)
class Target:
    """A function or method that calls are made of."""

    file: SourceFile
    qualname: str
    """`f`, `C.m`, `Outer.Inner.m`."""
    first_line: int
    """The line of its `def`, after the decorators."""
    last_line: int

    @property
    def name(self) -> str:
        """As shown to the user, and accepted again by `find_targets`."""
        return f"{self.file.path}::{self.qualname}"

    def node(self) -> Definition:
        """Its definition in the file's syntax tree."""
        return next(node for name, node in _functions(self.file.parse()) if (name, node.lineno) == self._place)

    @property
    def _place(self) -> tuple[str, int]:
        return self.qualname, self.first_line


@dataclass(frozen=True, slots=True)
class Context:
    """The part of a module that a prediction is given."""

    source: str
    lines: tuple[int, ...]
    """For each line of `source` the number, from 1, of the same line in the file."""


@functools.lru_cache(maxsize=2)
def _parse(file: SourceFile) -> ast.Module:
    try:
        tree = ast.parse(file.text, str(file.path))
        compile(tree, str(file.path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise TargetError(f"{file.path}, line {error.lineno or 1}: syntax error: {error.msg}.") from None
    except (RecursionError, MemoryError):
        raise TargetError(f"{file.path} is nested too deeply for Python to compile it.") from None
    except ValueError as error:
        raise TargetError(f"{file.path} cannot be compiled: {error}.") from None
    return tree


@functools.lru_cache(maxsize=2)
def _pieces(file: SourceFile) -> tuple[Piece, ...]:
    return pieces_of(file.parse(), str(file.path))


def find_targets(spec: str, on_problem: Callable[[TargetError], None] | None = None) -> list[Target]:
    """The functions that `file.py`, `file.py::name`, `file.py::Class`, `file.py:LINE` or a folder stands for.

    A file stands for its functions and the methods of its classes, in file order; functions inside functions belong to
    the one around them. In a folder, a file that cannot be used goes to `on_problem` and the others are taken; hidden
    folders, virtual environments, `__pycache__` and `node_modules` are left out. Raises TargetError.
    """
    path = Path(spec)
    if path.is_dir():
        return _in_folder(path, on_problem or (lambda problem: None))
    if path.exists():
        return _in_file(path)
    file, separator, qualname = spec.rpartition("::")
    if separator:
        return _named(_python_file(file), qualname)
    at_line = _FILE_AND_LINE.match(spec)
    if at_line:
        return [_at_line(_python_file(at_line["file"]), int(at_line["line"]))]
    file, _, place = spec.rpartition(":")
    if Path(file).is_file():
        line = next(iter(re.findall(r"^\d+", place)), "12")
        name = place if place.replace(".", "_").isidentifier() else "NAME"
        raise TargetError(
            f"{spec} names no function: write a line of it, as in {file}:{line}, or its name, as in {file}::{name}."
        )
    raise TargetError(f"No such file or folder: {spec}.")


def build_context(target: Target, call: str, budget: int, count_tokens: Callable[[str], int]) -> Context:
    """The target with all that it and `call` need of its module, in file order, in at most `budget` tokens.

    That is: the statements that define names which the target, its class or the call expression uses, and in turn what
    those use; never `if __name__` blocks or unrelated code. Where this is too long, these go, one after the other until
    it fits: docstrings of others, methods of the target's class that it cannot reach, then definitions, those furthest
    from the target first and imports last. Raises TargetError where the target alone is too long.
    """
    pieces = target.file.pieces()
    own = next(piece for piece in pieces if piece.first_line <= target.first_line <= piece.last_line)
    expression = ast.parse(call, mode="eval")
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    distance = distances(pieces, own, names)
    kept = [piece for index, piece in enumerate(pieces) if index in distance]
    furthest = sorted(
        (index for index, piece in enumerate(pieces) if index in distance and piece is not own),
        key=lambda index: (pieces[index].is_import, -distance[index], -index),
    )
    hidden: set[int] = set()
    shortenings: list[Callable[[], None]] = [
        lambda: hidden.update(_docstring_lines(kept, target)),
        lambda: hidden.update(_unreached_lines(own, target, expression)),
        *(partial(kept.remove, pieces[index]) for index in furthest),
    ]
    context = _render(target.file, kept, hidden)
    tokens = count_tokens(context.source)
    for shorten in shortenings:
        if tokens <= budget:
            break
        shorten()
        context = _render(target.file, kept, hidden)
        tokens = count_tokens(context.source)
    if tokens > budget:
        raise TargetError(
            f"{target.name} is too long for the model's context: {tokens} tokens, of {budget} that are free for source."
        )
    return context


def _decode(path: Path, data: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TargetError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not {error.encoding.upper()} text; save the file"
            " as UTF-8 or name its encoding in a comment such as '# coding: latin-1' on its first line."
        ) from None
    except SyntaxError as error:  # an unknown encoding, or the first two lines are no UTF-8
        raise TargetError(
            f"{path} cannot be decoded: {error.msg}; save the file as UTF-8 or name its encoding in a comment such as"
            " '# coding: latin-1' on its first line."
        ) from None


def _split(text: str) -> list[str]:
    """Lines as Python counts them; `str.splitlines` also splits at form feeds and Unicode's separators."""
    return [line + "\n" for line in text.split("\n")[:-1]]


def _functions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Qualified names and definitions of all functions outside functions, in file order."""

    def inside(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
        for node in body:
            if isinstance(node, Definition):
                yield prefix + node.name, node
            elif isinstance(node, ast.ClassDef):
                yield from inside(node.body, f"{prefix}{node.name}.")
            elif not is_main_block(node):
                for block in _blocks(node):
                    yield from inside(block, prefix)

    yield from inside(tree.body, "")


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        yield getattr(node, field, [])
    for handler in getattr(node, "handlers", []):
        yield handler.body


def targets_in(file: SourceFile) -> list[Target]:
    """All targets of a file; of several with one name, the last, which is the one that the name means.

    Raises TargetError where the file does not compile.
    """
    found = {
        name: Target(file, name, node.lineno, node.end_lineno or node.lineno) for name, node in _functions(file.parse())
    }
    return sorted(found.values(), key=lambda target: target.first_line)


def _python_file(path: str | Path) -> SourceFile:
    """A file that the user names. Raises TargetError, also where it does not look like Python by name and content."""
    file = SourceFile.read(path)
    if file.path.suffix not in _SUFFIXES:
        try:
            file.parse()
        except TargetError as problem:
            _, named, said = str(problem).partition(f"{file.path}, ")
            if not named:
                raise
            raise TargetError(f"{path} does not end in .py and seems to be no Python file; {said}") from None
    return file


def _in_file(path: Path) -> list[Target]:
    found = targets_in(_python_file(path))
    if not found:
        raise TargetError(f"{path} defines no function.")
    return found


def _in_folder(folder: Path, on_problem: Callable[[TargetError], None]) -> list[Target]:
    paths = list(_python_files(folder))
    if not paths:
        raise TargetError(f"There is no Python file in {folder}.")
    found: list[Target] = []
    problems: list[TargetError] = []
    for path in paths:
        try:
            found += targets_in(SourceFile.read(path))
        except TargetError as problem:
            problems.append(problem)
    if not found:
        raise problems[0] if problems else TargetError(f"No Python file in {folder} defines a function.")
    for problem in problems:
        on_problem(problem)
    return found


def _python_files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _SKIPPED_FOLDERS and not Path(here, name, "pyvenv.cfg").exists()
        )
        yield from (Path(here, name) for name in sorted(files) if name.endswith(".py") and not name.startswith("."))


def _named(file: SourceFile, qualname: str) -> list[Target]:
    found = targets_in(file)
    matches = [target for target in found if target.qualname == qualname]
    matches = matches or [target for target in found if target.qualname.startswith(qualname + ".")]
    if matches:
        return matches
    names = [target.qualname for target in found]
    wanted = qualname.replace(".<locals>", "")
    around = next((name for name in names if wanted.startswith(name + ".")), None)
    if around is not None:
        raise TargetError(f"{qualname} is not at the top of {file.path}; name {around}, the function around it.")
    last_parts = {name.rpartition(".")[2]: name for name in names}
    close = difflib.get_close_matches(qualname, names, n=3) or [
        last_parts[part] for part in difflib.get_close_matches(qualname.rpartition(".")[2], last_parts, n=3)
    ]
    hint = f"; did you mean {_either(close)}?" if close else f"; it has {_both(names)}." if names else "."
    raise TargetError(f"{file.path} has no function {qualname!r}{hint}")


def _at_line(file: SourceFile, line: int) -> Target:
    if not 1 <= line <= len(file.lines):
        raise TargetError(f"{file.path} has no line {line}; it ends with line {len(file.lines)}.")
    found = [
        Target(file, name, node.lineno, node.end_lineno or node.lineno)
        for name, node in _functions(file.parse())
        if first_line_of(node) <= line <= (node.end_lineno or node.lineno)
    ]
    if found:
        return found[-1]
    others = targets_in(file)
    if not others:
        raise TargetError(f"Line {line} of {file.path} is outside any function; the file defines none.")
    near = min(others, key=lambda target: max(target.first_line - line, line - target.last_line))
    raise TargetError(
        f"Line {line} of {file.path} is outside any function; the nearest is {near.qualname},"
        f" lines {near.first_line} to {near.last_line}."
    )


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def _both(names: list[str], most: int = 8) -> str:
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _docstring_lines(pieces: list[Piece], target: Target) -> Iterator[int]:
    for piece in pieces:
        for statement in piece.statements:
            for node in ast.walk(statement):
                docstring = docstring_of(node)
                if docstring and not target.first_line < docstring.lineno <= target.last_line:
                    yield from range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1)


def _unreached_lines(piece: Piece, target: Target, expression: ast.Expression) -> Iterator[int]:
    """Lines of the methods around the target that neither it nor the call can lead to."""
    for statement in piece.statements:
        for cls in ast.walk(statement):
            if not isinstance(cls, ast.ClassDef) or not cls.lineno <= target.first_line <= (cls.end_lineno or 0):
                continue
            methods = [node for node in cls.body if isinstance(node, Definition)]
            around = [node for node in methods if node.lineno <= target.first_line <= (node.end_lineno or 0)]
            reached = methods_reached(cls, [expression, *around])
            for method in methods:
                if method.name not in reached and method not in around:
                    yield from range(first_line_of(method), (method.end_lineno or method.lineno) + 1)


def _render(file: SourceFile, pieces: list[Piece], hidden: set[int]) -> Context:
    numbers: list[int] = []
    for piece in pieces:
        if numbers:
            between = range(piece.first_line - 1, numbers[-1], -1)
            numbers.extend([line for line in between if not file.lines[line - 1].strip()][:1])
        numbers.extend(line for line in range(piece.first_line, piece.last_line + 1) if line not in hidden)
    return Context("".join(file.lines[number - 1] for number in numbers), tuple(numbers))
