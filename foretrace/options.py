"""The words of the command line that need no heavy import."""

from __future__ import annotations

from enum import Enum


class Format(str, Enum):
    """The spellings of a report."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


class Mode(Enum):
    """Which of the two runs are made."""

    DIFF = "diff"
    PREDICT = "predict"
    RUN = "run"
