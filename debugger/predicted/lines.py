"""What the text of each line says about its step: which names it gives values to, what it calls, what it returns.

Only syntax is read, to guess what a prediction will say next; nothing is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp
"""Those that run when they are reached, in a frame of their own before Python 3.12."""
COMPREHENSIONS: Mapping[str, type[Comprehension]] = {
    "<listcomp>": ast.ListComp,
    "<setcomp>": ast.SetComp,
    "<dictcomp>": ast.DictComp,
}
"""By the name of their code."""


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
