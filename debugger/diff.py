"""Where a predicted run and the real one part: the first divergence, and each later one.

Frames are compared one by one while the same thing happens on both sides. From the first place where something else
happens, the rest is aligned by what happened (event, line, function, depth) with the fewest frames left over, so that
one wrong turn does not make every later frame count as wrong. A local that is wrong is reported where it becomes wrong,
not again in every frame that still shows it.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import TypeAlias

from debugger.trace import Ending, Event, Frame, Trace

_INLINED = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
"""Code objects that Python 3.12 and newer inlines into the function that holds them (PEP 709)."""

_MAX_EDITS = 256
"""Frames that one search for an alignment may leave over; a longer one goes on from its best place so far."""


class Kind(str, Enum):
    """What differs."""

    VALUE = "value"
    """A local has another value, or exists on one side only."""
    LINE = "line"
    """Another line ran, or the same line in another function or at another depth."""
    EVENT = "event"
    """Something else happened: say a return where a line was predicted."""
    RETURN = "return"
    """Another value was returned."""
    EXCEPTION = "exception"
    """Another exception was raised."""
    MISSING = "missing"
    """A frame of the actual run that was not predicted."""
    EXTRA = "extra"
    """A predicted frame that the actual run does not have."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """One difference between a predicted and an actual run."""

    kind: Kind
    frame: int
    """Position in the actual frames, from 0; for `EXTRA` in the predicted ones."""
    line: int
    """The line of that frame. A `VALUE` shows *before* this line runs; `cause` finds the line that made it."""
    name: str | None
    """The local, for `VALUE`."""
    predicted: str | None
    """The predicted `repr`, line, or event; None where the prediction has nothing."""
    actual: str | None
    """The actual `repr`, line, or event; None where the actual run has nothing."""


class Verdict(str, Enum):
    """What the comparison of two runs says."""

    CONFIRMED = "confirmed"
    """Both ran to their end, and nothing differs."""
    DIVERGED = "diverged"
    UNCHECKED = "unchecked"
    """Nothing differs as far as both go, but one of them stopped before its end."""


def is_cut(trace: Trace) -> bool:
    """Whether the run has no end of its own: what it would have done next is not known."""
    return trace.outcome.ending not in (Ending.RETURNED, Ending.RAISED)


def verdict_of(predicted: Trace, actual: Trace, divergences: Sequence[Divergence]) -> Verdict:
    """What `compare`'s answer means. A difference counts even where a run was cut short later."""
    if divergences:
        return Verdict.DIVERGED
    return Verdict.UNCHECKED if is_cut(predicted) or is_cut(actual) else Verdict.CONFIRMED


def inlined_statements(text: str) -> tuple[range, ...]:
    """The lines of each statement (of a compound one: its head) with a list, set or dict comprehension.

    For `compare`, where the actual run's Python is 3.12 or newer. Raises SyntaxError.
    """
    found: list[range] = []
    for statement in ast.walk(ast.parse(text)):
        if not isinstance(statement, ast.stmt):
            continue
        own = list(_own_nodes(statement))
        if any(isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp)) for node in own):
            last = max(getattr(node, "end_lineno", 0) for node in own)
            found.append(range(statement.lineno, last + 1))
    return tuple(found)


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """What belongs to a statement itself and not to the statements in its body."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield from ast.walk(child)


def compare(predicted: Trace, actual: Trace, *, inlined: Sequence[range] = ()) -> tuple[Divergence, ...]:
    """Every divergence in the order of the runs, the first one first.

    A run that was cut short (see `is_cut`) does not diverge by where it stops. `inlined` holds the statements whose
    comprehensions have no frames of their own in the actual run (see `inlined_statements`): each of them is then
    compared as one step on both sides, without the comprehension's own variables.
    """
    comparison = _Comparison()
    for left, right in _aligned_steps(predicted, actual, inlined):
        comparison.add(left, right)
    return tuple(comparison.divergences)


@dataclass(frozen=True, slots=True)
class Pair:
    """Frames of the two runs side by side, by position; None where one side has no partner."""

    predicted: int | None
    actual: int | None
    same: bool
    """Whether the same thing happened; values may differ. If not, the frames show where the runs part."""


def align(predicted: Trace, actual: Trace, *, inlined: Sequence[range] = ()) -> tuple[Pair, ...]:
    """The two runs side by side, as `compare` sees them.

    Where they part, what was expected stands beside what happened; that frame of one side may come once more, with its
    true partner.
    """
    return tuple(
        Pair(
            left and left.index, right and right.index, left is not None and right is not None and left.key == right.key
        )
        for left, right in _aligned_steps(predicted, actual, inlined)
    )


def cause(frames: Sequence[Frame], index: int) -> Frame:
    """The frame whose line made the state that frame `index` shows: the last one before it in the same Python frame.

    The frame itself, where it is a CALL: its locals are arguments.
    """
    frame = frames[index]
    if frame.event is Event.CALL:
        return frame
    return next((frames[i] for i in range(index - 1, -1, -1) if frames[i].depth == frame.depth), frame)


def unwinds(frames: Sequence[Frame], index: int) -> bool:
    """Whether the frame is a return that only passes an exception on: it comes right after it."""
    frame, before = frames[index], frames[index - 1] if index else None
    return (
        frame.event is Event.RETURN
        and before is not None
        and before.event is Event.EXCEPTION
        and before.depth == frame.depth
    )


_Key: TypeAlias = tuple[Event, int, str, str, int, bool]


@dataclass(frozen=True, slots=True)
class _Step:
    """A frame as it is compared: its place in the trace, and its lines and depth as both sides would have them."""

    index: int
    frame: Frame
    unwinds: bool
    """A return that passes an exception on is not the same as one with a result."""

    @property
    def key(self) -> _Key:
        """What happened. The source counts only where a predicted line is not in the file at all (line 0)."""
        frame = self.frame
        source = "" if frame.line else frame.source
        return (frame.event, frame.line, source, frame.function, frame.depth, self.unwinds)


def _steps(trace: Trace, inlined: Sequence[range]) -> list[_Step]:
    """The frames to compare. Where comprehensions are inlined, each statement that holds one is folded to one step."""
    if not inlined:
        return [_Step(index, frame, unwinds(trace.frames, index)) for index, frame in enumerate(trace.frames)]
    steps: list[_Step] = []
    inside: list[int] = []
    """Depths of the comprehension frames that are open."""
    running: dict[int, range | None] = {}
    """The folded statement that runs in the Python frame at each depth."""
    for index, frame in enumerate(trace.frames):
        while inside and frame.depth < inside[-1]:
            inside.pop()
        if frame.function in _INLINED:
            if frame.event is Event.CALL:
                inside.append(frame.depth)
            elif frame.event is Event.RETURN and inside:
                inside.pop()
            continue
        depth = frame.depth - len(inside)
        statement = next((lines for lines in inlined if frame.line in lines), None)
        again = statement is not None and running.get(depth) == statement
        running[depth] = statement if frame.event in (Event.LINE, Event.EXCEPTION) else None
        if again and frame.event is Event.LINE:
            continue
        line = frame.line if statement is None else statement.start
        steps.append(_Step(index, replace(frame, depth=depth, line=line), unwinds(trace.frames, index)))
    return steps


_Wrong: TypeAlias = dict[str, tuple[str | None, str | None]]
"""Locals whose predicted and actual values differ."""


def _aligned_steps(
    predicted: Trace, actual: Trace, inlined: Sequence[range]
) -> Iterator[tuple[_Step | None, _Step | None]]:
    left, right = _steps(predicted, inlined), _steps(actual, inlined)
    for i, j in _alignment([s.key for s in left], [s.key for s in right], is_cut(predicted), is_cut(actual)):
        yield left[i] if i is not None else None, right[j] if j is not None else None


class _Comparison:
    """Collects divergences from aligned steps, in order."""

    def __init__(self) -> None:
        self.divergences: list[Divergence] = []
        self._wrong: dict[int, _Wrong] = {}
        """For each depth, the locals that differed in the last frame compared there."""

    def add(self, predicted: _Step | None, actual: _Step | None) -> None:
        """Take the next steps; one of them is None where the other has no partner."""
        if predicted is None:
            assert actual is not None
            self._report(Kind.MISSING, actual, None, None, actual.frame.event.value)
        elif actual is None:
            self._report(Kind.EXTRA, predicted, None, predicted.frame.event.value, None)
        elif predicted.key != actual.key:
            self._report_fork(predicted, actual)
        elif actual.frame.event in (Event.CALL, Event.LINE):
            self._compare_locals(predicted, actual)
        elif predicted.frame.value != actual.frame.value:
            kind = Kind.RETURN if actual.frame.event is Event.RETURN else Kind.EXCEPTION
            self._report(kind, actual, None, predicted.frame.value, actual.frame.value)

    def _report(self, kind: Kind, at: _Step, name: str | None, predicted: str | None, actual: str | None) -> None:
        self.divergences.append(Divergence(kind, at.index, at.frame.line, name, predicted, actual))

    def _report_fork(self, predicted: _Step, actual: _Step) -> None:
        expected, happened = predicted.frame, actual.frame
        if expected.event is not happened.event:
            self._report(Kind.EVENT, actual, None, expected.event.value, happened.event.value)
            return
        self._report(Kind.LINE, actual, None, _place(expected, happened), _place(happened, expected))
        if expected.event is Event.LINE and (expected.function, expected.depth) == (happened.function, happened.depth):
            # Both show what the line before left behind.
            self._compare_locals(predicted, actual)

    def _compare_locals(self, predicted: _Step, actual: _Step) -> None:
        depth = actual.frame.depth
        known: _Wrong = self._wrong.get(depth, {}) if actual.frame.event is Event.LINE else {}
        wrong: _Wrong = {}
        for name in {**actual.frame.locals, **predicted.frame.locals}:
            pair = predicted.frame.locals.get(name), actual.frame.locals.get(name)
            if pair[0] != pair[1]:
                wrong[name] = pair
                if known.get(name) != pair:
                    self._report(Kind.VALUE, actual, name, *pair)
        self._wrong[depth] = wrong


def _place(frame: Frame, other: Frame) -> str:
    """A frame's line, with as much else as tells it from the other frame's."""
    if not frame.line:
        return frame.source.strip()
    if frame.line != other.line:
        return str(frame.line)
    if frame.function != other.function:
        return f"{frame.line} in {frame.function}"
    return f"{frame.line} at depth {frame.depth}"


_Pair: TypeAlias = tuple[int | None, int | None]
_Edit: TypeAlias = tuple[bool, bool]
"""One step of an alignment: whether it takes from the left, and whether from the right. Both: they are equal."""


def _alignment(
    left_keys: Sequence[Hashable], right_keys: Sequence[Hashable], left_cut: bool, right_cut: bool
) -> Iterator[_Pair]:
    """Pairs of positions in order; None where one side has no partner.

    Where the sides part, the next frame of each is paired although they differ: what was expected, and what happened.
    If it is only a gap on the one side, that side's frame is paired once more, with its true partner behind the gap.
    """
    numbers: dict[Hashable, int] = {}
    left, right = ([numbers.setdefault(key, len(numbers)) for key in keys] for keys in (left_keys, right_keys))
    i = j = 0
    for together, edits in groupby(_edits(left, right, left_cut, right_cut), key=lambda edit: edit == (True, True)):
        taken = list(edits)
        end_i, end_j = i + sum(edit[0] for edit in taken), j + sum(edit[1] for edit in taken)
        if together:
            yield from zip(range(i, end_i), range(j, end_j), strict=True)
        else:
            parts = i < len(left) and j < len(right)
            if parts:
                yield i, j
            yield from ((extra, None) for extra in range(i + parts, end_i))
            yield from ((None, missing) for missing in range(j + parts, end_j))
        i, j = end_i, end_j


def _edits(left: Sequence[int], right: Sequence[int], left_cut: bool, right_cut: bool) -> Iterator[_Edit]:
    """An alignment of the two; where a side was cut short, the other is aligned only as far as that side goes.

    The equal beginning first, so that the first divergence is the first place where the runs differ; then the greedy
    search of Myers, "An O(ND) difference algorithm and its variations" (1986), in windows of `_MAX_EDITS`.
    """
    x = y = 0
    while x < len(left) and y < len(right) and left[x] == right[y]:
        yield True, True
        x, y = x + 1, y + 1
    while not _at_end(len(left) - x, len(right) - y, left_cut, right_cut):
        path = _Search(left[x:], right[y:], left_cut, right_cut).path()
        yield from path
        x += sum(edit[0] for edit in path)
        y += sum(edit[1] for edit in path)


def _at_end(rest_left: int, rest_right: int, left_cut: bool, right_cut: bool) -> bool:
    return (rest_left == 0 and (left_cut or rest_right == 0)) or (rest_right == 0 and right_cut)


class _Search:
    """One window of Myers' search. A diagonal is how many more have been taken from the left than from the right."""

    def __init__(self, left: Sequence[int], right: Sequence[int], left_cut: bool, right_cut: bool) -> None:
        self._left, self._right = left, right
        self._cut = left_cut, right_cut
        self._rounds: list[dict[int, int]] = []
        """Before each round, how much has been taken from the left on each diagonal at most."""

    def path(self) -> list[_Edit]:
        """The edits to the end, or to the furthest place within `_MAX_EDITS` one-sided ones."""
        left, right = self._left, self._right
        reached = {1: 0}
        inside: list[tuple[int, int]] = []
        for edits in range(_MAX_EDITS + 1):
            self._rounds.append(dict(reached))
            inside.clear()
            for diagonal in range(-edits, edits + 1, 2):
                before = self._before(edits, diagonal)
                x = reached[before] + (before < diagonal)
                while x < len(left) and x - diagonal < len(right) and left[x] == right[x - diagonal]:
                    x += 1
                reached[diagonal] = x
                rest_left, rest_right = len(left) - x, len(right) - (x - diagonal)
                if rest_left < 0 or rest_right < 0:
                    continue
                if _at_end(rest_left, rest_right, *self._cut):
                    return self._walk_back(diagonal, x)
                inside.append((2 * x - diagonal, diagonal))
        _, diagonal = max(inside)
        return self._walk_back(diagonal, reached[diagonal])

    def _before(self, edits: int, diagonal: int) -> int:
        """The diagonal from which this one is reached in the round with so many edits."""
        reached = self._rounds[edits]
        if diagonal == -edits or (diagonal != edits and reached[diagonal - 1] < reached[diagonal + 1]):
            return diagonal + 1
        return diagonal - 1

    def _walk_back(self, diagonal: int, x: int) -> list[_Edit]:
        path: list[_Edit] = []
        for edits in range(len(self._rounds) - 1, 0, -1):
            before = self._before(edits, diagonal)
            from_left = before < diagonal
            start = self._rounds[edits][before]
            path += [(True, True)] * (x - start - from_left)
            path.append((from_left, not from_left))
            x, diagonal = start, before
        path += [(True, True)] * x
        path.reverse()
        return path
