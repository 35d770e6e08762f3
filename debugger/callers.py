"""Which lines of a file can call its functions, as far as its text tells, without importing or running it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


_MODULES = words(
    """
    __future__ abc array bisect calendar cmath collections collections.abc contextlib copy dataclasses datetime decimal
    enum fractions functools hashlib heapq io itertools json math numbers operator os os.path pathlib queue random re
    statistics string sys textwrap time typing unicodedata uuid zlib
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
_HARMLESS = words("__all__ __class__ __doc__ __file__ __init__ __name__ __version__")
"""Names with two underscores that lead to no function of the module."""
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


def lines_that_call(tree: ast.Module, calls: Sequence[ast.Expression]) -> dict[str, frozenset[int]]:
    """The functions of the module that are only ever called by their name, and the only lines that do so.

    `calls` are what the module's functions are entered with; a function that these alone name is called from no line.
    Classes, generators and decorators may be in the module: they, too, call such a function from those lines.
    """
    nodes = list(ast.walk(tree))
    if any(_reaches_further(node) for node in nodes):
        return {}
    entering = [node for call in calls for node in ast.walk(call)]
    own = [node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.decorator_list]
    callees = {
        id(node.func): (node.func.id, node)
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    later = any(isinstance(node, (ast.Lambda, ast.GeneratorExp)) for node in entering)
    given = {id(node.func) for node in entering if isinstance(node, ast.Call) and not later}
    others = (node for node in [*nodes, *entering] if id(node) not in callees and id(node) not in given)
    passed = Counter(name for node in others for name in _named(node))
    # Its own `def` names a function once.
    found: dict[str, set[int]] = {node.name: set() for node in own if passed[node.name] == 1}
    for name, node in callees.values():
        if name in found:
            found[name].update(_lines(node))
    return {name: frozenset(lines) for name, lines in found.items()}


def _named(node: ast.AST) -> Iterator[str]:
    """The names by which a node may give or take a function, or bind something else in its place."""
    match node:
        case ast.Name(id=name) | ast.Constant(value=str(name)):  # an attribute of this module needs the module first
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield from {name, other or name}
        case _:
            pass


def _reaches_further(node: ast.AST) -> bool:
    """Whether code elsewhere may come to call functions of this file through what is imported or looked up here."""
    match node:
        case ast.Import(names=names):
            return not all(alias.name in _MODULES for alias in names)
        case ast.ImportFrom(module=module, level=level, names=names):
            return level > 0 or module not in _MODULES or any(alias.name in _REACHING for alias in names)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in _REACHING or (name.startswith("__") and name.endswith("__") and name not in _HARMLESS)
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
