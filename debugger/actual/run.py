"""Actual runs: calls of a function, made in the user's interpreter under debugpy and recorded frame by frame.

Debugpy launches the debuggee, stops it right before each call and decides when it goes on; the frames come from the
recorder in `snapshot.py`, because stepping from outside gives a few frames a second and shortens the values. The
recorder writes every frame to a file the moment it is known, so whatever becomes of the process, the frames are there.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import tokenize
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from debugger.actual import snapshot
from debugger.actual.dap import CancelledError, ClosedError, LateError
from debugger.actual.record import physical_lines
from debugger.actual.session import EXIT_SECONDS, HIDDEN_VARIABLES, START_SECONDS, Session, SessionError, signal_name
from debugger.actual.spare import Spares
from debugger.trace import Ending, Event, Frame, Outcome, Trace

MEMORY = 4 << 30
"""Bytes of data that a debuggee may allocate unless told otherwise."""


_EVENTS = {event.value: event for event in Event}
_ENDING_BYTES = 2 * 6 * snapshot.MAX_REPR
"""An ending is no longer than this: a repr of characters that JSON escapes, and some words."""


class RunError(Exception):
    """A call could not be run at all; the message is one sentence that says why and what to do."""


class Source(Protocol):
    """A file with its lines, such as `debugger.target.SourceFile`."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        ...

    @property
    def lines(self) -> tuple[str, ...]:
        r"""Its physical lines, each with its `\n`."""
        ...


def run(
    file: Source | Path,
    call: str,
    *,
    python: str = sys.executable,
    timeout: float = 10.0,
    import_timeout: float | None = None,
    max_frames: int = 10_000,
    memory: int = MEMORY,
    cwd: Path | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    spares: Spares | None = None,
) -> Trace:
    """Run `call`, an expression evaluated in the module of `file`, and give back its frames and how it ended.

    `python` is the interpreter to use; debugpy need not be installed in it. The call may take `timeout` seconds,
    `max_frames` frames and `memory` bytes of data (0: no limit). The import of the module before it may take
    `import_timeout` seconds, the last of the debugger's start among them; None: START_SECONDS, or `timeout` where that
    is longer.
    `cwd` is the working directory, by default ours. `cancelled` is asked from time to time, from this thread. `spares`
    may have a debuggee waiting, and is not asked to prepare another. Raises RunError.
    """
    limits: dict[str, Any] = {"timeout": timeout, "import_timeout": import_timeout, "max_frames": max_frames}
    options: dict[str, Any] = {"python": python, "memory": memory, "cwd": cwd}
    with closing(run_many(file, [call], cancelled=cancelled, spares=spares, **limits, **options)) as results:
        result = next(results)
    if isinstance(result, RunError):
        raise result
    return result


def run_many(
    file: Source | Path,
    calls: Sequence[str],
    *,
    python: str = sys.executable,
    timeout: float = 10.0,
    import_timeout: float | None = None,
    max_frames: int = 10_000,
    memory: int = MEMORY,
    cwd: Path | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    spares: Spares | None = None,
) -> Generator[Trace | RunError]:
    """Run several calls of one file, each as `run` does, and yield what becomes of each as soon as it is known.

    The calls share a debug session, which takes most of a second to start. Before each of them the user's own modules
    are executed anew and the working directory, environment and import path are put back; state in libraries stays.
    A call that ends the process, or has to be ended, only costs the next one a new session. Closing the generator early
    ends the session. Raises RunError where the file cannot be read.
    """
    path = Path(os.path.abspath(file if isinstance(file, Path) else file.path))
    lines = _read_lines(path) if isinstance(file, Path) else file.lines
    patience = max(timeout, START_SECONDS) if import_timeout is None else import_timeout
    left = list(calls)
    while left:
        place = python, str(cwd or Path.cwd()), cancelled
        with spares.take(*place) if spares is not None else Session(*place) as session:
            _write_job(session.job, path, left, session.marker, max_frames, memory)
            try:
                session.start()
            except SessionError as error:
                yield from [RunError(str(error)) for _ in left]
                return
            except CancelledError:
                yield from [Trace((), Outcome(Ending.CANCELLED)) for _ in left]
                return
            for recording in [session.folder / f"{index}.jsonl" for index in range(len(left))]:
                result, alive = _one_call(session, recording, path, lines, left.pop(0), timeout, patience)
                alive = alive and _go_on(session)
                if not left and alive:
                    session.leave()
                    session.exit_code(EXIT_SECONDS)  # its exit handlers run
                yield result
                if not alive:
                    break


def _one_call(
    session: Session,
    recording: Path,
    path: Path,
    lines: tuple[str, ...],
    call: str,
    timeout: float,
    import_timeout: float,
) -> tuple[Trace | RunError, bool]:
    """What becomes of the session's next call, and whether the session waits to go on after it."""
    called = False
    stopped: Exception | None = None
    try:
        session.await_stop(time.monotonic() + import_timeout)
        called = _read_ending(recording) is None
        if called:
            deadline = time.monotonic() + timeout
            session.resume(deadline)
            session.await_stop(deadline)
    except (LateError, CancelledError, ClosedError) as error:
        stopped = error
        if isinstance(error, ClosedError):  # if it is still there, the user's code has closed the connection
            session.exit_code(EXIT_SECONDS if _read_ending(recording) else timeout)
        session.kill()
    ending = _read_ending(recording)
    output = session.output.take(EXIT_SECONDS)
    alive = stopped is None
    if ending is not None and ending[0] in (snapshot.NOT_LOADED, snapshot.NOT_CALLED):
        return RunError(_why_not_run(path, call, ending)), alive
    if ending is not None:
        return Trace(_read_frames(recording, lines), _outcome(ending), output), alive
    if isinstance(stopped, CancelledError):
        outcome = Outcome(Ending.CANCELLED)
    elif isinstance(stopped, LateError) or session.was_running:
        if not called:
            return RunError(
                f"{path.name} took longer than {import_timeout:g} s to be imported: code at its top level runs then, "
                'so put what only a script does under `if __name__ == "__main__":`, or allow a longer timeout.'
            ), alive
        outcome = Outcome(Ending.TIMED_OUT, detail=f"The call was ended after {timeout:g} s.")
    else:
        outcome = _death(session.process.returncode)
        if not called:
            return RunError(
                f"{path.name} {outcome.detail.removeprefix('The process ')[:-1]} while it was imported."
            ), alive
    return Trace(_read_frames(recording, lines), outcome, output), alive


def _go_on(session: Session) -> bool:
    """Let the debuggee leave the stop after a call; whether it is still there."""
    try:
        session.resume(time.monotonic() + EXIT_SECONDS)
    except (LateError, CancelledError, ClosedError):
        return False
    return True


def _write_job(target: Path, path: Path, calls: Sequence[str], marker: str, max_frames: int, memory: int) -> None:
    """What `snapshot.main` reads. A file in a package is imported as a part of it, from where the package lies."""
    root, names = path.parent, [path.stem] if path.stem != "__init__" else []
    while (root / "__init__.py").exists() and root.name.isidentifier():
        names.insert(0, root.name)
        root = root.parent
    module = ".".join(names) if len(names) > 1 or path.stem == "__init__" else re.sub(r"\W|^(?=\d)", "_", path.stem)
    # Like `python file.py`, or `python -m package.module`; a script among modules may still import its neighbours.
    after = [str(path.parent)] if path.parent != root else []
    job = {
        "file": str(path),
        "module": module,
        "root": str(root),
        "path_before": [str(root)],
        "path_after": after,
        "calls": list(calls),
        "max_frames": max_frames,
        "memory": memory,
        "marker": marker,
        "environment": list(HIDDEN_VARIABLES),
    }
    target.write_text(json.dumps(job), "utf-8")


def _read_lines(path: Path) -> tuple[str, ...]:
    try:
        with tokenize.open(path) as file:
            return physical_lines(file.read())
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); name a file that exists.") from None
    except (SyntaxError, UnicodeError) as error:
        raise RunError(f"{path} is not text that Python reads ({error}); save it as UTF-8.") from None


def _read_ending(recording: Path) -> list[Any] | None:
    """The last record, if the call has come to an end."""
    try:
        with recording.open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            file.seek(max(0, size - _ENDING_BYTES))
            tail = file.read()
    except FileNotFoundError:
        return None
    if not tail.endswith(b"\n"):
        return None  # ended while it was written
    try:
        record = json.loads(tail.splitlines()[-1])
    except ValueError:
        return None  # the end of a long frame
    return None if record[0] in _EVENTS else record


def _read_frames(recording: Path, lines: tuple[str, ...]) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    known: dict[int, dict[str, str]] = {}  # by depth: the locals of the Python frame that was last seen there
    try:
        data = recording.read_bytes()
    except FileNotFoundError:
        return ()
    for text in data[: data.rfind(b"\n") + 1].splitlines():
        record = json.loads(text)
        if record[0] not in _EVENTS:
            break
        event: str = record[0]
        line: int = record[1]
        function: str = record[2]
        depth: int = record[3]
        state: Any = record[4]
        source = lines[line - 1] if line <= len(lines) else "\n"
        if event in (snapshot.CALL, snapshot.LINE):
            values = {name: known[depth][name] if text is None else text for name, text in state.items()}
            known[depth] = values
            frames.append(Frame(_EVENTS[event], line, source, values, None, function, depth))
        else:
            frames.append(Frame(_EVENTS[event], line, source, {}, state, function, depth))
    return tuple(frames)


def _outcome(ending: list[Any]) -> Outcome:
    kind, value, *rest = ending
    if kind == snapshot.OUT_OF_FRAMES:
        return Outcome(Ending.OUT_OF_FRAMES, detail=value)
    detail = "Tracing was switched off during the call; what came after that is not recorded." if rest[0] else ""
    return Outcome(Ending.RETURNED if kind == snapshot.RETURNED else Ending.RAISED, value, detail)


def _death(code: int) -> Outcome:
    """How a process ended that wrote no ending."""
    if code < 0:
        return Outcome(Ending.CRASHED, detail=f"The process was ended by {signal_name(-code)}.")
    if code > 0xFF:  # Windows: 0xC0000005 and its like
        return Outcome(Ending.CRASHED, detail=f"The process was ended by error {code:#x}.")
    return Outcome(Ending.EXITED, detail=f"The process left with exit code {code}.")


def _why_not_run(path: Path, call: str, ending: list[Any]) -> str:
    kind, error, message, *place = ending
    said = " ".join(f"{error}: {message}".split()).rstrip(":. ")
    if kind == snapshot.NOT_CALLED:
        return f"The call {call} cannot be made: {said}."
    file, line = place
    where = f"{Path(file).name} line {line}" if line else path.name
    if error in ("SyntaxError", "IndentationError", "TabError"):
        return f"{where} is not valid Python: {message}."
    return f"{path.name} cannot be imported: {where} raises {said}."
