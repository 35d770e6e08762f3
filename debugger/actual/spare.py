"""Debuggees that are started ahead, so that a real run need not wait for Python and debugpy.

A spare has the user's interpreter and debugpy in it and nothing else: no file of the user's, no call. It waits where
every debuggee waits before it reads what to do, is used once like any other, and is thrown away where anything that a
fresh one would start with is no longer the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from debugger.actual.dap import CancelledError
from debugger.actual.session import Session, SessionError

SPARE_SECONDS = 300.0
"""A spare that nobody has needed for so long is ended."""
_TICK = 0.05
_World: TypeAlias = tuple[object, ...]


class Spares:
    """At most one debuggee in waiting. All methods may be called from any thread; `close` it at the end."""

    def __init__(self, seconds: float = SPARE_SECONDS) -> None:
        """Nothing is started; a spare is kept for `seconds`."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._spare: _Spare | None = None
        self._closed = False

    def prepare(self, python: str, cwd: str) -> None:
        """Start a debuggee for this interpreter and directory, in a thread; the one for another pair is ended."""
        with self._lock:
            if self._closed or (self._spare is not None and self._spare.fits(python, cwd)):
                return
            old, self._spare = self._spare, _Spare(python, cwd)
            spare = self._spare
        if old is not None:
            old.close()
        spare.start(lambda: self._drop(spare), self._seconds)

    def take(self, python: str, cwd: str, cancelled: Callable[[], bool] = lambda: False) -> Session:
        """A session for the pair, as far started as there is one; else a new one."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            session = spare.session_for(python, cwd, cancelled)
            if session is not None:
                return session
            spare.close()
        return Session(python, cwd, cancelled)

    def wait(self) -> None:
        """Until the spare, if there is one, is ready or cannot be started."""
        with self._lock:
            spare = self._spare
        if spare is not None:
            spare.wait()

    def close(self) -> None:
        """End the spare; none is started any more."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()

    def _drop(self, spare: _Spare) -> None:
        with self._lock:
            if self._spare is not spare:
                return
            self._spare = None
        spare.close()


class _Spare:
    """One debuggee in waiting, and the world that it was started in."""

    def __init__(self, python: str, cwd: str) -> None:
        self._world = _world(python, cwd)
        self._given_up = threading.Event()
        self._session = Session(python, cwd, self._given_up.is_set)
        self._works = False
        self._thread = threading.Thread(target=self._prepare, name="spare", daemon=True)
        self._timer: threading.Timer | None = None

    def start(self, late: Callable[[], None], seconds: float) -> None:
        self._timer = threading.Timer(seconds, late)
        self._timer.daemon = True
        self._timer.start()
        self._thread.start()

    def fits(self, python: str, cwd: str) -> bool:
        return not self._given_up.is_set() and self._world == _world(python, cwd)

    def session_for(self, python: str, cwd: str, cancelled: Callable[[], bool]) -> Session | None:
        """The session, when it is ready; None where it does not fit or does not work."""
        if not self.fits(python, cwd):
            return None
        while self._thread.is_alive() and not cancelled():
            self._thread.join(_TICK)
        if not self._works or not self._session.is_running:
            return None
        self._stop_timer()
        self._session.cancelled = cancelled
        return self._session

    def wait(self) -> None:
        self._thread.join()

    def close(self) -> None:
        """End the debuggee, started or not."""
        self._stop_timer()
        self._given_up.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._session.close()

    def _prepare(self) -> None:
        try:
            self._session.prepare()
        except (SessionError, CancelledError):
            return  # a new one says why
        self._works = True

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _world(python: str, cwd: str) -> _World:
    """What a fresh debuggee's start depends on: a spare is only used where all of it is as it was."""
    executable = Path(python)
    prefixes = dict.fromkeys([executable.absolute().parent.parent, executable.resolve().parent.parent])
    places = [executable, *(prefix / "pyvenv.cfg" for prefix in prefixes)]
    for prefix in (*prefixes, Path.home() / ".local"):
        for folder in ("lib*/python3*/site-packages", "Lib/site-packages"):
            places += [*prefix.glob(folder), *prefix.glob(f"{folder}/*.pth")]
    folder = _state(Path(cwd))
    return python, cwd, folder and folder[:2], dict(os.environ), [(place, _state(place)) for place in sorted(places)]


def _state(place: Path) -> tuple[int, int, int] | None:
    """Which file or folder it is, and what changes where its text does, or an entry comes or goes."""
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
