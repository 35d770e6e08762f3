"""Frames to CWM's tokens and text, and back (arXiv 2510.02387 and the prompting guide of facebookresearch/cwm).

A frame is written as

    <|call_sep|>LOCALS<|action_sep|>LINE<|frame_sep|>            <|line_sep|>LOCALS<|action_sep|>LINE<|frame_sep|>
    <|return_sep|><|action_sep|>LINE<|arg_sep|>VALUE<|frame_sep|>   (<|exception_sep|> alike)

LOCALS is a JSON object of `repr` strings in which `".."` stands for the same value as in the frame right before, where
that one belongs to the same Python frame; VALUE is a JSON string of a `repr`; LINE is the physical source line with its
newline.

Between this text and tokens stand segments: a special token, or text that is tokenized on its own with specials
disabled, so that a program which holds the characters `<|frame_sep|>` stays plain text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from debugger.trace import Event, Frame
from quant.specials import Special

UNCHANGED = ".."
"""In LOCALS: the same `repr` as in the frame right before."""


class FormatError(ValueError):
    """The words do not follow CWM's format; `str()` says where they leave it."""


Segment: TypeAlias = Special | str

SPECIAL_OF_EVENT = {
    Event.CALL: Special.CALL,
    Event.LINE: Special.LINE,
    Event.RETURN: Special.RETURN,
    Event.EXCEPTION: Special.EXCEPTION,
}
EVENT_OF_SPECIAL = {special: event for event, special in SPECIAL_OF_EVENT.items()}


def same_python_frame(previous: Frame | None, frame: Frame) -> bool:
    """Whether the frame right before this one in the trace is a step of the same Python frame.

    A callee's steps in between end that, and so does a generator's pause: a resumed one starts with a full CALL.
    """
    return (
        previous is not None
        and previous.event is not Event.RETURN
        and frame.event is not Event.CALL
        and previous.depth == frame.depth
    )


class FrameEncoder:
    """Writes the frames of one trace in order; it remembers what `".."` may stand for."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self._previous: Frame | None = None
        self._known: Mapping[str, str] = {}

    def encode(self, frame: Frame) -> list[Segment]:
        """The frame's segments, from its event to `<|frame_sep|>`."""
        known: Mapping[str, str] = self._known if same_python_frame(self._previous, frame) else {}
        self._previous = frame
        head = SPECIAL_OF_EVENT[frame.event]
        if frame.event in (Event.CALL, Event.LINE):
            self._known = frame.locals
            return [head, locals_text(frame.locals, known), Special.ACTION, frame.source, Special.FRAME]
        # An exception shows no locals: what the frame before showed stays known to a handler in the same Python frame.
        self._known = known if frame.event is Event.EXCEPTION else {}
        return [head, Special.ACTION, frame.source, Special.ARG, json.dumps(frame.value), Special.FRAME]


def locals_text(values: Mapping[str, str], known: Mapping[str, str]) -> str:
    """LOCALS for `values` where the frame right before showed `known` (empty: it belongs to another Python frame)."""
    return json.dumps({name: UNCHANGED if known.get(name) == text else text for name, text in values.items()})


def expand_locals(written: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The whole values of LOCALS as written; a `".."` with nothing to stand for stays as it is."""
    return {name: known.get(name, text) if text == UNCHANGED else text for name, text in written.items()}


def encode_frames(frames: Iterable[Frame]) -> Iterator[Segment]:
    """All segments of a trace's frames, in order."""
    encoder = FrameEncoder()
    for frame in frames:
        yield from encoder.encode(frame)


def tokenize(
    segments: Iterable[Segment], tokenize_text: Callable[[str], list[int]], special_ids: Mapping[Special, int]
) -> list[int]:
    """Token ids of segments; `tokenize_text` must leave specials disabled."""
    tokens: list[int] = []
    for segment in segments:
        if isinstance(segment, Special):
            tokens.append(special_ids[segment])
        elif segment:
            tokens.extend(tokenize_text(segment))
    return tokens


def text_of(segments: Iterable[Segment]) -> str:
    """The segments as one text, special tokens spelled out. For people: the spelling cannot be parsed back safely."""
    return "".join(segment.value if isinstance(segment, Special) else segment for segment in segments)


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame as the model wrote it, `".."` not expanded; what only control flow can tell (line, depth) is missing.

    Where special tokens were lost, `event` is None if the words leave it open.
    """

    event: Event | None
    source: str
    locals: Mapping[str, str] | None
    value: str | None


class FrameDecoder:
    """Reads frames from the model's segments as they arrive; text may come in pieces of any size."""

    def __init__(self) -> None:
        """Start before a frame's event."""
        self._event: Event | None = None
        self._parts: list[str] = []
        self._marks: list[Special] = []

    def feed(self, segment: Segment) -> RawFrame | None:
        """Take the next segment and return the frame that it completes, if it does. Raises FormatError."""
        if not isinstance(segment, Special):
            if self._event is None:
                raise FormatError(f"text before an event: {segment[:40]!r}")
            self._parts[-1] += segment
            return None
        if self._event is None:
            if segment not in EVENT_OF_SPECIAL:
                raise FormatError(f"{segment.value} where an event was expected")
            self._event, self._parts, self._marks = EVENT_OF_SPECIAL[segment], [""], []
            return None
        if segment is Special.FRAME:
            event, self._event = self._event, None
            return self._frame(event)
        if segment not in (Special.ACTION, Special.ARG):
            raise FormatError(f"{segment.value} inside a frame")
        self._marks.append(segment)
        self._parts.append("")
        return None

    def _frame(self, event: Event) -> RawFrame:
        if event in (Event.CALL, Event.LINE):
            if self._marks != [Special.ACTION]:
                raise FormatError(f"a {event.value} frame needs locals and a line")
            return RawFrame(event, self._parts[1], parse_locals(self._parts[0]), None)
        if self._marks != [Special.ACTION, Special.ARG] or self._parts[0]:
            raise FormatError(f"a {event.value} frame needs a line and a value")
        return RawFrame(event, self._parts[1], None, parse_value(self._parts[2]))


def parse_locals(text: str) -> dict[str, str]:
    """LOCALS, `".."` not expanded. Raises FormatError."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise FormatError(f"locals are not JSON: {text[:60]!r}") from error
    if not _is_locals(data):
        raise FormatError(f"locals are not an object of strings: {text[:60]!r}")
    return cast("dict[str, str]", data)


def parse_value(text: str) -> str:
    """VALUE. Raises FormatError."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise FormatError(f"a value is not JSON: {text[:60]!r}") from error
    if not isinstance(data, str):
        raise FormatError(f"a value is not a string: {text[:60]!r}")
    return data


def parse_without_specials(text: str) -> list[RawFrame]:
    """Frames from the model's words after a text decoder dropped the special tokens.

    What is left to see: LOCALS is a JSON object, a LINE ends at its newline, and VALUE is a JSON string behind a LINE
    that no object precedes. A CALL and a LINE frame look the same, and so do RETURN and EXCEPTION: `event` is None.
    A last frame that was cut within its LINE keeps what is there; one cut earlier is left out.
    """
    frames: list[RawFrame] = []
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        written: dict[str, str] | None = None
        start = position
        if text[position] == "{":
            try:
                data, start = decoder.raw_decode(text, position)
            except ValueError:
                data = None
            if _is_locals(data):
                written = cast("dict[str, str]", data)
        newline = text.find("\n", start)
        if newline < 0 and written is None:
            break
        position = newline + 1 if newline >= 0 else len(text)
        source = text[start:position]
        if written is not None:
            frames.append(RawFrame(None, source, written, None))
            continue
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError:
            break
        if not isinstance(value, str):
            break
        frames.append(RawFrame(None, source, None, value))
    return frames


def _is_locals(data: object) -> bool:
    return isinstance(data, dict) and all(isinstance(text, str) for text in cast("dict[str, object]", data).values())
