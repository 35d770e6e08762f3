"""Predictions of before as drafts: after an edit most of a run comes out the same, perhaps in other lines."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from debugger.target import Target
from debugger.trace import Ending, Frame, Trace

_KEPT = 64
"""Functions and calls whose last prediction is kept."""
_GONE = 0
"""The line of frames whose line is no longer there."""


def carried_over(frames: Sequence[Frame], before: Sequence[str], after: Sequence[str]) -> list[Frame]:
    """The frames of a run of a file, with the lines that they have now: `before` and `after` are the file's lines.

    A line that was edited keeps its frames; those of one that was deleted have no line any more.
    """
    lines = _moved(before, after)
    return [replace(frame, line=lines.get(frame.line, _GONE)) for frame in frames]


def _moved(before: Sequence[str], after: Sequence[str]) -> dict[int, int]:
    """Where each line, from 1, is now."""
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    left, right = before[start : len(before) - end], after[start : len(after) - end]
    found = {index: index for index in range(1, start + 1)}
    found |= {len(before) - index: len(after) - index for index in range(end)}
    for tag, first, last, other, _ in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag in ("equal", "replace"):
            pairs = range(min(last - first, len(right) - other))
            found |= {start + first + index + 1: start + other + index + 1 for index in pairs}
    return found


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """How many lines both begin with."""
    return next(
        (index for index, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
        min(len(left), len(right)),
    )


class EarlierRuns:
    """The last prediction of each function and call that was asked for, to draft the next one."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._runs: OrderedDict[tuple[str, str, str], tuple[tuple[str, ...], tuple[Frame, ...]]] = OrderedDict()

    def expected(self, target: Target, call: str) -> list[Frame]:
        """The frames that a run of the call may have; none where it was not predicted before."""
        found = self._runs.get(_key(target, call))
        return carried_over(found[1], found[0], target.file.lines) if found else []

    def keep(self, target: Target, call: str, predicted: Trace) -> None:
        """Note a prediction; one that was given up only where it came further than the one before."""
        key = _key(target, call)
        known = self._runs.get(key)
        given_up = predicted.outcome.ending is Ending.CANCELLED
        if given_up and known is not None and len(predicted.frames) < len(known[1]):
            return
        self._runs[key] = target.file.lines, predicted.frames
        self._runs.move_to_end(key)
        while len(self._runs) > _KEPT:
            self._runs.popitem(last=False)


def _key(target: Target, call: str) -> tuple[str, str, str]:
    return str(target.file.path), target.qualname, call
