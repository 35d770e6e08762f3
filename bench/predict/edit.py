"""Predicting a function again after its last line was edited, as an editor does: the earlier prediction is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from bench.predict.cases import edited_cases
from bench.predict.cost import CallCosts, Cost, Meter, predicted
from debugger.predicted.earlier import carried_over
from quant.runtime import Runtime, common_prefix

_FRAMES = 100


@dataclass(slots=True)
class Edits:
    """What all of them took: from nothing, and with the earlier prediction as draft."""

    cold: Meter
    warm: Meter
    written: Cost = field(default_factory=Cost)
    """What the predictions from nothing wrote."""
    prompt: int = 0
    shared: int = 0
    """Tokens of the prompts, and of those before the edit."""

    @property
    def speedup(self) -> float:
        """How much faster than from nothing."""
        return self.cold.seconds / self.warm.seconds

    @property
    def calls(self) -> float:
        """How many times fewer calls."""
        return len(self.cold.sizes) / len(self.warm.sizes)

    def limit(self, costs: CallCosts) -> float:
        """How much faster it could be if every token behind the edit were read in full calls, and nothing else done.

        They must be: each of them sees the edited line.
        """
        behind = self.prompt - self.shared + self.written.tokens
        return sum(map(costs.seconds, self.cold.sizes)) / costs.full(behind)

    def table(self) -> Table:
        """Where the time goes."""
        table = Table(
            "after an edit of the last line", "calls", "tokens read", "in the model", "elsewhere",
            title=f"{self.prompt:,} tokens of prompts, {self.shared:,} before the edit; "
            f"{self.written.tokens:,} written behind them",
        )  # fmt: skip
        for name, meter in (("from nothing", self.cold), ("the earlier prediction drafted", self.warm)):
            rest = meter.seconds - meter.model_seconds
            table.add_row(
                name, f"{len(meter.sizes):,}", f"{meter.tokens:,}", f"{meter.model_seconds:.2f} s", f"{rest:.2f} s"
            )
        return table


def measure_edits(runtime: Runtime, folder: Path) -> Edits:
    """Predict the edited functions both ways; the predictions must be the same."""
    found = Edits(Meter(runtime), Meter(runtime))
    for before, after, call in edited_cases(folder):
        earlier = predicted(runtime, before, call, _FRAMES, Cost())
        expected = carried_over(earlier.trace.frames, before.file.lines, after.file.lines)
        with found.warm:
            warm = predicted(runtime, after, call, _FRAMES, Cost(), expected=expected, cold=False)
        runtime.forget(0)
        with found.cold:
            cold = predicted(runtime, after, call, _FRAMES, found.written)
        assert warm.trace == cold.trace
        found.prompt += len(cold.prompt)
        found.shared += common_prefix(earlier.prompt, cold.prompt)
    return found
