"""What the side-by-side view shows, and where the cursor is: messages of our own (docs/protocol.md)."""

from __future__ import annotations

from typing import Any

from debugger.report.rows import Item, first_difference, rows_of
from debugger.report.story import first_of_each_line, outcome_text, story_of
from lsp_server.documents import Document, Function
from lsp_server.features.commands import summary
from lsp_server.server import ForetraceServer

_VALUE = 2000
"""Characters of a value in the view."""


def register(server: ForetraceServer) -> None:
    """Answer the editors' own views."""

    @server.feature("foretrace/status")
    def status(ls: ForetraceServer, params: Any) -> dict[str, Any]:
        return ls.status()

    @server.feature("foretrace/cursor")
    def cursor(ls: ForetraceServer, params: Any) -> None:
        found = ls.find(params.uri)
        if found is not None:
            ls.work.cursor_at(found[0], found[1].start + int(params.position.line))

    @server.feature("foretrace/functions")
    def functions(ls: ForetraceServer, params: Any) -> dict[str, Any] | None:
        found = ls.find(params.uri)
        if found is None:
            return None
        document = found[0]
        return {
            "version": document.version,
            "problem": document.problem,
            "functions": [_function(document, each) for each in document.functions.values()],
        }

    @server.feature("foretrace/frames")
    def frames(ls: ForetraceServer, params: Any) -> dict[str, Any] | None:
        found = ls.find(params.uri)
        function = found[0].functions.get(params.function) if found is not None else None
        return _frames(ls, found[0], function) if found is not None and function is not None else None


def _function(document: Document, function: Function) -> dict[str, Any]:
    part = document.part_at(function.first)
    start = part.start if part is not None else 0
    return {
        **summary(document, function),
        "uri": part.uri if part is not None else document.uri,
        "firstLine": function.first - start,
        "lastLine": function.last - start,
        "predicting": function.task is not None,
        "steps": len(function.frames) if function.task is not None else 0,
        "checking": function.checking,
        "stale": function.stale,
        "problem": function.problem,
    }


def _frames(ls: ForetraceServer, document: Document, function: Function) -> dict[str, Any]:
    """The rows of both runs in order, each with the line where it is now."""
    answer: dict[str, Any] = {**_function(document, function), "model": ls.models.name, "rows": [], "stories": []}
    view = function.view
    if view is None:
        return answer
    result = view.result
    rows = rows_of(result, _VALUE)
    first = first_difference(rows)
    start = answer["firstLine"] - function.first
    for index, row in enumerate(rows):
        place = (
            function.places.get(row.line)
            if row.line in range(view.target.first_line, view.target.last_line + 1)
            else (row.line - 1 if row.line else None)
        )
        answer["rows"].append(
            {
                "line": place + start if place is not None else None,
                "source": row.source.rstrip("\n"),
                "depth": row.depth,
                "function": row.function,
                "state": row.state.value,
                "first": index == first,
                "predicted": [_item(item) for item in row.predicted],
                "actual": [_item(item) for item in row.actual],
            }
        )
    answer["turnRows"] = list(view.turns)
    answer["predicted"] = outcome_text(result.predicted) if result.predicted is not None and function.whole else None
    answer["actual"] = outcome_text(result.actual) if result.actual is not None else None
    answer["python"] = ".".join(map(str, function.python)) if function.python and result.actual is not None else None
    answer["output"] = result.actual.output if result.actual is not None else ""
    stories = first_of_each_line([story_of(each, result) for each in result.divergences[:50]])
    answer["stories"] = [
        {"line": function.places.get(story.line, story.line - 1) + start, "text": story.text} for story in stories
    ]
    return answer


def _item(item: Item) -> dict[str, Any]:
    sure = round(item.sure, 4) if item.sure is not None else None
    return {"name": item.name, "text": item.text, "wrong": item.wrong, "sure": sure}
