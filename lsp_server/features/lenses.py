"""Code lenses: above each function its call, the check, other calls, and which turn of a loop is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsprotocol import types

from debugger.report.story import shorten
from debugger.trace import steps_text
from lsp_server.documents import Document, Function
from lsp_server.protocol import Plain
from lsp_server.server import ForetraceServer, json_object
from lsp_server.work import WorkError

_CALL, _PROBLEM = 60, 100
"""Characters of a call, and of a sentence, in a lens."""


def register(server: ForetraceServer) -> None:
    """Answer requests for lenses."""

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS, types.CodeLensOptions(resolve_provider=True))
    def code_lens(ls: ForetraceServer, params: types.CodeLensParams) -> Plain:
        found = ls.find(params.text_document.uri)
        if found is None:
            return Plain([])
        document, part = found
        lenses: list[dict[str, Any]] = []
        for function in document.functions.values():
            line = function.first - part.start
            if not 0 <= line < len(part.lines):
                continue
            if _is_unseen(function):
                lenses.append(_unresolved(document, function, line))
            if not _is_unseen(function) or _is_visible(document, function):
                where = types.Range(types.Position(line, 0), types.Position(line, 0))
                lenses += map(ls.protocol.unstructured, _lenses(document, function, where))
        return Plain(lenses)

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


def _lenses(document: Document, function: Function, where: types.Range) -> Iterator[types.CodeLens]:
    if not _is_unseen(function):
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


def _is_unseen(function: Function) -> bool:
    """Whether it is not known yet what could be predicted."""
    return function.calls is None and function.call is None and function.given is None and function.task is None


def _unresolved(document: Document, function: Function, line: int) -> dict[str, Any]:
    """A lens whose call is looked for when the editor shows it."""
    place = {"line": line, "character": 0}
    data = {"uri": document.uri, "version": document.version, "function": function.qualname}
    return {"range": {"start": place, "end": place}, "data": data}


def _is_visible(document: Document, function: Function) -> bool:
    visible = document.visible
    return visible is not None and function.first < visible.stop and function.last >= visible.start


def _first(document: Document, function: Function) -> types.Command:
    """What the first lens says: a prediction under way, the call that would be predicted, or that there is none."""
    if function.task is not None:
        steps = f" ({steps_text(len(function.frames))})" if function.frames else ""
        return _command(f"Predicting{steps} … cancel", "foretrace.cancel", document, function)
    call = function.given or function.call or (function.calls[0].expression if function.calls else None)
    if call is None:
        return _command("Predict a call…", "foretrace.otherCall", document, function)
    if function.problem and function.view is None:
        return _command(f"{shorten(function.problem, _PROBLEM)} Again", "foretrace.predict", document, function)
    return _command(f"Predict {shorten(call, _CALL)}", "foretrace.predict", document, function)


def _command(title: str, name: str, document: Document, function: Function) -> types.Command:
    return types.Command(title, name, arguments=[{"uri": document.uri, "function": function.qualname}])
