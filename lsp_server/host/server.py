"""The model host's process: loads the model once, predicts for everyone who asks, and leaves when nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from debugger.target import TargetError
from debugger.trace import Ending, Frame, Outcome, Trace
from lsp_server.host.engine import Engine
from lsp_server.host.place import HAS_UNIX_SOCKETS, Place, write_address
from lsp_server.host.queue import Job, Queue
from lsp_server.host.wire import (
    MODEL_ERROR,
    TARGET_ERROR,
    Peer,
    Refusal,
    Request,
    Status,
    frame_to_wire,
    to_wire,
    trace_to_wire,
)
from quant.errors import ModelError

READY = "ready"
"""What the process writes to its standard output, once, when it can be connected to."""
IDLE_SECONDS = 600.0
"""A host that nobody has asked anything for so long leaves."""
_FAILED_SECONDS = 5.0
"""One whose model does not load leaves after this time, so that the next start tries again."""
_TAKEN_SECONDS = 30.0
"""How long a second host waits for the first one to listen."""
_REMEMBERED = 64
"""Predictions kept for who asks for the same again."""
log = logging.getLogger("foretrace.host")


def main(
    model: Path | str,
    place: Place,
    load: Callable[[], Engine],
    *,
    idle_seconds: float = IDLE_SECONDS,
    unix_sockets: bool = HAS_UNIX_SOCKETS,
) -> int:
    """Serve until nobody needs it any more; does nothing where another process serves the same already."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("pygls").setLevel(logging.ERROR)
    if not _is_first(lock := FileLock(place.lock), place):
        _announce()
        return 0
    with lock:
        asyncio.run(Host(model, place, load, idle_seconds, unix_sockets).run())
    return 0


def _is_first(lock: FileLock, place: Place) -> bool:
    """Take the lock; no where another host has it and listens. Raises ModelError."""
    deadline = time.monotonic() + _TAKEN_SECONDS
    while True:
        try:
            lock.acquire(blocking=False)  # pyright: ignore[reportUnknownMemberType]
        except Timeout:
            if place.address.exists():
                return False
            if time.monotonic() > deadline:
                raise ModelError(f"Another model host holds {place.lock} but does not listen; end it.") from None
            time.sleep(0.02)
        else:
            place.address.unlink(missing_ok=True)  # of a host that was killed
            return True


def _announce() -> None:
    """Tell who started us, and never write there again: it is somebody's pipe."""
    with contextlib.suppress(OSError):
        print(READY, flush=True)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


class Host:
    """The event loop's side: connections, the queue, and the answers. One thread loads the model and predicts."""

    def __init__(
        self, model: Path | str, place: Place, load: Callable[[], Engine], idle_seconds: float, unix_sockets: bool
    ) -> None:
        """Serve `model` at `place`; `load` is called once, in the thread that predicts."""
        self._model = model
        self._place = place
        self._load = load
        self._idle_seconds = idle_seconds
        self._unix_sockets = unix_sockets
        self._status = Status(os.getpid(), "loading", str(model))
        self._queue = Queue(self._interrupt)
        self._done: OrderedDict[Request, Trace] = OrderedDict()
        self._answers: dict[tuple[Peer, str], asyncio.Future[Trace]] = {}
        self._peers: dict[Peer, None] = {}
        self._last_used = time.monotonic()
        self._work: Job | None = None
        self._wake = threading.Condition()
        self._stopping = threading.Event()
        self._engine: Engine | None = None

    async def run(self) -> None:
        """Listen, load, serve, and leave no file behind."""
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        for name in ("SIGTERM", "SIGINT"):
            with contextlib.suppress(NotImplementedError):
                self._loop.add_signal_handler(getattr(signal, name), self._stopped.set)
        self._place.socket.unlink(missing_ok=True)
        if self._unix_sockets:
            server = await asyncio.start_unix_server(self._serve, self._place.socket)
            self._place.socket.chmod(0o600)
            self._address = write_address(self._place, None, self._model)
        else:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self._address = write_address(self._place, server.sockets[0].getsockname()[1], self._model)
        _announce()
        worker = threading.Thread(target=self._predict_all, name="model", daemon=True)
        worker.start()
        self._look_idle()
        try:
            await self._stopped.wait()
        finally:
            self._set_status(state="stopped")
            self._place.address.unlink(missing_ok=True)
            self._place.socket.unlink(missing_ok=True)
            server.close()
            for peer in list(self._peers):
                peer.close()
            self._stopping.set()
            self._interrupt()
            with self._wake:
                self._wake.notify()
            await asyncio.to_thread(worker.join, 10)
        log.info("left")

    # Connections.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        known = False

        @peer.on
        def hello(params: dict[str, Any]) -> dict[str, Any]:
            nonlocal known
            if not secrets.compare_digest(str(params.get("token")), self._address.token):
                raise Refusal(MODEL_ERROR, "The token is wrong.")
            known = True
            self._peers[peer] = None
            return to_wire(self._current_status())

        def checked() -> None:
            if not known:
                raise Refusal(MODEL_ERROR, "The first message has to be hello, with the token.")

        @peer.on
        async def predict(params: dict[str, Any]) -> dict[str, Any]:
            checked()
            return trace_to_wire(await self._predict(peer, params))

        @peer.on
        def cancel(params: dict[str, Any]) -> None:
            checked()
            self._cancel((peer, params["job"]))

        @peer.on
        def prioritize(params: dict[str, Any]) -> None:
            checked()
            self._queue.prioritize((peer, params["job"]))

        @peer.on
        def status(params: dict[str, Any]) -> dict[str, Any]:
            checked()
            return to_wire(self._current_status())

        @peer.on
        def stop(params: dict[str, Any]) -> dict[str, Any]:
            checked()
            self._loop.call_soon(self._stopped.set)
            return {}

        try:
            await peer.run()
        finally:
            self._peers.pop(peer, None)
            for who in [who for who in self._answers if who[0] is peer]:
                self._cancel(who)

    async def _predict(self, peer: Peer, params: dict[str, Any]) -> Trace:
        job_name, interactive = params["job"], params["interactive"]
        request = Request(**params["request"])
        who = (peer, job_name)
        self._last_used = time.monotonic()
        if self._status.state == "failed":
            raise Refusal(MODEL_ERROR, self._status.detail)

        def tell(index: int, frame: Frame) -> None:
            peer.tell("frame", {"job": job_name, "index": index, "frame": frame_to_wire(frame)})

        known = self._done.get(request)
        if known is not None:
            self._done.move_to_end(request)
            return known
        answer = self._answers[who] = self._loop.create_future()
        self._queue.add(request, who, tell, interactive=interactive)
        self._next()
        try:
            return await answer
        finally:
            self._answers.pop(who, None)

    def _cancel(self, who: tuple[Peer, str]) -> None:
        """Silence at once; the thread stops at its next step."""
        self._queue.drop(who)
        answer = self._answers.pop(who, None)
        if answer is not None and not answer.done():
            answer.set_result(Trace((), Outcome(Ending.CANCELLED)))

    # The queue and the thread.

    def _next(self) -> None:
        """Give the thread the next job, if it is free."""
        if self._status.state not in ("ready", "busy"):
            return
        job = self._queue.take()
        if self._queue.running is None:
            self._set_status(state="ready")
        if job is not None:
            self._set_status(state="busy")
            with self._wake:
                self._work = job
                self._wake.notify()

    def _interrupt(self) -> None:
        """The running prediction shall stop: not after its current step, which can take long, but now."""
        if self._engine is not None:
            self._engine.interrupt()

    def _predict_all(self) -> None:
        """The thread: load, then predict whatever is given."""
        try:
            engine = self._load()
        except ModelError as error:
            self._loop.call_soon_threadsafe(self._loaded, None, str(error))
            return
        except Exception as error:
            log.exception("the model does not load")
            sentence = f"The model does not load ({type(error).__name__}: {error}); {self._place.log} tells more."
            self._loop.call_soon_threadsafe(self._loaded, None, sentence)
            return
        self._loop.call_soon_threadsafe(self._loaded, engine, "")
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._work is not None or self._stopping.is_set())
                job, self._work = self._work, None
            if self._stopping.is_set() or job is None:
                engine.close()
                return
            result = self._predict_one(engine, job)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._finished, job, result)

    def _predict_one(self, engine: Engine, job: Job) -> Trace | Refusal:
        count = 0

        def on_frame(frame: Frame) -> None:
            nonlocal count
            self._loop.call_soon_threadsafe(self._tell, job, count, frame)
            count += 1

        try:
            return engine.predict(
                job.request, cancelled=lambda: job.stop.is_set() or self._stopping.is_set(), on_frame=on_frame
            )
        except TargetError as error:
            return Refusal(TARGET_ERROR, str(error))
        except ModelError as error:
            return Refusal(MODEL_ERROR, str(error))
        except Exception as error:
            log.exception("a prediction failed")
            return Refusal(
                MODEL_ERROR,
                f"The prediction failed ({type(error).__name__}: {error}); {self._place.log} tells more.",
            )

    def _tell(self, job: Job, index: int, frame: Frame) -> None:
        if index < len(job.frames):
            return  # told before the job was interrupted: it writes the same again
        job.frames.append(frame)
        for listener in list(job.listeners.values()):
            listener(index, frame)

    def _loaded(self, engine: Engine | None, complaint: str) -> None:
        self._engine = engine
        if engine is None:
            log.error("%s", complaint)
            self._set_status(state="failed", detail=complaint)
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Refusal(MODEL_ERROR, complaint))
            self._loop.call_later(_FAILED_SECONDS, self._stopped.set)
            return
        log.info("loaded %s", self._model)
        self._set_status(
            state="ready",
            description=engine.description,
            context=engine.context,
            device=engine.device,
            detail=engine.warning,
        )
        self._next()

    def _finished(self, job: Job, result: Trace | Refusal) -> None:
        self._last_used = time.monotonic()
        interrupted = isinstance(result, Trace) and result.outcome.ending is Ending.CANCELLED
        if interrupted and job.listeners:
            self._queue.put_back()
        else:
            self._queue.finish()
            self._answer(job, result)
        self._next()

    def _answer(self, job: Job, result: Trace | Refusal) -> None:
        if isinstance(result, Trace) and result.outcome.ending is not Ending.CANCELLED:
            self._done[job.request] = result
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
        self._status = replace(self._status, served=self._status.served + 1)
        for who, answer in list(self._answers.items()):
            if who not in job.listeners or answer.done():
                continue
            if isinstance(result, Trace):
                answer.set_result(result)
            else:
                answer.set_exception(result)

    # What it says about itself.

    def _current_status(self) -> Status:
        return replace(
            self._status,
            waiting=len(self._queue),
            clients=len(self._peers),
            idle_seconds=round(time.monotonic() - self._last_used, 1) if self._queue.running is None else 0.0,
        )

    def _set_status(self, **changes: Any) -> None:
        before = self._status
        self._status = replace(before, **changes)
        if self._status.state != before.state:
            for peer in list(self._peers):
                peer.tell("state", to_wire(self._current_status()))

    def _look_idle(self) -> None:
        """Leave, or look again when it can be time to."""
        if self._queue.running is not None or len(self._queue) or self._status.state == "loading":
            self._last_used = time.monotonic()
        left = self._last_used + self._idle_seconds - time.monotonic()
        if left <= 0:
            log.info("nobody has asked anything for %g s", self._idle_seconds)
            self._stopped.set()
        else:
            self._loop.call_later(left, self._look_idle)
