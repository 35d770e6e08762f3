"""The words of the command line that need no heavy import."""

from __future__ import annotations

from enum import Enum


class Format(str, Enum):
    """The spellings of a report."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    CWM = "cwm"
    """Real runs in the words of a Code World Model, to calibrate and measure its builds with."""


class Mode(Enum):
    """Which of the two runs are made."""

    DIFF = "diff"
    PREDICT = "predict"
    RUN = "run"


class Dtype(str, Enum):
    """How a converted checkpoint stores its matrices."""

    BF16 = "bf16"
    F16 = "f16"
    F32 = "f32"


class Quantization(str, Enum):
    """The quantized builds that can be made, from large to small."""

    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_K_M = "Q5_K_M"
    Q4_K_M = "Q4_K_M"
    Q4_0 = "Q4_0"
    IQ4_XS = "IQ4_XS"
    Q3_K_M = "Q3_K_M"
