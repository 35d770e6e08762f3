"""Prompts whose beginnings come from the disk: the model says the same, and reads less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.random_gguf import shape_called, write_random_gguf
from foretrace.models import bundled_path
from quant.errors import CancelledError
from quant.prefixes import FEWEST_TOKENS, Prefixes
from quant.runtime import CHUNK_TOKENS, Runtime
from quant.shape import windowed_layers

WINDOW = 64
SETTINGS = [("f16", False), ("f16", True), ("q8_0", True)]


def random_gguf(folder, window):
    """Random weights; layers without a window see what is further back all the same."""
    path = folder / "random.gguf"
    shape = replace(shape_called("nano"), layers=4, windowed=windowed_layers(4), window=window)
    write_random_gguf(path, shape, "Q8_0")
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return random_gguf(tmp_path_factory.mktemp("tiny"), WINDOW)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """A runtime in whose windows all is in view."""
    with Runtime.open(random_gguf(tmp_path_factory.mktemp("roomy"), 512), context=1024) as opened:
        yield opened


@pytest.fixture(scope="module")
def nano():
    with Runtime.open(bundled_path(), context=1024) as opened:
        yield opened


def prompt(length, seed=0):
    return [int(token) for token in np.random.default_rng(seed).integers(10, 4000, length)]


def divergence(left, right):
    left, right = (row.astype(np.float64) - row.max() for row in (left, right))
    left, right = (row - np.log(np.exp(row).sum()) for row in (left, right))
    return float((np.exp(right) * (right - left)).sum())


def files(folder):
    return sorted(folder.glob("*.state"))


def test_nano_goes_on_from_the_disk_to_the_last_bit(tmp_path, nano):
    tokens, behind = prompt(300), prompt(40, 1)
    nano.forget(0)
    nano.extend(tokens)
    expected = nano.verify(behind)
    nano.forget(0)
    Prefixes(nano, tmp_path).read(tokens)
    assert np.array_equal(nano.verify(behind), expected)
    nano.forget(0)
    calls = nano.calls
    Prefixes(nano, tmp_path).read(tokens)
    assert (list(nano.tokens), nano.calls) == (tokens, calls)
    assert np.array_equal(nano.verify(behind), expected)


@pytest.mark.parametrize(("kv_type", "flash_attention"), SETTINGS)
@pytest.mark.parametrize("length", [WINDOW + 100, CHUNK_TOKENS + WINDOW + 1, 1000])
def test_beyond_the_window_a_loaded_state_is_the_evaluated_one(tmp_path, tiny, kv_type, flash_attention, length):
    tokens, behind = prompt(length), prompt(100, 1)
    with Runtime.open(tiny, context=2048, kv_type=kv_type, flash_attention=flash_attention) as runtime:
        assert runtime.window == WINDOW
        runtime.extend(tokens)
        evaluated = runtime.verify(behind)
        runtime.forget(0)
        Prefixes(runtime, tmp_path).read(tokens)
        first = runtime.verify(behind)
    with Runtime.open(tiny, context=2048, kv_type=kv_type, flash_attention=flash_attention) as runtime:
        Prefixes(runtime, tmp_path).read(tokens)
        assert (list(runtime.tokens), runtime.calls) == (tokens, 0)
        assert np.array_equal(runtime.verify(behind), first)
        # Elsewhere in memory, keys and values are added up in another order.
        assert max(divergence(*rows) for rows in zip(first, evaluated, strict=True)) < 1e-4
        # Single tokens take the one before along: the window still has what that one sees.
        runtime.forget(length)
        calls = runtime.calls
        assert divergence(runtime.extend(behind[:1]), evaluated[0]) < 1e-4
        assert runtime.calls == calls + 1


def test_another_prompt_says_something_else(tmp_path, tiny):
    """Otherwise the test above would see nothing."""
    with Runtime.open(tiny, context=2048) as runtime:
        rows = []
        for seed in (0, 2):
            runtime.forget(0)
            runtime.extend(prompt(900, seed) + prompt(100))
            rows.append(runtime.verify(prompt(100, 1))[-1])
        assert divergence(*rows) > 1e-3


def test_an_edit_further_down_keeps_what_is_before_it_and_writes_nothing_for_little(tmp_path, roomy):
    tokens = prompt(400)
    roomy.forget(0)
    Prefixes(roomy, tmp_path).read(tokens)
    (path,) = files(tmp_path)
    edited = tokens[:350] + prompt(60, 2)
    roomy.forget(0)
    calls = roomy.calls
    Prefixes(roomy, tmp_path).read(edited)
    assert (list(roomy.tokens), roomy.calls) == (edited[:350], calls)
    assert files(tmp_path) == [path]
    roomy.extend(edited[350:])
    after = roomy.verify(tokens[:20])
    roomy.forget(0)
    roomy.extend(edited)
    assert np.array_equal(roomy.verify(tokens[:20]), after)


def test_beyond_the_window_what_an_edit_left_of_a_state_is_not_used(tmp_path, tiny):
    tokens = prompt(600)
    with Runtime.open(tiny, context=2048) as runtime:
        Prefixes(runtime, tmp_path).read(tokens)
        runtime.forget(0)
        edited = tokens[:500] + prompt(200, 2)
        Prefixes(runtime, tmp_path).read(edited)
        assert list(runtime.tokens) == edited
        assert len(files(tmp_path)) == 2
        again = [*tokens[:-1], 7, 8]
        runtime.forget(0)
        calls = runtime.calls
        Prefixes(runtime, tmp_path).read(again)
        assert (list(runtime.tokens), runtime.calls) == (tokens[:-1], calls)


def test_what_is_in_memory_is_not_loaded_and_what_is_little_not_kept(tmp_path, roomy):
    roomy.forget(0)
    Prefixes(roomy, tmp_path).read(prompt(FEWEST_TOKENS - 1))
    assert (list(roomy.tokens), files(tmp_path)) == ([], [])
    tokens = prompt(200)
    prefixes = Prefixes(roomy, tmp_path)
    prefixes.read(tokens)
    roomy.extend([5, 6])
    (path,) = files(tmp_path)
    path.write_bytes(b"not looked at")
    prefixes.read(tokens)
    assert list(roomy.tokens) == [*tokens, 5, 6]
    assert path.read_bytes() == b"not looked at"


def test_what_grew_in_memory_little_by_little_is_kept_once_it_is_much(tmp_path, roomy):
    tokens = prompt(300)
    roomy.forget(0)
    prefixes = Prefixes(roomy, tmp_path)
    for length in range(100, 301, 50):
        prefixes.read(tokens[:length])
        if len(roomy.tokens) < length:
            roomy.extend(tokens[len(roomy.tokens) : length])
    (first, second) = sorted(path.stat().st_size for path in files(tmp_path))
    assert second > 1.5 * first
    roomy.forget(0)
    calls = roomy.calls
    Prefixes(roomy, tmp_path).read(tokens)
    assert (len(roomy.tokens), roomy.calls) == (300, calls)


def test_another_model_or_another_way_to_load_it_has_other_states(tmp_path, tiny):
    tokens = prompt(200)
    for number, (kv_type, flash_attention) in enumerate(SETTINGS):
        with Runtime.open(tiny, context=512, kv_type=kv_type, flash_attention=flash_attention) as runtime:
            Prefixes(runtime, tmp_path).read(tokens)
            assert (runtime.calls, len(files(tmp_path))) == (1, number + 1)
    content = bytearray(tiny.read_bytes())
    content[-1] ^= 1
    other = tmp_path / "other.gguf"
    other.write_bytes(content)
    with Runtime.open(other, context=512, kv_type="f16", flash_attention=False) as runtime:
        Prefixes(runtime, tmp_path).read(tokens)
        assert runtime.calls == 1


def test_a_state_for_a_larger_context_is_left_alone(tmp_path, tiny):
    tokens = prompt(600)
    with Runtime.open(tiny, context=1024, flash_attention=False) as runtime:
        Prefixes(runtime, tmp_path).read(tokens)
    with Runtime.open(tiny, context=256, flash_attention=False) as runtime:
        Prefixes(runtime, tmp_path).read(tokens[:200])
        assert (list(runtime.tokens), runtime.calls) == (tokens[:200], 1)
    assert len(files(tmp_path)) == 2


def test_a_state_that_llama_cpp_refuses_is_deleted_and_evaluated(tmp_path, roomy):
    """As would be one whose bytes are whole, but that another build of llama.cpp wrote."""
    tokens = prompt(300)
    roomy.forget(0)
    prefixes = Prefixes(roomy, tmp_path)
    prefixes.read(tokens)
    expected = roomy.verify(tokens[:20])
    roomy.forget(300)
    state = roomy.state()
    for wrong in (state[:1000], state[:-1], state + b"x", b"\0" * 100, b""):
        prefixes._states.save(tokens, wrong)
        roomy.forget(0)
        Prefixes(roomy, tmp_path).read(tokens)
        assert list(roomy.tokens) == tokens
        assert np.array_equal(roomy.verify(tokens[:20]), expected)
        (path,) = files(tmp_path)
        assert path.stat().st_size > len(state)


def test_a_process_writes_no_more_than_there_may_be_on_the_disk(tmp_path, roomy):
    roomy.forget(0)
    Prefixes(roomy, tmp_path / "one").read(prompt(150))
    (path,) = files(tmp_path / "one")
    prefixes = Prefixes(roomy, tmp_path / "two", max_bytes=2 * path.stat().st_size + 1000)
    for seed in range(1, 4):
        prefixes.read(prompt(150, seed))
    assert len(files(tmp_path / "two")) == 2


def test_a_cancelled_one_keeps_nothing_and_leaves_the_rest_to_who_goes_on(tmp_path, roomy):
    roomy.forget(0)
    Prefixes(roomy, tmp_path).read(prompt(300), lambda: True)
    assert (list(roomy.tokens), files(tmp_path)) == ([], [])
    with pytest.raises(CancelledError):
        roomy.extend([5], lambda: True)
