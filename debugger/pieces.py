"""The statements at the top of a file as pieces of whole physical lines, and which of them need which.

A prediction is given only the pieces that its function needs. What a piece defines and uses is read from its compiled
code, so a local variable is never taken for a module's constant; nothing is run.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

Definition = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_USES = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL"})
_BINDS = frozenset({"STORE_NAME", "STORE_GLOBAL"})


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive physical lines that hold one or more whole statements of the module."""

    first_line: int
    """Decorators included."""
    last_line: int
    binds: frozenset[str]
    """Module names that it defines."""
    uses: frozenset[str]
    """Module names and builtins that it, or a function in it, reads or changes."""
    changes: frozenset[str]
    """Module names whose objects it changes when the module is imported, as `TABLE[0] = 1` and `TABLE.append(1)` do."""
    is_import: bool
    always_needed: bool
    """`from __future__` and star imports."""
    is_main: bool
    """An `if __name__ == "__main__"` block."""
    statements: tuple[ast.stmt, ...]


def pieces_of(tree: ast.Module, filename: str) -> tuple[Piece, ...]:
    """Split a module into its pieces, in file order; statements that share a physical line share a piece."""
    groups: list[list[ast.stmt]] = []
    for statement in tree.body:
        if groups and first_line_of(statement) <= _last_line(groups[-1][-1]):
            groups[-1].append(statement)
        else:
            groups.append([statement])
    return tuple(_piece(group, filename) for group in groups)


def first_line_of(node: ast.stmt) -> int:
    """The first physical line of a statement, its decorators included."""
    decorators = node.decorator_list if isinstance(node, _Scope) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def distances(pieces: tuple[Piece, ...], start: Piece, names: Iterable[str]) -> dict[int, int]:
    """How many references each needed piece is away from `start` and the module names `names`, keyed by position."""
    found = {index: 0 for index, piece in enumerate(pieces) if piece is start or piece.always_needed}
    wanted = start.uses | start.binds | frozenset(names)
    known: frozenset[str] = frozenset()
    distance = 0
    while wanted - known:
        distance += 1
        fresh, known = wanted - known, known | wanted
        wanted = frozenset[str]()
        for index, piece in enumerate(pieces):
            if index not in found and not piece.is_main and (piece.binds | piece.changes) & fresh:
                found[index] = distance
                wanted |= piece.uses | piece.binds
    return found


def is_main_block(statement: ast.stmt) -> bool:
    """Whether a statement is `if __name__ == "__main__":`."""
    if not isinstance(statement, ast.If) or not isinstance(statement.test, ast.Compare):
        return False
    sides = [statement.test.left, *statement.test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)


def docstring_of(node: ast.AST) -> ast.Expr | None:
    """The docstring's statement of a function or class whose body holds more than that."""
    if not isinstance(node, _Scope) or len(node.body) < 2:
        return None
    first, second = node.body[:2]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    stands_alone = first.lineno > node.lineno and _last_line(first) < first_line_of(second)
    return first if isinstance(first, ast.Expr) and is_text and stands_alone else None


def methods_reached(cls: ast.ClassDef, starts: Iterable[ast.AST]) -> set[str]:
    """Methods of `cls` that code in `starts` can lead to, by name; special methods always count."""
    methods = {node.name: node for node in cls.body if isinstance(node, Definition)}
    reached: set[str] = set()
    others = [node for node in cls.body if not isinstance(node, Definition)]
    special = [node for name, node in methods.items() if name.startswith("__") and name.endswith("__")]
    todo: list[ast.AST] = [*starts, *others, *special]
    reached.update(node.name for node in special)
    while todo:
        for node in ast.walk(todo.pop()):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None
            if name in methods and name not in reached:
                reached.add(name)
                todo.append(methods[name])
    return reached


def _piece(statements: list[ast.stmt], filename: str) -> Piece:
    code = compile(ast.Module(statements, []), filename, "exec", dont_inherit=True)
    imports = (ast.Import, ast.ImportFrom)
    return Piece(
        first_line=first_line_of(statements[0]),
        last_line=max(_last_line(statement) for statement in statements),
        binds=frozenset(_names(code, _BINDS, nested=False)),
        uses=frozenset(_names(code, _USES, nested=True)),
        changes=frozenset(name for statement in statements for name in _changed(statement)),
        is_import=all(isinstance(statement, imports) for statement in statements),
        always_needed=any(
            isinstance(statement, ast.ImportFrom)
            and (statement.module == "__future__" or any(alias.name == "*" for alias in statement.names))
            for statement in statements
        ),
        is_main=any(is_main_block(statement) for statement in statements),
        statements=tuple(statements),
    )


def _names(code: CodeType, opnames: frozenset[str], *, nested: bool) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in opnames:
            yield str(instruction.argval)
    for constant in code.co_consts:
        if nested and isinstance(constant, CodeType):
            yield from _names(constant, opnames, nested=True)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names whose objects a statement outside functions changes: stored into, or a method called on their own line."""
    if isinstance(statement, _Scope):
        return
    for node in ast.walk(statement):
        place: ast.expr | None = None
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            place = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            place = node.value.func if isinstance(node.value.func, ast.Attribute) else None
        while isinstance(place, (ast.Attribute, ast.Subscript)):
            place = place.value
        if isinstance(place, ast.Name):
            yield place.id


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
