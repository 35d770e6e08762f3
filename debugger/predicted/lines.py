"""What the text of each line says about its step: which names it gives values to, what it calls, what it returns.

Only syntax is read, to guess what a prediction will say next; nothing is run.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp
"""Those that run when they are reached, in a frame of their own before Python 3.12."""
COMPREHENSIONS: Mapping[str, type[Comprehension]] = {
    "<listcomp>": ast.ListComp,
    "<setcomp>": ast.SetComp,
    "<dictcomp>": ast.DictComp,
}
"""By the name of their code."""
_ITERATORS: Mapping[Any, str] = {
    list: "list_iterator",
    tuple: "tuple_iterator",
    dict: "dict_keyiterator",
    set: "set_iterator",
    range: "range_iterator",
    str: "str_ascii_iterator",
}
_MAX_NUMBER = 10**15
"""Nothing is counted with larger ones."""
_MAX_LITERAL = 4000
"""A longer `repr` is not taken apart."""


@dataclass(slots=True)
class LineFacts:
    """What a physical line does, as far as its statements tell."""

    binds: list[str] = field(default_factory=list[str])
    """Names that it gives values to."""
    changes: list[str] = field(default_factory=list[str])
    """Names whose objects it may change in place."""
    values: dict[str, ast.expr] = field(default_factory=dict[str, ast.expr])
    """For names that are given one expression: which."""
    calls: list[ast.Call] = field(default_factory=list[ast.Call])
    """In the order in which they are made."""
    comprehensions: list[Comprehension] = field(default_factory=list[Comprehension])
    """In the order in which they run; not those inside others."""
    loop: ast.For | None = None
    result: ast.expr | None = None
    """What a `return` or a `yield` hands out."""
    returns: bool = False
    raises: bool = False


def facts_by_line(tree: ast.Module) -> dict[int, LineFacts]:
    """The facts of every line that belongs to a statement."""
    found: dict[int, LineFacts] = {}
    for statement in ast.walk(tree):
        if isinstance(statement, ast.stmt):
            for line in _lines_of(statement):
                _note(found.setdefault(line, LineFacts()), statement)
    return found


def _lines_of(statement: ast.stmt) -> range:
    """All lines of a simple statement; of a compound one those of its head."""
    body: list[ast.stmt] = getattr(statement, "body", [])
    last = (statement.end_lineno or statement.lineno) if not body else max(body[0].lineno - 1, statement.lineno)
    return range(statement.lineno, last + 1)


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What a statement itself evaluates, operands before what uses them; not its body, and no nested function's."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case, ast.Lambda, ast.expr_context)):
            yield from _own_nodes(child)
            yield child


def _comprehensions(node: ast.AST) -> Iterator[Comprehension]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ListComp, ast.SetComp, ast.DictComp)):
            yield child
        elif not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case, ast.Lambda, ast.GeneratorExp)):
            yield from _comprehensions(child)


def _note(facts: LineFacts, statement: ast.stmt) -> None:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        facts.binds.append(statement.name)
        return
    facts.comprehensions += _comprehensions(statement)
    for node in _own_nodes(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            facts.binds.append(node.id)
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            _note_change(facts, node.value)
        elif isinstance(node, ast.Call):
            facts.calls.append(node)
            if isinstance(node.func, ast.Attribute):
                _note_change(facts, node.func.value)
        elif isinstance(node, ast.Yield):
            facts.result = node.value
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            facts.values[name] = value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            facts.values[name] = value
        case ast.AugAssign(target=ast.Name(id=name), op=operator, value=value):
            facts.values[name] = ast.BinOp(ast.Name(name, ast.Load()), operator, value)
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)) if len(names) == len(values):
            facts.values.update(
                {name.id: v for name, v in zip(names, values, strict=True) if isinstance(name, ast.Name)}
            )
        case ast.For():
            facts.loop = statement
        case ast.Return(value=value):
            facts.returns, facts.result = True, value
        case ast.Raise():
            facts.raises = True
        case _:
            pass


def _note_change(facts: LineFacts, node: ast.expr) -> None:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    if isinstance(node, ast.Name):
        facts.changes.append(node.id)


def text_of(node: ast.expr | None, shown: Mapping[str, str]) -> str | None:
    """The `repr` that an expression likely has: of a literal, a name, an element, or what such are added up to.

    `shown` are the locals. None where that takes more than copying and counting.
    """
    match node:
        case None:
            return "None"
        case ast.Constant(value=value):
            return repr(value)
        case ast.Name(id=name):
            return shown.get(name)
        case ast.Call(func=ast.Name(id="list" | "dict" | "tuple" | "set" as name), args=[], keywords=[]):
            return {"list": "[]", "dict": "{}", "tuple": "()", "set": "set()"}[name]
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)], keywords=[]):
            found = literal(shown.get(name))
            return str(len(found)) if _is(found, list, tuple, str, dict, set) else None
        case ast.Subscript(value=ast.Name(id=name), slice=index):
            return _element(literal(shown.get(name)), literal(text_of(index, shown)))
        case ast.BinOp(left=left, op=kind, right=right):
            return _operated(kind, literal(text_of(left, shown)), literal(text_of(right, shown)))
        case ast.List() | ast.Tuple() | ast.Dict() | ast.Set() | ast.UnaryOp():
            return _literal_text(node, shown)
        case _:
            return None


def _literal_text(node: ast.expr, shown: Mapping[str, str]) -> str | None:
    """Of a display: literal as it stands, or made of names."""
    try:
        return repr(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    if not isinstance(node, (ast.List, ast.Tuple)):
        return None
    texts = [text_of(element, shown) for element in node.elts]
    if not all(texts):
        return None
    inside = ", ".join(text or "" for text in texts)
    if isinstance(node, ast.List):
        return f"[{inside}]"
    return f"({inside},)" if len(texts) == 1 else f"({inside})"


def _operated(kind: ast.operator, left: Any, right: Any) -> str | None:
    """What an operator makes of two whole numbers that are not large, or of two texts or lists that are added."""
    are_numbers = all(_is(each, int) and abs(each) <= _MAX_NUMBER for each in (left, right))
    are_alike = type(left) is type(right) and _is(left, str, list, tuple)
    match kind:
        case ast.Add() if are_numbers or are_alike:
            return repr(left + right)
        case ast.Sub() if are_numbers:
            return repr(left - right)
        case ast.Mult() if are_numbers:
            return repr(left * right)
        case ast.FloorDiv() if are_numbers and right:
            return repr(left // right)
        case ast.Mod() if are_numbers and right:
            return repr(left % right)
        case _:
            return None


def _element(container: Any, index: Any) -> str | None:
    try:
        return repr(container[index])
    except (TypeError, LookupError):
        return None


def elements(text: str) -> list[str]:
    """The elements in the inside of a list's or tuple's `repr`, the last one maybe only begun."""
    found, depth, quote, start = [""], 0, "", 0
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[position - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and not depth:
            found[-1] = text[start:position]
            found.append("")
            start = position + 2
    found[-1] = text[start:]
    return found


@functools.lru_cache(maxsize=1024)
def literal(text: str | None) -> Any:
    """The value whose `repr` is a literal; None for others."""
    if text is None or len(text) > _MAX_LITERAL or not text:
        return None
    if text.lstrip("-").isdecimal():
        return int(text)
    if text[0] not in "'\"[({TF" or not text.isascii():
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def iterator_text(iterated: ast.expr, shown: Mapping[str, str]) -> str | None:
    """The `repr` of the iterator that a comprehension is given, without its address."""
    match iterated:
        case ast.Call(func=ast.Name(id="range" | "enumerate" | "zip" as name)):
            return "<range_iterator object>" if name == "range" else f"<{name} object>"
        case ast.Call(func=ast.Attribute(attr="items"), args=[]):
            return "<dict_itemiterator object>"
        case _:
            kind = _ITERATORS.get(type(literal(text_of(iterated, shown))))
            return f"<{kind} object>" if kind else None


def items_of(loop: ast.For | ast.comprehension, shown: Mapping[str, str]) -> list[dict[str, str]] | range | None:
    """What the loop's names hold in each round, where its text and the locals tell; a range stands for one integer."""
    match loop.iter:
        case ast.Call(func=ast.Name(id="range"), args=arguments, keywords=[]) if 0 < len(arguments) < 4:
            numbers: list[Any] = [literal(text_of(argument, shown)) for argument in arguments]
            if all(isinstance(number, int) for number in numbers) and numbers[2:] != [0]:
                return range(*numbers)
            return None
        case ast.Call(func=ast.Name(id="enumerate"), args=[ast.Name(id=name)], keywords=[]):
            found = literal(shown.get(name))
            items: Any = [*zip(range(len(found)), found, strict=True)] if _is(found, list, tuple, str) else None
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="items"), args=[], keywords=[]):
            found = literal(shown.get(name))
            items = list(found.items()) if _is(found, dict) else None
        case ast.Name(id=name):
            items = literal(shown.get(name))
        case _:
            items = literal(text_of(loop.iter, shown))
    if not _is(items, list, tuple, str, dict):
        return None
    return [_unpacked(loop.target, item) for item in items]


def _is(value: Any, *kinds: type) -> bool:
    """As `isinstance`, for values of which nothing more is known."""
    return isinstance(value, kinds)


def _unpacked(target: ast.expr, item: Any) -> dict[str, str]:
    match target:
        case ast.Name(id=name):
            return {name: repr(item)}
        case ast.Tuple(elts=elements) if _is(item, tuple, list) and len(item) == len(elements):
            found: dict[str, str] = {}
            for element, part in zip(elements, item, strict=True):
                found |= _unpacked(element, part)
            return found
        case _:
            return {}
