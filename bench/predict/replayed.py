"""A model that costs nothing, and with it the cost of everything else by how long a run has become."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.predict.cases import LOOPS
from bench.predict.cost import Cost
from debugger.actual.record import record_in_process
from debugger.predicted.predict import Predictor, predict
from debugger.predicted.prompt import ending_frames
from debugger.target import find_targets
from nano.evaluate import Case, target_of
from quant.model import Part, Row, logit_rows
from quant.runtime import Runtime


class Replayed:
    """Plays written tokens back: a model that costs nothing, to see what everything around it costs."""

    def __init__(self, prompt: Sequence[int], tokens: Sequence[int], metadata: Runtime) -> None:
        """It writes `tokens` behind the prompt."""
        self.vocabulary = metadata.vocabulary
        self.context = len(tokens) + 1024
        self.path = metadata.path
        self.token_cost = metadata.token_cost
        self.calls = 0
        self.checks_drafts = True
        self._metadata = metadata
        self._all = [*tokens]
        self._held: list[int] = []
        self._rows: NDArray[np.float32] = np.zeros((512, metadata.vocabulary.size), dtype=np.float32)

    def metadata(self, key: str) -> str | None:
        """As the real model has it."""
        return self._metadata.metadata(key)

    def tokens_of(self, sequence: int) -> Sequence[int]:
        """What it holds."""
        return self._held

    def read(self, part: Part) -> Sequence[Row]:
        """The next token of the script has the highest logit."""
        self.calls += 1
        self._held.extend(part.tokens)
        rows = self._rows[: part.rows]
        rows[:] = 0
        first = len(self._held) - part.rows + 1
        for row, position in enumerate(range(first, first + part.rows)):
            if position < len(self._all):
                rows[row, self._all[position]] = 20
        return logit_rows(rows)

    def forget(self, length: int, sequence: int = 0) -> int:
        """Go back."""
        del self._held[length:]
        return len(self._held)


def calls_if_right(runtime: Runtime, cases: Iterable[Case], folder: Path) -> Cost:
    """What predictions take of a model that is right: real runs, replayed. It tells how good drafts are."""
    cost = Cost()
    for index, case in enumerate(cases):
        (folder / f"right{index}").mkdir(parents=True)
        target = target_of(case, folder / f"right{index}")
        empty = Replayed((), (), runtime)
        empty.context = 1 << 20
        scout = Predictor(empty, target, case.call, drafting=False)
        prompt = list(scout.writer.tokens)
        frames = scout.encode_run([*case.actual.frames, *ending_frames(case.call, case.actual)])[len(scout.frames) :]
        tokens = list(itertools.chain.from_iterable(map(scout.tokens_of, frames)))
        replayed = Replayed(prompt, [*prompt, *tokens], runtime)
        began = time.perf_counter()
        predict(replayed, target, case.call)
        cost.add(len(tokens), replayed.calls, time.perf_counter() - began)
    return cost


def long_ratio(runtime: Runtime, folder: Path) -> float:
    """What a frame costs around frame 1,000 against frame 100, without the model: its attention is what grows else."""
    source = LOOPS["count up"]
    path = folder / "long.py"
    path.write_text(source, encoding="utf-8")
    target = find_targets(f"{path}::f")[0]
    actual = record_in_process(source, "f(560)", 2000)
    scout = Predictor(runtime, target, "f(560)", drafting=False)
    prompt = list(scout.writer.tokens)
    frames = [scout.tokens_of(each) for each in scout.encode_run(actual.frames)][len(scout.frames) :]
    tokens = [*prompt, *itertools.chain.from_iterable(frames)]

    def once() -> float:
        ends: list[float] = []
        replayed = Replayed(prompt, tokens, runtime)
        predict(replayed, target, "f(560)", max_frames=1100, on_frame=lambda _: ends.append(time.process_time()))
        return (ends[1050] - ends[950]) / (ends[150] - ends[50])

    return statistics.median(once() for _ in range(3))
