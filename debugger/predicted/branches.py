"""Where a run goes on from an `if`, `while` or `for`, and with which item, if the values that it has shown say so."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias, cast

from debugger.flow import CodeFlow
from debugger.predicted.expressions import Expressions, bound_names, has_set
from debugger.predicted.literals import UnknownError, is_immutable

_Branching: TypeAlias = ast.If | ast.While | ast.For
_PAIRING = ("enumerate", "reversed", "zip")
_VIEWS = ("items", "keys", "values")
_MOST_ITEMS = 10_000
"""Of a sequence that is gone through together with another, or with numbers."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way that control takes from a line, with nothing in between."""

    block: range
    """Lines of a block of statements."""
    inside: bool
    """Whether the next `line` event is of that block, or of no line of it."""
    returns: bool
    """The frame may end instead."""
    does_more: bool = False
    """The line has a statement of its own behind the condition, which may call and raise."""
    items: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a loop gives to its names: the `repr` of each, as far as that is certain."""

    def has_line(self, line: int) -> bool:
        """Whether the next `line` event can be this one."""
        return (line in self.block) is self.inside


@dataclass(frozen=True, slots=True)
class Turns:
    """Where a Python frame stands in its loops."""

    line: int | None = 0
    """The last one that it has shown; None where that is not certain."""
    shown: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its locals then."""
    loops: Mapping[int, tuple[int, Mapping[str, str]]] = field(
        default_factory=dict[int, "tuple[int, Mapping[str, str]]"]
    )
    """For the line of each `for` how many items its loop has had and the locals when it began, if that is certain."""


class Branches:
    """The `if`, `while` and `for` of a file."""

    def __init__(self, tree: ast.Module, expressions: Expressions) -> None:
        """Look at the file's syntax tree."""
        self._expressions = expressions
        self._statements: dict[int, _Branching] = {}
        self._restarting: set[int] = set()
        """Lines of loops that can begin anew from within, as no line of the loop around them is reported then."""
        self._shared: set[str] = set()
        """Names that several functions give a value to."""
        self._cleaned_up: set[int] = set()
        """Lines from which a `return` leads to others first, as those of a `finally`."""
        for node in ast.walk(tree):
            if isinstance(node, (ast.If, ast.While, ast.For)):
                self._statements[node.lineno] = node
            if isinstance(node, ast.stmt) and (
                isinstance(node, (ast.With, ast.AsyncWith)) or getattr(node, "finalbody", [])
            ):
                self._cleaned_up.update(range(node.lineno, (node.end_lineno or 0) + 1))
            if isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
                self._restarting.add(node.body[0].lineno)
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                self._shared.update(node.names)

    def follow(self, turns: Turns, line: int | None, shown: Mapping[str, str]) -> Turns:
        """The turns with one more `line` event of the same Python frame; None for a line that is not certain."""
        if line is None:
            return Turns(None, shown)
        loop = self._statements.get(line)
        if not isinstance(loop, ast.For):
            return Turns(line, shown, turns.loops)
        loops = {**turns.loops}
        if turns.line is None:
            loops.pop(line, None)
        elif turns.line not in _lines(loop, loop.body):
            loops[line] = (0, shown)
        elif line in loops:
            turn, at_first = loops[line]
            loops[line] = (turn + 1, at_first)
        return Turns(line, shown, loops)

    def way(self, turns: Turns, code: CodeFlow) -> Way | None:
        """Which way control takes from the last line, in this code; None where values do not tell."""
        statement = self._statements.get(turns.line) if turns.line is not None else None
        if statement is None or code.name.startswith("<"):
            return None
        head = statement.iter if isinstance(statement, ast.For) else statement.test
        if not head.lineno == head.end_lineno == statement.lineno:
            return None  # a line of it is not the whole
        try:
            if isinstance(statement, ast.For):
                items = self._next_items(statement, turns, code)
                way = _way(statement, items is not None)
                return way and replace(way, items=items or {})
            holds = bool(self._expressions.value(statement.test, turns.shown, code.variables))
        except UnknownError:
            return None
        if statement.body[0].lineno == statement.lineno and statement.lineno in self._cleaned_up:
            return None
        return _way(statement, holds)

    def _next_items(self, loop: ast.For, turns: Turns, code: CodeFlow) -> Mapping[str, str] | None:
        """What a loop gives to its names next; None where nothing is left. Raises UnknownError."""
        if loop.lineno not in turns.loops or code.is_generator:
            raise UnknownError  # turns are not counted where a frame is left and resumed
        turn, at_first = turns.loops[loop.lineno]
        if turn and loop.lineno in self._restarting:
            raise UnknownError
        items = self.iterated(loop.iter, at_first, code.variables)
        has_own = isinstance(items, (str, bytes, tuple, range)) or _is_made_for_the_loop(loop.iter)
        if turn and not has_own:
            items = self._as_it_is_now(items, loop, at_first, turns.shown, code)
        if turn >= len(items):
            return None
        item = items[turn] if isinstance(items, Sequence) else next(islice(items, turn, None))
        is_known = not isinstance(items, (set, frozenset))  # whose order is not told
        if is_known and turn and has_own:
            is_known = is_immutable(item)  # else it may have been changed since the loop began
        if is_known:
            return dict(_unpacked(loop.target, item))
        if not isinstance(loop.target, ast.Name):
            raise UnknownError
        return {}

    def _as_it_is_now(
        self,
        first: Collection[Any],
        loop: ast.For,
        at_first: Mapping[str, str],
        shown: Mapping[str, str],
        code: CodeFlow,
    ) -> Collection[Any]:
        """What a loop goes through that may have been changed since it began with `first`. Raises UnknownError."""
        # The loop has the object and not its name: what the name shows is that object as long as it gets no other.
        names = {node.id for node in ast.walk(loop.iter) if isinstance(node, ast.Name)}
        if not (names.isdisjoint(self._shared) and names.isdisjoint(bound_names(loop))):
            raise UnknownError
        if not _is_named(loop.iter) and (
            _stores_items(loop) or any(shown.get(name) != at_first.get(name) for name in names)
        ):
            raise UnknownError
        now = self.iterated(loop.iter, shown, code.variables)
        if type(now) is not type(first) or _keys(now) != _keys(first):
            raise UnknownError
        if _name_called(loop.iter) == "reversed" and len(now) != len(first):
            raise UnknownError
        return now

    def iterated(self, node: ast.expr, shown: Mapping[str, str], variables: Collection[str]) -> Collection[Any]:
        """What a loop over an expression goes through. Raises UnknownError."""
        name = _name_called(node)
        if name not in _PAIRING:
            found = self._expressions.value(node, shown, variables)
            if not isinstance(found, Collection):
                raise UnknownError
            return cast("Collection[Any]", found)
        assert isinstance(node, ast.Call)
        if node.keywords or name in variables or not self._expressions.is_builtin(name):
            raise UnknownError
        given = [self._expressions.value(argument, shown, variables) for argument in node.args]
        for sequence in given if name == "zip" else given[:1]:
            if not isinstance(sequence, (list, tuple, str, range)) or len(cast("Any", sequence)) > _MOST_ITEMS:
                raise UnknownError
        try:
            return [*getattr(builtins, name)(*given)]
        except TypeError:
            raise UnknownError from None


def _way(statement: _Branching, holds: bool) -> Way | None:
    """Where control goes from a statement whose condition holds, or whose loop goes on, or not."""
    body = _lines(statement, statement.body)
    if statement.body[0].lineno > statement.lineno:
        if holds:
            return Way(body, inside=True, returns=False)
        if statement.orelse:
            behind = range(body.stop, (statement.orelse[-1].end_lineno or 0) + 1)
            return Way(behind, inside=True, returns=False)
        return Way(body, inside=False, returns=True)
    match statement:
        case ast.If(body=[ast.Return()], orelse=[]):
            return Way(range(0), inside=holds, returns=holds, does_more=holds)
        case _:
            return None


def _lines(statement: _Branching, block: Sequence[ast.stmt]) -> range:
    """All lines from behind the statement's first one to the end of the block."""
    return range(statement.lineno + 1, (block[-1].end_lineno or 0) + 1)


def _name_called(node: ast.expr) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _is_made_for_the_loop(node: ast.expr) -> bool:
    """Whether an expression makes a new object, which nothing else can change."""
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name not in _PAIRING
        case ast.Call(func=ast.Attribute(attr=name)):
            return name not in _VIEWS
        case _:
            return isinstance(node, (ast.BinOp, ast.List, ast.Set, ast.Dict)) or (
                isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
            )


def _is_named(node: ast.expr) -> bool:
    """Whether a loop goes through objects that have names of their own."""
    match node:
        case ast.Name() | ast.Call(func=ast.Attribute(value=ast.Name()), args=[]):
            return True
        case ast.Call(func=ast.Name(), args=parts):
            return all(isinstance(part, (ast.Name, ast.Constant)) for part in parts)
        case _:
            return False


def _stores_items(loop: ast.For) -> bool:
    return any(isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load) for node in ast.walk(loop))


def _keys(items: object) -> object:
    """What must stay as it is while a dict or a set is gone through."""
    if isinstance(items, (set, frozenset)):
        return cast("Collection[object]", items)
    mapping: object = getattr(items, "mapping", items)  # a view has its dict there
    return [*cast("Mapping[object, object]", mapping)] if isinstance(mapping, Mapping) else None


def _unpacked(target: ast.expr, item: Any) -> Iterator[tuple[str, str]]:
    """The names that an item is given to, each with its `repr`. Raises UnknownError where it may not fit them."""
    match target:
        case ast.Name(id=name):
            if not has_set(item):
                yield name, repr(item)
            return
        case ast.Tuple(elts=targets) | ast.List(elts=targets) if isinstance(item, (tuple, list, str)):
            if len(targets) == len(cast("Sequence[object]", item)):
                for part, value in zip(targets, cast("Sequence[object]", item), strict=True):
                    yield from _unpacked(part, value)
                return
        case _:
            pass
    raise UnknownError
