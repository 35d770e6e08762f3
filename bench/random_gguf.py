"""A GGUF of any CWM shape with random weights.

    python -m bench.random_gguf OUT.gguf [--shape cwm-32b|nano|small] [--type Q4_K_M]

For measuring speed and memory without the gated weights. Every tensor has the name, shape and type that llama.cpp's own
quantizer gives it, but its blocks are random bits with scales that make weights of about 0.02. They come from one
pattern of PATTERN_BYTES for each type, written again and again; its number of blocks is prime, so that no two rows of a
matrix are equal. Words that such a model writes mean nothing.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, LlamaFileType, TokenType
from gguf.constants import GGMLQuantizationType as Block
from numpy.typing import NDArray

from quant.checkpoint import CWM_ROPE
from quant.convert import NO_SINK, write_shape
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.plan import QUANTIZED, build_of_shape
from quant.shape import ARCHITECTURE, CWM_32B, Shape, shape_of_gguf, windowed_layers
from quant.specials import IDS_IN_CWM, RESERVED, Special

NOTE = "random weights: speed and memory only, its words mean nothing"
PATTERN_BYTES = 64 * 2**20
"""About how long the pattern is that a type's tensors repeat."""
SPREAD = 0.02
"""Standard deviation of the weights: activations neither vanish nor overflow in 64 layers."""
NORM_EPSILON = 1e-5
SPECIALS = 256
"""How many entries at the end of CWM's vocabulary are control tokens."""

SMALL = Shape(
    layers=8,
    hidden=256,
    feed_forward=768,
    heads=12,
    kv_heads=2,
    head_size=128,
    vocabulary=CWM_32B.vocabulary,
    context=4096,
    window=512,
    windowed=windowed_layers(8),
)
"""For trying things out on a CPU, in 60 MB: CWM's vocabulary, its kinds of layers, its heads' size and their ratio."""

NANO = Path(__file__).parents[1] / "foretrace" / "data" / "nano.gguf"

_SCALES: Mapping[Block, Mapping[int, float]] = {
    Block.IQ4_NL: {0: 1 / 67.3},
    Block.IQ4_XS: {0: 1 / 1244},
    Block.Q3_K: {108: 1 / 43.3},
    Block.Q4_0: {0: 1 / 4.61},
    Block.Q5_0: {0: 1 / 9.23},
    Block.Q5_1: {0: 1 / 9.23, 2: -15.5 / 9.23},
    Block.Q8_0: {0: 1 / 73.9},
    Block.Q4_K: {0: 1 / 258, 2: 7.5 / 258},
    Block.Q5_K: {0: 1 / 526, 2: 15.5 / 526},
    Block.Q6_K: {208: 1 / 1366},
}
"""Where in a type's block half-precision scales lie, in bytes from its start, and what they are for weights of standard
deviation 1 and mean 0; all other bits may be random. Layouts: ggml-common.h of ggml."""


@dataclass(frozen=True, slots=True)
class Written:
    """A random GGUF as it was written."""

    path: Path
    size: int
    """Bytes of the file."""
    seconds: float
    """Until the last byte was on the disk."""


def main() -> None:
    """Write one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", default="cwm-32b", choices=SHAPES)
    parser.add_argument("--type", default="Q4_K_M", choices=QUANTIZED)
    options = parser.parse_args()
    try:
        written = write_random_gguf(options.out, shape_called(options.shape), options.type)
    except ModelError as error:
        parser.exit(3, f"{error}\n")
    print(
        f"wrote {written.path}: {written.size / 1e9:.2f} GB in {written.seconds:.1f} s "
        f"({written.size / written.seconds / 1e9:.2f} GB/s); {NOTE}"
    )


SHAPES = ("cwm-32b", "nano", "small")


def shape_called(name: str) -> Shape:
    """The shape of one of SHAPES. Raises ModelError where nano's file cannot be read."""
    match name:
        case "cwm-32b":
            return CWM_32B
        case "nano":
            return shape_of_gguf(read_gguf(NANO))
        case _:
            return SMALL


def write_random_gguf(out: Path, shape: Shape, kind: str, *, seed: int = 0) -> Written:
    """Write the GGUF `out` of this shape as a build of one of QUANTIZED, replacing what is there.

    The same arguments give the same bytes. Raises ModelError, and leaves nothing behind then.
    """
    began = time.perf_counter()
    tensors = list(_tensors(shape, kind))
    part = out.with_name(f".{out.name}.part")
    writer = gguf.GGUFWriter(part, ARCHITECTURE)
    try:
        _write_metadata(writer, shape, kind)
        needed = sum(tensor.size for tensor in tensors) + 2**24
        if (free := shutil.disk_usage(out.parent).free) < needed:
            raise ModelError(
                f"{out.name} needs {needed / 2**30:.1f} GiB, but {out.parent} has {free / 2**30:.1f} GiB free; "
                "name another place."
            )
        for tensor in tensors:
            writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.size, raw_dtype=tensor.type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        files: Any = writer.fout
        _write_weights(writer, files[0], tensors, np.random.default_rng(seed))
        files[0].flush()
        os.fsync(files[0].fileno())
        writer.close()
        part.replace(out)
    except OSError as error:
        raise ModelError(
            f"{out} cannot be written ({error.strerror}); free some space or name another place."
        ) from error
    finally:
        writer.close()
        part.unlink(missing_ok=True)
    return Written(out, out.stat().st_size, time.perf_counter() - began)


def pieces(count: int) -> tuple[list[str], list[TokenType]]:
    """A vocabulary of `count` entries that llama.cpp takes, and their kinds.

    The 256 bytes and the one merge, then fillers, and at the end CWM's control tokens, which for CWM's own size lie
    where CWM has them. Raises ModelError where `count` is too small.
    """
    first_special = count - SPECIALS
    if first_special <= _BYTES:
        raise ModelError(f"A vocabulary needs more than {_BYTES + SPECIALS} entries, not {count}.")
    # The alphabet of byte-level BPE: printable Latin-1 stands for itself, the rest for characters from U+0100 on.
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    found = [chr(byte) for byte in plain] + [chr(_BYTES + index) for index in range(_BYTES - len(plain))]
    found.append(_MERGE.replace(" ", ""))
    found += [f"filler{index}" for index in range(len(found), first_special)]
    found += [f"{RESERVED}{index}|>" for index in range(SPECIALS)]
    cwm_first = CWM_32B.vocabulary - SPECIALS
    ids = {Special.BEGIN: cwm_first, Special.END: cwm_first + 1, **IDS_IN_CWM}
    for special, token in ids.items():
        found[token - cwm_first + first_special] = special.value
    return found, [TokenType.NORMAL] * first_special + [TokenType.CONTROL] * SPECIALS


_BYTES = 256
_MERGE = "Ġ Ġ"
"""Two blanks; llama.cpp does not load a vocabulary without merges."""


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: Block
    values: NDArray[np.float32] | None = None
    """None where they are random."""

    @property
    def size(self) -> int:
        """Bytes."""
        block, block_bytes = GGML_QUANT_SIZES[self.type]
        return math.prod(self.shape) // block * block_bytes


def _tensors(shape: Shape, kind: str) -> Iterator[_Tensor]:
    """All of the GGUF, in order."""
    divisors = CWM_ROPE.divisors(shape.head_size)
    assert divisors is not None  # CWM's RoPE is scaled
    yield _Tensor("rope_freqs.weight", divisors.shape, Block.F32, divisors)
    for tensor in build_of_shape(shape, kind).tensors:
        values = None
        if len(tensor.shape) == 1:
            values = np.full(tensor.shape, NO_SINK if "attn_sinks" in tensor.name else 1.0, dtype=np.float32)
        elif Block[tensor.type] not in _SCALES:
            raise ModelError(f"{tensor.name} has rows of {tensor.shape[1]} numbers, which cannot be stored as {kind}.")
        yield _Tensor(tensor.name, tensor.shape, Block[tensor.type], values)


def _write_weights(
    writer: gguf.GGUFWriter, file: BinaryIO, tensors: list[_Tensor], random: np.random.Generator
) -> None:
    patterns: dict[Block, memoryview] = {}
    used: dict[Block, int] = {}
    writer.write_padding(file, file.tell())
    for tensor in tensors:
        if tensor.values is not None:
            file.write(tensor.values.data)
        else:
            if tensor.type not in patterns:
                longest = max(each.size for each in tensors if each.type == tensor.type)
                patterns[tensor.type] = memoryview(_pattern(tensor.type, longest, random))
            pattern, start, left = patterns[tensor.type], used.get(tensor.type, 0), tensor.size
            while left:
                count = min(left, len(pattern) - start)
                file.write(pattern[start : start + count])
                left, start = left - count, (start + count) % len(pattern)
            used[tensor.type] = start
        writer.write_padding(file, tensor.size)


def _pattern(kind: Block, longest: int, random: np.random.Generator) -> bytes:
    """Random blocks in a row, as bytes: a prime number of them, and no more than the longest tensor needs."""
    size = GGML_QUANT_SIZES[kind][1]
    count = _prime_from(min(PATTERN_BYTES, longest) // size)
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    spread = random.uniform(0.5, 1.5, count) * SPREAD
    for offset, scale in _SCALES[kind].items():
        halves = (spread * scale).astype("<f2").tobytes()
        blocks[:, offset], blocks[:, offset + 1] = (
            np.frombuffer(halves[0::2], np.uint8),
            np.frombuffer(halves[1::2], np.uint8),
        )
    return blocks.tobytes()


def _prime_from(number: int) -> int:
    """The first prime that is not smaller, and at least 2."""
    number = max(2, number)
    while any(number % divisor == 0 for divisor in range(2, math.isqrt(number) + 1)):
        number += 1
    return number


def _write_metadata(writer: gguf.GGUFWriter, shape: Shape, kind: str) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("random CWM")
    writer.add_description(NOTE)
    writer.add_file_type(LlamaFileType[f"MOSTLY_{kind}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    write_shape(writer, shape, norm_epsilon=NORM_EPSILON, rope_theta=CWM_ROPE.theta)
    spelled, kinds = pieces(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(spelled)
    writer.add_token_types(kinds)
    writer.add_token_merges([_MERGE])
    writer.add_bos_token_id(spelled.index(Special.BEGIN.value))
    writer.add_eos_token_id(spelled.index(Special.END.value))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)


if __name__ == "__main__":
    main()
