"""Inlay hints: behind each line its new values."""

from __future__ import annotations

from typing import Any

from lsprotocol import types

from lsp_server.documents import Document
from lsp_server.server import ForetraceServer, json_object
from lsp_server.values import label, table


def register(server: ForetraceServer) -> None:
    """Answer requests for hints."""

    @server.feature(types.TEXT_DOCUMENT_INLAY_HINT)
    def inlay_hint(ls: ForetraceServer, params: types.InlayHintParams) -> list[types.InlayHint]:
        found = ls.find(params.text_document.uri)
        if found is None:
            return []
        document, part = found
        first = part.start + params.range.start.line
        last = part.start + min(params.range.end.line, max(0, len(part.lines) - 1))
        if not document.is_notebook:
            ls.work.looked_at(document, first, last)
        if not (ls.hints_shown and ls.options_for(document).hints):
            return []
        return hints_of(ls, document, first, min(last, part.start + len(part.lines) - 1))

    @server.feature(types.INLAY_HINT_RESOLVE)
    def resolve(ls: ForetraceServer, hint: types.InlayHint) -> types.InlayHint:
        data = json_object(hint.data)
        document = ls.work.documents.get(data.get("uri", ""))
        if document is None or document.version != data.get("version"):
            return hint
        for place, function, line in document.shown_lines(data["line"], data["line"]):
            if place == data["line"] and function.view is not None and function.qualname == data["function"]:
                text = table(function.view, function.view.visits[line])
                hint.tooltip = types.MarkupContent(types.MarkupKind.Markdown, text)
        return hint

    @server.feature("foretrace/hints")
    def all_hints(ls: ForetraceServer, params: Any) -> dict[str, Any] | None:
        found = ls.find(params.uri)
        if found is None:
            return None
        document, part = found
        shown = hints_of(ls, document, part.start, part.start + len(part.lines) - 1)
        return {
            "version": document.version,
            "hints": [
                {
                    "line": hint.position.line,
                    "character": hint.position.character,
                    "text": hint.label,
                    "state": hint.data["state"],  # pyright: ignore
                    "function": hint.data["function"],  # pyright: ignore
                }
                for hint in shown
            ],
        }


def hints_of(ls: ForetraceServer, document: Document, first: int, last: int) -> list[types.InlayHint]:
    """The hints of a document's lines `first` to `last`, from 0."""
    options = ls.options_for(document)
    hints: list[types.InlayHint] = []
    for place, function, line in document.shown_lines(first, last):
        view, position = function.view, ls.end_of(document, place)
        if view is None or position is None:
            continue
        shown = label(view.at(line, function.turn), options.confidence, options.value_length, stale=function.stale)
        if shown is None:
            continue
        text, look = shown
        data = {
            "uri": document.uri,
            "version": document.version,
            "line": place,
            "function": function.qualname,
            "state": look.value,
        }
        hints.append(types.InlayHint(position, text, padding_left=True, data=data))
    return sorted(hints, key=lambda hint: hint.position.line)
