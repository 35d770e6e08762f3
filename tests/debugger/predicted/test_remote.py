"""A prediction by a real llama-server is that of this process, frame for frame, and so is a check."""

from __future__ import annotations

import math

import pytest

from bench.random_gguf import write_random_gguf
from debugger.actual.record import record_in_process
from debugger.predicted.check import CheckMode, check
from debugger.predicted.evaluation import drive
from debugger.predicted.predict import Predictor, predict
from debugger.trace import Ending, Outcome
from foretrace.models import bundled_path
from quant.gguf_file import TEMPERATURE_KEY
from quant.remote import RemoteModel
from quant.runtime import Runtime, common_prefix
from tests.bench.test_random_gguf import TINY
from tests.data import real_functions
from tests.debugger.predicted.test_predict import target_of
from tests.llama_server import llama_server

SUM = """\
def f(n):
    total = 0
    for i in range(n):
        if i % 2:
            total += i
    return total
"""
FRAMES = 6
CLOSE = 0.05
"""Logits and log probabilities may differ by so much: calls of another size are added up in another order."""


def words(frames):
    return [frame and (frame.event, frame.line, frame.source, dict(frame.locals), frame.value) for frame in frames]


def best_are_close(runtime: Runtime, tokens: list[int]) -> bool:
    """Whether in this process two tokens are about as likely behind these."""
    logits = runtime.prefill(tokens)
    best, second = logits[logits.argsort()[-2:]][::-1]
    return bool(best - second < CLOSE)


@pytest.fixture(scope="module")
def served():
    with llama_server(bundled_path()) as server:
        yield server.address


@pytest.fixture(scope="module")
def local():
    with Runtime.open(bundled_path(), context=4096) as runtime:
        yield runtime


def test_predictions_of_real_functions_are_those_of_this_process(served, local, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("debugger.predicted.writer.MAX_FRAME_TOKENS", 60)
    rows = real_functions()
    close = 0
    for source, call in [(SUM, "f(3)"), *((row["source"], row["calls"][0]) for row in rows[:: len(rows) // 2][:2])]:
        target = target_of(source, call)
        with RemoteModel.open(served) as remote:
            there = Predictor(remote, target, call)
            drive(there.run(FRAMES), remote)
            # One request does for many tokens, and nothing is read twice.
            assert remote.calls < remote.written / 4
            assert remote.read_again <= remote.calls
        here = Predictor(local, target, call)
        drive(here.run(FRAMES), local)
        if words(there.frames) != words(here.frames):
            close += 1
            place = common_prefix(there.writer.tokens, here.writer.tokens)
            assert best_are_close(local, list(here.writer.tokens[:place])), call
    assert close <= 1


def test_a_model_that_knows_nothing_is_held_to_the_same(tmp_path, monkeypatch):
    """Its likeliest tokens are rarely possible: the server has to be asked for more of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("debugger.predicted.writer.MAX_FRAME_TOKENS", 30)
    path = write_random_gguf(tmp_path / "tiny.gguf", TINY, "Q8_0").path
    source = "def f(a):\n    b = a\n    return b\n"
    target = target_of(source, "f(1)")
    with llama_server(path, "--context", "1024") as server, RemoteModel.open(server.address) as remote:
        there = predict(remote, target, "f(1)", max_frames=3)
        tokens = list(remote.tokens_of(0))
    with Runtime.open(path, context=1024) as local:
        here = predict(local, target, "f(1)", max_frames=3)
        assert words(there.frames) == words(here.frames) and there.outcome == here.outcome
        assert tokens == list(local.tokens)[: len(tokens)]


@pytest.mark.parametrize("mode", CheckMode)
def test_checks_and_surprise_are_those_of_this_process(served, local, tmp_path, monkeypatch, mode):
    monkeypatch.chdir(tmp_path)
    call = "f(2)"  # no choice of nano's is close there
    target, actual = target_of(SUM, call), record_in_process(SUM, call)
    with RemoteModel.open(served) as remote:
        there = check(remote, target, call, actual, mode=mode, max_frames=14)
    here = check(local, target, call, actual, mode=mode, max_frames=14)
    assert words(there.predicted.frames) == words(here.predicted.frames)
    assert words(there.proposals) == words(here.proposals)
    read = 0
    for left, right in zip(there.actual.frames, here.actual.frames, strict=True):
        assert left.surprise.keys() == right.surprise.keys()
        for name, surprise in left.surprise.items():
            read += 1
            assert math.isclose(surprise, right.surprise[name], rel_tol=0.2, abs_tol=CLOSE), (left, name)
    assert read > 5


def test_confidence_is_the_models_own(served, local, tmp_path, monkeypatch):
    """The file tells how to calibrate it; a server does not tell what its file says."""
    monkeypatch.chdir(tmp_path)
    target = target_of(SUM, "f(3)")
    with RemoteModel.open(served) as remote:
        assert remote.metadata(TEMPERATURE_KEY) is None
        there = predict(remote, target, "f(3)", max_frames=4)
    here = drive(Predictor(local, target, "f(3)", temperature=1.0).run(4), local)
    for left, right in zip(there.frames, here.frames, strict=True):
        assert left.confidence.keys() == right.confidence.keys()
        assert all(math.isclose(left.confidence[k], right.confidence[k], abs_tol=CLOSE) for k in left.confidence)


def test_a_prediction_that_is_broken_off_ends_as_cancelled(served, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = target_of("def f():\n    while True:\n        pass\n", "f()")
    with RemoteModel.open(served) as remote:
        seen = []

        def on_frame(frame):
            seen.append(frame)
            if len(seen) == 3:
                remote.interrupt()

        trace = predict(remote, target, "f()", on_frame=on_frame)
        assert trace.outcome == Outcome(Ending.CANCELLED) and 3 <= len(trace.frames) < 40
        remote.resume()
        assert len(predict(remote, target, "f()", max_frames=3).frames) == 3
