"""The messages between servers and a model host: JSON-RPC with pygls' framing, and traces as plain JSON.

    hello      {token} → Status                         the first message of every connection
    predict    Request → Trace                          frames come before the answer as `frame` notifications
    cancel     {job}                                    answered at once: the prediction ends as cancelled
    prioritize {job}                                    it is now the freshest interactive one
    status     {} → Status
    stop       {} → {}
    frame      {job, index, frame}                      host to server
    state      Status                                   host to server, whenever it changes

Names that users choose are never keys of a message: pygls takes any object with a `jsonrpc` for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cattrs
from lsprotocol.types import ResponseError, ResponseErrorMessage
from pygls.client import JsonRPCClient
from pygls.exceptions import JsonRpcException
from pygls.io_ import run_async
from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage

from debugger.target import SourceFile, Target
from debugger.trace import Ending, Event, Frame, Outcome, Trace

MODEL_ERROR, TARGET_ERROR = 1, 2
"""Codes of errors whose message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to predict."""

    path: str
    text: str
    """Of the file as the editor holds it."""
    qualname: str
    first_line: int
    last_line: int
    call: str
    max_frames: int
    constrained: bool = True

    @classmethod
    def of(cls, target: Target, call: str, max_frames: int) -> Request:
        """Ask for a call of a target."""
        return cls(
            str(target.file.path),
            target.file.text,
            target.qualname,
            target.first_line,
            target.last_line,
            call,
            max_frames,
        )

    def target(self) -> Target:
        """The function, in its file."""
        file = SourceFile.from_text(Path(self.path), self.text)
        return Target(file, self.qualname, self.first_line, self.last_line)


@dataclass(frozen=True, slots=True)
class Status:
    """What a host says about itself."""

    pid: int = 0
    state: str = "starting"
    """starting, loading, ready, busy, failed or stopped."""
    model: str = ""
    """The GGUF's path, or the address of the server that has the model."""
    description: str = ""
    context: int | None = None
    device: str = ""
    detail: str = ""
    """One sentence where something is to be said: why the model does not load, or a warning."""
    waiting: int = 0
    """Predictions that have not begun."""
    served: int = 0
    """Predictions that are done."""
    clients: int = 0
    idle_seconds: float = 0.0


def to_wire(value: Any) -> dict[str, Any]:
    """A dataclass of this module as a message's parameters."""
    return asdict(value)


def frame_to_wire(frame: Frame) -> list[Any]:
    """A frame as a list."""
    return [
        frame.event.value,
        frame.line,
        frame.source,
        _pairs(frame.locals),
        frame.value,
        frame.function,
        frame.depth,
        _pairs(frame.confidence),
    ]


def frame_from_wire(data: list[Any]) -> Frame:
    """The frame again."""
    event, line, source, values, value, function, depth, confidence = data
    return Frame(Event(event), line, source, dict(values), value, function, depth, dict(confidence))


def trace_to_wire(trace: Trace) -> dict[str, Any]:
    """A predicted trace as JSON."""
    outcome = trace.outcome
    return {
        "frames": [frame_to_wire(frame) for frame in trace.frames],
        "outcome": [outcome.ending.value, outcome.value, outcome.detail],
    }


def trace_from_wire(data: Mapping[str, Any]) -> Trace:
    """The trace again."""
    ending, value, detail = data["outcome"]
    frames = tuple(frame_from_wire(frame) for frame in data["frames"])
    return Trace(frames, Outcome(Ending(ending), value, detail))


def _pairs(values: Mapping[str, Any]) -> list[list[Any]]:
    return [[name, value] for name, value in values.items()]


def _converter() -> cattrs.Converter:
    """For messages whose parameters stay plain JSON."""
    converter = cattrs.Converter()
    for kind in (JsonRPCRequestMessage, JsonRPCNotification, JsonRPCResponseMessage):
        converter.register_structure_hook(kind, lambda data, cls: cls(**data))
    converter.register_structure_hook(
        ResponseErrorMessage,
        lambda data, _: ResponseErrorMessage(
            id=data.get("id"),
            error=ResponseError(code=data["error"]["code"], message=data["error"]["message"]),
        ),
    )
    return converter


@dataclass(slots=True)
class _Streams:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Peer(JsonRPCClient):
    """One end of a connection. Handlers are registered with `feature`; both ends may ask and tell."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over two streams; `run` reads them."""
        super().__init__(converter_factory=_converter)
        self._streams = _Streams(reader, writer)
        self.protocol.set_writer(writer)  # pyright: ignore[reportArgumentType]  # pygls does this itself

    async def run(self) -> None:
        """Handle messages until the other end leaves or `close` is called; pending requests then fail."""
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await run_async(
                    stop_event=self._stop_event,
                    reader=self._streams.reader,
                    protocol=self.protocol,
                    error_handler=self.report_server_error,
                )
        finally:
            self._streams.ended.set()
            self.close()
            for future in list(self.protocol._request_futures.values()):  # pyright: ignore[reportPrivateUsage]
                if isinstance(future, asyncio.Future):
                    future.cancel()  # a handler of ours, whose answer nobody waits for
                elif not future.done():
                    future.set_exception(ConnectionError("The connection was closed."))

    def on(self, handler: Callable[[dict[str, Any]], Any]) -> None:
        """Let a function, or a coroutine function, handle the message of its name."""
        self.protocol.fm.feature(handler.__name__)(handler)  # pyright: ignore[reportUnknownMemberType]

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Send a request and wait for the answer. Raises JsonRpcException, ConnectionError."""
        if self.closed:
            raise ConnectionError("The connection is closed.")
        # Shielded: where the caller no longer waits, the answer still has somewhere to go.
        return await asyncio.shield(self.protocol.send_request_async(method, params or {}))

    def tell(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Send a notification, unless the other end has left."""
        if not self.closed:
            self.protocol.notify(method, params or {})

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._streams.ended.is_set() or self._streams.writer.is_closing()

    def close(self) -> None:
        """Hang up."""
        self._stop_event.set()
        with contextlib.suppress(OSError):
            self._streams.writer.close()


class Refusal(JsonRpcException):
    """An error whose message is a sentence for people."""

    def __init__(self, code: int, sentence: str) -> None:
        """Answer a request with a code and a sentence."""
        super().__init__(message=sentence, code=code)
