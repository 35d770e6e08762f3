"""A run of one call as plain data: events, frames, traces and how they end.

Predicted and actual runs both end in these types; everything after them (comparison, reports, hints) is written once.
Locals and values hold whole `repr` strings. The `".."` shorthand of CWM's format exists only in `predicted/codec.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

VALUE = "<value>"
"""The key of `Frame.confidence` for a returned or raised value, which has no name of its own."""


class Event(str, Enum):
    """What happened, with the names and the meaning of `sys.settrace`'s events."""

    CALL = "call"
    LINE = "line"
    RETURN = "return"
    EXCEPTION = "exception"


@dataclass(frozen=True, slots=True)
class Frame:
    """One step of a run.

    A `line` frame holds the state *before* its line runs. `call` and `line` frames carry `locals`, `return` and
    `exception` frames carry `value`; a `return` with value `None` right after an `exception` is an unwinding.
    """

    event: Event
    line: int
    """The line's number in the user's file, from 1."""
    source: str
    """The physical line with its indentation and its newline."""
    locals: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name to whole `repr`, in order of first appearance."""
    value: str | None = None
    """`repr` of the returned value, or of `(type, exception, traceback)`; None for call and line frames."""
    function: str = ""
    """The code object's name (`co_name`): `f`, `<lambda>`, `<listcomp>`."""
    depth: int = 0
    """How many frames of the user's code lie below this one; 0 for the function that was called."""
    confidence: Mapping[str, float] = field(default_factory=dict[str, float], compare=False)
    """Predicted frames only: how likely each value is right that was the model's choice, keyed by name or `VALUE`.

    The model's own probability, calibrated where its GGUF says how (`debugger/predicted/confidence.py`).
    """
    surprise: Mapping[str, float] = field(default_factory=dict[str, float], compare=False)
    """Actual frames that a model has read only: how little it expected each value, keyed like `confidence`.

    Minus the natural logarithm of the probability that it gave to what stands there, `".."` for an unchanged value.
    """


class Ending(str, Enum):
    """How a run ended."""

    RETURNED = "returned"
    RAISED = "raised"
    OUT_OF_FRAMES = "out of frames"
    OUT_OF_CONTEXT = "out of context"
    MALFORMED = "malformed"
    """The model wrote text that is no frame, or ended it too soon, which only an unconstrained prediction can do."""
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    EXITED = "exited"
    """The process left without unwinding, as with `os._exit`."""
    CRASHED = "crashed"
    """The process was ended by a signal, as with a segmentation fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended and with what."""

    ending: Ending
    value: str | None = None
    """`repr` of the returned value or of the exception raised, else None."""
    detail: str = ""
    """One sentence for people, where the ending needs one."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The frames of one call, first to last, and how the run ended."""

    frames: tuple[Frame, ...]
    outcome: Outcome
    output: str = ""
    """What an actual run printed (bounded); empty for a prediction."""


def steps_text(count: int) -> str:
    """So many frames as people call them."""
    return "1 step" if count == 1 else f"{count} steps"


def frame_to_json(frame: Frame) -> dict[str, Any]:
    """A frame as the JSON object of the command's contract; `confidence` and `surprise` only where there are."""
    data: dict[str, Any] = {
        "event": frame.event.value,
        "line": frame.line,
        "source": frame.source,
        "locals": dict(frame.locals),
        "value": frame.value,
        "function": frame.function,
        "depth": frame.depth,
    }
    if frame.confidence:
        data["confidence"] = {name: round(probability, 4) for name, probability in frame.confidence.items()}
    if frame.surprise:
        data["surprise"] = {name: round(surprise, 4) for name, surprise in frame.surprise.items()}
    return data
