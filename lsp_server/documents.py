"""An open document: its text, its functions, and what is shown of each, kept in place while the user edits.

Lines of a document count from 0, as in the protocol; lines of targets, views and traces from 1, as in Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from debugger.calls import Call
from debugger.target import Target
from debugger.trace import Frame
from lsp_server.analysis import Basis
from lsp_server.values import View


@dataclass(frozen=True, slots=True)
class Edit:
    """One replaced block of lines."""

    start: int
    """The first line that is not as before."""
    end: int
    """The first line behind the block, as lines were numbered before."""
    delta: int
    """How many lines more there are now."""

    def move(self, line: int) -> int | None:
        """Where a line is now; None if it was replaced."""
        if line < self.start:
            return line
        return line + self.delta if line >= self.end else None

    def touches(self, first: int, last: int) -> bool:
        """Whether anything from line `first` to line `last` was replaced, or something put in between."""
        if self.start == self.end:
            return first < self.start <= last
        return self.start <= last and first < self.end


def difference(before: Sequence[str], after: Sequence[str]) -> Edit | None:
    """The one block in which two texts differ; None where they are equal."""
    least = min(len(before), len(after))
    start = 0
    while start < least and before[start] == after[start]:
        start += 1
    if start == len(before) == len(after):
        return None
    end = 0
    while end < least - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return Edit(start, len(before) - end, len(after) - len(before))


@dataclass(slots=True, eq=False)
class Function:
    """A function of the document, and what is known and shown of it."""

    target: Target
    """As the last analysis saw it."""
    first: int
    """The `def` line now, from 0."""
    last: int
    calls: tuple[Call, ...] | None = None
    """The best call that is known, and once they were asked for all others; None before it was looked for."""
    all_calls: bool = False
    """`calls` has all of them."""
    given: str | None = None
    """The call that the user chose."""
    call: str | None = None
    """The call that is shown or being predicted."""
    basis: Basis | None = None
    """What the view, or the prediction under way, was made from."""
    view: View | None = None
    places: dict[int, int] = field(default_factory=dict[int, int])
    """For each line of the view that is still as it was, where it is now, from 0."""
    coming: dict[int, int] = field(default_factory=dict[int, int])
    """The same for the prediction or check under way."""
    whole: bool = False
    """The view is of a prediction that has ended by itself."""
    stale: bool = False
    """The function has changed since."""
    turn: int | None = None
    """The turn of the loop that is shown, from 0; None shows all."""
    frames: list[Frame] = field(default_factory=list[Frame])
    """What the prediction under way has come to."""
    task: asyncio.Task[None] | None = None
    """The prediction under way."""
    by_user: bool = False
    """Somebody asked for the prediction under way."""
    checking: bool = False
    """A real run is under way."""
    rendering: bool = False
    """A view of the frames so far is being made."""
    job: str = ""
    """The name of the prediction under way."""
    python: tuple[int, ...] | None = None
    """The version of the interpreter that made the view's actual run."""
    problem: str = ""
    """Why there is no view, in one sentence."""

    @property
    def qualname(self) -> str:
        """`f`, `C.m`."""
        return self.target.qualname

    @property
    def is_fresh(self) -> bool:
        """Whether nothing has to be predicted."""
        return self.task is not None or (not self.stale and (self.whole or bool(self.problem)))

    def show(self, view: View, places: dict[int, int]) -> None:
        """Take a new view."""
        self.view = view
        self.places = dict(places)
        turns = len(view.turns)
        if self.turn is not None:
            self.turn = min(self.turn, turns - 1) if turns else None

    def own_places(self) -> dict[int, int]:
        """The lines of the target where they are."""
        return {line: line - 1 for line in range(self.target.first_line, self.target.last_line + 1)}

    def end_task(self) -> None:
        """Give up the prediction under way."""
        task, self.task = self.task, None
        if task is not None:
            task.cancel()


@dataclass(slots=True)
class Part:
    """A text document that is the whole of a document or one cell of it."""

    uri: str
    start: int
    """Its first line in the document."""
    lines: Sequence[str]


class Document:
    """A file or a notebook that an editor has open. It belongs to the event loop."""

    def __init__(self, uri: str, path: Path, *, is_file: bool, is_notebook: bool = False) -> None:
        """Nothing is known of it yet."""
        self.uri = uri
        self.path = path
        self.is_file = is_file
        """Whether the path is a file's; `untitled:` documents have none."""
        self.is_notebook = is_notebook
        self.version = 0
        """Of the protocol; grows with every change."""
        self.parts: list[Part] = []
        self.lines: list[str] = []
        self.saved = 0
        """The version that was opened or saved last."""
        self.functions: dict[str, Function] = {}
        """By qualified name, in file order."""
        self.analysed: int | None = None
        """The version that the functions are of."""
        self.problem = ""
        """Why there are no functions, in one sentence."""
        self.visible: range | None = None
        """Lines that the editor has asked for last."""
        self.cursor: int | None = None
        """The line that the user is at, as far as is known."""
        self.closed = False

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.lines)

    def update(self, version: int, parts: Sequence[tuple[str, Sequence[str]]]) -> Edit | None:
        """Take new text, move what is shown to where its lines are now, and mark what it changes as stale."""
        self.version = version
        self.parts = []
        lines: list[str] = []
        for uri, own in parts:
            self.parts.append(Part(uri, len(lines), own))
            lines += own
            if self.is_notebook and lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
        edit = difference(self.lines, lines)
        self.lines = lines
        if edit is not None:
            self.cursor = edit.start
            for function in self.functions.values():
                _apply(edit, function)
        return edit

    def part_of(self, uri: str) -> Part | None:
        """The part with a URI."""
        return next((part for part in self.parts if part.uri == uri), None)

    def part_at(self, line: int) -> Part | None:
        """The part that a line belongs to."""
        return next((part for part in reversed(self.parts) if part.start <= line), None)

    def function_at(self, line: int) -> Function | None:
        """The innermost function that a line belongs to."""
        around = [each for each in self.functions.values() if each.first <= line <= each.last]
        return min(around, key=lambda each: each.last - each.first, default=None)

    def take(self, targets: Sequence[Target]) -> list[Function]:
        """Take what an analysis of the present text found; gives the functions that are gone."""
        before, self.functions = self.functions, {}
        for target in targets:
            function = before.pop(target.qualname, None) or Function(target, 0, 0)
            function.target = target
            function.first, function.last = target.first_line - 1, target.last_line - 1
            self.functions[target.qualname] = function
        self.analysed = self.version
        self.problem = ""
        return list(before.values())

    def shown_lines(self, first: int, last: int) -> Iterator[tuple[int, Function, int]]:
        """Each line from `first` to `last` that has values: the line, its function, and the line of the view."""
        for function in self.functions.values():
            view = function.view
            if view is None or function.last < first or function.first > last:
                continue
            for line in view.visits:
                place = function.places.get(line)
                if place is None or not first <= place <= last or place >= len(self.lines):
                    continue
                # Whatever else goes wrong: no value beside a text that it was not predicted for.
                if self.lines[place].rstrip("\r\n") == view.target.file.lines[line - 1].rstrip("\n"):
                    yield place, function, line


def _apply(edit: Edit, function: Function) -> None:
    if function.last < edit.start or (edit.delta == 0 and edit.end <= function.first):
        return  # most functions, with most edits
    if edit.touches(function.first, function.last):
        function.stale = True
        function.problem = ""
        function.calls = None
        if not function.checking:
            function.end_task()
    first, last = edit.move(function.first), edit.move(function.last)
    function.first = first if first is not None else edit.start
    function.last = last if last is not None else max(function.first, edit.end + edit.delta - 1)
    function.places = _moved(edit, function.places)
    function.coming = _moved(edit, function.coming)


def _moved(edit: Edit, places: dict[int, int]) -> dict[int, int]:
    return {line: place for line, old in places.items() if (place := edit.move(old)) is not None}
