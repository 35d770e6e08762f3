"""What a prediction, and a real run beside it, say about each line: the values behind hints, hovers and diagnostics."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from debugger.diff import is_cut
from debugger.pieces import Definition
from debugger.report.result import Result, Status
from debugger.report.rows import Item, Row, State, rows_of
from debugger.report.story import Story, contrast, exception_text, first_of_each_line, shorten, story_of
from debugger.target import Target
from debugger.trace import Ending, Event, Frame

_WHOLE = 1_000_000
"""Characters of a value: it is shortened only where it is shown."""
_RUN = 4
"""So many values of a loop are shown in a hint; of more, the first ones and the last."""
_TABLE_ROWS = 40
_TABLE_VALUE = 120
_ENDINGS = ("returns ", "raises ", "yields ")


class Look(str, Enum):
    """How a value looks, from the best to what hides everything else."""

    CONFIRMED = "confirmed"
    """A real run had the same value."""
    PREDICTED = "predicted"
    UNSURE = "unsure"
    """The model's probability is below the confidence that was asked for."""
    DIVERGED = "diverged"
    """A real run had another value."""
    STALE = "stale"
    """The function has changed since."""


_MARKS = {Look.CONFIRMED: " ✓", Look.UNSURE: " ?", Look.STALE: " ~"}
_ORDER = list(Look)


@dataclass(frozen=True, slots=True)
class Value:
    """A local that a line set, or what it returned, raised or did next."""

    name: str | None
    """None for what is no local."""
    predicted: str | None
    """Whole; None where only the real run has it."""
    actual: str | None
    """Whole; None where there was no real run, or it has nothing here."""
    wrong: bool
    sure: float | None

    def look(self, confidence: float) -> Look:
        """How it looks where the model has to be surer than `confidence`."""
        if self.wrong:
            return Look.DIVERGED
        if self.actual is not None:
            return Look.CONFIRMED
        return Look.UNSURE if self.sure is not None and self.sure < confidence else Look.PREDICTED


@dataclass(frozen=True, slots=True)
class Visit:
    """One time that a line ran."""

    row: int
    """Its place among all rows, so that visits of different lines can be ordered."""
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class View:
    """All that is shown of one call of a function. Lines count from 1, in the text that was predicted."""

    target: Target
    result: Result
    visits: Mapping[int, tuple[Visit, ...]]
    """By line of the function; only visits that have something to show."""
    turns: tuple[int, ...]
    """The rows where each turn of the loop that runs most often begins; empty without a loop."""
    unreached: tuple[range, ...]
    """Lines that the whole call does not run."""

    @classmethod
    def of(cls, target: Target, result: Result) -> View:
        """Take a result apart. An unfinished prediction may be part of it."""
        rows = rows_of(result, _WHOLE)
        lines = range(target.first_line, target.last_line + 1)
        visits: dict[int, list[Visit]] = {}
        for index, row in enumerate(rows):
            values = tuple(_values(row)) if row.line in lines else ()
            if values:
                visits.setdefault(row.line, []).append(Visit(index, values))
        own = {line: tuple(each) for line, each in visits.items()}
        return cls(target, result, own, _turns(own), tuple(_unreached(target, result)))

    def at(self, line: int, turn: int | None) -> tuple[Visit, ...]:
        """The visits of a line; with a turn (from 0) only what holds in that turn."""
        visits = self.visits.get(line, ())
        if turn is None or not self.turns:
            return visits
        start = self.turns[min(turn, len(self.turns) - 1)]
        end = self.turns[turn + 1] if turn + 1 < len(self.turns) else _WHOLE
        inside = tuple(visit for visit in visits if start <= visit.row < end)
        return inside or tuple(visit for visit in visits if visit.row < start)[-1:]


def _values(row: Row) -> Iterator[Value]:
    if row.function.startswith("<") and row.function != "<module>":
        # What a comprehension or lambda hands back shows in the line's own values.
        row = Row(row.line, row.source, row.depth, row.state, _named(row.predicted), _named(row.actual))
    actual = {item.name: item for item in row.actual}
    for item in row.predicted:
        other = actual.pop(item.name, None)
        is_open = row.state is State.OPEN
        yield Value(
            item.name,
            _value_of(item),
            _value_of(other) if other is not None and not is_open else None,
            item.wrong,
            item.sure,
        )
    for item in actual.values():
        if item.wrong:
            yield Value(item.name, None, _value_of(item), True, None)


def _named(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.name is not None or item.wrong]


def _value_of(item: Item) -> str:
    if item.name is not None and item.text.startswith(f"{item.name} = "):
        return item.text[len(item.name) + 3 :]
    return item.text


def _turns(visits: Mapping[int, Sequence[Visit]]) -> tuple[int, ...]:
    """Where the turns of the busiest loop begin: at its first line that shows anything."""
    most = max(visits.values(), key=len, default=())
    return tuple(visit.row for visit in most) if len(most) > 1 else ()


def _unreached(target: Target, result: Result) -> Iterator[range]:
    """Statements of the function that the call does not run, outermost ones only."""
    trace = result.actual if result.actual is not None and not is_cut(result.actual) else result.predicted
    if trace is None or is_cut(trace):
        return
    ran = {frame.line for frame in trace.frames}

    def inside(body: Sequence[ast.stmt]) -> Iterator[range]:
        for statement in body:
            lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
            if not ran.isdisjoint(lines):
                if not isinstance(statement, (Definition, ast.ClassDef)):
                    for block in _blocks(statement):
                        yield from inside(block)
            elif not _has_no_line(statement):
                yield lines

    yield from inside(target.node().body)


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
        yield part.body


def _has_no_line(statement: ast.stmt) -> bool:
    """Whether a statement never has a line event of its own."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return True
    return isinstance(statement, (ast.Global, ast.Nonlocal)) or (
        isinstance(statement, ast.AnnAssign) and statement.value is None
    )


def label(visits: Sequence[Visit], confidence: float, length: int, *, stale: bool) -> tuple[str, Look] | None:
    """A line's hint and how it looks; None where the line has nothing to show."""
    runs: dict[str | None, list[Value]] = {}
    for visit in visits:
        for value in visit.values:
            runs.setdefault(value.name, []).append(value)
    if not runs:
        return None
    looks = [value.look(confidence) for values in runs.values() for value in values]
    worst = Look.STALE if stale else max(looks, key=_ORDER.index)
    parts = [_run(name, values, length) for name, values in runs.items()]
    return ", ".join(parts) + _MARKS.get(worst, ""), worst


def _run(name: str | None, values: Sequence[Value], length: int) -> str:
    """The values of one local in their order, up to the first wrong one."""
    wrong = next((index for index, value in enumerate(values) if value.wrong), None)
    shown = [shorten(value.predicted or "", length) for value in values[:wrong]]
    if wrong is None and len(shown) > _RUN:
        text = " → ".join(shown[: _RUN - 1]) + " … " + shown[-1]
    elif len(shown) >= _RUN:
        text = " → ".join(shown[:2]) + " … " + shown[-1]
    else:
        text = " → ".join(shown)
    if wrong is not None:
        text = f"{text} → {_difference(values[wrong], length)}" if text else _difference(values[wrong], length)
        if wrong + 1 < len(values):
            text += " …"
    return f"{name} = {text}" if name is not None else text


def _difference(value: Value, length: int, written: Callable[[str], str] = str) -> str:
    """Both sides of a wrong value, each as `written`; what both do is said once."""
    left, right = contrast(value.predicted or "", value.actual or "", length)
    if value.predicted is None:
        return f"{written(right)} (not predicted)"
    if value.actual is None:
        return f"{written(left)} (predicted only)"
    verb = left.partition(" ")[0] + " "
    if value.name is None and verb in _ENDINGS:
        right = right.removeprefix(verb)
    return f"{written(left)} ≠ {written(right)}"


def table(view: View, visits: Sequence[Visit]) -> str:
    """All values of a line over all its visits, as Markdown."""
    names = list(dict.fromkeys(value.name for visit in visits for value in visit.values))
    if not names:
        return ""
    heads = ["", *(_code(name) if name is not None else "" for name in names)]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for number, visit in enumerate(visits[:_TABLE_ROWS], 1):
        cells = {value.name: _cell(value) for value in visit.values}
        if cells:
            lines.append(f"| {number} | {' | '.join(cells.get(name, '') for name in names)} |")
    if len(visits) > _TABLE_ROWS:
        lines.append(f"\n… and {len(visits) - _TABLE_ROWS} more times")
    return "\n".join(lines)


def _cell(value: Value) -> str:
    if value.wrong:
        return _difference(value, _TABLE_VALUE, _code)
    text = _code(shorten(value.predicted or "", _TABLE_VALUE))
    if value.actual is not None:
        return f"{text} ✓"
    return f"{text} ({int(100 * value.sure)}%)" if value.sure is not None and value.sure < 0.995 else text


def _code(text: str) -> str:
    """A text as it is, in a cell of a Markdown table."""
    flat = " ".join(text.split("\n")).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in _backticks(flat)), default=0) + 1)
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}" if flat else ""


def _backticks(text: str) -> list[str]:
    return [run for run in "".join(char if char == "`" else " " for char in text).split() if run]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a diagnostic is raised for."""

    code: str
    """`divergence` or `expected-exception`."""
    line: int
    text: str
    more: tuple[Story, ...] = ()
    """What else belongs to it, each with its line."""


def finding(view: View) -> Finding | None:
    """What has to be reported of a call, if anything."""
    result = view.result
    if result.status is Status.DIVERGED:
        stories = [story_of(divergence, result) for divergence in result.divergences[:50]]
        lines = range(view.target.first_line, view.target.last_line + 1)
        first, others = stories[0], first_of_each_line(stories[1:])
        # A difference in a function that was called shows at the call.
        line = first.line if first.line in lines else view.target.first_line
        text = f"{first.text} ({result.call})"
        return Finding("divergence", line, text, tuple(story for story in others if story.line != first.line)[:5])
    if result.predicted is None or result.predicted.outcome.ending is not Ending.RAISED:
        return None
    raised = _raise_in(view.target, result.predicted.frames)
    if raised is None:
        return None
    what = _exception_name(raised)
    if result.actual is not None and result.status is Status.CONFIRMED:
        text = f"{what} is raised here for {result.call}, as the real run confirmed."
    else:
        text = f"The model expects {what} here for {result.call}."
    return Finding("expected-exception", raised.line, text)


def _raise_in(target: Target, frames: Sequence[Frame]) -> Frame | None:
    """Where the exception that ends the call comes up in the function itself."""
    lines = range(target.first_line, target.last_line + 1)
    return next((frame for frame in reversed(frames) if frame.event is Event.EXCEPTION and frame.line in lines), None)


def _exception_name(frame: Frame) -> str:
    name = exception_text(frame.value or "").partition("(")[0]
    return name or "an exception"
