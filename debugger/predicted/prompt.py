"""The words a prediction starts from: the program, its `main()`, and the frames that lead up to the call."""

from __future__ import annotations

import ast

from debugger.predicted.codec import FrameEncoder, Segment
from debugger.trace import Ending, Event, Frame, Trace
from quant.specials import Special

MAIN_DEF = "def main():\n"
MAIN_DEPTH = -1
"""`main` lies below the function that is called, whose depth is 0."""


def main_line(call: str) -> str:
    """The one line of `main()`; a call written over several lines is written anew, since a LINE frame holds one."""
    one_line = ast.unparse(ast.parse(call, mode="eval")) if "\n" in call else call
    return f"    return {one_line}\n"


def program_text(source: str, call: str) -> str:
    """The module with the `main()` that gives the function its inputs; the mark says where the trace starts."""
    body = source.rstrip("\n")
    return f"{body}\n\ndef main(): # << START_OF_TRACE\n{main_line(call)}"


def main_frames(call: str) -> list[Frame]:
    """The frames of `main` before it calls: they are known, so the model is given them."""
    return [
        Frame(Event.CALL, 0, MAIN_DEF, function="main", depth=MAIN_DEPTH),
        Frame(Event.LINE, 0, main_line(call), function="main", depth=MAIN_DEPTH),
    ]


def main_return(call: str, value: str) -> Frame:
    """The frame with which `main` hands on what the call returned; needed where a whole trace is written."""
    return Frame(Event.RETURN, 0, main_line(call), value=value, function="main", depth=MAIN_DEPTH)


def ending_frames(call: str, trace: Trace) -> list[Frame]:
    """The frames of `main` behind the call's: it hands on the value, or the exception passes through it."""
    last = trace.frames[-1]
    if trace.outcome.ending is Ending.RETURNED:
        return [main_return(call, last.value or "None")]
    raised = next(frame for frame in reversed(trace.frames) if frame.event is Event.EXCEPTION)
    line = main_line(call)
    return [
        Frame(Event.EXCEPTION, 0, line, value=raised.value, function="main", depth=MAIN_DEPTH),
        Frame(Event.RETURN, 0, line, value="None", function="main", depth=MAIN_DEPTH),
    ]


def prompt_segments(source: str, call: str, encoder: FrameEncoder) -> list[Segment]:
    """Everything before the first predicted frame; `encoder` then goes on with the frames of the call."""
    segments: list[Segment] = [Special.BEGIN, Special.CONTEXT, program_text(source, call), Special.FRAME]
    for frame in main_frames(call):
        segments += encoder.encode(frame)
    return segments
