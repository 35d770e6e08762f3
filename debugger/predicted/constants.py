"""Values that cannot change by themselves, as far as their `repr` tells."""

from __future__ import annotations

import ast
import sys

from debugger.predicted.literals import UnknownError, is_immutable, value_of


class Constants:
    """Which values of a program's locals stay as they are while nothing is assigned to their names."""

    def __init__(self, tree: ast.Module) -> None:
        """Look at a file's syntax tree."""
        self._reprs_can_lie = reprs_can_lie(tree)

    def stays(self, text: str) -> bool:
        """Whether the value with this `repr` is a number, a string, or a tuple of such, which no other name changes."""
        try:
            return not self._reprs_can_lie and is_immutable(value_of(text))
        except UnknownError:
            return False


def reprs_can_lie(tree: ast.Module) -> bool:
    """Whether objects may look like numbers or strings and be something else.

    Classes with a `__repr__` of their own can do that, so where a file has one, or imports what is not of the standard
    library, nothing is sure.
    """
    return any(_can_lie(node) for node in ast.walk(tree))


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
