"""`foretrace host status|stop`: what runs, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from pygls.exceptions import JsonRpcException

from lsp_server.host.client import open_peer, say_hello
from lsp_server.host.place import Place, known_places, read_address
from lsp_server.host.wire import Peer, Status

_GONE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Running:
    """A host that answers."""

    status: Status
    memory: int
    """Bytes of RAM that its process holds."""
    started: float
    """Seconds since the epoch."""
    log: str


async def find_hosts() -> list[Running]:
    """Every host of this user that answers; what dead ones left behind is removed."""
    found: list[Running] = []
    for place in list(known_places()):
        async with _Connection(place) as connection:
            if connection.status is None:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(connection.status.pid)
                found.append(
                    Running(connection.status, process.memory_info().rss, process.create_time(), str(place.log))
                )
    return found


async def stop_hosts(running: Sequence[Running]) -> list[Running]:
    """Ask hosts to leave and wait until they have; gives those that are still there."""
    pids = {each.status.pid for each in running}
    for place in list(known_places()):
        async with _Connection(place) as connection:
            if connection.status is not None and connection.status.pid in pids and connection.peer is not None:
                with contextlib.suppress(ConnectionError, JsonRpcException):
                    await connection.peer.ask("stop")
    deadline = time.monotonic() + _GONE_SECONDS
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return [each for each in running if _runs(each.status.pid)]


def state(params: dict[str, Any]) -> None:
    """A visit is over before changes matter."""


class _Connection:
    """A short visit to the host at a place; `status` is None where there is none."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.peer: Peer | None = None
        self.status: Status | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Connection:
        address = read_address(self._place)
        if address is not None:
            self.peer = await open_peer(address)
            if self.peer is not None:
                self.peer.on(state)
                self._reading = asyncio.create_task(self.peer.run())
                self.status = await say_hello(self.peer, address)
            elif not _runs(address.pid):
                self._place.address.unlink(missing_ok=True)
                self._place.socket.unlink(missing_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.peer is not None:
            self.peer.close()
        if self._reading is not None:
            await self._reading


def _runs(pid: int) -> bool:
    """Whether there is such a process that has not ended; one that nobody has waited for yet counts as ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
