"""Commands: what lenses, keys and menus start. Each takes one object, `{uri, function | line, …}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from debugger.report.story import shorten
from lsp_server.documents import Document, Function
from lsp_server.features.hover import describe
from lsp_server.server import ForetraceServer
from lsp_server.work import WorkError

_TITLE = 60


class _Failed(JsonRpcException):
    """A command that could not do what it was asked for; the message is a sentence for people."""

    CODE = types.LSPErrorCodes.RequestFailed.value


def register(server: ForetraceServer) -> None:
    """Let clients execute commands."""

    @server.command("foretrace.predict")
    async def predict(ls: ForetraceServer, *arguments: Any) -> dict[str, Any]:
        document, qualname, given = await _subject(ls, arguments)
        work = ls.work.predict(document, qualname, _text(given, "call"))
        return await _long(ls, f"Predicting {qualname}", document, work)

    @server.command("foretrace.check")
    async def check(ls: ForetraceServer, *arguments: Any) -> dict[str, Any]:
        document, qualname, given = await _subject(ls, arguments)
        work = ls.work.check(document, qualname, _text(given, "call"))
        return await _long(ls, f"Checking {qualname} against a real run", document, work)

    @server.command("foretrace.otherCall")
    async def other_call(ls: ForetraceServer, *arguments: Any) -> dict[str, Any] | None:
        """With a call: predict that one. Without: let the user pick one of the calls that are known."""
        document, qualname, given = await _subject(ls, arguments)
        call = _text(given, "call") or await _picked(ls, document, qualname)
        if call is None:
            return None
        work = ls.work.predict(document, qualname, call)
        return await _long(ls, f"Predicting {qualname}", document, work)

    @server.command("foretrace.calls")
    async def calls(ls: ForetraceServer, *arguments: Any) -> list[dict[str, Any]]:
        document, qualname, _ = await _subject(ls, arguments)
        try:
            function = await ls.work.calls(document, qualname, every=True)
        except WorkError as error:
            raise _Failed(str(error)) from None
        known = [
            {"call": call.expression, "origin": call.origin.value, "line": call.line and call.line - 1}
            for call in function.calls or ()
        ]
        if function.given is not None and function.given not in (each["call"] for each in known):
            known.insert(0, {"call": function.given, "origin": "given", "line": None})
        return known

    @server.command("foretrace.nextIteration")
    async def next_iteration(ls: ForetraceServer, *arguments: Any) -> dict[str, Any]:
        return await _turned(ls, arguments, _next)

    @server.command("foretrace.previousIteration")
    async def previous_iteration(ls: ForetraceServer, *arguments: Any) -> dict[str, Any]:
        return await _turned(ls, arguments, _previous)

    @server.command("foretrace.showIteration")
    async def show_iteration(ls: ForetraceServer, *arguments: Any) -> dict[str, Any]:
        """Show the turn `turn`, from 0; null shows all."""
        wanted = _object(arguments).get("turn")
        if wanted is not None and (isinstance(wanted, bool) or not isinstance(wanted, int)):
            raise _Failed("The turn has to be a number from 0, or null for all.")

        def show(before: int | None, turns: int) -> int | None:
            return wanted

        return await _turned(ls, arguments, show)

    @server.command("foretrace.cancel")
    async def cancel(ls: ForetraceServer, *arguments: Any) -> None:
        document, qualname, _ = await _subject(ls, arguments)
        function = document.functions.get(qualname)
        if function is not None and function.task is not None:
            function.end_task()
            function.problem = "The prediction was cancelled."
            ls.document_changed(document)

    @server.command("foretrace.toggleHints")
    def toggle(ls: ForetraceServer, *arguments: Any) -> bool:
        ls.hints_shown = not ls.hints_shown
        for document in ls.work.documents.values():
            ls.document_changed(document)
        return ls.hints_shown

    @server.command("foretrace.restart")
    async def restart(ls: ForetraceServer, *arguments: Any) -> None:
        """End the model host, for every window; the next prediction starts it anew."""
        await ls.models.restart()
        ls.forget_said()
        ls.work.reconsider()

    @server.command("foretrace.status")
    def status(ls: ForetraceServer, *arguments: Any) -> dict[str, Any]:
        return ls.status()


def _object(arguments: tuple[Any, ...]) -> dict[str, Any]:
    given = arguments[0] if arguments else None
    if not isinstance(given, dict):
        raise _Failed('The argument has to be an object, as in {"uri": "file:///a.py", "function": "f"}.')
    return cast("dict[str, Any]", given)


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise _Failed(f"The {name} has to be a text.")
    return value


async def _subject(ls: ForetraceServer, arguments: tuple[Any, ...]) -> tuple[Document, str, dict[str, Any]]:
    """The document and the function's name that a command is about."""
    given = _object(arguments)
    uri = _text(given, "uri") or ""
    found = ls.find(uri)
    document = found[0] if found is not None else ls.work.documents.get(uri)
    if document is None:
        raise _Failed(f"{uri or 'The document'} is not open.")
    qualname = _text(given, "function")
    if qualname is None:
        line = given.get("line")
        if isinstance(line, bool) or not isinstance(line, int):
            raise _Failed('Name the function, as in "function": "f", or a line of it, as in "line": 3.')
        try:
            await ls.work.up_to_date(document)
        except WorkError as error:
            raise _Failed(str(error)) from None
        function = document.function_at(line + (found[1].start if found is not None else 0))
        if function is None:
            raise _Failed(f"Line {line + 1} is outside any function; put the cursor into one.")
        qualname = function.qualname
    return document, qualname, given


async def _long(ls: ForetraceServer, title: str, document: Document, work: Any) -> dict[str, Any]:
    try:
        function: Function = await ls.with_progress(shorten(title, _TITLE), work)
    except WorkError as error:
        raise _Failed(str(error)) from None
    return summary(document, function)


def summary(document: Document, function: Function) -> dict[str, Any]:
    """What a command that predicts or checks answers."""
    view = function.view
    return {
        "uri": document.uri,
        "version": document.version,
        "function": function.qualname,
        "call": function.call,
        "status": view.result.status.value if view is not None else None,
        "text": describe(document, function),
        "turn": function.turn,
        "turns": len(view.turns) if view is not None else 0,
    }


def _next(turn: int | None, turns: int) -> int | None:
    return 0 if turn is None else turn + 1


def _previous(turn: int | None, turns: int) -> int | None:
    return turns - 1 if turn is None else turn - 1


async def _turned(
    ls: ForetraceServer, arguments: tuple[Any, ...], step: Callable[[int | None, int], int | None]
) -> dict[str, Any]:
    document, qualname, _ = await _subject(ls, arguments)
    function = document.functions.get(qualname)
    if function is None or function.view is None:
        raise _Failed(f"Nothing is predicted for {qualname} yet.")
    turns = len(function.view.turns)
    turn = step(function.turn, turns) if turns else None
    function.turn = turn if turn is not None and 0 <= turn < turns else None
    ls.document_changed(document)
    return summary(document, function)


async def _picked(ls: ForetraceServer, document: Document, qualname: str) -> str | None:
    """The call that the user picks; clients without a prompt of their own show a message with buttons."""
    try:
        function = await ls.work.calls(document, qualname, every=True)
    except WorkError as error:
        raise _Failed(str(error)) from None
    known = [call.expression for call in function.calls or ()][:8]
    name = qualname.rpartition(".")[2]
    if not known:
        raise _Failed(f"No call of {qualname} is known; write one above it, as in `# foretrace: {name}(1)`.")
    choice = await ls.window_show_message_request_async(
        types.ShowMessageRequestParams(
            types.MessageType.Info,
            f"Which call of {qualname}? Another one can be written above it, as in `# foretrace: {name}(1)`.",
            [types.MessageActionItem(call) for call in known],
        )
    )
    return choice.title if choice is not None else None
