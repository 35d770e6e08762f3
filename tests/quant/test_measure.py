from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant.errors import ModelError
from quant.measure import compare, divergence, right_frames
from quant.quantize import quantize
from quant.runtime import VERIFY_TOKENS, Runtime
from quant.specials import Special
from quant.traces import WrittenTrace
from tests.ggufs import write_llama
from tests.traces import written_trace

SPECIALS = list(Special)
A, B = 10, 11
FRAME = SPECIALS.index(Special.FRAME)
START = "<|begin_of_text|><|trace_context_start|>"


def logits_of(*probabilities: float) -> np.ndarray:
    return np.log(np.array([probabilities], dtype=np.float32)) + 3


def test_the_divergence_is_kullback_and_leiblers():
    half, quarter = logits_of(0.5, 0.5), logits_of(0.25, 0.75)
    assert divergence(half, quarter)[0] == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), abs=1e-6)
    assert divergence(quarter, half)[0] == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5), abs=1e-6)
    both = divergence(np.concatenate([half, half]), np.concatenate([half, quarter]))
    assert both.shape == (2,) and both[0] == 0 and both[1] > 0.1


def test_a_frame_is_right_where_all_its_tokens_are_and_an_unended_one_does_not_count():
    tokens = [A, B, FRAME, A, FRAME, B, FRAME, A]
    assert right_frames([A, B, FRAME, B, FRAME, B, A, B], tokens, FRAME) == [True, False, False]


class Scripted:
    """A model that gives the token after the last one as `chosen` says, with that probability."""

    context = 64
    path = Path("scripted.gguf")

    def __init__(self, chosen: dict[int, tuple[int, float]], size: int = 12) -> None:
        self.chosen = chosen
        self.vocabulary: Any = self
        self.size = size
        self.asked: list[int] = []

    def tokenize(self, text: str) -> list[int]:
        return [{"a": A, "b": B}[character] for character in text]

    def spelling(self, token: int) -> str:
        return ""

    def id_of_piece(self, piece: str) -> int | None:
        return SPECIALS.index(Special(piece))

    def verify(self, tokens: list[int]) -> np.ndarray:
        self.asked += tokens
        rows = []
        for token in tokens:
            choice, probability = self.chosen[token]
            row = np.full(self.size, (1 - probability) / (self.size - 1))
            row[choice] = probability
            rows.append(np.log(row))
        return np.array(rows, dtype=np.float32)

    def prefill(self, tokens: list[int]) -> np.ndarray:
        return self.verify(tokens[-1:])[0]


def test_the_numbers_of_a_case_made_by_hand():
    # What is given ends with a frame; then come the frames "ab" and "b", and an "a" that no frame ends.
    text = f"{START}a<|frame_sep|>ab<|frame_sep|>b<|frame_sep|>a"
    trace = WrittenTrace(text, len(f"{START}a<|frame_sep|>"))
    source: Any = Scripted({A: (B, 0.5), B: (FRAME, 0.5), FRAME: (A, 0.5)})
    build: Any = Scripted({A: (B, 0.5), B: (A, 0.25), FRAME: (A, 0.5)})
    (comparison,) = compare(source, [build], [trace])
    assert source.asked == build.asked == [FRAME, A, B, FRAME, B, FRAME]
    assert (comparison.traces, comparison.tokens, comparison.frames) == (1, 6, 2)
    # Only after a B they differ, which happens twice.
    assert comparison.agreed == 4 and comparison.agreement == pytest.approx(4 / 6)
    assert (comparison.source_frames, comparison.build_frames) == (1, 0)
    p = {FRAME: 0.5, A: 0.5 / 11} | dict.fromkeys([*range(FRAME), *range(FRAME + 1, 10), B], 0.5 / 11)
    q = {A: 0.25} | {token: 0.75 / 11 for token in p if token != A}
    once = sum(p[token] * np.log(p[token] / q[token]) for token in p)
    assert comparison.divergence == pytest.approx(2 * once, rel=1e-5)
    assert comparison.mean_divergence == pytest.approx(2 * once / 6, rel=1e-5)


def test_traces_beyond_the_context_are_counted():
    tail = WrittenTrace(f"{START}a<|frame_sep|>" + "ab" * 40, len(f"{START}a<|frame_sep|>"))
    long = WrittenTrace(f"{START}{'a' * 80}<|frame_sep|>b", len(f"{START}{'a' * 80}<|frame_sep|>"))
    model: Any = Scripted({A: (B, 0.5), B: (A, 0.5), FRAME: (A, 0.5)})
    (comparison,) = compare(model, [model], [tail, long])
    assert (comparison.traces, comparison.cut, comparison.left_out, comparison.tokens) == (1, 1, 1, 60)
    with pytest.raises(ModelError, match="No program of the traces fits into the context of 64 tokens"):
        compare(model, [model], [long])


def test_models_of_different_vocabularies_are_not_compared():
    source: Any = Scripted({})
    build: Any = Scripted({}, size=13)
    with pytest.raises(ModelError, match="has another vocabulary"):
        compare(source, [build], [written_trace(1)])


def test_real_models_chunk_by_chunk(tmp_path: Path):
    write_llama(tmp_path / "m.gguf")
    quantize(tmp_path / "m.gguf", tmp_path / "q.gguf", "Q4_0", threads=1)
    trace = written_trace(6)
    with (
        Runtime.open(tmp_path / "m.gguf", context=2048, threads=1) as source,
        Runtime.open(tmp_path / "m.gguf", context=2048, threads=1) as same,
        Runtime.open(tmp_path / "q.gguf", context=2048, threads=1) as build,
    ):
        copy, smaller = compare(source, [same, build], [trace])
        assert copy.divergence == 0 and copy.agreement == 1 and copy.source_frames == copy.build_frames
        assert smaller.tokens > 3 * VERIFY_TOKENS and smaller.divergence > 0
        assert smaller.frames == trace.text.count(Special.FRAME.value) - 3
