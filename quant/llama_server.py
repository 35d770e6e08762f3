"""llama.cpp's `llama-server`, asked over HTTP: one request at a time, which another thread can break off."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from quant.address import KEY_VARIABLE, spelled_address
from quant.errors import CancelledError, ContextFullError, ModelError

_CONNECT_SECONDS = 10.0
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""An answer may take minutes, so there is no time limit; a machine that has vanished is noticed by these."""


class LlamaServer:
    """A connection to one server, opened when it is needed and again where the server has closed it."""

    def __init__(self, address: str, key: str | None = None) -> None:
        """Talk to the server at an address; nothing is sent yet. Raises ModelError for what is no address."""
        self.address = spelled_address(address)
        parts = urlsplit(self.address)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        assert parts.hostname is not None
        self._connection = connect(parts.hostname, parts.port, timeout=_CONNECT_SECONDS)
        self._path = parts.path
        self._has_key = bool(key)
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._interrupted = False
        self.connections = 0
        """How often it was connected to: a server that was started anew shows so."""

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the server answers to a request: a GET, or with a body a POST.

        Raises ModelError, ContextFullError, and CancelledError where `interrupt` was called.
        """
        status, data = self._exchange(path, None if body is None else json.dumps(body, separators=(",", ":")))
        try:
            answer: Any = json.loads(data)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict):
            return answer  # pyright: ignore[reportUnknownVariableType]
        raise self._error(status, answer)

    def interrupt(self) -> None:
        """Break off the request that waits, from any thread, and refuse others until `resume`."""
        self._interrupted = True
        connected = self._connection.sock
        if connected is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def resume(self) -> None:
        """Answer again."""
        self._interrupted = False

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _exchange(self, path: str, body: str | None) -> tuple[int, bytes]:
        while True:
            if self._interrupted:
                raise CancelledError
            fresh = self._connection.sock is None
            if fresh:
                self._connect()
            try:
                self._connection.request("GET" if body is None else "POST", self._path + path, body, self._headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if self._interrupted:
                    raise CancelledError from None
                if fresh:
                    raise ModelError(
                        f"The server at {self.address} broke off while it was asked; look at what it says, start it "
                        "again, and try again."
                    ) from None
                # A server hangs up on who has not asked for a while: that shows only now.

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except OSError as error:
            self._connection.close()
            if self._interrupted:
                raise CancelledError from None
            raise ModelError(
                f"No server answers at {self.address} ({error.strerror or error}); start llama-server there, or give "
                "the address where it is."
            ) from None
        self.connections += 1
        connected = self._connection.sock
        connected.settimeout(None)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _error(self, status: int, answer: Any) -> ModelError:
        error: Any = answer.get("error") if isinstance(answer, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        message = str(error.get("message", "")) if isinstance(error, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        kind: Any = error.get("type") if isinstance(error, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if status in (401, 403):
            does = f"refuses the key in {KEY_VARIABLE}; give the one" if self._has_key else "wants a key; give the one"
            return ModelError(f"The server at {self.address} {does} that it was started with in {KEY_VARIABLE}.")
        if status == 503 and message == "Loading model":
            return ModelError(f"The server at {self.address} is still loading its model; try again when it has.")
        if kind == "exceed_context_size_error":
            return ContextFullError(f"The server at {self.address} has no room for that: {message.rstrip('.')}.")
        if message:
            return ModelError(f"The server at {self.address} does not answer (status {status}): {message.rstrip('.')}.")
        return ModelError(
            f"What answers at {self.address} is no llama-server (status {status}); give the address of llama.cpp's "
            "llama-server."
        )
