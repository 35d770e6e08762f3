"""`foretrace lsp`: a server with all its features, over standard input and output or a port."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from pygls.exceptions import JsonRpcException, JsonRpcInternalError

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
    signal.signal(signal.SIGTERM, lambda number, frame: server.leave(128 + number))
    if address is not None:
        server.start_tcp(*address)
    else:
        # Whatever else writes to standard output must not come between the messages.
        output = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        server.start_io(sys.stdin.buffer, output)
    asyncio.run(server.close())
    return 0 if server.protocol.was_shut_down else 1


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Whether a log record is more than an error that a request was answered with on purpose."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, JsonRpcException) or isinstance(error, JsonRpcInternalError)
