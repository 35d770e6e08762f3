"""A divergence in words: one sentence that a person understands without knowing the project."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from debugger.diff import Divergence, Kind, cause, unwinds
from debugger.report.result import Result
from debugger.trace import Ending, Event, Frame, Trace, steps_text

_EXCEPTION = re.compile(r"^\(<class '[^']*'>, (?P<value>.*), <traceback object>\)$", re.DOTALL)
_SHORT = 60


@dataclass(frozen=True, slots=True)
class Story:
    """Where to look, and what to see there."""

    line: int
    """The line that made the difference; for a value the one before it shows."""
    text: str


def story_of(divergence: Divergence, result: Result) -> Story:
    """What a divergence says, with the line of the user's file where it belongs."""
    assert result.actual is not None and result.predicted is not None
    side = result.predicted if divergence.kind is Kind.EXTRA else result.actual
    frame = side.frames[divergence.frame]
    happened = happening(frame, unwinding=unwinds(side.frames, divergence.frame))
    before = cause(side.frames, divergence.frame)
    expected, real = divergence.predicted, divergence.actual
    match divergence.kind:
        case Kind.VALUE:
            return Story(before.line, _value_story(divergence, frame, before))
        case Kind.LINE:
            where = f"After line {before.line}" if before is not frame else "At the start"
            words = _OTHER_LINE[frame.event].format(expected=expected, real=real, called=_called(frame))
            return Story(before.line, f"{where}, {words}.")
        case Kind.EVENT:
            return Story(before.line, f"After line {before.line}, {_EXPECTED[expected or '']}, but {happened}.")
        case Kind.RETURN:
            shown = contrast(expected or "", real or "", _SHORT)
            return Story(
                frame.line,
                f"{_capitalised(_called(frame))} was expected to return {shown[0]}, but returned {shown[1]}.",
            )
        case Kind.EXCEPTION:
            shown = contrast(exception_text(expected or ""), exception_text(real or ""), _SHORT)
            return Story(frame.line, f"{shown[0]} was expected to be raised, but it was {shown[1]}.")
        case Kind.MISSING:
            return Story(frame.line, f"Not expected to happen: {happened}.")
        case Kind.EXTRA:
            return Story(frame.line, f"Expected, but it did not happen: {happened}.")


_OTHER_LINE = {
    Event.CALL: "a call of what is at line {expected} was expected, but {called} at line {real} was called",
    Event.LINE: "line {expected} was expected next, but line {real} came",
    Event.RETURN: "a return at line {expected} was expected, but it came at line {real}",
    Event.EXCEPTION: "an exception at line {expected} was expected, but it came at line {real}",
}
_EXPECTED = {
    "call": "a call was expected",
    "line": "another line was expected",
    "return": "a return was expected",
    "exception": "an exception was expected",
}


def _value_story(divergence: Divergence, frame: Frame, before: Frame) -> str:
    name = "the iterator" if divergence.name == ".0" else f"`{divergence.name}`"
    expected, real = divergence.predicted, divergence.actual
    shown = contrast(expected or "", real or "", _SHORT)
    when = f"When {_called(frame)} was called" if frame.event is Event.CALL else f"After line {before.line}"
    if expected is None:
        return f"{when}, {name} = {shown[1]} was not expected to be there."
    if real is None:
        return f"{when}, {name} = {shown[0]} was expected, but there is no {name}."
    return f"{when}, {name} was expected to be {shown[0]}, but it is {shown[1]}."


def happening(frame: Frame, *, unwinding: bool) -> str:
    """What a frame tells, as a clause; `unwinding` returns pass an exception on."""
    if unwinding:
        return f"{_called(frame)} passed the exception on"
    match frame.event:
        case Event.CALL:
            return f"{_called(frame)} was called"
        case Event.LINE:
            return f"line {frame.line} ran"
        case Event.RETURN:
            return f"{_called(frame)} returned {shorten(frame.value or '', _SHORT)}"
        case Event.EXCEPTION:
            return f"line {frame.line} raised {shorten(exception_text(frame.value or ''), _SHORT)}"


_CALLED = {
    "<listcomp>": "the list comprehension",
    "<setcomp>": "the set comprehension",
    "<dictcomp>": "the dict comprehension",
    "<genexpr>": "the generator expression",
    "<lambda>": "the lambda",
    "": "the function",
}


def _called(frame: Frame) -> str:
    """The frame's function as people call it."""
    return _CALLED.get(frame.function, f"`{frame.function}`")


def _capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def outcome_text(trace: Trace) -> str:
    """How a run ended, in a few words."""
    outcome = trace.outcome
    match outcome.ending:
        case Ending.RETURNED:
            return f"returned {shorten(outcome.value or '', _SHORT)}"
        case Ending.RAISED:
            return f"raised {shorten(outcome.value or '', _SHORT)}"
        case Ending.OUT_OF_FRAMES:
            return f"not done after {steps_text(len(trace.frames))}"
        case Ending.MALFORMED:
            return f"broke off after {steps_text(len(trace.frames))} with text that is no step"
        case _:
            return outcome.ending.value


def exception_text(value: str) -> str:
    """The exception alone, out of the `(type, exception, traceback)` of an exception frame."""
    match = _EXCEPTION.match(value)
    return match["value"] if match else value


def shorten(text: str, width: int) -> str:
    """The text in at most `width` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def contrast(left: str, right: str, width: int) -> tuple[str, str]:
    """Two texts, each in at most `width` characters, cut so that the first place where they differ can be seen."""
    if left == right or max(len(left), len(right)) <= width:
        return shorten(left, width), shorten(right, width)
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start = max(0, same - width // 3)
    return _window(left, start, width), _window(right, start, width)


def _window(text: str, start: int, width: int) -> str:
    if start == 0:
        return shorten(text, width)
    return "…" + shorten(text[start + 1 :], width - 1)


def first_of_each_line(stories: Sequence[Story]) -> list[Story]:
    """At most one story for each line, in the order given."""
    found: dict[int, Story] = {}
    for story in stories:
        found.setdefault(story.line, story)
    return list(found.values())
