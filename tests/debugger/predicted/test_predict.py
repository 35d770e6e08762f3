"""A model that wants to write the real run must be able to: what decoding rules out may never be what happens."""

from __future__ import annotations

import ast
import os
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from debugger.actual.record import record_in_process
from debugger.flow import ModuleFlow
from debugger.predicted.codec import Segment, encode_frames
from debugger.predicted.entry import certain_entry
from debugger.predicted.position import Position
from debugger.predicted.predict import Predictor, Proposal, predict, raised_value
from debugger.predicted.prompt import main_frames, main_return
from debugger.target import Target, find_targets
from debugger.trace import Ending, Event, Frame, Outcome, Trace
from quant.errors import ModelError
from quant.specials import Special
from tests.data import real_functions
from tests.debugger.predicted.scripted import ScriptedRuntime

ZOO = {
    "equal lines": (
        """\
        def f(a):
            total = 0
            if a > 1:
                total += 1
                total *= 2
            else:
                total += 1
                total *= 3
            total += 1
            return total
        """,
        ["f(0)", "f(2)"],
    ),
    "recursion": ("def f(n):\n    if n < 2:\n        return n\n    return f(n - 1) + f(n - 2)\n", ["f(4)"]),
    "generator": (
        """\
        def up(n):
            for i in range(n):
                yield i
                got = yield i * i
        def f(n):
            return sum(up(n)) + max(x for x in up(n) if x)
        """,
        ["f(3)", "list(up(2))"],
    ),
    "generator left open": (
        "def up():\n    yield 1\n    yield 2\n\ndef f():\n    numbers = up()\n    return next(numbers)\n",
        ["f()"],
    ),
    "class": (
        """\
        class Counter:
            def __init__(self, start=0):
                self.count = start

            def add(self, n):
                self.count += n
                return self

            @property
            def twice(self):
                return self.count * 2

        class Other:
            def __init__(self, start=0):
                self.count = -start
        """,
        ["Counter(2).add(3).twice", "Other(1).count"],
    ),
    "exceptions": (
        """\
        def inner(n):
            try:
                return 10 // n
            finally:
                n = 0

        def f(n):
            try:
                value = inner(n)
            except ZeroDivisionError as error:
                value = str(error)
            else:
                value += 1
            del n
            return value

        def g(n):
            with open("/nowhere/at/all") as file:
                return file.read()
        """,
        ["f(0)", "f(3)", "inner(0)", "g(1)"],
    ),
    "comprehensions": (
        """\
        LIMIT = 3
        def f(xs):
            squares = [x * x for x in xs if x < LIMIT]
            names = {str(x): [y for y in range(x)] for x in xs}
            key = lambda pair: -pair[1]
            return sorted(zip(names, squares), key=key)
        """,
        ["f([1, 2, 3])"],
    ),
    "lines": (
        """\
        def f(a,
              b=2):
            total = sum([
                a,
                b,
                len(
                    str(a)),
            ])
            while total > 3: total -= 1
            return (total
                    if a
                    else b)
        """,
        ["f(1)", "f(0, b=5)"],
    ),
    "closures": (
        """\
        import functools

        def counted(function):
            calls = 0
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                nonlocal calls
                calls += 1
                return function(*args, **kwargs), calls
            return wrapper

        @counted
        def f(n):
            match n:
                case 0:
                    return "zero"
                case int():
                    return "some"
        """,
        ["f(0)", "f(3)"],
    ),
    "iterator": (
        """\
        class Countdown:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                return self
            def __next__(self):
                if self.n == 0:
                    raise StopIteration
                self.n -= 1
                return self.n
            def __repr__(self):
                return f"Countdown({self.n})"

        def f(n):
            seen = []
            for x in Countdown(n):
                seen.append(x)
            return seen
        """,
        ["f(2)"],
    ),
    "non-ASCII": ("def grüße(wörter):\n    return 'é' + wörter  # ünicode\n", ["grüße('ß😀')"]),
}


def target_of(source: str, call: str, path: Path = Path("program.py")) -> Target:
    path.write_text(source, encoding="utf-8")
    name = call.partition("(")[0].partition(".")[0]
    targets = find_targets(str(path))
    return next((each for each in targets if each.qualname == name), targets[0])


def script(call: str, trace: Trace) -> list[Segment]:
    """What the model would write if it were right."""
    outcome = trace.outcome
    if outcome.ending is Ending.RETURNED:
        end = [main_return(call, outcome.value or "")]
    elif outcome.ending is Ending.RAISED:
        value = f"(<class 'E'>, {outcome.value}, <traceback object>)"
        end = [replace(main_return(call, value), event=Event.EXCEPTION)]
    else:
        end = []
    return list(encode_frames([*main_frames(call), *trace.frames, *end]))


def check(source: str, call: str, path: Path, *, constrained: bool = True) -> None:
    actual = record_in_process(source, call, max_frames=400)
    runtime = ScriptedRuntime(script(call, actual))
    predicted = predict(
        runtime, target_of(source, call, path), call, max_frames=len(actual.frames) + 5, constrained=constrained
    )
    for ours, theirs in zip(predicted.frames, actual.frames, strict=False):
        assert ours == theirs
    assert len(predicted.frames) >= len(actual.frames)
    if actual.outcome.ending is not Ending.OUT_OF_FRAMES:
        assert len(predicted.frames) == len(actual.frames)
        assert predicted.outcome == actual.outcome


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("kind", ZOO)
def test_every_construct_maps_to_true_lines(kind, constrained, tmp_path):
    source, calls = ZOO[kind]
    for call in calls:
        check(textwrap.dedent(source), call, tmp_path / "program.py", constrained=constrained)


def test_real_functions_can_be_predicted_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr("debugger.predicted.writer.MAX_FRAME_TOKENS", 100_000)  # here a token is but a byte
    step = 1 if os.environ.get("FORETRACE_TEST_ALL") else 10
    for row in real_functions()[::step]:
        for call in row["calls"]:
            check(row["source"], call, tmp_path / "program.py")


ENTRY = Frame(Event.CALL, 1, "def f(n):\n", {"n": "3"}, function="f")
GIVEN = list(encode_frames([*main_frames("f(3)"), ENTRY]))
LOOP = "def f(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n"


def loop(path: Path, n: int = 3, **options) -> tuple[Trace, ScriptedRuntime]:
    runtime = ScriptedRuntime(script(f"f({n})", record_in_process(LOOP, f"f({n})")), **options)
    return record_in_process(LOOP, f"f({n})"), runtime


@pytest.mark.parametrize(("budget", "said"), [(1, "1 step"), (4, "4 steps")])
def test_a_frame_budget_ends_a_prediction(budget, said, tmp_path):
    actual, runtime = loop(tmp_path)
    trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)", max_frames=budget)
    assert trace.frames == actual.frames[:budget]
    assert trace.outcome == Outcome(Ending.OUT_OF_FRAMES, detail=f"The prediction was stopped after {said}.")


def test_a_full_context_ends_a_prediction_with_its_frames(tmp_path):
    actual, runtime = loop(tmp_path, context=600)
    trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)")
    assert trace.outcome.ending is Ending.OUT_OF_CONTEXT
    assert 0 < len(trace.frames) < len(actual.frames)
    assert trace.frames == actual.frames[: len(trace.frames)]


def test_cancelling_keeps_whole_frames(tmp_path):
    actual, runtime = loop(tmp_path)
    seen: list[Frame] = []
    trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)", cancelled=lambda: len(seen) == 5, on_frame=seen.append)
    assert trace.outcome.ending is Ending.CANCELLED
    assert tuple(seen) == trace.frames == actual.frames[:5]


def test_a_string_without_an_end_is_given_up(tmp_path):
    counting = ", ".join(map(str, range(1000)))
    runtime = ScriptedRuntime([*GIVEN, Special.LINE, '{"n": "..", "total": "[' + counting])
    trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)")
    assert trace.outcome == Outcome(Ending.OUT_OF_CONTEXT, detail="The model wrote 2048 tokens without ending a step.")


def test_without_limits_the_model_may_leave_its_format(tmp_path):
    runtime = ScriptedRuntime([*GIVEN, Special.LINE, "no JSON", Special.ACTION, "    total = 0\n", Special.FRAME])
    trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)", constrained=False)
    assert trace.outcome.ending is Ending.MALFORMED
    assert trace.frames == (ENTRY,)


def test_impossible_lines_are_only_written_without_limits(tmp_path):
    wrong = [
        ENTRY,
        Frame(Event.LINE, 4, "        total += i\n", {"n": "3"}, function="f"),
    ]
    segments = list(encode_frames([*main_frames("f(3)"), *wrong]))
    free = predict(ScriptedRuntime(segments), target_of(LOOP, "f(3)"), "f(3)", max_frames=2, constrained=False)
    assert free.frames == tuple(wrong)
    held = predict(ScriptedRuntime(segments), target_of(LOOP, "f(3)"), "f(3)", max_frames=2)
    assert held.frames[1].line == 2


@pytest.mark.parametrize(
    ("number", "locals_", "ruled_out"),
    [
        (1, {"n": "3", "total": "0"}, {"n": "3"}),
        (2, {"n": "4", "total": "0"}, {"n": "3", "total": "0"}),
        (2, {"n": "3", "total": "0", "i": "0"}, {"n": "3", "total": "0"}),
        (3, {"n": "3", "total": "0", "i": "1"}, {"n": "3", "total": "0", "i": "0"}),
        (4, {"n": "3", "total": "5", "i": "0"}, {"n": "3", "total": "5", "i": "0"}),
        (4, {"n": "3", "total": "0", "i": "1"}, {"n": "3", "total": "0", "i": "0"}),
    ],
)
def test_locals_that_a_line_does_not_compute_are_only_changed_without_limits(number, locals_, ruled_out, tmp_path):
    real = record_in_process(LOOP, "f(3)").frames
    wrong = [*real[:number], replace(real[number], locals=locals_)]
    segments = list(encode_frames([*main_frames("f(3)"), *wrong]))
    free, held = (
        predict(ScriptedRuntime(segments), target_of(LOOP, "f(3)"), "f(3)", max_frames=number + 1, constrained=limited)
        for limited in (False, True)
    )
    assert dict(free.frames[number].locals) == locals_
    assert dict(held.frames[number].locals) == ruled_out


def test_a_name_is_returned_with_its_value(tmp_path):
    real = record_in_process(LOOP, "f(3)").frames
    segments = list(encode_frames([*main_frames("f(3)"), *real[:-1], replace(real[-1], value="33")]))
    free, held = (
        predict(ScriptedRuntime(segments), target_of(LOOP, "f(3)"), "f(3)", max_frames=len(real), constrained=limited)
        for limited in (False, True)
    )
    assert (free.frames[-1].value, held.frames[-1].value) == ("33", "3")


def test_names_tell_whether_a_loop_was_entered(tmp_path):
    source = "def f(xs):\n    for x in xs: pass\n    for x in xs: pass\n    return xs\n"
    actual = record_in_process(source, "f([])")
    assert predict(ScriptedRuntime(script("f([])", actual)), target_of(source, "f([])"), "f([])") == actual


SPLITTING = """\
class Word:
    pass

def helper(word, sep):
    return word.split(sep)

def split(text):
    return helper(text, " ")
"""


def test_a_function_is_called_only_from_lines_that_name_it():
    flow = ModuleFlow.from_source(SPLITTING, "program.py", ["split('a b')"])
    position = Position(flow, SPLITTING.splitlines(keepends=True), range(1, 9), flow.code_at(7, "split"))
    for event, source, called in (
        (Event.CALL, "def split(text):\n", set()),
        (Event.LINE, '    return helper(text, " ")\n', {"helper"}),
        (Event.CALL, "def helper(word, sep):\n", set()),
        (Event.LINE, "    return word.split(sep)\n", set()),
        (Event.RETURN, "    return word.split(sep)\n", {"helper"}),
    ):
        position.take(position.find(event, source))
        assert {step.code.name for step in position.steps() if step.code and step.event is Event.CALL} == called


def test_a_real_frame_can_replace_a_wrong_one(tmp_path):
    actual = record_in_process(LOOP, "f(2)")
    wrong = [
        segment if isinstance(segment, Special) else segment.replace('"total": "1"', '"total": "7"')
        for segment in script("f(2)", actual)
    ]
    runtime = ScriptedRuntime(wrong)
    predictor = Predictor(runtime, target_of(LOOP, "f(2)"), "f(2)")
    differing = []
    for index, frame in enumerate(actual.frames):
        if index < len(predictor.frames):
            assert predictor.frames[index] == frame
            continue
        proposal = predictor.propose()
        assert isinstance(proposal, Proposal)
        if (proposal.frame.source, proposal.frame.locals, proposal.frame.value) != (
            frame.source,
            frame.locals,
            frame.value,
        ):
            differing.append(index)
            assert proposal.frame.locals["total"] == "7"
        predictor.force(frame)
    assert differing == [6]
    assert predictor.trace(actual.outcome) == actual
    assert predictor.outcome() == actual.outcome


def test_each_value_that_is_the_models_choice_has_a_probability(tmp_path):
    _, runtime = loop(tmp_path)
    trace = predict(runtime, target_of(LOOP, "f(3)"), "f(3)")
    assert trace.frames[0].confidence == {}  # the call says it
    assert [set(frame.confidence) for frame in trace.frames[1:6]] == [set(), {"total"}, set(), {"total"}, set()]
    assert trace.frames[-1].confidence == {}  # `return total`
    for frame in trace.frames:
        assert all(0.99 < probability <= 1 for probability in frame.confidence.values())
    source = LOOP.replace("return total", "return total + 1")
    runtime = ScriptedRuntime(script("f(3)", record_in_process(source, "f(3)")))
    assert predict(runtime, target_of(source, "f(3)"), "f(3)").frames[-1].confidence.keys() == {"<value>"}


@pytest.mark.parametrize(
    ("definition", "call", "expected"),
    [
        ("def f(a, b=2, *, c='x'): pass", "f(-1)", {"a": "-1", "b": "2", "c": "'x'"}),
        ("def f(a, /, b): pass", "f([1, (2,)], b={'k': None})", {"a": "[1, (2,)]", "b": "{'k': None}"}),
        ("def f(a, b=[]): pass", "f(1)", None),
        ("def f(a, b=[]): pass", "f(1, [2])", {"a": "1", "b": "[2]"}),
        ("def f(a): pass", "f({1, 2})", None),
        ("def f(*a): pass", "f(1)", None),
        ("def f(a): pass", "f(NAME)", None),
        ("def f(a): pass", "f(1, 2)", None),
        ("def f(a): pass", "f(b=2)", None),
        ("def f(a): pass", "f(a=1)", {"a": "1"}),
    ],
)
def test_arguments_that_the_call_spells_out_are_known(definition, call, expected):
    flow = ModuleFlow.from_source(definition, "program.py", [call])
    entry = certain_entry(ast.parse(definition), call, flow)
    assert entry is not None
    assert entry.locals == expected


@pytest.mark.parametrize(
    "source",
    [
        "def f(n):\n    yield n\n",
        "import functools\n@functools.cache\ndef f(n): pass\n",
        "def f(n): pass\nf = print\n",
        "async def f(n): pass\n",
        "class f: pass\n",
        "def g(n): pass\n",
    ],
)
def test_an_entry_that_the_text_does_not_tell_is_left_to_the_model(source):
    assert certain_entry(ast.parse(source), "f(1)", ModuleFlow.from_source(source, "program.py")) is None


def test_a_call_inside_the_arguments_comes_first():
    source = "def f(n): pass\n"
    assert certain_entry(ast.parse(source), "f(f(1))", ModuleFlow.from_source(source, "program.py")) is None


def test_a_model_without_the_tokens_is_refused(tmp_path, monkeypatch):
    _, runtime = loop(tmp_path)
    monkeypatch.setattr(runtime.vocabulary, "id_of_piece", lambda piece: None)
    with pytest.raises(ModelError, match="does not have CWM's token"):
        predict(runtime, target_of(LOOP, "f(3)"), "f(3)")


def test_the_exception_stands_between_its_type_and_the_traceback():
    text = "(<class 'ValueError'>, ValueError('a, <b>'), <traceback object>)"
    assert raised_value(text) == "ValueError('a, <b>')"
