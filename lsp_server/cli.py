"""`foretrace lsp`: a server with all its features, over standard input and output or a port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pygls.exceptions import JsonRpcException, JsonRpcInternalError
from pygls.io_ import StdinAsyncReader, StdoutWriter, run_async

from lsp_server.features import (
    actions,
    commands,
    configuration,
    diagnostics,
    hints,
    hover,
    inline_values,
    lenses,
    synchronization,
    views,
)
from lsp_server.models import FindModel
from lsp_server.server import ForetraceServer

_SWITCH_SECONDS = 0.001
"""How long a busy thread may keep the event loop waiting; Python's own 5 ms, several times over, can be felt."""


_LINE = 1 << 24
"""Bytes of a header line at most."""


def create_server(find_model: FindModel, version: str, host_command: Sequence[str] | None = None) -> ForetraceServer:
    """A server for one client. `host_command` starts another model host than the real one, for tests."""
    server = ForetraceServer(find_model, version, host_command)
    for feature in (
        synchronization,
        configuration,
        hints,
        lenses,
        hover,
        diagnostics,
        actions,
        inline_values,
        commands,
        views,
    ):
        feature.register(server)
    return server


def serve(server: ForetraceServer, address: tuple[str, int] | None = None) -> int:
    """Serve one client until it leaves; over standard input and output unless an address is given."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pygls.protocol.json_rpc").addFilter(_is_unexpected)
    warnings.simplefilter("ignore")  # of the user's code, when it is compiled to be looked at
    sys.setswitchinterval(_SWITCH_SECONDS)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: server.leave(128 + number))
    with contextlib.suppress(SystemExit):  # how pygls leaves; the code is ours
        asyncio.run(_over_port(server, *address) if address is not None else _over_pipes(server))
    return 0 if server.protocol.was_shut_down else 1


async def _over_pipes(server: ForetraceServer) -> None:
    reader = await _input()
    # Whatever else writes to standard output must not come between the messages.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    server.protocol.set_writer(StdoutWriter(output))
    await _serve(server, reader)


async def _input() -> Any:
    """Standard input for the event loop itself where that can be; else for a thread, which answers later."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=_LINE)
    # The loop makes it non-blocking, and with it whatever shares it. Files and /dev/null cannot be waited for.
    if not os.path.sameopenfile(0, 1) and (stat.S_ISFIFO(mode := os.fstat(0).st_mode) or stat.S_ISSOCK(mode)):
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            return reader
    return StdinAsyncReader(sys.stdin.buffer, ThreadPoolExecutor(1, "input"))


async def _over_port(server: ForetraceServer, host: str, port: int) -> None:
    connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.put_nowait((reader, writer))

    listening = await asyncio.start_server(connect, host, port)
    print(f"foretrace: listening on {host}:{listening.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    reader, writer = await connected.get()
    listening.close()  # a server is for one client
    server.protocol.set_writer(writer)  # pyright: ignore[reportArgumentType]  # pygls does this itself
    await _serve(server, reader)


async def _serve(server: ForetraceServer, reader: Any) -> None:
    """Handle messages until there are no more; then nothing is left running."""
    try:
        await run_async(
            stop_event=threading.Event(),
            reader=reader,
            protocol=server.protocol,
            error_handler=server.report_server_error,
        )
    except (OSError, asyncio.IncompleteReadError):
        return  # the client has gone
    finally:
        await server.close()


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Whether a log record is more than an error that a request was answered with on purpose."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, JsonRpcException) or isinstance(error, JsonRpcInternalError)
