"""A server's side of the model host: starts it when it is needed, asks it, and asks again where it has crashed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pygls.exceptions import JsonRpcException

import lsp_server
from debugger.target import TargetError
from debugger.trace import Frame, Trace
from lsp_server.host.place import Address, Place, place_of, read_address
from lsp_server.host.server import IDLE_SECONDS, READY
from lsp_server.host.wire import TARGET_ERROR, Peer, Request, Status, frame_from_wire, to_wire, trace_from_wire
from quant.errors import ModelError

_START_SECONDS = 60.0
"""Until a started host can be connected to; the model loads after that."""
_HELLO_SECONDS = 10.0
_ATTEMPTS = 5
"""To connect: a host may be leaving, or another one starting, at the same moment."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    on_frame: Callable[[Frame], None]
    count: int = 0
    """Frames handed on; after a crash the new host writes them again."""


class HostClient:
    """The host of one GGUF, or for one server elsewhere, running or not. All methods belong to one event loop."""

    def __init__(
        self,
        model: Path | str,
        *,
        context: int | None = None,
        idle_seconds: float = IDLE_SECONDS,
        command: Sequence[str] = (sys.executable, "-m", "lsp_server.host"),
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> None:
        """`command` starts a host; `on_status` hears of each change of its state. Raises ModelError."""
        self.model = model
        self.place: Place = place_of(model, context)
        self.status = Status(state="stopped", model=str(model))
        self._command = [*command, "--model", str(model), "--idle", str(idle_seconds)]
        if context is not None:
            self._command += ["--context", str(context)]
        self._on_status = on_status
        self._peer: Peer | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._waiting: dict[str, _Waiting] = {}

    async def predict(
        self,
        request: Request,
        *,
        interactive: bool,
        on_frame: Callable[[Frame], None] = lambda frame: None,
        job: str | None = None,
    ) -> Trace:
        """Predict; cancelling the task cancels the prediction. `job` names it for `prioritize`.

        Where the host crashes meanwhile it is started again and asked once more. Raises ModelError, TargetError.
        """
        job = job or uuid.uuid4().hex
        self._waiting[job] = _Waiting(on_frame)
        message: dict[str, Any] = {"job": job, "interactive": interactive, "request": to_wire(request)}
        try:
            for last in (False, True):
                peer = await self.connect()
                try:
                    return trace_from_wire(await peer.ask("predict", message))
                except asyncio.CancelledError:
                    peer.tell("cancel", {"job": job})
                    raise
                except ConnectionError:
                    if last:
                        break
                    log.warning("the model host ended while it was asked; it is started again")
                except JsonRpcException as error:
                    kind = TargetError if error.code == TARGET_ERROR else ModelError
                    raise kind(error.message) from None
            raise ModelError(f"The model host ended twice while it predicted; {self.place.log} may tell why.")
        finally:
            del self._waiting[job]

    def prioritize(self, job: str) -> None:
        """Make a prediction that is under way the freshest interactive one."""
        if self._peer is not None:
            self._peer.tell("prioritize", {"job": job})

    async def connect(self) -> Peer:
        """The connection, to a host that is started if there is none. Raises ModelError."""
        async with self._connecting:
            if self._peer is not None and not self._peer.closed:
                return self._peer
            for attempt in range(_ATTEMPTS):
                peer = await self._connect_to_running()
                if peer is not None:
                    return peer
                if attempt:
                    await asyncio.sleep(0.05 * attempt)
                self._set_status(Status(state="starting", model=str(self.model)))
                await asyncio.to_thread(self._start)
            raise ModelError(f"The model host was started but cannot be reached; {self.place.log} may tell why.")

    async def stop(self) -> None:
        """End the host, for everyone."""
        if self._peer is not None:
            with contextlib.suppress(ConnectionError, JsonRpcException, asyncio.CancelledError):
                await self._peer.ask("stop")

    async def close(self) -> None:
        """Hang up; the host goes on for others."""
        if self._peer is not None:
            self._peer.close()
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=2)

    async def _connect_to_running(self) -> Peer | None:
        address = read_address(self.place)
        peer = await open_peer(address) if address is not None else None
        if peer is None or address is None:
            return None

        @peer.on
        def frame(params: dict[str, Any]) -> None:
            waiting = self._waiting.get(params["job"])
            if waiting is not None and params["index"] == waiting.count:
                waiting.count += 1
                waiting.on_frame(frame_from_wire(params["frame"]))

        @peer.on
        def state(params: dict[str, Any]) -> None:
            self._set_status(Status(**params))

        reading = asyncio.create_task(peer.run())
        status = await say_hello(peer, address)
        if status is None:
            return None
        self._peer, self._reading = peer, reading
        reading.add_done_callback(lambda _: self._lost(peer))
        self._set_status(status)
        return peer

    def _lost(self, peer: Peer) -> None:
        if self._peer is peer:
            self._peer = None
            if self.status.state != "failed":
                self._set_status(Status(state="stopped", model=str(self.model)))

    def _set_status(self, status: Status) -> None:
        if status != self.status:
            self.status = status
            self._on_status(status)

    def _start(self) -> None:
        """Start a host and wait until it listens, or until it has seen that another one does. Raises ModelError."""
        with self.place.log.open("wb") as output:
            process = subprocess.Popen(
                self._command,
                # Not the user's folder: modules in there must not stand in for Python's own.
                cwd=Path(lsp_server.__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        assert process.stdout is not None
        threading.Thread(target=process.wait, name="host", daemon=True).start()
        timer = threading.Timer(_START_SECONDS, process.kill)
        timer.start()
        with process.stdout:
            said = process.stdout.readline().strip()
        timer.cancel()
        if said != READY.encode():
            with contextlib.suppress(OSError):
                lines = self.place.log.read_text("utf-8", "replace").strip().splitlines()
                if lines:
                    raise ModelError(f"The model host does not start: {lines[-1]}")
            raise ModelError(f"The model host does not start; {self.place.log} may tell why.")


async def open_peer(address: Address) -> Peer | None:
    """A connection to the host at an address, if it still listens; `run` has to be started."""
    try:
        if address.socket is not None:
            streams = await asyncio.open_unix_connection(address.socket)
        else:
            streams = await asyncio.open_connection("127.0.0.1", address.port)
    except OSError:
        return None
    return Peer(*streams)


async def say_hello(peer: Peer, address: Address) -> Status | None:
    """Show the token; None where the other end is not, or no longer, our host."""
    try:
        return Status(**await asyncio.wait_for(peer.ask("hello", {"token": address.token}), _HELLO_SECONDS))
    except (ConnectionError, JsonRpcException, TimeoutError, asyncio.TimeoutError):
        peer.close()
        return None
