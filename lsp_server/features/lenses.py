"""Code lenses: above each function its call, the check, other calls, and which turn of a loop is shown."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from debugger.report.story import shorten
from lsp_server.documents import Document, Function
from lsp_server.server import ForetraceServer, json_object
from lsp_server.work import WorkError

_CALL = 60
"""Characters of a call in a lens."""


def register(server: ForetraceServer) -> None:
    """Answer requests for lenses."""

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=True))
    def code_lens(ls: ForetraceServer, params: types.CodeLensParams) -> list[types.CodeLens]:
        found = ls.find(params.text_document.uri)
        if found is None:
            return []
        document, part = found
        lenses: list[types.CodeLens] = []
        for function in document.functions.values():
            if part.start <= function.first < part.start + len(part.lines):
                lenses += _lenses(ls, document, function)
        return lenses

    @server.feature(types.CODE_LENS_RESOLVE)
    async def resolve(ls: ForetraceServer, lens: types.CodeLens) -> types.CodeLens:
        data = json_object(lens.data)
        document = ls.work.documents.get(data.get("uri", ""))
        if document is not None and document.version == data.get("version"):
            try:
                function = await ls.work.calls(document, data["function"])
                lens.command = _first(document, function)
            except WorkError as error:
                lens.command = types.Command(str(error), "")
        if lens.command is None:
            lens.command = types.Command("Predict", "")
        return lens


def _lenses(ls: ForetraceServer, document: Document, function: Function) -> Iterator[types.CodeLens]:
    place = ls.range_of(document, function.first, function.first)
    if place is None:
        return
    where = place[1]
    if function.calls is None and function.call is None and function.given is None and function.task is None:
        data = {"uri": document.uri, "version": document.version, "function": function.qualname}
        yield types.CodeLens(where, data=data)
    else:
        yield types.CodeLens(where, _first(document, function))
    if function.checking:
        yield types.CodeLens(where, types.Command("Checking …", ""))
    else:
        yield types.CodeLens(where, _command("Check against a real run", "foretrace.check", document, function))
    yield types.CodeLens(where, _command("Other call…", "foretrace.otherCall", document, function))
    turns = len(function.view.turns) if function.view is not None and not function.stale else 0
    if turns:
        if function.turn is not None:
            yield types.CodeLens(where, _command("◀ previous turn", "foretrace.previousIteration", document, function))
        shown = f"All {turns} turns ▶" if function.turn is None else f"Turn {function.turn + 1} of {turns} ▶"
        yield types.CodeLens(where, _command(shown, "foretrace.nextIteration", document, function))


def _first(document: Document, function: Function) -> types.Command:
    """What the first lens says: a prediction under way, the call that would be predicted, or that there is none."""
    if function.task is not None:
        steps = f" ({len(function.frames)} steps)" if function.frames else ""
        return _command(f"Predicting{steps} … cancel", "foretrace.cancel", document, function)
    call = function.given or function.call or (function.calls[0].expression if function.calls else None)
    if call is None:
        return _command("Predict a call…", "foretrace.otherCall", document, function)
    return _command(f"Predict {shorten(call, _CALL)}", "foretrace.predict", document, function)


def _command(title: str, name: str, document: Document, function: Function) -> types.Command:
    return types.Command(title, name, arguments=[{"uri": document.uri, "function": function.qualname}])
