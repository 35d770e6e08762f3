"""Which prediction comes next: the freshest interactive one first, batch work last, in the order it came."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from debugger.trace import Frame
from lsp_server.host.wire import Request

Listener = Callable[[int, Frame], None]
"""Gets each frame with its position."""


@dataclass(slots=True, eq=False)
class Job:
    """One prediction, wanted by one or more clients. Only the event loop's thread changes it, but for `frames`."""

    request: Request
    interactive: bool
    turn: int
    """Grows with every request; of interactive jobs the highest comes first, of batch jobs the lowest."""
    listeners: dict[Hashable, Listener] = field(default_factory=dict[Hashable, Listener])
    """By who waits for it."""
    frames: list[Frame] = field(default_factory=list[Frame])
    """What is predicted so far; kept where the job has to wait and start over."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Asks the thread that predicts to stop after its current step."""

    @property
    def rank(self) -> tuple[int, int]:
        """The lower the sooner."""
        return (0, -self.turn) if self.interactive else (1, self.turn)


class Queue:
    """Jobs that wait, and the one that runs. For the event loop's thread alone."""

    def __init__(self, interrupt: Callable[[], None] = lambda: None) -> None:
        """Empty. `interrupt` is called where the running job is asked to stop."""
        self._stop_now = interrupt
        self._turns = itertools.count(1)
        self._waiting: dict[Request, Job] = {}
        self.running: Job | None = None

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def add(self, request: Request, who: Hashable, listener: Listener, *, interactive: bool) -> Job:
        """Want a prediction. One that is wanted already is shared, with the higher of both priorities.

        The listener first gets the frames that are there.
        """
        job = self._find(request)
        if job is None:
            job = Job(request, interactive, next(self._turns))
            self._waiting[request] = job
        elif interactive:
            self._raise(job)
        for index, frame in enumerate(job.frames):
            listener(index, frame)
        job.listeners[who] = listener
        self._interrupt()
        return job

    def prioritize(self, who: Hashable) -> None:
        """Make the job that somebody waits for the freshest interactive one."""
        for job in self._all():
            if who in job.listeners:
                self._raise(job)
        self._interrupt()

    def drop(self, who: Hashable) -> None:
        """Somebody does not wait any longer; what nobody waits for ends."""
        for job in self._all():
            job.listeners.pop(who, None)
            if not job.listeners:
                self._waiting.pop(job.request, None)
                self._stop(job)

    def take(self) -> Job | None:
        """The next job to run, if none runs."""
        if self.running is not None or not self._waiting:
            return None
        job = min(self._waiting.values(), key=lambda job: job.rank)
        del self._waiting[job.request]
        job.stop.clear()
        self.running = job
        return job

    def put_back(self) -> None:
        """The running job was interrupted: it waits again."""
        job, self.running = self.running, None
        if job is None or not job.listeners:
            return
        twin = self._waiting.get(job.request)
        if twin is None:
            self._waiting[job.request] = job
        else:
            twin.listeners.update(job.listeners)

    def finish(self) -> None:
        """The running job is done."""
        self.running = None

    def _find(self, request: Request) -> Job | None:
        running = self.running
        # One that everybody has left is on its way out.
        if running is not None and running.request == request and running.listeners:
            return running
        return self._waiting.get(request)

    def _all(self) -> list[Job]:
        return [*self._waiting.values(), *([self.running] if self.running else [])]

    def _raise(self, job: Job) -> None:
        job.interactive, job.turn = True, next(self._turns)

    def _interrupt(self) -> None:
        """Stop the running job where one that comes before it waits."""
        running = self.running
        if running is not None and any(job.rank < running.rank for job in self._waiting.values()):
            self._stop(running)

    def _stop(self, job: Job) -> None:
        job.stop.set()
        if job is self.running:
            self._stop_now()
