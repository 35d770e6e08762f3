"""Two runs as rows of a table: each executed line with what it changed, predicted beside actual."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from debugger.diff import Pair, align, is_cut, unwinds
from debugger.report.result import Result
from debugger.report.story import contrast, exception_text, shorten
from debugger.trace import VALUE, Event, Frame, Trace

_NEVER = sys.maxsize
_YIELD = re.compile(r"\b(yield|await)\b")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to show in a cell: a new value, what is returned or raised, or a remark."""

    text: str
    wrong: bool = False
    sure: float | None = None
    """The model's probability, where it wrote the value."""
    name: str | None = None
    """The local that `text` begins with, as in `n = 3`; None for what is returned or raised, and for a remark."""


class State(Enum):
    """What a row says about the two sides."""

    SAME = "same"
    DIFFERS = "differs"
    OPEN = "open"
    """One side does not tell: it stops there."""


@dataclass(slots=True)
class Row:
    """One line that ran, or was expected to."""

    line: int
    source: str
    depth: int
    state: State = State.SAME
    predicted: list[Item] = field(default_factory=list[Item])
    actual: list[Item] = field(default_factory=list[Item])
    differs_at: int = _NEVER
    """The frame that first shows the difference: a line can show what it left behind long after it ran."""
    function: str = ""
    """The code object's name, as in `Frame.function`."""

    def mark(self, frame: int) -> None:
        """Note that the sides differ, as this frame shows."""
        self.state = State.DIFFERS
        self.differs_at = min(self.differs_at, frame)


def rows_of(result: Result, value_width: int) -> list[Row]:
    """The rows of a result in the order of the runs; values are cut to `value_width` characters.

    What one side has behind the place where the other stopped early comes last.
    """
    predicted, actual = result.predicted, result.actual
    builder = _Builder(_Side(predicted), _Side(actual), value_width)
    if predicted is None or actual is None:
        alone = predicted or actual
        return builder.build([Pair(i, i, True) for i in range(len(alone.frames) if alone else 0)])
    pairs = align(predicted, actual, inlined=result.inlined)
    rows = builder.build(pairs)
    if is_cut(predicted):
        builder.add_rest(builder.actual, [pair.actual for pair in pairs])
    elif is_cut(actual):
        builder.add_rest(builder.predicted, [pair.predicted for pair in pairs])
    return rows


class _Side:
    """One run's frames, and for each CALL and LINE frame the locals that it left behind."""

    def __init__(self, trace: Trace | None) -> None:
        self.present = trace is not None
        self.frames: Sequence[Frame] = trace.frames if trace is not None else ()
        self._next: dict[int, int] = {}
        """For each CALL and LINE frame the next LINE frame of the same Python frame: it shows what the line changed."""
        last: dict[int, int] = {}
        for index, frame in enumerate(self.frames):
            if frame.event is Event.LINE and frame.depth in last:
                self._next[last[frame.depth]] = index
            if frame.event in (Event.CALL, Event.LINE):
                last[frame.depth] = index
            elif frame.event is Event.RETURN:
                last.pop(frame.depth, None)

    def shows(self, index: int) -> int | None:
        """The frame whose locals are the state after frame `index`; a CALL's are its own. None if no frame shows it."""
        return index if self.frames[index].event is Event.CALL else self._next.get(index)

    def first_line(self, call: int) -> int | None:
        """The first LINE frame after a CALL, in the same Python frame."""
        return self._next.get(call)

    def after(self, index: int) -> Mapping[str, str] | None:
        shown = self.shows(index)
        return None if shown is None else self.frames[shown].locals

    def changed(self, index: int) -> list[str]:
        """Names whose value the frame's line set or changed; for a call its arguments, none where it resumes."""
        after, frame = self.after(index), self.frames[index]
        if after is None or (frame.event is Event.CALL and _YIELD.search(frame.source)):
            return []
        before: Mapping[str, str] = {} if frame.event is Event.CALL else frame.locals
        return [name for name, value in after.items() if before.get(name) != value]

    def gone(self, index: int) -> list[str]:
        """Names that the line of a LINE frame has left without a value."""
        after = self.after(index)
        return [] if after is None else [name for name in self.frames[index].locals if name not in after]

    def confidence(self, index: int, name: str) -> float | None:
        shown = self.shows(index) if name != VALUE else index
        return None if shown is None else self.frames[shown].confidence.get(name)


class _Builder:
    def __init__(self, predicted: _Side, actual: _Side, value_width: int) -> None:
        self.predicted, self.actual = predicted, actual
        self._width = value_width
        self._rows: list[Row] = []
        self._calling: dict[int, tuple[Frame, int, int]] = {}
        """For each depth the line that called something: what it leaves behind is told once that is done."""

    def build(self, pairs: Sequence[Pair]) -> list[Row]:
        for pair in pairs:
            p, a = pair.predicted, pair.actual
            self._tell_of_calls(p, a)
            if pair.same and p is not None and a is not None:
                self._add_same(p, a)
            elif p is not None and a is not None:
                self._add_parting(p, a)
            elif a is not None:
                self._add_one_sided(self.actual, a)
            elif p is not None:
                self._add_one_sided(self.predicted, p)
        return self._rows

    def add_rest(self, side: _Side, told: Sequence[int | None]) -> None:
        """What a side has behind the frames that were told."""
        own = side is self.predicted
        for index in range(max((each for each in told if each is not None), default=-1) + 1, len(side.frames)):
            self._tell_of_calls(*((index, None) if own else (None, index)))
            items = [] if unwinds(side.frames, index) else self._items(side, index)
            row = self._row(side.frames[index])
            row.state = State.OPEN if row.state is State.SAME else row.state
            (row.predicted if own else row.actual).extend(items)

    def _tell_of_calls(self, p: int | None, a: int | None) -> None:
        """Lines whose calls are done by now, with what they changed."""
        side, index = (self.actual, a) if a is not None and self.actual.present else (self.predicted, p)
        if index is None:
            return
        for depth in sorted(self._calling, reverse=True):
            if depth < side.frames[index].depth:
                break
            frame, line_p, line_a = self._calling.pop(depth)
            row = Row(frame.line, frame.source, frame.depth, function=frame.function)
            self._fill(row, line_p, line_a)
            if row.predicted or row.actual:
                self._rows.append(row)

    def _add_same(self, p: int, a: int) -> None:
        side, index = (self.actual, a) if self.actual.present else (self.predicted, p)
        frame = side.frames[index]
        if frame.event in (Event.CALL, Event.LINE):
            row = self._new_row(frame)
            if (side.shows(index) or 0) > index + 1:
                self._calling[frame.depth] = (frame, p, a)
            else:
                self._fill(row, p, a)
        elif not unwinds(side.frames, index) or (
            self.predicted.present and self.predicted.frames[p].value != frame.value
        ):
            self._fill(self._row(frame), p, a)

    def _fill(self, row: Row, p: int, a: int) -> None:
        """What both sides show for frames where the same happened; or what the only side shows."""
        if not self.actual.present:
            row.predicted += self._items(self.predicted, p)
        elif not self.predicted.present:
            row.actual += self._items(self.actual, a)
        elif self.actual.frames[a].event in (Event.CALL, Event.LINE):
            self._add_values(row, p, a)
        else:
            expected, real = self.predicted.frames[p], self.actual.frames[a]
            wrong = expected.value != real.value
            left, right = contrast(_ending(expected), _ending(real), self._width)
            row.predicted.append(Item(left, wrong, self.predicted.confidence(p, VALUE)))
            row.actual.append(Item(right, wrong))
            if wrong:
                row.mark(a)

    def _add_values(self, row: Row, p: int, a: int) -> None:
        left, right = self.predicted.after(p), self.actual.after(a)
        if left is None or right is None:
            row.predicted += self._items(self.predicted, p)
            row.actual += self._items(self.actual, a)
            if left is not right:
                row.state = State.OPEN
            return
        names = [*self.actual.changed(a), *self.predicted.changed(p)]
        names += [name for name in (*self.actual.gone(a), *self.predicted.gone(p)) if (name in left) != (name in right)]
        if self.actual.frames[a].event is Event.CALL:
            names += [name for name in {**right, **left} if left.get(name) != right.get(name)]
            first_p, first_a = self.predicted.first_line(p), self.actual.first_line(a)
            if not any(left.get(name) != right.get(name) for name in names) and first_p and first_a:
                # The first line shows what the call showed, unless the model thinks otherwise.
                left, right = self.predicted.frames[first_p].locals, self.actual.frames[first_a].locals
                names += [name for name in {**right, **left} if left.get(name) != right.get(name)]
        for name in dict.fromkeys(names):
            wrong = left.get(name) != right.get(name)
            if not wrong and _is_internal(name):
                continue
            shown = contrast(_named(name, left), _named(name, right), self._width)
            row.predicted.append(Item(shown[0], wrong, self.predicted.confidence(p, name), name))
            row.actual.append(Item(shown[1], wrong, None, name))
            if wrong:
                row.mark(self.actual.first_line(a) or a)

    def _add_parting(self, p: int, a: int) -> None:
        expected, real = self.predicted.frames[p], self.actual.frames[a]
        row = self._new_row(real)
        row.mark(a)
        row.predicted.append(Item(f"{shorten(_step(expected), self._width)} next", wrong=True))
        row.actual += self._items(self.actual, a) or [Item(f"{shorten(_step(real), self._width)} next")]
        row.actual[0] = replace(row.actual[0], wrong=True)

    def _add_one_sided(self, side: _Side, index: int) -> None:
        frame = side.frames[index]
        before = self._rows[-1] if self._rows else None
        own = side is self.predicted
        if unwinds(side.frames, index):
            return
        joins = before is not None and _joins(before, frame) and not (before.predicted if not own else before.actual)
        row = before if joins and before is not None else self._new_row(frame)
        row.mark(index)
        (row.predicted if own else row.actual).extend(
            replace(item, wrong=True) for item in self._items(side, index) or [Item("runs")]
        )

    def _items(self, side: _Side, index: int) -> list[Item]:
        """What one side alone shows for a frame."""
        frame = side.frames[index]
        if frame.event in (Event.RETURN, Event.EXCEPTION):
            return [Item(contrast(_ending(frame), "", self._width)[0], sure=side.confidence(index, VALUE))]
        after = side.after(index) or {}
        return [
            Item(contrast(_named(name, after), "", self._width)[0], False, side.confidence(index, name), name)
            for name in side.changed(index)
            if not _is_internal(name)
        ]

    def _row(self, frame: Frame) -> Row:
        """The row for a frame: the last one, if the frame only ends what that line began."""
        if self._rows and _joins(self._rows[-1], frame):
            return self._rows[-1]
        return self._new_row(frame)

    def _new_row(self, frame: Frame) -> Row:
        row = Row(frame.line, frame.source, frame.depth, function=frame.function)
        self._rows.append(row)
        return row


def _joins(row: Row, frame: Frame) -> bool:
    return frame.event in (Event.RETURN, Event.EXCEPTION) and (row.line, row.depth) == (frame.line, frame.depth)


def _is_internal(name: str) -> bool:
    """Whether a local is the interpreter's own, as the iterator `.0` of a comprehension."""
    return name.startswith(".")


def _named(name: str, values: Mapping[str, str]) -> str:
    return f"{name} = {values[name]}" if name in values else f"no {name}"


def _ending(frame: Frame) -> str:
    """What a return or exception frame does, with its value."""
    value = frame.value or ""
    if frame.event is Event.EXCEPTION:
        return f"raises {exception_text(value)}"
    yields = frame.function == "<genexpr>" or _YIELD.search(frame.source)
    return f"{'yields' if yields else 'returns'} {value}"


def _step(frame: Frame) -> str:
    match frame.event:
        case Event.CALL:
            return f"call of {frame.function}"
        case Event.LINE:
            return f"line {frame.line}" if frame.line else frame.source.strip()
        case _:
            return _ending(frame)


def first_difference(rows: Sequence[Row]) -> int | None:
    """The position of the row that differs first in time."""
    differing = [index for index, row in enumerate(rows) if row.state is State.DIFFERS]
    return min(differing, key=lambda index: rows[index].differs_at, default=None)


def telling(rows: Sequence[Row]) -> list[Row]:
    """The rows without those that change nothing, but for the last one before the first difference."""
    first = first_difference(rows)
    return [
        row
        for index, row in enumerate(rows)
        if row.state is not State.SAME or row.predicted or row.actual or (first is not None and index == first - 1)
    ]


def window(rows: Sequence[Row], limit: int) -> Iterator[Row | int]:
    """At most about `limit` rows: the beginning, around the first difference, and the end; a number counts a gap."""
    first = first_difference(rows)
    if len(rows) <= limit:
        keep = set(range(len(rows)))
    elif first is None:
        keep = {*range(limit * 2 // 3), *range(len(rows) - limit // 3, len(rows))}
    else:
        # The end is what one side did last, which the other side's many steps must not hide.
        part = limit // 4
        keep = {*range(part), *range(first - part, first + part), *range(len(rows) - part, len(rows))}
    gap = 0
    for index, row in enumerate(rows):
        if index not in keep:
            gap += 1
            continue
        if gap:
            yield gap
            gap = 0
        yield row
