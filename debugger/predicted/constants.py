"""Values that cannot change by themselves, as far as their `repr` tells."""

from __future__ import annotations

import ast
import sys
from functools import lru_cache
from typing import cast

_LONGEST = 1000
"""Characters of a `repr` that are looked at."""


class Constants:
    """Which values of a program's locals stay as they are while nothing is assigned to their names."""

    def __init__(self, tree: ast.Module) -> None:
        """Look at a file's syntax tree."""
        self._reprs_can_lie = any(_can_lie(node) for node in ast.walk(tree))

    def stays(self, text: str) -> bool:
        """Whether the value with this `repr` is a number, a string, or a tuple of such, which no other name changes.

        Objects of classes with a `__repr__` of their own may look like that and change, so in a file that has one, or
        imports what is not of the standard library, no value is sure.
        """
        return not self._reprs_can_lie and _is_literal(text)


def _can_lie(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(name.name.partition(".")[0] not in sys.stdlib_module_names for name in names)
        case ast.ImportFrom(module=module, level=level):
            return level > 0 or (module or "").partition(".")[0] not in sys.stdlib_module_names
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.Constant(value=str(name)):
            return name in ("__repr__", "__import__", "import_module", "exec", "eval")
        case _:
            return False


@lru_cache(maxsize=1024)
def _is_literal(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    try:
        return _is_immutable(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def _is_immutable(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_immutable, cast("tuple[object, ...]", value)))
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes))
