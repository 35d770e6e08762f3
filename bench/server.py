"""What a user of the language server feels: how soon it answers, and what it takes while nobody looks.

    python -m bench.server [--quick] [--model GGUF]

A real server over standard input and output, a real model host, and a real debuggee, driven by a client in this
process. Table, then JSON. The latencies hold for this machine with all that runs on it besides.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from lsprotocol import types
from pygls.lsp.client import LanguageClient
from rich.console import Console
from rich.table import Table

from debugger.target import SourceFile, targets_in
from foretrace.models import bundled_path
from lsp_server.host.client import HostClient
from lsp_server.host.control import find_hosts, stop_hosts
from lsp_server.host.wire import Request

SECONDS = 120.0
"""No single wait may take longer."""
MAX_FRAMES = 300
"""The server's default."""
AIMS = {
    "hover_p99_ms": (20, "hover, while the model and a debuggee work: 99% within"),
    "hint_p99_ms": (20, "hints, the same"),
    "lens_p99_ms": (20, "lenses, the same"),
    "first_hint_ms": (300, "first hint in a file of 1,000 lines, after the model's first frame"),
    "typing_cpu": (0.2, "cores that the server takes while somebody types into 5,000 lines"),
    "stale_answers": (0, "hints for another text than the present one, meanwhile"),
    "cancel_ms": (100, "from cancelling a prediction until the model rests (median)"),
    "server_rss_mb": (120, "memory of the server at its highest"),
    "host_idle_cpu": (0, "cores that an idle model host takes"),
}
FUNCTION = """\
# foretrace: add_{n}(3)
def add_{n}(limit):
    result = {n}
    for index in range(limit):
        if index % 2:
            result += index
        else:
            result -= 1
    return result

"""
ENDLESS_AND_SHORT = """\
# foretrace: count(0)
def count(run):
    while True:
        odd = True
        odd = False


# foretrace: short(60)
def short(limit):
    total = 0
    for index in range(limit):
        total += index
    return total
"""
WINDOW = types.Range(types.Position(0, 0), types.Position(50, 0))
"""What an editor shows of a file."""


class Client(LanguageClient):
    """An editor that keeps count of what it is told."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        super().__init__("bench", "1")
        self.state = ""
        self.news = asyncio.Event()
        self.settings: dict[str, Any] = {}

        def status(params: Any) -> None:
            self.state = params.state
            self.news.set()

        def updated(params: Any) -> None:
            self.news.set()

        def configuration(params: types.ConfigurationParams) -> list[Any]:
            return [self.settings for _ in params.items]

        def ignored(params: Any = None) -> None:
            return None

        handlers: dict[str, Callable[..., Any]] = {
            "foretrace/status": status,
            "foretrace/didUpdate": updated,
            types.WORKSPACE_CONFIGURATION: configuration,
            types.WORKSPACE_INLAY_HINT_REFRESH: ignored,
            types.WORKSPACE_CODE_LENS_REFRESH: ignored,
            types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS: ignored,
            types.WINDOW_LOG_MESSAGE: ignored,
            types.WINDOW_SHOW_MESSAGE: ignored,
        }
        for method, handler in handlers.items():
            self.feature(method)(handler)  # pyright: ignore[reportUnknownMemberType]

    async def until(self, check: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
        """Wait until something is so; looks after each message that tells of news."""

        async def wait() -> None:
            while True:
                self.news.clear()
                found = check()
                if await found if isinstance(found, Awaitable) else found:
                    return
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.news.wait(), 1)

        await asyncio.wait_for(wait(), SECONDS)

    def show(self, uri: str, text: str) -> None:
        """Open a document."""
        item = types.TextDocumentItem(uri, "python", 1, text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def close(self, uri: str) -> None:
        """Close it."""
        self.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))

    async def hints(self, uri: str, where: types.Range = WINDOW) -> list[types.InlayHint]:
        """The hints of some lines."""
        params = types.InlayHintParams(types.TextDocumentIdentifier(uri), where)
        return list(await self.text_document_inlay_hint_async(params) or ())

    async def hover(self, uri: str, line: int) -> types.Hover | None:
        """The hover over a line."""
        params = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, 4))
        return await self.text_document_hover_async(params)

    async def lenses(self, uri: str) -> Any:
        """The lenses of a document."""
        return await self.text_document_code_lens_async(types.CodeLensParams(types.TextDocumentIdentifier(uri)))

    async def command(self, name: str, uri: str, function: str, **more: Any) -> Any:
        """Execute a command of ours."""
        params = types.ExecuteCommandParams(f"foretrace.{name}", [{"uri": uri, "function": function, **more}])
        return await asyncio.wait_for(self.workspace_execute_command_async(params), SECONDS)

    async def function(self, uri: str, name: str) -> Any:
        """What the server says of a function, None before it knows it."""
        answer = await self.protocol.send_request_async("foretrace/functions", {"uri": uri})
        return next((each for each in answer.functions if each.function == name), None) if answer else None

    @property
    def server(self) -> psutil.Process:
        """The server's process."""
        assert self._server is not None
        return psutil.Process(self._server.pid)


@asynccontextmanager
async def session(settings: dict[str, Any]) -> AsyncGenerator[Client]:
    """A client with a running server."""
    client = Client()
    client.settings = settings
    server = [sys.executable, "-m", "foretrace", "lsp"]
    await client.start_io(*server, limit=1 << 26)  # pyright: ignore[reportUnknownMemberType]
    capabilities = types.ClientCapabilities(
        workspace=types.WorkspaceClientCapabilities(
            configuration=True,
            inlay_hint=types.InlayHintWorkspaceClientCapabilities(refresh_support=True),
            code_lens=types.CodeLensWorkspaceClientCapabilities(refresh_support=True),
        )
    )
    await client.initialize_async(types.InitializeParams(capabilities))
    client.initialized(types.InitializedParams())
    try:
        yield client
    finally:
        await asyncio.wait_for(client.shutdown_async(None), SECONDS)
        client.exit(None)
        await client.stop()


async def first_hint(model: Path, folder: Path, settings: dict[str, Any]) -> float:
    """Milliseconds from the model's first frame, which this process is told of too, to the first hint."""
    text = "".join(FUNCTION.format(n=n) for n in range(100))
    path = folder / "thousand.py"
    path.write_text(text)
    uri = path.as_uri()
    host = HostClient(model)
    await host.connect()
    framed = asyncio.get_running_loop().create_future()

    def on_frame(frame: object) -> None:
        if not framed.done():
            framed.set_result(time.perf_counter())

    async with session(settings) as client:
        client.show(uri, text)
        await client.hints(uri)

        async def predicting() -> bool:
            function = await client.function(uri, "add_0")
            return function is not None and function.predicting

        await client.until(predicting)
        target = targets_in(SourceFile.from_text(path, text))[0]
        request = Request.of(target, "add_0(3)", MAX_FRAMES)
        twin = asyncio.create_task(host.predict(request, interactive=False, on_frame=on_frame))

        async def shown() -> bool:
            return bool(await client.hints(uri))

        await client.until(shown)
        end = time.perf_counter()
        start = await asyncio.wait_for(framed, SECONDS)
        twin.cancel()
        await asyncio.wait([twin])
    await host.close()
    return max(0.0, end - start) * 1000


async def latencies(folder: Path, settings: dict[str, Any], seconds: float) -> tuple[dict[str, float], float]:
    """The 99th percentiles in milliseconds while the model and debuggees work, and the server's memory in MB.

    `timer` is how late this process's own timers were meanwhile: what the machine alone does to an answer.
    """
    path = folder / "long.py"
    path.write_text(ENDLESS_AND_SHORT)
    uri = path.as_uri()
    settings = {**settings, "predict": "manual", "timeout": 5, "maxFrames": 100_000}
    async with session(settings) as client:
        client.show(uri, ENDLESS_AND_SHORT)
        busy = True
        runs = itertools.count()
        # Endless, and yet a context is full at some time: then the next call is predicted, which nobody has kept.
        predictions = asyncio.create_task(
            _repeat(lambda: busy, lambda: client.command("otherCall", uri, "count", call=f"count({next(runs)})"))
        )

        async def begun() -> bool:
            return await client.hover(uri, 3) is not None

        await client.until(begun)
        # The first check predicts `short`, too, so it waits for the model; the run itself comes first.
        checks = asyncio.create_task(_repeat(lambda: busy, lambda: client.command("check", uri, "short")))
        taken: dict[str, list[float]] = {"hover": [], "hint": [], "lens": [], "timer": []}
        asks: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "hover": lambda: client.hover(uri, 3),
            "hint": lambda: client.hints(uri),
            "lens": lambda: client.lenses(uri),
        }
        memory = 0
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for name, ask in asks.items():
                start = time.perf_counter()
                answer = await ask()
                taken[name].append((time.perf_counter() - start) * 1000)
                assert answer, f"there is no {name}"
                start = time.perf_counter()
                await asyncio.sleep(0.02)
                taken["timer"].append((time.perf_counter() - start) * 1000 - 20)
            memory = max(memory, client.server.memory_info().rss)
        busy = False
        await client.command("cancel", uri, "count")
        await client.command("cancel", uri, "short")
        await asyncio.wait([predictions, checks])
    return {name: statistics.quantiles(each, n=100)[98] for name, each in taken.items()}, memory / 1e6


async def _repeat(goes_on: Callable[[], bool], work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    while goes_on():
        with contextlib.suppress(Exception):
            await work()
        await asyncio.sleep(0.05)


async def typing(folder: Path, settings: dict[str, Any], seconds: float) -> tuple[float, int, float]:
    """The server's share of a core, hints that were not of the present text, and its memory in MB."""
    text = "".join(FUNCTION.format(n=n) for n in range(500))
    path = folder / "large.py"
    path.write_text(text)
    uri = path.as_uri()
    async with session({**settings, "functions": 1}) as client:
        client.show(uri, text)

        async def shown() -> bool:
            return bool(await client.hints(uri))

        await client.until(shown)
        lines = text.splitlines()
        version, stale, seen = 1, 0, 0
        before, start = _cpu(client.server), time.perf_counter()
        for count in range(int(20 * seconds)):
            version += 1
            # Into a comment of the second function, as if it were a long one.
            column = len(lines[9 + 1])
            where = types.Position(10, column)
            change = types.TextDocumentContentChangePartial(types.Range(where, where), "word "[count % 5])
            lines[10] += "word "[count % 5]
            client.text_document_did_change(
                types.DidChangeTextDocumentParams(types.VersionedTextDocumentIdentifier(version, uri), [change])
            )
            hints = await client.hints(uri)
            for hint in hints:
                seen += 1
                data: Any = hint.data
                stale += data["version"] != version or hint.position.character != len(lines[hint.position.line])
            await client.lenses(uri)
            await asyncio.sleep(max(0.0, start + (count + 1) / 20 - time.perf_counter()))
        wall = time.perf_counter() - start
        share = (_cpu(client.server) - before) / wall
        assert seen, "there was no hint at all"
        memory = client.server.memory_info().rss / 1e6
    return share, stale, memory


async def cancelling(folder: Path, settings: dict[str, Any], times: int) -> float:
    """The median of milliseconds from a cancel to the message that the model rests."""
    path = folder / "long.py"
    uri = path.as_uri()
    taken: list[float] = []
    async with session({**settings, "predict": "manual", "maxFrames": 100_000}) as client:
        client.show(uri, ENDLESS_AND_SHORT)
        for _ in range(times):
            prediction = asyncio.create_task(client.command("predict", uri, "count"))

            async def begun(prediction: asyncio.Task[Any] = prediction) -> bool:
                if prediction.done():
                    raise RuntimeError(f"an endless prediction has ended: {prediction.result()}")
                function = await client.function(uri, "count")
                return function is not None and function.predicting and function.steps > 3

            await client.until(begun)
            start = time.perf_counter()
            await client.command("cancel", uri, "count")
            await client.until(lambda: client.state == "ready")
            taken.append((time.perf_counter() - start) * 1000)
            await asyncio.wait([prediction])
            with contextlib.suppress(Exception):
                prediction.result()
    return statistics.median(taken)


async def idle(seconds: float) -> float:
    """The model host's share of a core while nobody asks."""
    [host] = await find_hosts()
    process = psutil.Process(host.status.pid)
    before = _cpu(process)
    await asyncio.sleep(seconds)
    return (_cpu(process) - before) / seconds


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def measure(model: Path, folder: Path, quick: bool) -> tuple[dict[str, float], float]:
    """All of it, and how late a timer was while latencies were measured, in milliseconds."""
    settings = {"model": str(model)}
    found: dict[str, float] = {"first_hint_ms": await first_hint(model, folder, settings)}
    percentiles, memory = await latencies(folder, settings, 8 if quick else 60)
    late = percentiles.pop("timer")
    found.update({f"{name}_p99_ms": value for name, value in percentiles.items()})
    found["cancel_ms"] = await cancelling(folder, settings, 3 if quick else 9)
    found["typing_cpu"], found["stale_answers"], more = await typing(folder, settings, 10 if quick else 60)
    found["server_rss_mb"] = max(memory, more)
    found["host_idle_cpu"] = await idle(3 if quick else 10)
    return {name: round(found[name], 4) for name in AIMS}, late


async def _main(model: Path, quick: bool) -> tuple[dict[str, float], float]:
    with tempfile.TemporaryDirectory(prefix="ft-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder  # a host of our own
        try:
            return await measure(model, Path(folder), quick)
        finally:
            await stop_hosts(await find_hosts())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most a minute")
    parser.add_argument("--model", type=Path, default=bundled_path())
    options = parser.parse_args()
    found, late = asyncio.run(_main(options.model, options.quick))
    table = Table("", "aim", "measured", title="the language server")
    for name, (aim, what) in AIMS.items():
        table.add_row(what, f"{aim:g}", f"{found[name]:g}")
        if name == "lens_p99_ms":
            table.add_row("a timer of this process was late by, the same", "", f"{late:.4g}")
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
