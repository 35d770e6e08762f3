"""Drafting changes how often the model is called, and nothing else: not a token, whatever is drafted."""

from __future__ import annotations

import random
import textwrap
import zlib

import numpy as np
import pytest

from debugger.actual.record import record_in_process
from debugger.predicted.draft import FrameDrafter
from debugger.predicted.predict import predict
from debugger.predicted.writer import Draft
from debugger.trace import Trace
from quant.model import Part
from tests.debugger.predicted.scripted import SPECIAL_IDS, ScriptedRuntime
from tests.debugger.predicted.test_predict import LOOP, ZOO, script, target_of

CALLS = """\
def square(n):
    return n * n

def f(xs):
    seen = []
    total = 0
    for x in xs:
        seen.append(x)
        if x % 2:
            total += square(x)
    return total, seen
"""


class MoodyRuntime(ScriptedRuntime):
    """Its logits depend on every token before: it follows the script, and now and then wants something else."""

    def __init__(self, *arguments, moods: float = 0.1, **options) -> None:
        super().__init__(*arguments, **options)
        self.moods = moods

    def _evaluate(self, part: Part) -> np.ndarray:
        rows = super()._evaluate(part)
        tokens = self._tokens[part.sequence]
        for row in range(part.rows):
            seen = np.array(tokens[: len(tokens) - part.rows + 1 + row], dtype=np.int32)
            chance = random.Random(zlib.crc32(seen.tobytes()))
            if chance.random() < self.moods:
                likely = list(b'0123456789"}, .abx') + list(SPECIAL_IDS.values())
                rows[row, chance.choice(likely)] = 25
        return rows


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("debugger.predicted.writer.MAX_FRAME_TOKENS", 400)


def predicted(
    source: str, call: str, *, moods: float, constrained: bool, drafting: bool
) -> tuple[Trace, list[int], int]:
    runtime = MoodyRuntime(script(call, record_in_process(source, call)), moods=moods)
    trace = predict(runtime, target_of(source, call), call, max_frames=40, constrained=constrained, drafting=drafting)
    return trace, list(runtime.tokens), runtime.calls


def same(source: str, call: str, moods: float, constrained: bool) -> tuple[int, int]:
    drafted, tokens, calls = predicted(source, call, moods=moods, constrained=constrained, drafting=True)
    plain, plain_tokens, plain_calls = predicted(source, call, moods=moods, constrained=constrained, drafting=False)
    assert drafted == plain
    assert [frame.confidence for frame in drafted.frames] == [frame.confidence for frame in plain.frames]
    shared = min(len(tokens), len(plain_tokens))
    assert tokens[:shared] == plain_tokens[:shared]  # what was evaluated last may be a draft
    assert calls <= plain_calls
    return calls, plain_calls


@pytest.mark.parametrize("constrained", [True, False])
@pytest.mark.parametrize("moods", [0, 0.02, 0.2, 0.7])
def test_a_drafted_prediction_is_the_one_without(moods, constrained):
    same(LOOP, "f(5)", moods, constrained)
    same(CALLS, "f([1, 2, 3])", moods, constrained)


@pytest.mark.parametrize("kind", ZOO)
def test_every_construct_can_be_drafted(kind):
    source, calls = ZOO[kind]
    for call in calls:
        for moods in (0, 0.05):
            same(textwrap.dedent(source), call, moods, True)


def test_a_model_that_is_right_is_asked_seldom():
    calls, plain = same(CALLS, "f([1, 2, 3, 4, 5, 6])", 0, True)
    assert calls < plain / 8


@pytest.mark.parametrize(
    ("source", "call", "share"),
    [
        ("def f(xs):\n    ys = [x + 1 for x in xs]\n    return ys\n", "f([3, 1, 2, 5, 4, 6, 7])", 10),
        ("def f(xs):\n    return sum(x for x in xs)\n", "f([3, 1, 2, 5, 4, 6, 7])", 9),
        ("def f(n):\n    a = [0] * n\n    for i in range(n):\n        a[i] = i * i\n    return a\n", "f(9)", 16),
        ("def f(a, b):\n    c = a + b\n    d = c * a - b\n    e = d // b + d % a\n    return e\n", "f(123, 456)", 30),
    ],
    ids=["list comprehension", "generator expression", "one element changed", "arithmetic"],
)
def test_what_can_be_told_from_the_program_is_drafted(source, call, share):
    calls, plain = same(source, call, 0, True)
    assert calls < plain / share


@pytest.mark.parametrize("seed", range(12))
def test_any_draft_gives_the_same_prediction(seed, monkeypatch):
    """Random tokens, none, too many, the truth with faults in it."""
    chance = random.Random(seed)
    honest = FrameDrafter.draft

    def draft(self, tokens, mark, most):
        found = list(honest(self, tokens, mark, most).tokens)
        match chance.randrange(4):
            case 0:
                found = []
            case 1:
                found = [chance.randrange(self._vocabulary.size) for _ in range(chance.randrange(200))]
            case 2:
                found = [token if chance.random() < 0.9 else chance.randrange(256) for token in found]
            case _:
                pass
        return Draft(found)

    monkeypatch.setattr(FrameDrafter, "draft", draft)
    monkeypatch.setattr(FrameDrafter, "judge", lambda self, draft, accepted, refused: None)
    for source, call in ((LOOP, "f(4)"), (CALLS, "f([5, 2, 7])")):
        same_as_plain(source, call, moods=chance.choice((0, 0.05, 0.3)), constrained=chance.random() < 0.8)


def same_as_plain(source: str, call: str, **options) -> None:
    drafted, _, _ = predicted(source, call, drafting=True, **options)
    plain, _, _ = predicted(source, call, drafting=False, **options)
    assert drafted == plain


def test_a_context_is_as_full_with_drafts_as_without():
    for context in range(450, 900, 9):
        traces = []
        for drafting in (True, False):
            runtime = MoodyRuntime(script("f(9)", record_in_process(LOOP, "f(9)")), moods=0.01, context=context)
            traces.append(predict(runtime, target_of(LOOP, "f(9)"), "f(9)", drafting=drafting))
        assert traces[0] == traces[1]
