"""The numbers of a CWM, from CWM's own and from GGUFs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foretrace.models import bundled_path
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.shape import CWM_32B, shape_of_gguf
from tests.ggufs import entry, file_of

NUMBERS = {
    "block_count": 4,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "context_length": 512,
    "vocab_size": 300,
}


def shape_of(path, architecture="llama", **changes):
    numbers = {key: value for key, value in {**NUMBERS, **changes}.items() if value is not None}
    entries = [entry(f"{architecture}.{key}", value) for key, value in numbers.items()]
    path.write_bytes(file_of([entry("general.architecture", architecture), *entries], [], b""))
    return shape_of_gguf(read_gguf(path))


def test_cwm_has_the_parameters_and_layers_that_meta_tells():
    assert round(CWM_32B.parameters / 1e9, 1) == 32.6
    assert (CWM_32B.full_layers, sum(CWM_32B.windowed), CWM_32B.windowed[:5]) == (
        16,
        48,
        (False, True, True, True, False),
    )


def test_the_shape_of_a_gguf_has_exactly_its_tensors():
    file = read_gguf(bundled_path())
    shape = shape_of_gguf(file)
    assert (shape.layers, shape.full_layers, shape.window) == (30, 8, 2048)
    theirs = {tensor.name: tensor.shape if len(tensor.shape) == 2 else (1, *tensor.shape) for tensor in file.tensors}
    assert theirs == shape.tensors()
    sinks = shape.layers * shape.heads
    assert shape.parameters == file.weights - sinks


def test_a_network_without_windows_has_none(tmp_path):
    shape = shape_of(tmp_path / "model.gguf")
    assert (shape.window, shape.full_layers, shape.head_size, shape.kv_heads) == (0, 4, 16, 2)


def test_what_is_left_out_follows_from_the_rest(tmp_path):
    changes = {"attention.head_count_kv": None, "vocab_size": None}
    with pytest.raises(ModelError, match="does not say its vocab_size"):
        shape_of(tmp_path / "model.gguf", **changes)
    changes["vocab_size"] = 300
    assert shape_of(tmp_path / "model.gguf", **changes) == replace(shape_of(tmp_path / "other.gguf"), kv_heads=4)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("block_count", None, "does not say its block_count"),
        ("block_count", 0, "impossible value"),
        ("block_count", 2**31, "impossible value"),
        ("attention.head_count", 0, "impossible value"),
        ("attention.head_count", [4, 4, 4, 4], "impossible value"),
        ("embedding_length", "wide", "impossible value"),
        ("context_length", 0, "impossible value"),
        ("attention.sliding_window_pattern", [True, False], "4 layers, but windows for 2"),
        ("attention.sliding_window_pattern", [True, False, True, True], "does not say its attention.sliding_window"),
    ],
)
def test_impossible_numbers_are_named(tmp_path, key, value, sentence):
    with pytest.raises(ModelError, match=sentence):
        shape_of(tmp_path / "model.gguf", **{key: value})
