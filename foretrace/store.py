"""Predictions that were made before, kept in the user's cache folder with all that they depend on.

What a prediction depends on is kept beside it and compared on every hit. The folder is bounded, several processes may
use it at once, and one that cannot be used only means that nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import diskcache  # type: ignore[import-untyped]
import platformdirs

import foretrace
from debugger.target import Target
from debugger.trace import Ending, Event, Frame, Outcome, Trace

FORMAT = 5
"""Counts up when a prediction of the same input may come out differently."""
MAX_BYTES = 64 << 20
"""What has not been asked for for longest goes first."""
_FAILURES = (OSError, sqlite3.Error, ValueError, KeyError, TypeError, diskcache.Timeout)


def store_folder() -> Path:
    """Where predictions are kept."""
    return platformdirs.user_cache_path("foretrace", appauthor=False) / "predictions"


class Store:
    """Predictions by their input; use it in a `with` block."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the store in a folder; else in the user's."""
        self._cache: Any = None
        with contextlib.suppress(*_FAILURES):
            self._cache = diskcache.Cache(
                str(folder or store_folder()),
                timeout=5,
                disk=diskcache.JSONDisk,
                size_limit=MAX_BYTES,
                eviction_policy="least-recently-used",
            )

    def __enter__(self) -> Store:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        if self._cache is not None:
            with contextlib.suppress(*_FAILURES):
                self._cache.close()

    def get(self, asked: Mapping[str, Any]) -> tuple[Trace, tuple[Mapping[str, float], ...]] | None:
        """The prediction made for that input, and the surprise of each real frame; None where there is none."""
        if self._cache is None:
            return None
        try:
            found: Any = self._cache.get(_key(asked))
            if found is None or found["input"] != json.loads(json.dumps(asked)):
                return None
            return _trace_from(found["predicted"]), tuple(found["surprise"])
        except _FAILURES:
            return None

    def put(self, asked: Mapping[str, Any], predicted: Trace, surprise: Sequence[Mapping[str, float]]) -> None:
        """Keep a prediction, unless it was cancelled."""
        if self._cache is None or predicted.outcome.ending is Ending.CANCELLED:
            return
        value = {"input": asked, "predicted": _trace_to(predicted), "surprise": [dict(each) for each in surprise]}
        with contextlib.suppress(*_FAILURES):
            self._cache.set(_key(asked), value)

    def note_latest(self, asked: Mapping[str, Any], path: Path) -> None:
        """Let `latest` find the prediction made for that input, of a function in that file."""
        if self._cache is not None:
            with contextlib.suppress(*_FAILURES):
                self._cache.set(_question(asked, path), _key(asked))

    def latest(self, asked: Mapping[str, Any], path: Path) -> tuple[str, Trace] | None:
        """The latest prediction whose input was the same but for the file's text and the frames allowed; that text."""
        if self._cache is None:
            return None
        try:
            found: Any = self._cache.get(self._cache.get(_question(asked, path)))
            return found and (found["input"]["source"], _trace_from(found["predicted"]))
        except _FAILURES:
            return None


def input_of(
    model: Mapping[str, Any],
    context: int,
    target: Target,
    call: str,
    *,
    mode: str,
    max_frames: int,
    constrained: bool,
    actual: Trace | None,
) -> dict[str, Any]:
    """Everything that a prediction depends on; `model` is the GGUF's `identity` and how it is loaded."""
    real = None
    if actual is not None:
        frames = [_frame_to(frame) for frame in actual.frames]
        real = hashlib.sha256(json.dumps([frames, actual.outcome.ending.value]).encode()).hexdigest()
    return {
        "format": FORMAT,
        "foretrace": foretrace.__version__,
        "llama": importlib.metadata.version("llama-cpp-python"),
        "python": list(sys.version_info[:2]),
        "model": dict(model),
        "context": context,
        "source": target.file.text,
        "function": target.qualname,
        "call": call,
        "mode": mode,
        "max_frames": max_frames,
        "constrained": constrained,
        "actual": real,
        "machine": os.uname().machine if hasattr(os, "uname") else sys.platform,
    }


def _question(asked: Mapping[str, Any], path: Path) -> str:
    """The key of what stays the same while a file is edited, and asked about for more or fewer frames."""
    return _key({**asked, "source": None, "max_frames": None, "path": str(path.resolve())})


def _key(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _frame_to(frame: Frame) -> list[Any]:
    return [
        frame.event.value,
        frame.line,
        frame.source,
        dict(frame.locals),
        frame.value,
        frame.function,
        frame.depth,
        dict(frame.confidence),
    ]


def _trace_to(trace: Trace) -> dict[str, Any]:
    outcome = trace.outcome
    return {
        "frames": [_frame_to(frame) for frame in trace.frames],
        "outcome": [outcome.ending.value, outcome.value, outcome.detail],
    }


def _trace_from(data: Any) -> Trace:
    frames = [
        Frame(Event(event), line, source, values, value, function, depth, confidence)
        for event, line, source, values, value, function, depth, confidence in data["frames"]
    ]
    ending, value, detail = cast("list[Any]", data["outcome"])
    return Trace(tuple(frames), Outcome(Ending(ending), value, detail))
