"""Inline values: while a debug session is stopped, the predicted values beside the actual ones."""

from __future__ import annotations

import re

from lsprotocol import types

from lsp_server.server import ForetraceServer
from lsp_server.values import label


def register(server: ForetraceServer) -> None:
    """Answer editors that are stopped in a debugger. The editor itself looks the actual values up."""

    @server.feature(types.TEXT_DOCUMENT_INLINE_VALUE)
    def inline_value(ls: ForetraceServer, params: types.InlineValueParams) -> list[types.InlineValue]:
        found = ls.find(params.text_document.uri)
        if found is None:
            return []
        document, part = found
        # Lines behind the one where the program stands have no values yet.
        last = part.start + min(params.range.end.line, params.context.stopped_location.end.line)
        options = ls.options_for(document)
        values: list[types.InlineValue] = []
        for place, function, line in document.shown_lines(part.start + params.range.start.line, last):
            view, where = function.view, ls.range_of(document, place, place)
            if view is None or where is None or function.stale:
                continue
            visits = view.at(line, function.turn)
            shown = label(visits, options.confidence, options.value_length, stale=False)
            if shown is None:
                continue
            text = document.lines[place]
            for name in dict.fromkeys(value.name for visit in visits for value in visit.values):
                match = re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text) if name else None
                if match is not None:
                    ends = [
                        types.Position(where[1].start.line, ls.codec.client_num_units(text[:index]))
                        for index in match.span()
                    ]
                    values.append(types.InlineValueVariableLookup(types.Range(*ends), True, name))
            values.append(types.InlineValueText(where[1], f"predicted: {shown[0]}"))
        return values
