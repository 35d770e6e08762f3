"""What a predicted and an actual run of one call say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from debugger.diff import Verdict, compare, inlined_statements, is_cut, verdict_of
from debugger.report.result import Result, Status
from debugger.target import Target
from debugger.trace import Ending, Trace, steps_text

INLINES_COMPREHENSIONS = (3, 12)
"""The first Python whose comprehensions have no frames of their own (PEP 709)."""
_STATUS = {
    Verdict.CONFIRMED: Status.CONFIRMED,
    Verdict.DIVERGED: Status.DIVERGED,
    Verdict.UNCHECKED: Status.UNFINISHED,
}


def judge(
    target: Target, call: str, predicted: Trace | None, actual: Trace | None, python: tuple[int, ...] | None = None
) -> Result:
    """The result for a call: compared where there are both runs, else what the only one says by itself.

    `python` is the version of the interpreter that made the actual run.
    """
    result = Result(target.name, target.file.path, target.first_line, call, Status.DONE, "", predicted, actual)
    cut = [trace for trace in (actual, predicted) if trace is not None and is_cut(trace)]
    detail = _why_cut(cut[0], is_actual=cut[0] is actual) if cut else actual.outcome.detail if actual else ""
    if predicted is None or actual is None:
        return replace(result, status=Status.UNFINISHED, detail=detail) if cut else result
    inlined: Sequence[range] = ()
    if python is not None and python >= INLINES_COMPREHENSIONS:
        inlined = inlined_statements(target.file.text)
    divergences = compare(predicted, actual, inlined=inlined)
    status = _STATUS[verdict_of(predicted, actual, divergences)]
    if status is Status.UNFINISHED:
        agreed = min(len(predicted.frames), len(actual.frames))
        if agreed:
            steps = "step before that is" if agreed == 1 else f"{agreed} steps before that are"
            detail = f"{detail} The {steps} as predicted."
    if status is Status.DIVERGED:
        detail = ""
    return replace(result, status=status, detail=detail, divergences=divergences, inlined=inlined)


_WHY_CUT = {
    Ending.OUT_OF_FRAMES: "{who} was stopped after {steps}.",
    Ending.OUT_OF_CONTEXT: "{who} was stopped after {steps}: the model's context is full.",
    Ending.MALFORMED: "{who} broke off after {steps} with text that is no step.",
    Ending.CANCELLED: "{who} was cancelled after {steps}.",
    Ending.TIMED_OUT: "{who} was stopped when its time was up, after {steps}.",
}


def _why_cut(trace: Trace, *, is_actual: bool) -> str:
    """Why a run has no end, in one sentence."""
    who = "The real run" if is_actual else "The prediction"
    words = _WHY_CUT.get(trace.outcome.ending, "{who} ended early, after {steps}: {ending}.")
    steps = steps_text(len(trace.frames))
    return trace.outcome.detail or words.format(who=who, steps=steps, ending=trace.outcome.ending.value)
