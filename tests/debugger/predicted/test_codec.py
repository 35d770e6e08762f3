from __future__ import annotations

import ast
import sys

import pytest

from debugger.actual.record import record_in_process
from debugger.predicted.codec import (
    FormatError,
    FrameDecoder,
    FrameEncoder,
    RawFrame,
    Special,
    encode_frames,
    expand_locals,
    parse_without_specials,
    same_python_frame,
    text_of,
    tokenize,
)
from debugger.predicted.prompt import main_frames, main_return, program_text, prompt_segments
from debugger.trace import Ending, Event, Frame
from tests.data import cwm_samples

PROGRAM = """\
def inner(k):
    if k > 1:
        raise ValueError("too \\"big\\" \\n é")
    return [k]


def outer(n):
    found = []
    for i in range(n):
        try:
            found += inner(i)
        except ValueError as error:
            found.append(str(error))
    return found
"""


def decode(segments):
    decoder = FrameDecoder()
    return [frame for segment in segments if (frame := decoder.feed(segment))]


def test_frames_read_as_in_the_prompting_guide():
    frames = [
        Frame(Event.CALL, 1, "def f(n):\n", {"n": "2"}, function="f"),
        Frame(Event.LINE, 2, "    s = 'a' * n\n", {"n": "2"}, function="f"),
        Frame(Event.LINE, 3, "    return s\n", {"n": "2", "s": "'aa'"}, function="f"),
        Frame(Event.RETURN, 3, "    return s\n", value="'aa'", function="f"),
    ]
    assert text_of(encode_frames(frames)) == (
        '<|call_sep|>{"n": "2"}<|action_sep|>def f(n):\n<|frame_sep|>'
        '<|line_sep|>{"n": ".."}<|action_sep|>    s = \'a\' * n\n<|frame_sep|>'
        '<|line_sep|>{"n": "..", "s": "\'aa\'"}<|action_sep|>    return s\n<|frame_sep|>'
        "<|return_sep|><|action_sep|>    return s\n<|arg_sep|>\"'aa'\"<|frame_sep|>"
    )


def test_a_caller_shows_everything_after_a_callee():
    frames = record_in_process(PROGRAM, "outer(1)").frames
    decoded = decode(encode_frames(frames))
    back = next(index for index, frame in enumerate(frames) if frame.event is Event.RETURN) + 1
    assert decoded[back].locals == dict(frames[back].locals)
    assert set(decoded[back + 1].locals.values()) == {".."}


def test_round_trip_of_a_run_with_exceptions_and_odd_characters():
    frames = record_in_process(PROGRAM, "outer(4)").frames
    known: dict[str, str] = {}
    previous = None
    for raw, frame in zip(decode(encode_frames(frames)), frames, strict=True):
        assert (raw.event, raw.source, raw.value) == (frame.event, frame.source, frame.value)
        if raw.locals is not None:
            assert expand_locals(raw.locals, known if same_python_frame(previous, frame) else {}) == dict(frame.locals)
            known = dict(frame.locals)
        elif not same_python_frame(previous, frame):
            known = {}
        previous = frame


def test_decoding_takes_text_in_pieces_of_any_size():
    segments = list(encode_frames(record_in_process(PROGRAM, "outer(3)").frames))
    pieces = [piece for segment in segments for piece in ([segment] if isinstance(segment, Special) else list(segment))]
    assert decode(pieces) == decode(segments)


@pytest.mark.parametrize(
    "segments",
    [
        ["text"],
        [Special.ACTION],
        [Special.LINE, "{}", Special.FRAME],
        [Special.LINE, "{", Special.ACTION, "x\n", Special.FRAME],
        [Special.LINE, '{"a": 1}', Special.ACTION, "x\n", Special.FRAME],
        [Special.RETURN, Special.ACTION, "x\n", Special.ARG, "1", Special.FRAME],
        [Special.RETURN, Special.ACTION, "x\n", Special.FRAME],
        [Special.LINE, Special.LINE],
    ],
)
def test_words_outside_the_format_are_named(segments):
    with pytest.raises(FormatError):
        decode(segments)


def test_specials_in_a_program_stay_text():
    source = 'def f():\n    return "<|frame_sep|>"\n'
    segments = prompt_segments(source, "f()", FrameEncoder())
    assert segments[:2] == [Special.BEGIN, Special.CONTEXT]
    text = segments[2]
    assert not isinstance(text, Special)
    assert "<|frame_sep|>" in text
    ids = tokenize(segments, lambda piece: list(piece.encode()), dict.fromkeys(Special, 999))
    assert ids.count(999) == sum(isinstance(segment, Special) for segment in segments)


def test_main_gives_the_call():
    assert program_text("def f(x):\n    return x\n\n\n", "f(1)") == (
        "def f(x):\n    return x\n\ndef main(): # << START_OF_TRACE\n    return f(1)\n"
    )
    assert main_frames("f(\n  1)")[1].source == "    return f(1)\n"


def test_no_frame_of_the_real_model_is_lost():
    count = 0
    for sample in cwm_samples():
        expected = [(frame["source"], frame["locals"], frame["value"]) for frame in sample["frames"]]
        assert [(raw.source, raw.locals, raw.value) for raw in parse_without_specials(sample["text"])] == expected
        count += len(expected)
    assert count == 5041


def test_the_encoded_run_agrees_with_the_real_model():
    """Up to each sample's first mismatch; a plain tracer on Python 3.11 reaches 3,183 of 4,861 frames.

    Ours gives iterators over strings the name that they had up to Python 3.10, and that the model knows. Interpreters
    from 3.12 on run comprehensions inside their function, so that only samples without one can agree as well there.
    """
    agreed = agreed_without_comprehension = 0
    for sample in cwm_samples():
        count = agreeing_frames(sample)
        agreed += count
        if not any(isinstance(node, COMPREHENSIONS) for node in ast.walk(ast.parse(sample["source"]))):
            agreed_without_comprehension += count
    assert agreed_without_comprehension >= 3132
    if sys.version_info < (3, 12):
        assert agreed >= 3285


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)


def agreeing_frames(sample: dict) -> int:
    source, _, main = sample["source"].partition("\ndef main(): # << START_OF_TRACE\n")
    call = main.strip().removeprefix("return ")
    run = record_in_process(source, call, max_frames=1000)
    ending = [main_return(call, run.outcome.value)] if run.outcome.ending is Ending.RETURNED else []
    encoded = decode(encode_frames([*main_frames(call), *run.frames, *ending]))
    count = 0
    for ours, theirs in zip(encoded, sample["frames"], strict=False):
        if not agree(ours, theirs):
            break
        count += 1
    return count


def agree(ours: RawFrame, theirs: dict) -> bool:
    source = theirs["source"].replace(" # << START_OF_TRACE", "")
    return (ours.source, ours.locals, ours.value) == (source, theirs["locals"], theirs["value"])
