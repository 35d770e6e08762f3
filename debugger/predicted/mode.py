"""The ways to check a prediction. They are words of the command line, too, so nothing heavy is imported here."""

from __future__ import annotations

from enum import Enum


class CheckMode(str, Enum):
    """How a prediction goes on after its first difference from the real run."""

    FREE = "free"
    """From its own frames."""
    FORCED = "forced"
    """From the real ones."""
