"""Real runs for the editor, off the event loop: each can be cancelled, and all end with the server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from debugger.actual.run import run
from debugger.actual.spare import Spares
from debugger.target import SourceFile
from debugger.trace import Trace

_AT_ONCE = 2


class Runs:
    """Debuggees at work, and one in waiting."""

    def __init__(self) -> None:
        """Nothing is started."""
        self._threads = ThreadPoolExecutor(_AT_ONCE, "run")
        self._spares = Spares()
        self._cancelled: set[threading.Event] = set()

    async def run(
        self, file: SourceFile, call: str, *, is_file: bool, python: str, timeout: float, folder: Path | None
    ) -> Trace:
        """The real run of a call; cancelling ends the debuggee. For the next one, another is started ahead.

        Text that `is_file` is not, as a notebook's, is run from a temporary one. Raises RunError.
        """
        stop = threading.Event()
        self._cancelled.add(stop)

        def work() -> Trace:
            with contextlib.ExitStack() as stack:
                runnable = file
                if not is_file:
                    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foretrace-")))
                    runnable = replace(file, path=place / "notebook.py")
                    runnable.path.write_text(file.text, "utf-8")
                try:
                    return run(
                        runnable,
                        call,
                        python=python,
                        timeout=timeout,
                        cwd=folder,
                        cancelled=stop.is_set,
                        spares=self._spares,
                    )
                finally:
                    self._spares.prepare(python, str(folder or Path.cwd()))

        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.set()
            raise
        finally:
            self._cancelled.discard(stop)

    def cancel(self) -> None:
        """Have every run end."""
        for event in self._cancelled:
            event.set()

    async def close(self) -> None:
        """Wait until every debuggee is gone; none is started any more."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._spares.close)
