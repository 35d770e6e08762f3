"""One debug session: a debuggee process in the user's interpreter, launched and stopped under debugpy.

Debugpy's debug server, in the debuggee, connects to a port of ours on the loopback interface and speaks the debug
adapter protocol. There is no adapter process in between: it would keep a second port open on which anybody on the
machine could start programs in our name, and the debuggee would not be our child. Ours is open only while the debuggee
connects, and each side shows the other a secret. What the debuggee must know it reads from a pipe of ours, at whose end
it leaves: it does not outlive us while it waits.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from debugger.actual import snapshot
from debugger.actual.dap import CancelledError, Client, ClosedError, LateError, RefusedError

START_SECONDS = 30.0
"""Time that the interpreter, debugpy and the import of the user's module may take together."""
EXIT_SECONDS = 2.0
"""Time that the debuggee has to leave by itself once all calls are made, before it is ended."""
MAX_OUTPUT = 1 << 20
"""Bytes kept of what a call prints; the rest is read and dropped."""

SNAPSHOT = Path(snapshot.__file__)
_TAG = "FORETRACE_DEBUGGEE"
_TICK = 0.05
HIDDEN_VARIABLES = ("DEBUGPY_RUNNING", "PYDEVD_DISABLE_FILE_VALIDATION", "PYDEVD_USE_FRAME_EVAL")
"""Environment variables between us and debugpy; the debuggee removes them before it loads the user's module."""


class SessionError(Exception):
    """The debug session could not be started; the message is a sentence for the user."""


class Output:
    """Reads all that the debuggee prints, as fast as it comes, and keeps a bounded part for each call.

    After each call the debuggee writes `marker`, which no program can know: so output and call are matched although
    they come over different channels.
    """

    def __init__(self, stream: IO[bytes], marker: bytes) -> None:
        """Read `stream` in a thread until its end."""
        self._stream, self._marker = stream, marker
        self._changed = threading.Condition()
        self._parts: list[bytes] = []
        self._current, self._dropped = bytearray(), 0
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def take(self, seconds: float) -> str:
        """What was printed up to the next marker, or to the end; waits for these up to `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._parts or self._ended, seconds)
            data = self._parts.pop(0) if self._parts else self._cut()
        return data.decode("utf-8", "replace").replace("\r\n", "\n")

    def has_part(self, seconds: float) -> bool:
        """Whether something up to a marker is there; waits for it up to `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._parts), seconds)

    def _read(self) -> None:
        descriptor = self._stream.fileno()
        tail = b""  # of what was read: may be the beginning of a marker
        while chunk := self._chunk(descriptor):
            *ended, rest = (tail + chunk).split(self._marker)
            keep = _overlap(rest, self._marker)
            tail = rest[len(rest) - keep :]
            with self._changed:
                for part in ended:
                    self._add(part)
                    self._parts.append(self._cut())
                self._add(rest[: len(rest) - keep])
                self._changed.notify_all()
        with self._changed:
            self._add(tail)
            self._ended = True
            self._changed.notify_all()

    @staticmethod
    def _chunk(descriptor: int) -> bytes:
        try:
            return os.read(descriptor, 1 << 16)
        except OSError:
            return b""

    def _add(self, data: bytes) -> None:
        room = MAX_OUTPUT - len(self._current)
        self._current += data[:room]
        self._dropped += len(data[room:])

    def _cut(self) -> bytes:
        note = b"\n... (%d more bytes)\n" % self._dropped if self._dropped else b""
        data = bytes(self._current) + note
        self._current, self._dropped = bytearray(), 0
        return data

    def close(self) -> None:
        """Stop reading; every process that could still write must be gone."""
        self._thread.join(EXIT_SECONDS)
        if not self._thread.is_alive():
            self._stream.close()


def _overlap(data: bytes, marker: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of `marker`."""
    for size in range(min(len(data), len(marker) - 1), 0, -1):
        if data.endswith(marker[:size]):
            return size
    return 0


class Session:
    """A debuggee that makes a list of calls, one after the other; use it in a `with` block.

    The debuggee stops twice for each call: right before it is evaluated, and when it is over (only there if it cannot
    be made). `await_stop` waits for a stop and `resume` ends it. The block's end leaves nothing behind: no process, no
    port, no file.
    """

    def __init__(self, python: str, cwd: str, cancelled: Callable[[], bool] = lambda: False) -> None:
        """`python` is the interpreter to use, `cwd` the debuggee's working directory."""
        self._python, self._cwd = python, cwd
        self.cancelled = cancelled
        """Asked while something is waited for; whoever uses the session may give it another one."""
        self._began = time.time()
        self._tag = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.marker = f"\0{secrets.token_hex(16)}\0"
        self._cleanup = contextlib.ExitStack()
        self._folder: Path | None = None
        self._prepared = False
        self.process: subprocess.Popen[bytes]
        self.was_running = False
        """When `kill` was first called, the debuggee had not ended by itself."""
        self.output: Output
        self._client: Client

    def __enter__(self) -> Session:
        """Nothing runs before `start`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End every process of the session and remove its files."""
        self._cleanup.close()

    @property
    def folder(self) -> Path:
        """A private folder, which goes with the session."""
        if self._folder is None:
            folder = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="foretrace-"))
            self._folder = Path(folder)
        return self._folder

    @property
    def job(self) -> Path:
        """The file that the debuggee reads what to do from, once the session is started."""
        return self.folder / "job.json"

    @property
    def is_running(self) -> bool:
        """Whether a prepared debuggee is still there."""
        return self._prepared and self.process.poll() is None

    def start(self) -> None:
        """Let the debuggee do what `job` says, launched first if need be. Raises SessionError, CancelledError."""
        self.prepare()
        deadline = time.monotonic() + START_SECONDS
        token = secrets.token_hex(32)
        try:
            listener = self._cleanup.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        except OSError as error:
            raise SessionError(
                f"No port is free on the loopback interface for the debugger ({error.strerror}); "
                "close some programs and try again."
            ) from None
        port: int = listener.getsockname()[1]
        try:
            self._tell({"port": port, "token": token, "job": str(self.job)})
            self._client = self._accept(listener, token, deadline)
            listener.close()
            threading.Thread(target=self._wait, name="debuggee", daemon=True).start()
            self._configure(deadline)
        except (ClosedError, LateError, RefusedError) as error:
            raise SessionError(self._why_not_started(error)) from None

    def prepare(self) -> None:
        """Launch the debuggee, unless that is done: it waits with debugpy loaded. Raises as `start` does."""
        if self._prepared:
            return
        deadline = time.monotonic() + START_SECONDS
        packages = self._spawn()
        try:
            self._tell({"packages": packages, "marker": self.marker})
            while not self.output.has_part(_TICK):
                self._look_on(deadline)
        except (ClosedError, LateError) as error:
            raise SessionError(self._why_not_started(error)) from None
        self.output.take(0)
        self._prepared = True

    def await_stop(self, deadline: float) -> None:
        """Wait until debugpy has stopped the debuggee; raises LateError, ClosedError or CancelledError."""
        self._thread = self._client.event("stopped", deadline=deadline)["threadId"]

    def resume(self, deadline: float) -> None:
        """Let the debuggee go on from where it stopped; raises like `await_stop`."""
        try:
            self._client.request("continue", {"threadId": self._thread}, deadline=deadline)
        except RefusedError as error:
            raise ClosedError from error

    def leave(self) -> None:
        """Let the debuggee come to its end without the debugger, which would wait half a second for us there."""
        self._client.leave()

    def exit_code(self, seconds: float) -> int | None:
        """The exit status, negative for a signal; None if the process still runs after `seconds`."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the debuggee and every process it has started, also those that left its group or lost their parent."""
        self.was_running = self.was_running or self.process.poll() is None
        doomed: dict[int, psutil.Process] = {}
        with contextlib.suppress(psutil.Error):
            debuggee = psutil.Process(self.process.pid)
            if self.process.poll() is None:
                doomed = {process.pid: process for process in debuggee.children(recursive=True)}
        for process in psutil.process_iter():
            if process.pid != os.getpid() and self._is_ours(process):
                doomed[process.pid] = process
        for process in doomed.values():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(START_SECONDS)
        psutil.wait_procs([process for process in doomed.values() if process.pid != self.process.pid], EXIT_SECONDS)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.create_time() < self._began - 1:
                return False
            if os.name == "posix" and os.getsid(process.pid) == self.process.pid:
                return True
            return process.environ().get(_TAG) == self._tag
        except (psutil.Error, OSError):
            return False

    def _spawn(self) -> str:
        """Launch the interpreter; where debugpy lies, which it must be told."""
        debugpy = importlib.util.find_spec("debugpy")
        if debugpy is None or debugpy.origin is None:
            raise SessionError("debugpy is not installed; install it with: pip install debugpy")
        environment = dict(os.environ)
        environment.update(
            {
                "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # or it prints a warning into the user's output
                "PYTHONHASHSEED": "0",  # the order of sets is the same in every run
                "PYTHONIOENCODING": "utf-8",
                _TAG: self._tag,
            }
        )
        for name in ("DEBUGPY_RUNNING", "PYDEVD_LOAD_VALUES_ASYNC"):
            environment.pop(name, None)
        try:
            # A session of its own: the terminal's Ctrl-C goes to us alone, and debugpy cannot take the terminal over.
            self.process = subprocess.Popen(
                [self._python, str(SNAPSHOT)],
                cwd=self._cwd,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise SessionError(
                f"The interpreter {self._python} cannot be started ({error.strerror}); name one that exists."
            ) from None
        assert self.process.stdout is not None
        self.output = Output(self.process.stdout, self.marker.encode("ascii"))
        self._cleanup.callback(self.output.close)
        self._cleanup.callback(self.kill)
        return str(Path(debugpy.origin).parents[1])

    def _tell(self, what: dict[str, object]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(what).encode("ascii") + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise ClosedError from None

    def _look_on(self, deadline: float) -> None:
        """Whether it makes sense to wait any longer; raises ClosedError, CancelledError or LateError."""
        if self.process.poll() is not None:
            raise ClosedError
        if self.cancelled():
            raise CancelledError
        if time.monotonic() > deadline:
            raise LateError

    def _accept(self, listener: socket.socket, token: str, deadline: float) -> Client:
        """The connection of our debuggee; others that reach the port are turned away."""
        listener.settimeout(_TICK)
        while True:
            self._look_on(deadline)
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(None)
            client = Client(connection, lambda: self.cancelled())
            try:
                answer = client.request("pydevdAuthorize", {"debugServerAccessToken": None}, deadline=deadline)
                if secrets.compare_digest(str(answer.get("clientAccessToken")), token):
                    self._cleanup.callback(client.close)
                    return client
            except (ClosedError, RefusedError):
                pass
            client.close()

    def _configure(self, deadline: float) -> None:
        client = self._client
        client.request("initialize", {"adapterID": "foretrace", "clientID": "foretrace"}, deadline=deadline)
        client.request("attach", {"justMyCode": False, "redirectOutput": False}, deadline=deadline)
        breakpoints = [{"line": _breakpoint_line(SNAPSHOT)}]
        source = {"path": str(SNAPSHOT)}
        client.request("setBreakpoints", {"source": source, "breakpoints": breakpoints}, deadline=deadline)
        # From here on the user's module runs: where it ends the process at once, the answer may be lost with it, and
        # whoever awaits the first stop learns of the end.
        with contextlib.suppress(ClosedError):
            client.request("configurationDone", deadline=deadline)

    def _wait(self) -> None:
        self.process.wait()
        self._client.interrupt()

    def _why_not_started(self, error: Exception) -> str:
        if isinstance(error, RefusedError):
            return f"debugpy refused to start the session: {error}."
        if isinstance(error, LateError):
            return f"{self._python} did not start a debug session within {START_SECONDS:g} s."
        self.exit_code(EXIT_SECONDS)
        said = self.output.take(EXIT_SECONDS).strip().splitlines()
        return (
            f"{self._python} cannot run debugpy ({said[-1] if said else 'it ended at once'}); name another interpreter."
        )


def _breakpoint_line(path: Path) -> int:
    lines = path.read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith("# the breakpoint"))


def signal_name(number: int) -> str:
    """SIGSEGV for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
