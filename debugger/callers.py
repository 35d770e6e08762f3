"""Which lines of a file can call its functions, as far as its text tells, without importing or running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


_MODULES = words(
    """
    __future__ array bisect calendar cmath collections collections.abc copy datetime decimal enum fractions functools
    hashlib heapq itertools json math numbers operator queue random re statistics string sys time typing zlib
    """
)
"""Of the standard library; they call only what they are given."""
_REACHING = words(
    """
    attrgetter eval exec get_type_hints getattr getattr_static globals locals methodcaller modules setattr vars
    _current_frames _getframe
    """
)
"""Names by which a function is found without being named."""
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)


def calling_lines(tree: ast.Module) -> frozenset[int] | None:
    """The lines from which a function of the file can be called; None: from any.

    `tree` has no function that is used as a value, and no class, lambda, generator or decorator: then a function is
    called only where its name stands before the brackets, and a comprehension only where it is written.
    """
    nodes = list(ast.walk(tree))
    if any(_reaches_further(node) for node in nodes):
        return None
    functions = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return frozenset(line for node in nodes if _calls(node, functions) for line in _lines(node))


def _reaches_further(node: ast.AST) -> bool:
    """Whether code elsewhere may come to call functions of this file through what is imported or looked up here."""
    match node:
        case ast.Import(names=names):
            return not all(alias.name in _MODULES for alias in names)
        case ast.ImportFrom(module=module, level=level, names=names):
            return level > 0 or module not in _MODULES or any(alias.name in _REACHING for alias in names)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _REACHING or (name.startswith("__") and name.endswith("__") and name != "__name__")
        case _:
            return False


def _calls(node: ast.AST, functions: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in functions
        case ast.Call():
            return True  # what a call or a container gave
        case _:
            return isinstance(node, _COMPREHENSIONS)


def _lines(node: ast.AST) -> Iterator[int]:
    """All lines of an expression: which of them the interpreter is at when it calls is not the same in all versions."""
    assert isinstance(node, ast.expr)
    yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)
