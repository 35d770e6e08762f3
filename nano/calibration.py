"""Is a 90% value right nine times in ten? Calibration error, reliability diagram, and the temperature that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from debugger.predicted.confidence import calibrated

BINS = 15
"""Of equal width, as in Guo et al. 2017 (arXiv 1706.04599)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A value that the model wrote."""

    confidence: float
    """The model's own probability of it, before any calibration."""
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """The values whose confidence lies in one interval."""

    count: int
    confidence: float
    """Their mean confidence."""
    right: float
    """The share of them that are right."""


def bins(judged: Sequence[Judged], temperature: float = 1.0) -> list[Bin]:
    """The intervals that have values in them, from unsure to sure."""
    confidence = np.array([calibrated(each.confidence, temperature) for each in judged])
    right = np.array([each.right for each in judged], dtype=float)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(int(here.sum()), float(confidence[here].mean()), float(right[here].mean()))
        for here in (place == index for index in range(BINS))
        if here.any()
    ]


def calibration_error(judged: Sequence[Judged], temperature: float = 1.0) -> float:
    """Expected calibration error: how far confidence and truth lie apart, averaged over the values."""
    return sum(each.count * abs(each.confidence - each.right) for each in bins(judged, temperature)) / len(judged)


def fit_temperature(judged: Sequence[Judged]) -> float:
    """The temperature under which these outcomes are likeliest, between 1/8 and 8."""
    candidates = np.exp(np.linspace(np.log(1 / 8), np.log(8), 241))
    right = np.array([each.right for each in judged])

    def loss(temperature: float) -> float:
        confidence = np.array([calibrated(each.confidence, temperature) for each in judged])
        likelihood = np.where(right, confidence, 1 - confidence)
        return float(-np.log(np.maximum(likelihood, 1e-9)).mean())

    return float(min(candidates, key=loss))


def plot(path: Path, judged: Sequence[Judged], temperature: float, title: str) -> None:
    """Write a reliability diagram: the share of right values against confidence, before and after calibration."""
    from matplotlib import pyplot

    library: Any = pyplot
    figure, axes = library.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="perfect")
    for label, used in (("as the model says", 1.0), (f"at temperature {temperature:.2f}", temperature)):
        points = bins(judged, used)
        error = calibration_error(judged, used)
        axes.plot(
            [each.confidence for each in points],
            [each.right for each in points],
            marker="o",
            label=f"{label} (error {error:.3f})",
        )
    axes.set(xlabel="confidence", ylabel="share of values that are right", xlim=(0, 1), ylim=(0, 1), title=title)
    axes.legend()
    figure.savefig(path, bbox_inches="tight")
    library.close(figure)
