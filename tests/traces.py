"""Execution traces in CWM's words, short and each another one."""

from __future__ import annotations

import json
from pathlib import Path

from debugger.actual.record import record_in_process
from debugger.predicted.codec import FrameEncoder, text_of
from debugger.predicted.prompt import ending_frames, prompt_segments
from quant.specials import Special
from quant.traces import WrittenTrace

SOURCE = "def total(n):\n    s = 0\n    for i in range(n):\n        s += i\n    return s\n"


def written_trace(n: int) -> WrittenTrace:
    """The run of total(n)."""
    call = f"total({n})"
    trace = record_in_process(SOURCE, call)
    encoder = FrameEncoder()
    given = text_of(prompt_segments(SOURCE, call, encoder))
    frames = [segment for frame in (*trace.frames, *ending_frames(call, trace)) for segment in encoder.encode(frame)]
    return WrittenTrace(given + text_of([*frames, Special.END]), len(given))


def write_traces(path: Path, count: int) -> Path:
    """A file with that many traces."""
    traces = [written_trace(n) for n in range(count)]
    path.write_text("".join(json.dumps({"text": trace.text, "given": trace.given}) + "\n" for trace in traces))
    return path
