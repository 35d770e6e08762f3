"""Results as text for a terminal, in colour where the terminal has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from debugger.diff import is_cut
from debugger.report.result import Report, Result, Status
from debugger.report.rows import Item, Row, State, first_difference, rows_of, telling, window
from debugger.report.story import outcome_text, shorten, story_of
from debugger.trace import Ending, Outcome

ROWS = 24
"""Rows shown for one call, about, unless everything is asked for."""
_SURE = 0.9
"""Values that the model gave at least this probability are shown without it."""
_MAX_OUTPUT = 300
_INDENT = 2

_LOOKS = {
    Status.CONFIRMED: ("✓", "green"),
    Status.DIVERGED: ("✗", "red"),
    Status.UNFINISHED: ("~", "yellow"),
    Status.FAILED: ("!", "red"),
    Status.NO_CALL: ("-", "bright_black"),
    Status.DONE: ("•", "cyan"),
}


def print_report(console: Console, report: Report, *, full: bool = False) -> None:
    """Every result, then the summary."""
    print_sources(console, report)
    for result in report.results:
        print_result(console, result, full=full)
    print_summary(console, report)


def print_sources(console: Console, report: Report) -> None:
    """Who predicted and what ran: the lines above the results."""
    if report.model is not None:
        about = f" ({report.model.description})" if report.model.description else ""
        console.print(Text(f"Predicted by {report.model.name}{about}, without running the code.", "bright_black"))
    if report.python is not None:
        console.print(Text(f"Real runs by Python {report.python}.", "bright_black"))


def print_result(console: Console, result: Result, *, full: bool = False, brief: bool = False) -> None:
    """One call: its headline, and unless `brief`, what was found and the lines that ran with what they changed."""
    mark, style = _LOOKS[result.status]
    headline = Text.assemble((f"{mark} ", f"bold {style}"), (result.target, "bold"))
    if result.call is not None:
        headline.append(f"  {shorten(result.call, 200)}")
    if not brief and result.status is not Status.NO_CALL:
        console.print()
    if brief:
        headline.append(f"  {result.status.value}", style)
    console.print(headline, highlight=False, no_wrap=brief, overflow="ellipsis")
    if brief:
        return
    for line in _sentences(result):
        console.print(_indented(line), highlight=False)
    if result.predicted is not None or result.actual is not None:
        _print_table(console, result, full)


def _sentences(result: Result) -> Iterable[Text]:
    _, style = _LOOKS[result.status]
    predicted, actual = result.predicted, result.actual
    if actual is not None and actual.outcome.ending in (Ending.RETURNED, Ending.RAISED):
        name = result.target.rpartition("::")[2].rpartition(".")[2]
        if not any(frame.function == name for frame in actual.frames):
            yield Text(f"This call did not come to `{name}`; give one that does.", "yellow")
    if result.status is Status.CONFIRMED and actual is not None:
        yield Text(f"Confirmed: {outcome_text(actual)}; all {len(actual.frames)} steps as predicted.", style)
    elif result.status is Status.DIVERGED and predicted is not None and actual is not None:
        yield Text(f"First difference: {story_of(result.divergences[0], result).text}", style)
        expected, real = outcome_text(predicted), outcome_text(actual)
        alike = expected == real and not is_cut(actual)
        yield Text(f"In the end both {real}." if alike else f"Predicted: {expected}. Real run: {real}.")
    elif result.status is Status.DONE:
        trace = predicted or actual
        if trace is not None:
            yield Text(f"{'Predicted' if predicted else 'Real run'}: {outcome_text(trace)}.")
    if result.detail:
        words = f"{result.status.value.capitalize()}: " if result.status is not Status.NO_CALL else ""
        yield Text(words + result.detail, style)
    if actual is not None and actual.output:
        yield Text(f"It printed {shorten(repr(actual.output), _MAX_OUTPUT)}", "bright_black")


def _print_table(console: Console, result: Result, full: bool) -> None:
    both = result.predicted is not None and result.actual is not None
    value_width = max(16, console.width // (4 if both else 2))
    rows = rows_of(result, 10_000 if full else value_width)
    if not rows:
        return
    heads = ["predicted", "real run"] if both else ["predicted" if result.predicted is not None else "real run"]
    position = first_difference(rows)
    first = None if position is None else rows[position]
    cells: list[tuple[str | Text, ...]] = []
    for row in rows if full else window(telling(rows), ROWS):
        if isinstance(row, int):
            cells.append(("", "", Text(f"… {row} more steps", "bright_black")))
        elif both:
            cells.append((*_marks(row, row is first), _code(row), _cell(row.predicted, row), _real_cell(row)))
        else:
            cells.append(("", str(row.line), _code(row), _cell(row.predicted or row.actual, row)))
    values = [max([len(head), *(cell_len(str(c[n])) for c in cells if len(c) > n)]) for n, head in enumerate(heads, 3)]
    left = console.width - _INDENT - len("▶ ") - len("line ") - sum(width + 1 for width in values)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bright_black", pad_edge=False)
    table.add_column("")
    table.add_column("line", justify="right", style="bright_black")
    table.add_column("code", no_wrap=True, overflow="ellipsis", max_width=max(20, console.width * 2 // 5, left))
    for head in heads:
        table.add_column(head, overflow="fold")
    for each in cells:
        table.add_row(*each)
    if cells:
        console.print(_indented(table), highlight=False)
    for name, trace in (("prediction", result.predicted), ("real run", result.actual)):
        if trace is not None and is_cut(trace):
            words = f"… the {name} stopped early: {_why(result, trace.outcome)}"
            console.print(_indented(Text(words, "yellow")), highlight=False)


def _why(result: Result, outcome: Outcome) -> str:
    """Why a run stopped: the whole sentence, where none above the table has it."""
    if outcome.detail and result.status is Status.DIVERGED:
        return outcome.detail
    words = {Ending.MALFORMED: "text that is no step", Ending.OUT_OF_FRAMES: "out of steps"}
    return words.get(outcome.ending, outcome.ending.value)


def _indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, _INDENT), expand=False)


def _marks(row: Row, first: bool) -> tuple[Text, str]:
    if first:
        return Text("▶", "bold red"), str(row.line)
    return Text("≠" if row.state is State.DIFFERS else "", "red"), str(row.line or "")


def _code(row: Row) -> Text:
    text = Text("┆ " * min(row.depth, 8), "bright_black")
    return text.append(row.source.rstrip().expandtabs(4), "default")


def _cell(items: Iterable[Item], row: Row) -> Text:
    text = Text()
    for item in items:
        if text:
            text.append(", ")
        style = "bold red" if item.wrong else "yellow" if row.state is State.OPEN else ""
        text.append(item.text, style)
        if item.sure is not None and item.sure < _SURE:
            text.append(f" ({int(100 * item.sure)}%)", "bright_black")
    return text


def _real_cell(row: Row) -> Text:
    if row.state is State.SAME:
        return Text("✓" if row.actual else "", "green")
    text = Text()
    for item in row.actual:
        text.append(", " if text else "").append(item.text, "bold green" if item.wrong else "")
    return text


def print_summary(console: Console, report: Report, *, full: bool = False, brief: bool = False) -> None:
    """One line that counts what became of the calls; unless `brief`, with the signs used above it."""
    counts = Counter(result.status for result in report.results)
    parts: list[Text] = []
    for status, (_, style) in _LOOKS.items():
        if counts[status]:
            word = status.value if status is not Status.DONE else "predicted" if report.model else "run"
            parts.append(Text(f"{counts[status]} {word}", style))
    console.print()
    predicted = [result.predicted for result in report.results if result.predicted is not None]
    signs: list[str] = []
    if any(result.predicted is not None and result.actual is not None for result in report.results):
        signs.append("✓ as predicted   ≠ differs   ▶ differs first")
    if any(sure < _SURE for trace in predicted for frame in trace.frames for sure in frame.confidence.values()):
        signs.append(f"(62%): how sure the model was of a value, where below {_SURE:.0%}.")
    if not full and any(result.predicted or result.actual for result in report.results):
        signs.append("Lines that change nothing are left out.")
    if signs and not brief:
        console.print(Text("\n".join(signs), "bright_black"), highlight=False)
    console.print(Text(", ").join(parts), highlight=False)
