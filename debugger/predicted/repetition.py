"""When a model that repeats itself inside a frame is given up: small ones do so for good.

Real values repeat themselves, too, as `[0] * n` and tables of zeros do, but only as often as some number or length in
the program says, or the product of two.
"""

from __future__ import annotations

import ast
import contextlib
import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

from debugger.predicted.literals import UnknownError, value_of

LEAST_REPETITIONS = 32
"""What repeats itself no more often than this is never given up."""
_LONGEST_PERIOD = 64
"""Tokens of what is repeated; whole rows of a table are longer, and few."""
_GROWING = (ast.Pow, ast.LShift)
"""Operators that make large numbers of small ones."""


class RepetitionLimit:
    """How often a value of a run may repeat a part of itself, by the numbers that have come up."""

    def __init__(self, trees: Iterable[ast.AST]) -> None:
        """Start from the program and the call."""
        self._largest = [1, 1]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        self._unlimited = any(isinstance(node, _GROWING) for node in nodes)
        for node in nodes:
            match node:
                case ast.Constant(value=value):
                    self._note(value)
                case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items) | ast.Dict(keys=items):
                    self._note(cast("list[object]", items))
                case _:
                    pass

    def learn(self, values: Mapping[str, str]) -> None:
        """Take note of the locals of a frame."""
        for text in values.values():
            with contextlib.suppress(UnknownError):
                self._note(value_of(text))

    def exceeded(self, tokens: Sequence[int]) -> bool:
        """Whether the frame that these tokens begin repeats itself too often at its present end."""
        if self._unlimited:
            return False
        times = max(LEAST_REPETITIONS, self._largest[0] * self._largest[1])
        for period in range(1, min(_LONGEST_PERIOD, len(tokens) // (times + 1)) + 1):
            start = len(tokens) - period * times
            if tokens[start:] == tokens[start - period : -period]:
                return True
        return False

    def _note(self, value: object) -> None:
        """A number, or how many elements a value has, and those in it."""
        if isinstance(value, int):
            heapq.heappushpop(self._largest, abs(value))
        elif isinstance(value, Collection):
            items = cast("Collection[object]", value)
            heapq.heappushpop(self._largest, len(items))
            if not isinstance(value, (str, bytes)):
                nested = cast("Mapping[object, object]", value).values() if isinstance(value, Mapping) else items
                for item in nested:
                    self._note(item)
