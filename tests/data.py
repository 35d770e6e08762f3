"""The data beside the checkout: real functions with calls, and real outputs of CWM 32B."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data"


@cache
def _rows(name: str) -> list[dict[str, Any]]:
    path = FOLDER / name
    if not path.exists():
        message = f"{path} is absent: real functions and model outputs are not checked"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cwm_samples() -> list[dict[str, Any]]:
    """The real model's 89 outputs."""
    return _rows("cwm32b_traces.jsonl")


def real_functions() -> list[dict[str, Any]]:
    """MBPP and HumanEval: rows with `id`, `entry`, `source`, `calls`."""
    return _rows("mbpp_calls.jsonl") + _rows("humaneval_calls.jsonl")
