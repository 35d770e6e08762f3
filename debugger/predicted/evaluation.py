"""Predictions as coroutines: each yields what it needs evaluated, and a driver asks the model for one or many at once.

A coroutine that waits for logits costs nothing, so several predictions share each call of llama.cpp; a single one runs
through the same code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar

from quant.errors import CancelledError, ModelError
from quant.model import Model, Part, Row, logit_rows
from quant.runtime import CHUNK_TOKENS, VERIFY_TOKENS, Runtime

T = TypeVar("T")
Evaluation: TypeAlias = Generator[Part, Sequence[Row], T]
"""Work that yields parts to evaluate, is sent their rows, and returns a T. The rows hold until the next part."""


def drive(work: Evaluation[T], model: Model) -> T:
    """Evaluate what the work asks for until it is done. Raises what it raises."""
    try:
        part = next(work)
        while True:
            try:
                rows = model.read(part)
            except (ModelError, CancelledError) as error:
                part = work.throw(error)
            else:
                part = work.send(rows)
    except StopIteration as done:
        return done.value


def drive_many(
    works: Iterable[Callable[[int], Evaluation[T]]], runtime: Runtime, sequences: int | None = None
) -> Iterator[tuple[int, T]]:
    """Do several works at once, each in a sequence of its own, which it is started with.

    Yields the position and the result of each as soon as it is there; at most `sequences` (else as many as the runtime
    has) are under way at a time. Raises what a work raises.
    """
    free = deque(range(sequences or runtime.sequences))
    waiting = enumerate(works)
    running: deque[tuple[int, int, Evaluation[T], Part]] = deque()

    def begin() -> Iterator[tuple[int, T]]:
        while free:
            index, start = next(waiting, (None, None))
            if index is None or start is None:
                return
            sequence = free.popleft()
            work = start(sequence)
            try:
                running.append((index, sequence, work, next(work)))
            except StopIteration as done:
                free.append(sequence)
                yield index, done.value

    yield from begin()
    while running:
        # Who waited longest comes first; what no longer fits into the call waits for the next one.
        together: list[tuple[int, int, Evaluation[T], Part]] = []
        tokens, rows = CHUNK_TOKENS, VERIFY_TOKENS
        for entry in list(running):
            part = entry[3]
            if len(part.tokens) <= tokens and part.rows <= rows:
                tokens, rows = tokens - len(part.tokens), rows - part.rows
                together.append(entry)
                running.remove(entry)
        for (index, sequence, work, _), found in zip(
            together, runtime.evaluate([entry[3] for entry in together]), strict=True
        ):
            try:
                running.append((index, sequence, work, work.send(logit_rows(found))))
            except StopIteration as done:
                free.append(sequence)
                yield index, done.value
        yield from begin()
