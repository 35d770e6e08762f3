"""`foretrace host`: the processes that have models loaded for editors."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict

from rich.text import Text

from foretrace.output import report_console
from foretrace.session import Exit
from lsp_server.host.control import Running, find_hosts, stop_hosts
from quant.sizes import spelled_size


def show_hosts(as_json: bool) -> int:
    """Print every host of this user that runs."""
    hosts = asyncio.run(find_hosts())
    if as_json:
        print(json.dumps({"hosts": [_to_json(host) for host in hosts]}, indent=1))
        return Exit.CONFIRMED
    console = report_console()
    if not hosts:
        console.print("No model is loaded for an editor; the first prediction loads one.")
    for host in hosts:
        console.print(Text(_sentence(host)), soft_wrap=True)
    return Exit.CONFIRMED


def stop_all_hosts() -> int:
    """End every host of this user."""
    hosts = asyncio.run(find_hosts())
    left = asyncio.run(stop_hosts(hosts))
    for host in hosts:
        print(f"{host.status.model}: process {host.status.pid} " + ("is still there." if host in left else "stopped."))
    if not hosts:
        print("No model is loaded for an editor.")
    return Exit.COULD_NOT_RUN if left else Exit.CONFIRMED


def _sentence(host: Running) -> str:
    status = host.status
    idle = f", idle for {status.idle_seconds:.0f} s" if status.state == "ready" else ""
    about = f" ({status.description}, {status.context:,} tokens, {status.device})" if status.context else ""
    others = max(0, status.clients - 1)
    return (
        f"{status.model}{about}: {status.state}{idle}; process {status.pid}, {spelled_size(host.memory)}, "
        f"{others} {'editor' if others == 1 else 'editors'}, {status.served} predictions, {status.waiting} waiting"
        + (f". {status.detail}" if status.detail else "")
    )


def _to_json(host: Running) -> dict[str, object]:
    return {
        **asdict(host.status),
        "clients": max(0, host.status.clients - 1),
        "memory": host.memory,
        "seconds": round(time.time() - host.started, 1),
        "log": host.log,
    }
