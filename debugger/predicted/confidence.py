"""From the model's probability of a value to how often such a value is right."""

from __future__ import annotations

import math

_CERTAIN = 1e-6
"""Nothing is surer than this: odds must be finite."""


def calibrated(probability: float, temperature: float) -> float:
    """The probability with its log odds divided by the temperature: above 1 makes an overconfident model humbler.

    One number for a whole model, as in temperature scaling (Guo et al. 2017, arXiv 1706.04599), here on whole values.
    """
    bounded = min(max(probability, _CERTAIN), 1 - _CERTAIN)
    return 1 / (1 + math.exp(-math.log(bounded / (1 - bounded)) / temperature))
