"""Heads of GGUF files, made byte by byte: what is right is read as it is, what is not is named in one sentence."""

from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc

import pytest

from foretrace.models import bundled_path
from quant.errors import ModelError
from quant.gguf_file import TensorInfo, read_gguf
from tests.ggufs import entry, file_of, string, tensor, write_llama

ENTRIES = [
    entry("general.architecture", "llama"),
    entry("general.file_type", 15),
    entry("some.truth", True),
    entry("some.number", 0.5),
    entry("some.list", [3, 2, 1]),
    entry("tokenizer.ggml.tokens", ["a", "ü", ""]),
]
TENSORS = [tensor("a.weight", (2, 32), kind=8), tensor("b.weight", (4,), offset=96)]
DATA = bytes(96 + 16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


def refusal(path) -> str:
    with pytest.raises(ModelError) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_all_of_a_head_is_read(path):
    path.write_bytes(file_of(ENTRIES, TENSORS, DATA))
    file = read_gguf(path)
    assert file.metadata == {
        "general.architecture": "llama",
        "general.file_type": 15,
        "some.truth": True,
        "some.number": 0.5,
        "some.list": [3, 2, 1],
        "tokenizer.ggml.tokens": ["a", "ü", ""],
    }
    start = path.stat().st_size - len(DATA)
    assert file.tensors == (
        TensorInfo("a.weight", (2, 32), "Q8_0", start, 68),
        TensorInfo("b.weight", (4,), "F32", start + 96, 16),
    )
    assert (file.architecture, file.quantization, file.weights, file.version) == ("llama", "Q4_K_M", 68, 3)
    assert file.bits_per_weight == 8 * (68 + 16) / 68


def test_the_bundled_model_is_read_as_the_gguf_package_reads_it():
    from gguf import GGUFReader

    file, reader = read_gguf(bundled_path()), GGUFReader(bundled_path())
    theirs = {
        tensor.name: (tuple(map(int, reversed(tensor.shape))), tensor.tensor_type.name, tensor.data_offset)
        for tensor in reader.tensors
    }
    assert {tensor.name: (tensor.shape, tensor.type, tensor.offset) for tensor in file.tensors} == theirs
    keys = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert dict(file.metadata) == keys


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"GG", "is not a GGUF file"),
        (b"PK\3\4 and so on", "is not a GGUF file"),
        (file_of([], [], b"", version=1), "version 1"),
        (file_of([], [], b"", version=4), "version 4"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (file_of(ENTRIES, TENSORS, DATA)[:40], "cut short in its header"),
        (file_of(ENTRIES, TENSORS, DATA)[:-1], "at least 1 bytes are missing, at b.weight"),
        (file_of([string("key") + struct.pack("<I", 99)], [], b""), "unknown kind 99"),
        (file_of([string("key") + struct.pack("<IIQ", 9, 9, 1)], [], b""), "unknown kind 9"),
        (file_of([string("key") + struct.pack("<IIQ", 9, 8, 2**60)], [], b""), "1152921504606846976 items"),
        (file_of([string("key") + struct.pack("<IQ", 8, 2**63)], [], b""), "cut short in its header"),
        (file_of([ENTRIES[0], ENTRIES[0]], [], b""), "general.architecture is there twice"),
        (file_of([entry("general.alignment", 0)], [], b""), "an alignment of 0"),
        (file_of([entry("general.alignment", "wide")], [], b""), "an alignment of wide"),
        (file_of([], [tensor("a", (1, 1, 1, 1, 1))], b""), "5 dimensions of a"),
        (file_of([], [tensor("a", (1,), kind=999)], b""), "999 is not a valid"),
        (file_of([], [tensor("a", (2**40, 2**40))], b""), "bytes are missing, at a"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**62) + bytes(100), "4611686018427387904 metadata entries"),
    ],
)
def test_what_cannot_be_read_is_named(path, content, sentence):
    path.write_bytes(content)
    assert sentence in refusal(path)


def test_a_folder_and_files_that_are_not_there_or_cannot_be_opened_are_named(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "There is no model file" in refusal(tmp_path / "none.gguf")
    loop = tmp_path / "loop.gguf"
    loop.symlink_to(loop)
    assert "cannot be read" in refusal(loop)


def test_a_file_without_permission_is_named(path):
    path.write_bytes(file_of(ENTRIES, TENSORS, DATA))
    path.chmod(0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # root may read everything
    try:
        assert "Permission denied" in refusal(path)
    finally:
        if is_root:
            os.seteuid(0)


def test_damaged_heads_give_a_sentence_or_a_head_quickly_and_in_little_memory(path, tmp_path):
    write_llama(path)
    content = path.read_bytes()
    head = min(tensor.offset for tensor in read_gguf(path).tensors)
    chance = random.Random(7)
    damaged = tmp_path / "damaged.gguf"
    read = refused = 0
    tracemalloc.start()
    start = time.perf_counter()
    for _ in range(600):
        data = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 8))):
            data[chance.randrange(head)] = chance.choice((0, 255, chance.randrange(256)))
        damaged.write_bytes(data)
        try:
            read_gguf(damaged)
            read += 1
        except ModelError:
            refused += 1
    assert read > 100 and refused > 100
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert time.perf_counter() - start < 30


def test_a_damaged_count_does_not_keep_it_reading_through_the_weights(path):
    # Zeros are empty strings to who reads on: a sparse gigabyte would be 134 million of them.
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("key") + struct.pack("<IIQ", 9, 8, 2**27)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(2**30 + 4096)
    start = time.perf_counter()
    assert "134217728 items" in refusal(path)
    assert time.perf_counter() - start < 1
