"""Results as plain data, and their JSON: the contract that other programs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from debugger.diff import Divergence, Verdict
from debugger.trace import Outcome, Trace, frame_to_json

JSON_VERSION = 1


class Status(str, Enum):
    """What became of one call; each result has exactly one."""

    CONFIRMED = "confirmed"
    DIVERGED = "diverged"
    UNFINISHED = "stopped early"
    """Nothing differs as far as it went, but the prediction or the run has no end."""
    FAILED = "could not run"
    """There is no prediction or no run at all."""
    NO_CALL = "without a call"
    DONE = "done"
    """Only predicted, or only run, as asked."""


@dataclass(frozen=True, slots=True)
class Result:
    """One call of one function: what was predicted, what happened, and what both say together."""

    target: str
    """`path::qualname` as shown to the user."""
    path: Path
    first_line: int
    """The function's `def` line."""
    call: str | None
    status: Status
    detail: str = ""
    """One sentence for people, where the status needs one."""
    predicted: Trace | None = None
    actual: Trace | None = None
    divergences: tuple[Divergence, ...] = ()
    inlined: Sequence[range] = ()
    """Statements whose comprehensions the actual run inlined, as `diff.compare` was given them."""
    timings: Mapping[str, float] = field(default_factory=dict[str, float])
    """Seconds, by what took them: `predict`, `run`."""

    @property
    def verdict(self) -> Verdict:
        """The contract's word for it."""
        if self.status is Status.CONFIRMED:
            return Verdict.CONFIRMED
        return Verdict.DIVERGED if self.status is Status.DIVERGED else Verdict.UNCHECKED


@dataclass(frozen=True, slots=True)
class Model:
    """Where predictions came from."""

    name: str
    """What a person calls it: `nano`, or the file's name."""
    path: str
    description: str = ""
    """The runtime's words for architecture, size and quantization."""
    context: int | None = None
    """Tokens that fit."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one command found."""

    results: tuple[Result, ...]
    model: Model | None = None
    """None where nothing was predicted."""
    python: str | None = None
    """The version of the interpreter of the actual runs; None where nothing was run."""


def to_json(report: Report) -> dict[str, Any]:
    """The results document; `foretrace/schema/result.schema.json` describes it."""
    model = report.model
    return {
        "version": JSON_VERSION,
        "model": None
        if model is None
        else {
            "name": model.name,
            "path": model.path,
            "description": model.description,
            "context": model.context,
        },
        "python": report.python,
        "results": [_result_to_json(result) for result in report.results],
    }


def _result_to_json(result: Result) -> dict[str, Any]:
    return {
        "target": result.target,
        "call": result.call,
        "verdict": result.verdict.value,
        "status": result.status.value,
        "detail": result.detail,
        "predicted": _trace_to_json(result.predicted),
        "actual": _trace_to_json(result.actual),
        "divergences": [_divergence_to_json(divergence) for divergence in result.divergences],
        "timings": {name: round(seconds, 4) for name, seconds in result.timings.items()},
    }


def _trace_to_json(trace: Trace | None) -> dict[str, Any] | None:
    if trace is None:
        return None
    data: dict[str, Any] = {
        "frames": [frame_to_json(frame) for frame in trace.frames],
        "outcome": _outcome_to_json(trace.outcome),
    }
    if trace.output:
        data["output"] = trace.output
    return data


def _outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    return {"ending": outcome.ending.value, "value": outcome.value, "detail": outcome.detail}


def _divergence_to_json(divergence: Divergence) -> dict[str, Any]:
    return {
        "kind": divergence.kind.value,
        "frame": divergence.frame,
        "line": divergence.line,
        "name": divergence.name,
        "predicted": divergence.predicted,
        "actual": divergence.actual,
    }
