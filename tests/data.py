"""The data that is not in the repository: real functions with calls, and real outputs of CWM 32B."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import pytest

from nano.real import MissingDataError, needed_data_file


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """A file's lines; without it, the test that asks is skipped, or fails where nothing may be."""
    try:
        path = needed_data_file(name)
    except MissingDataError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cwm_samples() -> list[dict[str, Any]]:
    """The real model's 89 outputs."""
    return rows("cwm32b_traces.jsonl")


def real_functions() -> list[dict[str, Any]]:
    """MBPP and HumanEval: rows with `id`, `entry`, `source`, `calls`."""
    return rows("mbpp_calls.jsonl") + rows("humaneval_calls.jsonl")
