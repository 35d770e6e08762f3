"""Real runs as execution traces in CWM's words, one JSON object a line: what a build is calibrated and measured on.

    {"text": "<|begin_of_text|><|trace_context_start|>PROGRAM..", "given": 123, "target": ..., "call": ...}

`text` spells special tokens out. Its first `given` characters are what a prediction is given: the program and the
frames of the `main` that makes the call.
"""

from __future__ import annotations

import json
import sys

from debugger.predicted.codec import FrameEncoder, Segment, text_of
from debugger.predicted.prompt import ending_frames, prompt_segments
from debugger.report.result import Report, Result
from debugger.target import Target, TargetError, build_context, find_targets
from debugger.trace import Ending, Trace
from quant.specials import Special


def to_cwm(report: Report) -> tuple[str, list[str]]:
    """The traces of all calls that were run, and a sentence for each that is left out."""
    lines: list[str] = []
    left_out: list[str] = []
    for result in report.results:
        if result.actual is None or not result.actual.frames or result.call is None:
            left_out.append(f"{result.call or result.target} is left out: {result.detail or 'there is no run.'}")
            continue
        try:
            given, rest = _segments(_target_of(result), result.call, result.actual)
        except TargetError as error:
            left_out.append(f"{result.call} is left out: {error}")
            continue
        confusing = _special_in_text([*given, *rest])
        if confusing is not None:
            left_out.append(
                f"{result.call} is left out: its program or values hold the characters {confusing.value}, "
                "which a text cannot tell from the token."
            )
            continue
        prompt = text_of(given)
        row = {"text": prompt + text_of(rest), "given": len(prompt), "target": result.target, "call": result.call}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines), left_out


def _target_of(result: Result) -> Target:
    """The function as it stands in its file. Raises TargetError where the file has changed meanwhile."""
    for target in find_targets(result.target):
        if target.first_line == result.first_line:
            return target
    raise TargetError(f"{result.target} has changed while it ran.")


def _segments(target: Target, call: str, trace: Trace) -> tuple[list[Segment], list[Segment]]:
    """A run as it is predicted: what is given, and what is to be said. A run that was stopped has no end."""
    encoder = FrameEncoder()
    source = build_context(target, call, sys.maxsize, len).source
    given = prompt_segments(source, call, encoder)
    ended = trace.outcome.ending in (Ending.RETURNED, Ending.RAISED)
    rest: list[Segment] = []
    for frame in (*trace.frames, *(ending_frames(call, trace) if ended else ())):
        rest += encoder.encode(frame)
    return given, [*rest, Special.END] if ended else rest


def _special_in_text(segments: list[Segment]) -> Special | None:
    texts = [segment for segment in segments if not isinstance(segment, Special)]
    return next((special for special in Special for text in texts if special.value in text), None)
