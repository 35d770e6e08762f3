"""The functions of a folder, one after the other and as sequences that share calls of the model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.predict.cost import CallCosts, Meter
from debugger.predicted.predict import predict, predict_many
from debugger.target import Target
from quant.runtime import Runtime

_SEQUENCES = 4
_CONTEXT = 2048
"""Tokens for each sequence."""


@dataclass(frozen=True, slots=True)
class FolderCost:
    """What both ways took."""

    alone: Meter
    together_seconds: float
    differing: int
    """Predictions that are not the same: in a shared call, numbers are added up in another order."""

    @property
    def speedup(self) -> float:
        """How much faster together."""
        return self.alone.seconds / self.together_seconds

    def limit(self, costs: CallCosts) -> float:
        """How much faster they could be if all calls were full: what sharing can save is the fixed part of a call."""
        return sum(map(costs.seconds, self.alone.sizes)) / costs.full(self.alone.tokens)


def measure_folder(model: Path, calls: Sequence[tuple[Target, str]], frames: int) -> FolderCost:
    """Predict all calls both ways."""
    with Runtime.open(model, context=_CONTEXT) as runtime, Meter(runtime) as meter:
        alone = [predict(runtime, target, call, max_frames=frames) for target, call in calls]
    with Runtime.open(model, context=_CONTEXT, sequences=_SEQUENCES) as runtime:
        began = time.perf_counter()
        together = dict(predict_many(runtime, calls, max_frames=frames))
        seconds = time.perf_counter() - began
    differing = sum(together[index] != trace for index, trace in enumerate(alone))
    return FolderCost(meter, seconds, differing)
