"""A check beside the real run gives what a prediction without it gives, frame by frame, with far fewer calls."""

from __future__ import annotations

import dataclasses
import math
import textwrap

import pytest

from debugger.actual.record import record_in_process
from debugger.diff import compare
from debugger.predicted.check import check
from debugger.predicted.codec import tokenize
from debugger.predicted.mode import CheckMode
from debugger.predicted.predict import Predictor, Proposal, predict
from debugger.trace import VALUE, Ending, Event, Outcome
from quant.specials import Special
from tests.debugger.predicted.scripted import SPECIAL_IDS
from tests.debugger.predicted.test_draft import CALLS, MoodyRuntime
from tests.debugger.predicted.test_predict import LOOP, ZOO, script, target_of

CASES = [(LOOP, "f(5)"), (CALLS, "f([1, 2, 3])")]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("debugger.predicted.writer.MAX_FRAME_TOKENS", 400)


def one_by_one(runtime, source, call, actual, constrained):
    """What the model expects at each real frame, asked without any draft."""
    predictor = Predictor(
        runtime, target_of(source, call), call, constrained=constrained, temperature=1.0, drafting=False
    )
    proposals = list(predictor.frames)
    for frame in actual.frames[len(proposals) :]:
        proposal = predictor.propose()
        proposals.append(predictor.as_shown(proposal) if isinstance(proposal, Proposal) else None)
        predictor.force(frame)
    return proposals


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("moods", [0, 0.03, 0.2])
@pytest.mark.parametrize(("source", "call"), CASES)
def test_forced_proposals_are_those_of_asking_one_by_one(source, call, moods, constrained):
    actual = record_in_process(source, call)
    runtime = MoodyRuntime(script(call, actual), moods=moods)
    expected = one_by_one(runtime, source, call, actual, constrained)
    calls = runtime.calls
    runtime.forget(0)
    options = {"mode": CheckMode.FORCED, "constrained": constrained, "temperature": 1.0}
    checked = check(runtime, target_of(source, call), call, actual, **options)
    assert list(checked.proposals) == expected
    assert [frame and frame.confidence for frame in checked.proposals] == [
        each and each.confidence for each in expected
    ]
    assert runtime.calls - calls < calls
    assert checked.actual == actual
    for frame in checked.actual.frames[checked.given :]:
        assert set(frame.surprise) == ({VALUE} if frame.value is not None else set(frame.locals))


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("moods", [0, 0.03, 0.2])
@pytest.mark.parametrize(("source", "call"), CASES)
def test_a_free_check_is_the_prediction(source, call, moods, constrained):
    actual = record_in_process(source, call)
    runtime = MoodyRuntime(script(call, actual), moods=moods)
    target = target_of(source, call)
    plain = predict(runtime, target, call, max_frames=60, constrained=constrained, drafting=False)
    runtime.forget(0)
    checked = check(runtime, target, call, actual, max_frames=60, constrained=constrained)
    assert checked.predicted == plain
    for frame, predicted in zip(checked.actual.frames, plain.frames, strict=False):
        if frame.surprise and frame == predicted and frame.event is Event.LINE:
            assert all(surprise >= 0 for surprise in frame.surprise.values())


@pytest.mark.parametrize("kind", ZOO)
def test_a_right_prediction_is_confirmed_in_both_modes(kind):
    source, calls = textwrap.dedent(ZOO[kind][0]), ZOO[kind][1]
    for call in calls:
        actual = record_in_process(source, call)
        for mode in CheckMode:
            runtime = MoodyRuntime(script(call, actual), moods=0)
            checked = check(runtime, target_of(source, call), call, actual, mode=mode)
            assert checked.predicted == actual
            if actual.outcome.ending is Ending.RETURNED:
                assert runtime.calls <= 6 + len(runtime.tokens) // 64


def test_a_model_that_writes_unchanged_values_out_is_right_and_asked_seldom(monkeypatch):
    """CWM writes `".."` for them; small models do not always."""
    actual = record_in_process(LOOP, "f(30)")
    usual = script("f(30)", actual)
    with monkeypatch.context() as patched:
        patched.setattr("debugger.predicted.codec.same_python_frame", lambda previous, frame: False)
        wordy = script("f(30)", actual)
    calls: list[int] = []
    for words in (usual, wordy):
        free, checked = MoodyRuntime(words, moods=0), MoodyRuntime(words, moods=0)
        assert predict(free, target_of(LOOP, "f(30)"), "f(30)") == actual
        result = check(checked, target_of(LOOP, "f(30)"), "f(30)", actual)
        assert result.predicted == actual
        calls += [free.calls, checked.calls]
    assert calls[2] < 1.3 * calls[0]
    assert calls[3] < 1.6 * calls[1]
    read = [frame.surprise["n"] for frame in result.actual.frames if "n" in frame.surprise]
    assert len(read) > 50
    assert max(read) < 0.01  # two digits and their quotes, and not two dots


def test_a_model_without_limits_may_write_json_in_its_own_way():
    source = "def f(s):\n    t = s\n    return t\n"
    actual = record_in_process(source, "f('é')")
    own = [part.replace("\\u00e9", "é") if '"t"' in part else part for part in script("f('é')", actual)]
    checked = check(MoodyRuntime(own, moods=0), target_of(source, "f('é')"), "f('é')", actual, constrained=False)
    assert checked.predicted.frames[-1].value == "'é'"
    assert "t" not in checked.actual.frames[2].surprise


def test_surprise_is_what_the_model_gave_the_real_value_and_no_more_calls():
    actual = record_in_process(LOOP, "f(3)")
    wrong = [
        part.replace('"total": "3"', '"total": "8"') if type(part) is str else part for part in script("f(3)", actual)
    ]
    runtime = MoodyRuntime(wrong, moods=0)
    checked = check(runtime, target_of(LOOP, "f(3)"), "f(3)", actual, mode=CheckMode.FORCED)
    (surprised,) = [frame for frame in checked.actual.frames if any(each > 1 for each in frame.surprise.values())]
    assert surprised.locals["total"] == "3"
    likely = math.log(math.exp(20) + runtime.vocabulary.size - 1)
    assert surprised.surprise["total"] == pytest.approx(likely + 2 * (likely - 20), rel=1e-4)
    assert checked.predicted.frames != actual.frames
    assert checked.predicted.outcome.ending is Ending.RETURNED


def test_a_forced_check_ends_with_what_the_model_says_and_not_with_what_it_is_shown():
    source = LOOP.replace("return total", "return -total")
    actual = record_in_process(source, "f(3)")
    real = actual.outcome.value
    assert actual.frames[-1].value == real
    wrong = script("f(3)", dataclasses.replace(actual, frames=[
        *actual.frames[:-1], dataclasses.replace(actual.frames[-1], value="77")
    ]))  # fmt: skip
    checked = check(MoodyRuntime(wrong, moods=0), target_of(source, "f(3)"), "f(3)", actual, mode=CheckMode.FORCED)
    assert checked.predicted.outcome == dataclasses.replace(actual.outcome, value="77")


PICK = "def f(n):\n    x = n[3]\n    return x\n"


def told_instead(last: int, **changes):
    """What a forced check of `PICK`, whose real run raises, ends with, if the model wants one other frame."""
    call = "f([1])"
    actual = record_in_process(PICK, call)
    assert actual.outcome.ending is Ending.RAISED
    frames = [*actual.frames]
    frames[last] = dataclasses.replace(frames[last], **changes)
    believed = script(call, dataclasses.replace(actual, frames=frames))
    checked = check(Following(believed), target_of(PICK, call), call, actual, mode=CheckMode.FORCED)
    assert compare(checked.predicted, actual)
    return checked.predicted.outcome


class Following(MoodyRuntime):
    """Follows its script frame by frame, also where what it was shown has another length."""

    def __init__(self, frames) -> None:
        super().__init__([], moods=0)
        self._frames: list[list[int]] = [[]]
        for token in tokenize(frames, self.vocabulary.tokenize, SPECIAL_IDS):
            self._frames[-1].append(token)
            if token == SPECIAL_IDS[Special.FRAME]:
                self._frames.append([])

    def _evaluate(self, part):
        rows = super()._evaluate(part)
        tokens = self._tokens[part.sequence]
        for row in range(part.rows):
            seen = tokens[: len(tokens) - part.rows + 1 + row]
            separators = [place for place, token in enumerate(seen) if token == SPECIAL_IDS[Special.FRAME]]
            if separators and len(separators) <= len(self._frames):
                own, written = self._frames[len(separators) - 1], seen[separators[-1] + 1 :]
                if len(written) < len(own) and own[: len(written)] == written:
                    rows[row, own[len(written)]] = 20
        return rows


def test_a_forced_check_of_a_run_that_raises_ends_with_what_the_model_says():
    other = "(<class 'KeyError'>, KeyError(3), <traceback object>)"
    assert told_instead(-2, value=other) == Outcome(Ending.RAISED, "KeyError(3)")
    line = {"event": Event.LINE, "line": 3, "source": "    return x\n", "locals": {"n": "[1]", "x": "1"}, "value": None}
    goes_on = told_instead(-2, **line)
    assert (goes_on.ending, goes_on.value) == (Ending.OUT_OF_FRAMES, None)
    assert goes_on.detail == "The model predicted that the run goes on where the real one ended."


def test_a_forced_check_in_which_the_model_raises_where_the_run_returned_does_not_end_as_the_run():
    actual = record_in_process(PICK, "f([1, 2, 3, 4])")
    frames = [*actual.frames]
    value = "(<class 'KeyError'>, KeyError(3), <traceback object>)"
    frames[-1] = dataclasses.replace(frames[-1], event=Event.EXCEPTION, value=value)
    call = "f([1, 2, 3, 4])"
    believed = Following(script(call, dataclasses.replace(actual, frames=frames)))
    checked = check(believed, target_of(PICK, call), call, actual, mode=CheckMode.FORCED)
    assert checked.predicted.frames[-1].event is Event.EXCEPTION
    assert checked.predicted.outcome.value is None
    assert checked.predicted.outcome.ending is Ending.OUT_OF_FRAMES


def test_a_context_that_fills_up_ends_both_modes_with_what_is_known():
    actual = record_in_process(LOOP, "f(9)")
    for mode in CheckMode:
        runtime = MoodyRuntime(script("f(9)", actual), moods=0, context=700)
        checked = check(runtime, target_of(LOOP, "f(9)"), "f(9)", actual, mode=mode)
        assert checked.predicted.outcome.ending is Ending.OUT_OF_CONTEXT
        assert 0 < len(checked.predicted.frames) < len(actual.frames)
