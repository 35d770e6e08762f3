"""A debugger's user, automated: steps through a program with the debug adapter protocol's own requests.

What the project would do without its recorder: stop, ask for the stack, the scopes and the variables, step, stop again;
or let a log point print an expression at every line. Values come as debugpy shows them, so long ones come shortened.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import debugpy

from debugger.actual.dap import Client, ClosedError

SECONDS = 60.0
"""No single step may take longer."""


class Stop(NamedTuple):
    """Where the program stands: in which function, before which line, with which variables."""

    function: str
    line: int
    variables: dict[str, str]


@contextmanager
def debugged(path: Path, breakpoints: list[dict[str, Any]], python: str = sys.executable) -> Generator[Client]:
    """A client of debugpy running `python path` with the breakpoints set; the program ends with the block."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        command = [
            python,
            str(Path(str(debugpy.__file__)).parent),
            "--connect",
            f"127.0.0.1:{listener.getsockname()[1]}",
        ]
        process = subprocess.Popen(
            [*command, "--configure-subProcess", "False", str(path)],
            env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        listener.settimeout(SECONDS)
        client = Client(listener.accept()[0])
        stack.callback(client.close)
        _request(client, "pydevdAuthorize", {"debugServerAccessToken": None})
        _request(client, "initialize", {"adapterID": "stepping"})
        _request(client, "attach", {"justMyCode": True})
        _request(client, "setBreakpoints", {"source": {"path": str(path)}, "breakpoints": breakpoints})
        _request(client, "configurationDone", {})
        yield client


def step_through(path: Path, line: int, python: str = sys.executable) -> Iterator[Stop]:
    """Every stop from the first at `line` on, stepping into all calls, until the program ends."""
    with debugged(path, [{"line": line}], python) as client:
        try:
            while True:
                thread = client.event("stopped", deadline=time.monotonic() + SECONDS)["threadId"]
                [frame] = _request(client, "stackTrace", {"threadId": thread, "levels": 1})["stackFrames"]
                scopes = _request(client, "scopes", {"frameId": frame["id"]})["scopes"]
                variables = _request(client, "variables", {"variablesReference": scopes[0]["variablesReference"]})
                shown = {
                    item["name"]: item["value"]
                    for item in variables["variables"]
                    if not item["name"].startswith(("special variables", "function variables", "(return)"))
                }
                yield Stop(frame["name"], frame["line"], shown)
                _request(client, "stepIn", {"threadId": thread})
        except ClosedError:
            return


def log_points(path: Path, lines: list[int], expression: str, python: str = sys.executable) -> Iterator[str]:
    """What log points at `lines` print while the program runs: `expression`, once for each line executed."""
    with debugged(path, [{"line": line, "logMessage": "{" + expression + "}"} for line in lines], python) as client:
        try:
            while True:
                event = client.event("output", deadline=time.monotonic() + SECONDS)
                if event.get("category") == "stdout":
                    yield from event["output"].splitlines()
        except ClosedError:
            return


def _request(client: Client, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return client.request(command, arguments, deadline=time.monotonic() + SECONDS)
