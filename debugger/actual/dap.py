"""A debug adapter protocol client over one socket: requests with their responses, and events, each with a deadline."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

_TICK = 0.1
"""Seconds between looks at whether the wait was cancelled."""


class ClosedError(Exception):
    """The other side has left: its process ended, or it closed the connection."""


class LateError(Exception):
    """What was waited for did not come before the deadline."""


class CancelledError(Exception):
    """The caller asked for the wait to end."""


class RefusedError(Exception):
    """A request was answered with a failure; the message is the other side's."""


class Client:
    """Speaks to a debug server. All methods but `interrupt` belong to one thread; deadlines are `time.monotonic()`."""

    def __init__(self, connection: socket.socket, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Own `connection` from now on; `cancelled` is asked while waiting."""
        self._connection = connection
        self._cancelled = cancelled
        self._sent = 0
        self._received: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._events: deque[Message] = deque()
        threading.Thread(target=self._receive, name="dap", daemon=True).start()

    def request(self, command: str, arguments: Message | None = None, *, deadline: float) -> Message:
        """The body of the response; raises RefusedError, LateError, ClosedError or CancelledError."""
        self._sent += 1
        message = {"seq": self._sent, "type": "request", "command": command, "arguments": arguments or {}}
        data = json.dumps(message).encode("utf-8")
        try:
            self._connection.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        except OSError:
            raise ClosedError from None
        while True:
            answer = self._next(deadline)
            if answer["type"] == "event":
                self._events.append(answer)
            elif answer["type"] == "response" and answer["request_seq"] == self._sent:
                if not answer["success"]:
                    raise RefusedError(f"{command}: {answer.get('message')}")
                return answer.get("body") or {}

    def event(self, name: str, *, deadline: float) -> Message:
        """The body of the next event called `name`; others before it are dropped. Raises like `request`."""
        while True:
            message = self._events.popleft() if self._events else self._next(deadline)
            if message["type"] == "event" and message["event"] == name:
                return message.get("body") or {}

    def interrupt(self) -> None:
        """From any thread: let the wait that is under way, or the next one, raise ClosedError."""
        self._received.put(None)

    def leave(self) -> None:
        """Send nothing any more: the other side need not wait for it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _next(self, deadline: float) -> Message:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LateError
            if self._cancelled():
                raise CancelledError
            try:
                message = self._received.get(timeout=min(left, _TICK))
            except queue.Empty:
                continue
            if message is None:
                raise ClosedError
            return message

    def _receive(self) -> None:
        """In a thread of its own: messages from the socket into the queue, None at its end."""
        try:
            with self._connection.makefile("rb") as stream:
                while True:
                    length = 0
                    while (header := stream.readline().strip()) != b"":
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.split(b":")[1])
                    if not length:
                        break
                    self._received.put(json.loads(stream.read(length)))
        except (OSError, ValueError):
            pass
        self._received.put(None)
