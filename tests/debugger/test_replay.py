"""Real outputs of CWM 32B, replayed as predictions, against an oracle that shares no code with the project."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import sys

import pytest

from debugger.actual.record import record_in_process
from debugger.diff import Kind, Verdict, compare, verdict_of
from debugger.predicted.codec import FrameDecoder, encode_frames
from debugger.predicted.replay import ReplayError, read_prediction
from debugger.trace import Ending, Event, Frame, Trace, frame_to_json
from tests.data import cwm_samples


class Enough(BaseException):
    pass


def oracle(source: str, limit: int = 3000) -> list[tuple[str, int, str, dict | None, str | None]]:
    """(event, line, source, locals, value) of running `main()` under plain settrace."""
    lines = source.split("\n")
    seen: list[tuple[str, int, str, dict | None, str | None]] = []

    def show(value: object) -> str:
        # Python 3.10, whose words CWM speaks, has one name for iterators over strings.
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value)).replace("str_ascii_iterator", "str_iterator")

    def trace(frame, event, arg):
        if frame.f_code.co_filename != "<oracle>":
            return None
        if len(seen) == limit:
            raise Enough
        text = lines[frame.f_lineno - 1] + "\n"
        if event in ("call", "line"):
            seen.append((event, frame.f_lineno, text, {k: show(v) for k, v in frame.f_locals.items()}, None))
        else:
            seen.append((event, frame.f_lineno, text, None, show(arg)))
        return trace

    namespace = {"__name__": "__main__"}
    exec(compile(source, "<oracle>", "exec"), namespace)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(Exception, Enough):
            namespace["main"]()
    finally:
        sys.settrace(before)
    return seen


def first_mismatch(frames: list[dict], real: list) -> int | None:
    """Position of the first published frame that is not the real one; None where all that there are agree."""
    shown: dict[str, str] = {}
    for position, (frame, (event, _, source, values, value)) in enumerate(zip(frames, real, strict=False)):
        if position == len(frames) - 1 and not frame["source"].endswith("\n"):
            return None  # the model's words stop within this line
        if frame["source"].replace(" # << START_OF_TRACE", "") != source.replace(" # << START_OF_TRACE", ""):
            return position
        if (frame["locals"] is None) != (values is None) or frame["value"] != value:
            return position
        if source.lstrip().startswith("def") and (frame["event"] == "call") != (event == "call"):
            return position
        if values is None:
            shown = {}
            continue
        shown = {name: shown.get(name, "..") if text == ".." else text for name, text in frame["locals"].items()}
        if shown != values:
            return position
    return len(real) if len(frames) > len(real) else None


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CWM's frames of comprehensions exist up to Python 3.11")
def test_every_real_output_diverges_where_the_oracle_says():
    differing = 0
    for row in cwm_samples():
        program = row["source"]
        main = next(n for n in ast.parse(program).body if isinstance(n, ast.FunctionDef) and n.name == "main")
        call = ast.get_source_segment(program, main.body[0].value)
        name = ast.parse(call, mode="eval").body.func.id
        with contextlib.redirect_stdout(io.StringIO()):
            real = oracle(program)
            actual = record_in_process(program, call)
        predicted = read_prediction(json.dumps(row), program, "program.py", target=name, call=call)
        assert all(frame.function != "main" for frame in predicted.frames)
        divergences = compare(predicted, actual)
        position = first_mismatch(row["frames"], real)
        if position is None:
            assert not divergences, row["id"]
            ended = predicted.outcome.ending is Ending.RETURNED
            expected = Verdict.CONFIRMED if ended else Verdict.UNCHECKED
            assert verdict_of(predicted, actual, divergences) is expected, row["id"]
            continue
        differing += 1
        assert divergences, row["id"]
        first = divergences[0]
        assert first.frame == position - 2, (row["id"], first)
        if first.kind is not Kind.EXTRA:
            assert first.line == real[position][1], (row["id"], first)
    assert differing == 76


PROGRAM = """\
def halve(n):
    if n < 0:
        raise ValueError("negative")
    return n // 2


def pick(flag):
    if flag:
        x = 1
        y = x
    else:
        x = 1
        y = 0
    return y


def count(n):
    i = 0
    while i < n:
        yield i
        i += 1


def use(n):
    total = 0
    for i in count(n):
        total += halve(i)
    words = sorted(["bb", "a"], key=lambda w: len(w))
    try:
        halve(-1)
    except ValueError as error:
        total += len(words)
    return total + sum(i for i in range(2))
"""


def as_published(trace: Trace, call: str) -> list[dict]:
    """The frames as CWM's words with `main()` around them: `..`, and no line, function, depth or lost event."""
    main = [
        Frame(Event.CALL, 0, "def main(): # << START_OF_TRACE\n", depth=-1),
        Frame(Event.LINE, 0, f"    return {call}\n", depth=-1),
    ]
    end = Frame(Event.RETURN, 0, f"    return {call}\n", value=trace.outcome.value, depth=-1)
    segments = list(encode_frames([*main, *trace.frames, end]))
    decoder = FrameDecoder()
    raw = [frame for segment in segments if (frame := decoder.feed(segment))]
    return [
        {"event": frame.event.value, "source": frame.source, "locals": frame.locals, "value": frame.value}
        for frame in raw
    ]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CWM's frames of comprehensions exist up to Python 3.11")
@pytest.mark.parametrize("lost", [False, True], ids=["events kept", "events lost"])
@pytest.mark.parametrize("call", ["use(3)", "pick(True)", "pick(False)", "halve(-1)", "list(count(2))"])
def test_models_words_come_back_as_the_run_they_tell(call, lost):
    actual = record_in_process(PROGRAM, call)
    frames = as_published(actual, call)
    if lost:
        for frame in frames:
            if frame["event"] in ("return", "exception"):
                frame["event"] = "return_or_exception"
            elif not frame["source"].lstrip().startswith("def"):
                frame["event"] = "line"
    target = call.split("(")[0].replace("list", "count")
    replayed = read_prediction(json.dumps({"frames": frames}), PROGRAM, "program.py", target=target, call=call)
    assert replayed.frames == actual.frames
    assert replayed.outcome.ending is actual.outcome.ending


def test_a_results_document_comes_back_as_it_was():
    actual = record_in_process(PROGRAM, "use(3)")
    frames = [frame_to_json(frame) for frame in actual.frames]
    entry = {
        "target": "program.py::use",
        "call": "use(3)",
        "predicted": {"frames": frames, "outcome": {"ending": "returned", "value": actual.outcome.value}},
    }
    other = {**entry, "call": "use(4)"}
    document = json.dumps({"version": 1, "results": [other, entry]})
    assert read_prediction(document, PROGRAM, "program.py", target="use", call="use(3)") == actual
    assert read_prediction(json.dumps(frames), PROGRAM, "program.py", target="use", call="use(3)") == actual
    with pytest.raises(ReplayError, match=r"holds 1 predictions, and not exactly one of use · use\(3\)"):
        read_prediction(json.dumps({"results": [other]}), PROGRAM, "program.py", target="use", call="use(3)")
    unnamed = {"results": [{"predicted": entry["predicted"]}]}
    assert read_prediction(json.dumps(unnamed), PROGRAM, "program.py", target="use", call="use(3)") == actual


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{oops", "not JSON"),
        ("3", "neither results of foretrace nor a list"),
        ('{"version": 1, "results": []}', "holds 0 predictions"),
        ("[7]", "frame 0 is not an object"),
        ('[{"event": "jump", "source": "x"}]', "frame 0 has the event 'jump'"),
        ('[{"event": "call"}]', "frame 0 has neither a source nor a line"),
        ('[{"event": "call", "line": 1, "locals": {"n": 3}}]', "frame 0 has locals that are not"),
        ('[{"event": "return", "line": 1}]', "frame 0 has no value"),
    ],
)
def test_a_file_without_frames_is_refused_in_one_sentence(document, words):
    with pytest.raises(ReplayError, match=words) as caught:
        read_prediction(document, PROGRAM, "program.py", target="use", call="use(3)")
    assert "\n" not in str(caught.value)
