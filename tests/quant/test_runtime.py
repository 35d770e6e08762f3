"""The runtime on the bundled model: what it evaluates, keeps and forgets must not change what the model says."""

from __future__ import annotations

import numpy as np
import pytest

from foretrace.models import bundled_path
from quant.errors import CancelledError, ContextFullError, ModelError
from quant.runtime import CHUNK_TOKENS, Runtime

TEXT = "def f(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n"
CONTEXT = 4096


@pytest.fixture(scope="module")
def runtime():
    with Runtime.open(bundled_path(), context=CONTEXT) as opened:
        yield opened


def close(left, right):
    """Whether two rows of logits say the same. A quantized build rounds one token and many tokens a little differently,
    which moves all logits together and the distribution hardly at all: 3e-7 here, and more than 1 for another position.
    """
    left, right = log_probabilities(left), log_probabilities(right)
    return float((np.exp(right) * (right - left)).sum()) < 1e-4


def log_probabilities(logits):
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def test_the_bundled_model_says_what_it_is(runtime):
    assert runtime.context == CONTEXT
    assert 0 < runtime.window < CONTEXT
    assert "nano" in runtime.metadata("general.name")
    assert runtime.metadata("no.such.key") is None


def test_text_never_becomes_a_special_token(runtime):
    vocabulary = runtime.vocabulary
    frame = vocabulary.id_of_piece("<|frame_sep|>")
    tokens = vocabulary.tokenize("a<|frame_sep|>b")
    assert frame not in tokens
    assert b"".join(map(vocabulary.piece, tokens)) == b"a<|frame_sep|>b"
    assert vocabulary.piece(frame) == b""
    assert vocabulary.spelling(frame) == "<|frame_sep|>"
    assert vocabulary.id_of_piece("no such piece") is None


def test_tokens_spell_the_text_whatever_its_characters(runtime):
    text = "grüße = '😀\\t'\r\n\tx = 1234567890\x0b"
    assert b"".join(map(runtime.vocabulary.piece, runtime.vocabulary.tokenize(text))).decode() == text


def test_rolling_back_is_as_if_it_had_never_been(runtime):
    tokens = runtime.vocabulary.tokenize(TEXT)
    fresh = runtime.prefill(tokens)
    runtime.extend(runtime.vocabulary.tokenize("x = [1, 2, 3]\n" * 5))
    runtime.roll_back(len(tokens) - 1)
    assert close(runtime.extend(tokens[-1:]), fresh)


def test_rolling_back_beyond_the_window_evaluates_anew(runtime):
    tokens = (runtime.vocabulary.tokenize(TEXT) * 200)[: runtime.window + 700]
    half = len(tokens) // 2
    expected = runtime.prefill(tokens[: half + 1])
    runtime.prefill(tokens)
    runtime.roll_back(half)
    assert list(runtime.tokens) == tokens[:half]
    assert close(runtime.extend([tokens[half]]), expected)


def test_verifying_gives_the_logits_of_one_at_a_time(runtime):
    tokens = runtime.vocabulary.tokenize(TEXT)
    runtime.prefill(tokens[:10])
    single = [runtime.extend([token]) for token in tokens[10:18]]
    runtime.roll_back(10)
    together = runtime.verify(tokens[10:18])
    assert together.shape == (8, runtime.vocabulary.size)
    assert all(close(row, logits) for row, logits in zip(together, single, strict=True))


def test_a_known_prefix_is_not_evaluated_again(runtime):
    tokens = runtime.vocabulary.tokenize(TEXT * 30)
    runtime.prefill(tokens)
    calls = runtime.calls
    again = runtime.prefill(tokens)
    assert runtime.calls == calls + 1
    other = runtime.prefill(tokens[:-1] + runtime.vocabulary.tokenize(" 7"))
    assert not np.array_equal(again, other)
    assert runtime.calls == calls + 2


def test_a_long_prompt_can_be_cancelled_between_chunks(runtime):
    tokens = runtime.vocabulary.tokenize(TEXT * 60)
    assert len(tokens) > 2 * CHUNK_TOKENS
    runtime.roll_back(0)
    answers = iter([False, True])
    with pytest.raises(CancelledError):
        runtime.prefill(tokens, lambda: next(answers))
    assert list(runtime.tokens) == tokens[:CHUNK_TOKENS]


def test_a_full_context_is_said_before_anything_is_evaluated(runtime):
    runtime.prefill(runtime.vocabulary.tokenize(TEXT))
    before = list(runtime.tokens)
    with pytest.raises(ContextFullError, match="do not fit into a context of 4096"):
        runtime.extend([5] * CONTEXT)
    assert list(runtime.tokens) == before


def test_closing_twice_is_fine_and_using_a_closed_one_is_said():
    opened = Runtime.open(bundled_path(), context=64)
    opened.close()
    opened.close()
    with pytest.raises(ModelError, match="closed"):
        opened.prefill([1, 2])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no model file"),
        (b"not a model at all", "is not a GGUF file"),
        (b"GGUF", "cut short in its header"),
    ],
)
def test_a_file_that_is_no_model_is_named(tmp_path, content, sentence):
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        Runtime.open(path)


def test_a_truncated_model_is_named(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(bundled_path().read_bytes()[:2_000_000])
    with pytest.raises(ModelError, match="cut short: at least"):
        Runtime.open(path)
