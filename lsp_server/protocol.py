"""pygls' protocol, strict where the specification is: every request is answered, whatever state the server is in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol, lsp_method
from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCResponseMessage, RPCMessage

_IGNORED = "$/ignored"


@dataclass(frozen=True, slots=True)
class Plain:
    """A result that is JSON already: converting hundreds of objects one by one takes longer than finding them."""

    value: Any


class Protocol(LanguageServerProtocol):
    """Answers requests that come too early, too late or malformed with errors; pygls leaves some of them unanswered."""

    _was_initialized = False

    def __init__(self, server: Any, converter: Any) -> None:
        """As pygls makes it."""
        super().__init__(server, converter)
        self.was_shut_down = False
        """The client has asked for the end."""
        self.commands: dict[Any, asyncio.Future[Any]] = {}
        """What executes commands, by the ids of the requests; pygls does not cancel it with them."""

    def handle_message(self, message: RPCMessage) -> None:
        """Handle a message if its time is right."""
        if not hasattr(message, "jsonrpc"):
            return  # JSON, but no message
        method = getattr(message, "method", None)
        if method is None or method == types.EXIT:
            super().handle_message(message)
        elif not isinstance(method, str) or method == _IGNORED:
            return
        elif self.was_shut_down:
            self._refuse(message, types.ErrorCodes.InvalidRequest, "The server is shutting down.")
        elif method == types.INITIALIZE and self._was_initialized:
            self._refuse(message, types.ErrorCodes.InvalidRequest, "The server is initialized already.")
        elif method == types.INITIALIZE or self._was_initialized:
            self._was_initialized = True
            super().handle_message(message)
            self.was_shut_down = method == types.SHUTDOWN
        else:
            self._refuse(message, types.ErrorCodes.ServerNotInitialized, "The server is not initialized yet.")

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message as its type; a request whose parameters are of no use is answered here."""
        if "jsonrpc" not in data or not ("method" in data or "id" in data):
            return data  # no message but some object in one
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" in data and "id" in data:
                self._send_response(data["id"], None, error.to_response_error())
                return JsonRPCNotification(method=_IGNORED, jsonrpc=self.VERSION, params=None)
            raise

    def _handle_cancel_notification(self, msg_id: Any) -> None:
        command = self.commands.get(msg_id)
        if command is not None:
            command.cancel()
        elif msg_id in self._request_futures:
            super()._handle_cancel_notification(msg_id)

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        """End as pygls does, whose loop over requests fails where cancelling one removes it."""
        features = cast("dict[str, Any]", self.fm.features)  # pyright: ignore[reportUnknownMemberType]
        handler = features.get(types.SHUTDOWN)
        if handler is not None:
            yield handler, args, None
        own = self.msg_id
        for name, future in list(self._request_futures.items()):
            if name != own and not future.done():
                future.cancel()
        self._shutdown = True

    def unstructured(self, value: Any) -> Any:
        """An object of the protocol as JSON."""
        return self._converter.unstructure(value)

    def _serialize_message(self, data: Any) -> Any:
        if isinstance(data, JsonRPCResponseMessage) and isinstance(data.result, Plain):
            return {"jsonrpc": data.jsonrpc, "id": data.id, "result": data.result.value}
        return super()._serialize_message(data)

    def answer_unreadable(self, error: json.JSONDecodeError | UnicodeDecodeError | RecursionError) -> None:
        """Answer what is no JSON, and so has no id."""
        complaint = types.ResponseError(types.ErrorCodes.ParseError, f"The message is no JSON: {error}")
        self._send_data(types.ResponseErrorMessage(id=None, error=complaint))

    def _refuse(self, message: Any, code: types.ErrorCodes, sentence: str) -> None:
        if hasattr(message, "id"):
            self._send_response(message.id, None, types.ResponseError(code, sentence))
