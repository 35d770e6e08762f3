import ctypes
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import llama_cpp
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType

from bench import random_gguf
from bench.random_gguf import NANO, SMALL, SPREAD, write_random_gguf
from quant.errors import ModelError
from quant.gguf_file import GgufFile, read_gguf
from quant.plan import QUANTIZED
from quant.runtime import Runtime
from quant.shape import CWM_32B, Shape, shape_of_gguf, windowed_layers
from quant.specials import IDS_IN_CWM, Special, special_ids

TINY = Shape(
    layers=16,
    hidden=256,
    feed_forward=512,
    heads=8,
    kv_heads=2,
    head_size=32,
    vocabulary=1024,
    context=1024,
    window=128,
    windowed=windowed_layers(16),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CWM's vocabulary with a small network."""
    return write_random_gguf(tmp_path_factory.mktemp("small") / "small.gguf", SMALL, "Q4_K_M").path


def weights(file: GgufFile, name: str) -> np.ndarray[Any, Any]:
    """A tensor's numbers as llama.cpp would read them."""
    [tensor] = [each for each in file.tensors if each.name == name]
    with file.path.open("rb") as opened:
        opened.seek(tensor.offset)
        data = np.frombuffer(opened.read(tensor.size), dtype=np.uint8).reshape(tensor.shape[0], -1)
    return gguf.quants.dequantize(data, GGMLQuantizationType[tensor.type])


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q4_0"])
@pytest.mark.parametrize("hidden", [256, 192])
def test_each_tensor_has_the_type_that_llama_cpps_quantizer_gives_it(kind: str, hidden: int, tmp_path: Path) -> None:
    shape = replace(TINY, hidden=hidden)
    source, quantized, ours = tmp_path / "source.gguf", tmp_path / "quantized.gguf", tmp_path / "ours.gguf"
    write_random_gguf(source, shape, "Q8_0")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    parameters.allow_requantize = True
    parameters.nthread = 2
    reference: Any = ctypes.byref(parameters)
    assert llama_cpp.llama_model_quantize(str(source).encode(), str(quantized).encode(), reference) == 0
    write_random_gguf(ours, shape, kind)

    def types(path: Path) -> dict[str, str]:
        return {tensor.name: tensor.type for tensor in read_gguf(path).tensors}

    assert types(ours) == types(quantized)
    assert read_gguf(ours).quantization == read_gguf(quantized).quantization == kind


@pytest.mark.parametrize("kind", QUANTIZED)
def test_weights_are_spread_around_zero_in_every_type(kind: str, tmp_path: Path) -> None:
    write_random_gguf(tmp_path / "random.gguf", TINY, kind)
    file = read_gguf(tmp_path / "random.gguf")
    found: dict[str, list[np.ndarray[Any, Any]]] = {}
    for tensor in file.tensors:
        if len(tensor.shape) == 2:
            found.setdefault(tensor.type, []).append(weights(file, tensor.name).reshape(-1))
    for each in map(np.concatenate, found.values()):
        assert np.isfinite(each).all()
        assert np.std(each) == pytest.approx(SPREAD, rel=0.1)
        assert abs(np.mean(each)) < 0.12 * SPREAD


def test_the_model_loads_and_its_logits_are_finite_and_differ_from_token_to_token(tmp_path: Path) -> None:
    write_random_gguf(tmp_path / "random.gguf", TINY, "Q4_K_M")
    with Runtime.open(tmp_path / "random.gguf", context=512, threads=1) as runtime:
        assert runtime.window == TINY.window
        assert special_ids(runtime.vocabulary, "random")
        runtime.prefill(list(range(300)))
        logits = runtime.verify([1, 2, 3, 4])
    assert np.isfinite(logits).all()
    assert (np.std(logits, axis=1) > 0.3).all()
    assert np.abs(np.corrcoef(logits) - np.eye(4)).max() < 0.9


def test_no_two_rows_are_equal_even_where_the_pattern_is_much_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_gguf, "PATTERN_BYTES", 2**18)
    write_random_gguf(tmp_path / "random.gguf", TINY, "Q4_0")
    file = read_gguf(tmp_path / "random.gguf")
    assert sum(tensor.size for tensor in file.tensors) > 20 * 2**18
    for tensor in file.tensors:
        if len(tensor.shape) == 2:
            assert len(np.unique(weights(file, tensor.name), axis=0)) == tensor.shape[0], tensor


def test_the_file_is_its_head_and_its_tensors_and_says_its_shape(tmp_path: Path) -> None:
    written = write_random_gguf(tmp_path / "random.gguf", TINY, "Q4_K_M")
    file = read_gguf(written.path)
    assert shape_of_gguf(file) == TINY
    assert {tensor.name for tensor in file.tensors} == {*TINY.tensors(), "rope_freqs.weight"}
    padded = sum(-(-tensor.size // 32) * 32 for tensor in file.tensors)
    assert written.size == file.size == min(tensor.offset for tensor in file.tensors) + padded


def test_it_says_of_itself_all_that_a_converted_model_says(small: Path) -> None:
    ours, theirs = (
        {key for key in read_gguf(path).metadata if not key.startswith("general.")} for path in (small, NANO)
    )
    assert theirs - ours == set()


def test_cwms_special_tokens_have_cwms_ids_and_text_never_becomes_one(small: Path) -> None:
    with Runtime.open(small, context=64, threads=1) as runtime:
        ids = special_ids(runtime.vocabulary, "random")
        assert ids == {Special.BEGIN: 128000, Special.END: 128001, **IDS_IN_CWM}
        text = "".join(special.value for special in Special) + "\n\0ä\x7f"
        tokens = runtime.vocabulary.tokenize(text)
        assert b"".join(map(runtime.vocabulary.piece, tokens)) == text.encode()
        assert max(tokens) < 128000
    assert CWM_32B.vocabulary == runtime.vocabulary.size


def test_what_cannot_be_written_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="rows of 100 numbers"):
        write_random_gguf(tmp_path / "random.gguf", replace(TINY, feed_forward=100), "Q4_K_M")
    with pytest.raises(ModelError, match="more than 512 entries"):
        write_random_gguf(tmp_path / "random.gguf", replace(TINY, vocabulary=300), "Q4_K_M")
    with monkeypatch.context() as patched:
        patched.setattr(random_gguf.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
        with pytest.raises(ModelError, match=r"needs .* GiB, but"):
            write_random_gguf(tmp_path / "random.gguf", TINY, "Q8_0")
    with pytest.raises(ModelError, match="cannot be written"):
        write_random_gguf(tmp_path / "absent" / "random.gguf", TINY, "Q4_K_M")
    assert list(tmp_path.iterdir()) == []
