"""Values as their `repr` tells them: numbers, strings, None, and lists, tuples, dicts and sets of such."""

from __future__ import annotations

import ast
import functools
import warnings
from collections.abc import Collection
from typing import Any, cast

_MAX_REPR = 4000
"""Characters; a longer one is not taken apart."""
_UNKNOWN = object()


class UnknownError(Exception):
    """A value is not certain."""


def value_of(text: str | None) -> Any:
    """The value that has this `repr`; it must not be changed. Raises UnknownError where that does not tell."""
    found = _read(text) if text else _UNKNOWN
    if found is _UNKNOWN:
        raise UnknownError
    return found


def is_immutable(value: object) -> bool:
    """Whether it is a number, a string, None, or a tuple of such."""
    if isinstance(value, tuple):
        return all(map(is_immutable, cast("tuple[object, ...]", value)))
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes))


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> Any:
    if text in ("inf", "-inf", "nan"):
        return float(text)
    if len(text) > _MAX_REPR:
        return _UNKNOWN
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what looks like code and is not
            value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN
    return value if _is_whole(value) else _UNKNOWN


def _is_whole(value: object) -> bool:
    """Whether a literal has no ellipsis in it, which is how a list shows itself in itself."""
    if isinstance(value, (list, tuple, set)):
        return all(map(_is_whole, cast("Collection[object]", value)))
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        return all(map(_is_whole, items)) and all(map(_is_whole, items.values()))
    return value is not ...
