"""The runtime on the bundled model: what it evaluates, keeps and forgets must not change what the model says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.random_gguf import shape_called, write_random_gguf
from foretrace.models import bundled_path
from quant.errors import CancelledError, ContextFullError, ModelError
from quant.model import Part
from quant.runtime import CHUNK_TOKENS, CONTEXT_STEP, VERIFY_TOKENS, Runtime, built_with_amx
from quant.shape import WINDOW
from quant.specials import IDS_IN_CWM, Special, special_ids
from tests.ggufs import entry, string, write_llama

TEXT = "def f(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n"
CONTEXT = 4096
EPSILON = "llama.attention.layer_norm_rms_epsilon"


@pytest.fixture(scope="module")
def runtime():
    with Runtime.open(bundled_path(), context=CONTEXT) as opened:
        yield opened


def close(left, right):
    """Whether two rows of logits say the same. A quantized build rounds one token and many tokens a little differently,
    which moves all logits together and the distribution hardly at all: 3e-7 here, and more than 1 for another position.
    """
    return divergence(left, right) < 1e-4


def divergence(left, right):
    left, right = log_probabilities(left), log_probabilities(right)
    return float((np.exp(right) * (right - left)).sum())


def log_probabilities(logits):
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def test_the_bundled_model_says_what_it_is(runtime):
    assert runtime.context == CONTEXT
    assert 0 < runtime.window < CONTEXT
    assert "nano" in runtime.metadata("general.name")
    assert runtime.metadata("no.such.key") is None


def test_a_build_with_amx_is_used_without_it(runtime, monkeypatch):
    def library(features: bytes) -> SimpleNamespace:
        return SimpleNamespace(llama_print_system_info=lambda: features)

    assert built_with_amx(library(b"CPU : AVX512 = 1 | AMX_INT8 = 1 | REPACK = 1 | "))
    assert not built_with_amx(library(b"CPU : AVX512 = 1 | REPACK = 1 | "))
    tokens = runtime.vocabulary.tokenize(TEXT)
    monkeypatch.setattr("quant.runtime.built_with_amx", lambda library: True)
    with Runtime.open(bundled_path(), context=CONTEXT) as plain:
        # Other kernels, which round otherwise: 0.01 here, and more than 1 for another position.
        assert divergence(plain.prefill(tokens), runtime.prefill(tokens)) < 0.05


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


def test_a_small_context_is_filled_to_its_last_token():
    with Runtime.open(bundled_path(), context=10) as opened:
        assert opened.context == CONTEXT_STEP
        opened.prefill([5] * CONTEXT_STEP)
        assert len(opened.tokens) == CONTEXT_STEP


def test_a_cwm_that_others_converted_as_llama_gets_a_windows_length_and_says_why(tmp_path):
    path = tmp_path / "theirs.gguf"
    write_llama(path)
    with Runtime.open(path, context=4 * WINDOW) as opened:
        assert opened.context == WINDOW
        (warning,) = opened.warnings
        assert str(path) in warning and "8,192 tokens only" in warning and "foretrace model convert" in warning
        assert np.isfinite(opened.prefill([1, 2, 3])).all()
        assert special_ids(opened.vocabulary, path)[Special.BEGIN] == 256
    with Runtime.open(path, context=1024) as opened:
        assert opened.context == 1024 and opened.warnings


def test_a_llama_that_was_trained_for_less_than_a_window_needs_no_warning(tmp_path):
    path = tmp_path / "theirs.gguf"
    write_llama(path, context=WINDOW)
    with Runtime.open(path, context=4 * WINDOW) as opened:
        assert (opened.context, opened.warnings) == (WINDOW, ())


def test_specials_under_reserved_names_are_found_and_never_made_from_text(tmp_path):
    path = tmp_path / "theirs.gguf"
    write_llama(path, specials="reserved")
    with Runtime.open(path, context=256) as opened:
        ids = special_ids(opened.vocabulary, path)
        assert ids == {**IDS_IN_CWM, Special.BEGIN: 128000, Special.END: 128001}
        assert not set(ids.values()) & set(opened.vocabulary.tokenize("<|frame_sep|><|reserved_special_token_97|>"))
        assert np.isfinite(opened.prefill([ids[Special.BEGIN], ids[Special.CONTEXT], 5])).all()


def test_a_llama_that_is_no_cwm_has_no_specials(tmp_path):
    path = tmp_path / "other.gguf"
    write_llama(path, specials="none")
    with Runtime.open(path, context=256) as opened, pytest.raises(ModelError, match="cannot trace"):
        special_ids(opened.vocabulary, path)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        # Each of these would end the process inside llama.cpp.
        (entry("llama.block_count", 2), entry("llama.block_count", 10_000), "its block_count"),
        (entry("llama.context_length", 131072), entry("llama.context_length", 0), "its context_length"),
        (entry(EPSILON, 1e-5), entry(EPSILON, -1.0), "norm"),
        (string("a") + string("b"), string("a") + string("a"), "a piece twice"),
    ],
)
def test_damage_that_llama_cpp_does_not_survive_is_named_before(tmp_path, before, after, sentence):
    path = tmp_path / "damaged.gguf"
    write_llama(path)
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))
    with pytest.raises(ModelError, match=sentence):
        Runtime.open(path)


def test_damage_of_any_kind_is_a_sentence_or_a_model_and_never_the_end_of_the_process(tmp_path):
    """In a process of its own, since llama.cpp would take this one with it."""
    path = tmp_path / "model.gguf"
    write_llama(path)
    command = [sys.executable, "-c", DAMAGE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-2000:]
    opened, refused = map(int, done.stdout.split())
    assert opened > 20 and refused > 20


DAMAGE = """
import random, sys
from pathlib import Path
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.runtime import Runtime

path = Path(sys.argv[1])
content, chance = path.read_bytes(), random.Random(3)
head = min(tensor.offset for tensor in read_gguf(path).tensors)
opened = refused = 0
for _ in range(200):
    data = bytearray(content)
    data[chance.randrange(4, head)] = chance.choice((0, 255, chance.randrange(256)))
    path.write_bytes(data)
    try:
        with Runtime.open(path, context=256, threads=1) as runtime:
            runtime.prefill([1, 2, 3])
        opened += 1
    except ModelError:
        refused += 1
print(opened, refused)
"""


def test_loading_leaves_the_environment_as_it_was(runtime):
    assert "GOMP_SPINCOUNT" not in os.environ


def test_a_model_whose_layers_have_no_window_is_refused(tmp_path):
    shape = shape_called("small")
    write_random_gguf(tmp_path / "m.gguf", replace(shape, windowed=(False,) * shape.layers), "Q4_0")
    with pytest.raises(ModelError, match="gives no layer a window"):
        Runtime.open(tmp_path / "m.gguf")


@pytest.mark.parametrize("size", [1, 2, 3, 16, 64])
def test_calls_of_any_size_give_the_same_logits_to_the_last_bit(runtime, size):
    tokens = runtime.vocabulary.tokenize(TEXT * 4)[:100]
    runtime.prefill(tokens[:36])
    together = runtime.verify(tokens[36:])
    runtime.roll_back(36)
    apart = [runtime.verify(tokens[start : start + size]) for start in range(36, 100, size)]
    assert np.array_equal(np.concatenate(apart), together)


def test_rolling_back_over_a_draft_never_evaluates_anything_again(runtime):
    """Also right behind the window, which keeps as many tokens more as a call can have."""
    tokens = (runtime.vocabulary.tokenize(TEXT) * 200)[: runtime.window + 700]
    for length in (runtime.window - 60, len(tokens)):
        runtime.prefill(tokens[:length])
        expected = runtime.extend(tokens[:1])
        runtime.roll_back(length)
        runtime.verify([5] * VERIFY_TOKENS)
        calls = runtime.calls
        assert runtime.forget(length) == length
        assert runtime.calls == calls
        assert close(runtime.extend(tokens[:1]), expected)
        runtime.roll_back(length)


def test_sequences_share_a_call_and_a_past():
    with Runtime.open(bundled_path(), context=1024, sequences=3) as opened:
        assert (opened.context, opened.sequences) == (1024, 3)
        vocabulary = opened.vocabulary
        text, *ends = (vocabulary.tokenize(each) for each in (TEXT, "x = 1\n", "while", "return 7"))
        expected = []
        for end in ends:
            opened.prefill([*text, *end])
            expected.append(opened.prefill([*text, *end]))
            opened.forget(0)
        opened.prefill(text)
        opened.fork(0, 1, len(text))
        opened.fork(0, 2, len(text))
        calls = opened.calls
        rows = opened.evaluate([Part(end, 1, sequence) for sequence, end in enumerate(ends)])
        assert opened.calls == calls + 1
        # Elsewhere in memory, a sequence is added up in another order, and int8 activations make much of that: 0.004
        # here, and more than 1 for another position.
        differences = [divergence(row[0], logits) for row, logits in zip(rows, expected, strict=True)]
        assert max(differences) < 0.1
        assert [list(opened.tokens_of(sequence)) for sequence in range(3)] == [[*text, *end] for end in ends]


def test_a_call_is_broken_off_at_once_and_later_ones_until_told():
    tokens = [5 + index % 50 for index in range(400)]
    with Runtime.open(bundled_path(), context=512) as runtime:
        before = runtime.prefill(tokens[:40])
        runtime.interrupt()
        for _ in range(2):
            with pytest.raises(CancelledError):
                runtime.extend(tokens[40:])
        assert len(runtime.tokens) <= 40
        runtime.resume()
        assert np.array_equal(runtime.prefill(tokens[:40]), before)
        broken = runtime.prefill(tokens)
    with Runtime.open(bundled_path(), context=512) as whole:
        whole.prefill(tokens[:40])
        assert np.array_equal(whole.prefill(tokens), broken)
