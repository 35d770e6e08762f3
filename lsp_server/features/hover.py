"""Hover: all values of a line over all its turns."""

from __future__ import annotations

from lsprotocol import types

from debugger.report.result import Status
from debugger.report.story import outcome_text
from lsp_server.documents import Document, Function
from lsp_server.server import ForetraceServer
from lsp_server.values import table


def register(server: ForetraceServer) -> None:
    """Answer hovers over lines that have values."""

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(ls: ForetraceServer, params: types.HoverParams) -> types.Hover | None:
        found = ls.find(params.text_document.uri)
        if found is None:
            return None
        document, part = found
        line = part.start + params.position.line
        for place, function, shown in document.shown_lines(line, line):
            view = function.view
            values = table(view, view.visits[shown]) if view is not None else ""
            where = ls.range_of(document, place, place)
            if values and where is not None:
                text = f"{_headline(ls, function)}\n\n{values}"
                return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), where[1])
        return None


def _headline(ls: ForetraceServer, function: Function) -> str:
    view = function.view
    assert view is not None
    result = view.result
    call = f"`{result.call}`"
    if function.stale:
        return f"{call}, predicted before the function was changed"
    name = ls.models.name or "the model"
    match result.status:
        case Status.CONFIRMED:
            return f"{call}, predicted by {name} and confirmed by a real run"
        case Status.DIVERGED:
            return f"{call}, predicted by {name} ≠ real run"
        case _ if result.actual is not None:
            return f"{call}, predicted by {name} beside a real run, as far as both go"
        case _:
            ending = outcome_text(result.predicted) if function.whole and result.predicted is not None else "under way"
            return f"{call}, predicted by {name}: {ending}"


def describe(document: Document, function: Function) -> str:
    """What became of a function's call, in one sentence."""
    view = function.view
    if view is None:
        return function.problem
    result = view.result
    if result.status is Status.CONFIRMED and result.actual is not None:
        return f"Confirmed: {result.call} {outcome_text(result.actual)}, as predicted."
    if result.predicted is not None and result.actual is not None and result.status is Status.DIVERGED:
        return (
            f"{result.call}: the prediction {outcome_text(result.predicted)}, the real run "
            f"{outcome_text(result.actual)}."
        )
    if result.detail:
        return result.detail
    return f"{result.call}: the prediction {outcome_text(result.predicted)}." if result.predicted is not None else ""
