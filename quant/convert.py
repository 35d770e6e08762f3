"""A CWM checkpoint as a GGUF that llama.cpp runs exactly.

llama.cpp does not know CWM. Its `granite_swa` is the same network once Granite's scales are 1, the attention sinks take
no share of the softmax and the layers' windows are spelled out. Rows of q and k are reordered as for llama, where the
two halves that rotate together are interleaved.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import gguf
import numpy as np
from numpy.typing import NDArray

from quant.checkpoint import DTYPE_SIZES, Checkpoint, Weights
from quant.errors import ModelError
from quant.gguf_file import TEMPERATURE_KEY
from quant.shape import ARCHITECTURE, Shape
from quant.sizes import spelled_size
from quant.specials import Special

FORMAT_VERSION = 1
"""Of the way CWM is expressed in a GGUF; `foretrace.format_version` in its metadata."""
NO_SINK = -1e30
"""An attention sink that gets exactly nothing in float32; minus infinity would too, but the quantizer refuses it."""
Bits: TypeAlias = Any
"""A numpy array of floating-point numbers as their bits, uint16 or uint32, for which numpy has no one type."""
DTYPES = ("bf16", "f16", "f32")
"""How matrices can be stored; norms, sinks and RoPE's divisors stay in f32."""
CHUNK_BYTES = 16 * 2**20
"""Of a tensor, what is in memory at once, as the checkpoint stores it."""

_F16_MAX = 65504.0
_EXPONENT = {"BF16": 0x7F80, "F16": 0x7C00, "F32": 0x7F80_0000}
"""The bits of the exponent; all are set in infinities and NaNs, and only in them."""
_BITS = {"BF16": "<u2", "F16": "<u2", "F32": "<u4"}
_FILE_TYPES = {
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "f32": gguf.LlamaFileType.ALL_F32,
}


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was converted."""

    shape: Shape
    name: str
    licence: str
    """'' where the checkpoint does not say."""
    size: int
    """Bytes of the file."""
    rounded: int
    """Weights that the file's numbers cannot hold exactly; 0 where every weight is the checkpoint's."""
    assumptions: tuple[str, ...]
    """Sentences about what the checkpoint does not say, for a person to read."""


def convert(
    checkpoint: Path,
    out: Path,
    *,
    dtype: str = "bf16",
    repository: str = "",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Conversion:
    """Write the checkpoint in the folder `checkpoint` as the GGUF `out`, its matrices as `dtype`, one of DTYPES.

    Needs less than 300 MB of memory whatever the checkpoint's size. `repository` is where it came from on the Hugging
    Face hub, as `owner/name`, where the caller knows; `on_progress` gets the bytes of weights written and in all.

    Raises ModelError where the checkpoint is no sound CWM, a weight is not finite or does not fit `dtype`, or the disk
    has no room; OSError where writing fails. Then `out` may be there in part: it is the caller's to remove.
    """
    opened = Checkpoint.open(checkpoint)
    plan = list(_plan(opened, dtype.upper()))
    writer = gguf.GGUFWriter(out, ARCHITECTURE)
    try:
        name, licence = _write_metadata(writer, opened, dtype, repository or opened.card.repository)
        for part in plan:
            kind = gguf.GGMLQuantizationType[part.dtype]
            writer.add_tensor_info(part.name, part.shape, np.dtype(np.float32), part.size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        files: Any = writer.fout
        rounded = _write_weights(writer, files[0], plan, out, on_progress)
        files[0].flush()
        os.fsync(files[0].fileno())  # some file systems say only here that they are full
    finally:
        writer.close()
    return Conversion(opened.shape, name, licence, out.stat().st_size, rounded, opened.assumptions)


@dataclass(frozen=True, slots=True)
class _Part:
    """One tensor of the GGUF and what it is made of."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    source: Weights | NDArray[np.float32]
    heads: int = 0
    """How many heads' rows are to be reordered; 0 for a tensor whose rows stay."""

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape)) * DTYPE_SIZES[self.dtype]


def _plan(opened: Checkpoint, dtype: str) -> Iterator[_Part]:
    """The GGUF's tensors in order."""
    shape = opened.shape
    divisors = opened.rope.divisors(shape.head_size)
    if divisors is not None:
        yield _Part("rope_freqs.weight", divisors.shape, "F32", divisors)
    heads = {"attn_q": shape.heads, "attn_k": shape.kv_heads}
    for name, (rows, columns) in shape.tensors().items():
        if name.endswith("attn_sinks.weight"):
            yield _Part(name, (columns,), "F32", np.full(columns, NO_SINK, dtype=np.float32))
            continue
        weights = opened.tensors[name]
        if len(weights.shape) == 1:
            yield _Part(name, weights.shape, "F32", weights)
        else:
            yield _Part(name, (rows, columns), dtype, weights, heads.get(name.split(".")[-2], 0))


def _write_weights(
    writer: gguf.GGUFWriter, file: BinaryIO, plan: list[_Part], out: Path, on_progress: Callable[[int, int], None]
) -> int:
    """Write all tensors, chunk by chunk; return how many weights were rounded."""
    padding = writer.data_alignment
    total = sum(part.size for part in plan)
    needed = sum(-(-part.size // padding) * padding for part in plan) + padding
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise ModelError(
            f"{out.name} needs {spelled_size(needed)} more, but its disk has {spelled_size(free)} free; "
            "free some space or name another place."
        )
    done = rounded = 0
    writer.write_padding(file, file.tell())
    for part in plan:
        for chunk, changed in _chunks(part):
            file.write(chunk.data)
            done, rounded = done + chunk.nbytes, rounded + changed
            on_progress(done, total)
        writer.write_padding(file, part.size)
    return rounded


def _chunks(part: _Part) -> Iterator[tuple[Bits, int]]:
    """The tensor's numbers as the GGUF stores them, piece by piece, and how many of each piece were rounded."""
    source = part.source
    if not isinstance(source, Weights):
        yield cast("Any", source).view("<u4"), 0
        return
    rows, columns = (1, *source.shape)[-2:]
    # The rows of a head trade places with each other only, so that whole heads can be taken one after another.
    unit = rows // part.heads if part.heads else 1
    row_bytes = columns * DTYPE_SIZES[source.dtype]
    step = max(1, CHUNK_BYTES // (unit * row_bytes)) * unit
    with _opened(source) as file:
        for start in range(0, rows, step):
            count = min(step, rows - start)
            bits = _read(file, source, start * row_bytes, count * columns).reshape(count, columns)
            _check_finite(bits, source)
            if part.heads:
                bits = _interleaved(bits, unit)
            yield _stored(bits, source, part.dtype)


def _opened(source: Weights) -> BinaryIO:
    try:
        return source.path.open("rb")
    except OSError as error:
        raise ModelError(f"{source.path} cannot be read ({error.strerror}).") from error


def _read(file: BinaryIO, source: Weights, offset: int, count: int) -> Bits:
    """`count` numbers as bits. Raises ModelError where they cannot be read."""
    try:
        file.seek(source.offset + offset)
        bits = np.fromfile(file, dtype=_BITS[source.dtype], count=count)
    except OSError as error:
        raise ModelError(f"{source.path} cannot be read ({error.strerror or error}).") from error
    if len(bits) != count:
        raise ModelError(f"{source.path} became shorter while it was read; download it again.")
    return bits


def _interleaved(rows: Bits, head_size: int) -> Bits:
    """Whole heads of q or k: the halves that rotate together, one after the other in transformers, interleave."""
    count, columns = rows.shape
    halves: Any = rows.reshape(count // head_size, 2, head_size // 2, columns)
    interleaved: Any = np.ascontiguousarray(halves.swapaxes(1, 2))
    return interleaved.reshape(count, columns)


def _check_finite(bits: Bits, source: Weights) -> None:
    exponent = _EXPONENT[source.dtype]
    if ((bits & exponent) == exponent).any():
        raise ModelError(
            f"{source.path} holds weights that are not finite, in {source.name}; the checkpoint is broken: "
            "download it again."
        )


def _stored(bits: Bits, source: Weights, dtype: str) -> tuple[Bits, int]:
    """Numbers given as bits of the source's kind, as bits of `dtype`, and how many of them changed."""
    if source.dtype == dtype:
        return bits, 0
    values = _floats(bits, source.dtype)
    if dtype == "F32":
        return values.view("<u4"), 0
    if dtype == "F16":
        if np.abs(values).max(initial=0) > _F16_MAX:
            raise ModelError(
                f"{source.path} holds weights beyond {_F16_MAX:,.0f}, the largest that f16 can hold, in {source.name}; "
                "convert to bf16 or f32."
            )
        stored = values.astype("<f2").view("<u2")
    else:
        wide = values.view("<u4")
        stored = ((wide + 0x7FFF + ((wide >> 16) & 1)) >> 16).astype("<u2")  # to nearest, ties to even
        if ((stored & _EXPONENT["BF16"]) == _EXPONENT["BF16"]).any():
            raise ModelError(
                f"{source.path} holds weights beyond what bf16 can hold, in {source.name}; convert to f32."
            )
    return stored, int(np.count_nonzero(_floats(stored, dtype) != values))


def _floats(bits: Bits, dtype: str) -> Any:
    """The numbers as an array of float32."""
    if dtype == "BF16":
        return (bits.astype("<u4") << 16).view("<f4")
    return bits.view("<f2" if dtype == "F16" else "<f4").astype("<f4", copy=False)


def _write_metadata(writer: gguf.GGUFWriter, opened: Checkpoint, dtype: str, repository: str) -> tuple[str, str]:
    """Write where it comes from, its numbers and its vocabulary; return its name and licence."""
    shape, card = opened.shape, opened.card
    name = card.name or repository.rpartition("/")[2] or opened.folder.resolve().name
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    if card.licence:
        writer.add_license(card.licence)
    if card.licence_name:
        writer.add_license_name(card.licence_name)
    if card.licence_link:
        writer.add_license_link(card.licence_link)
    if repository:
        writer.add_source_repo_url(f"https://huggingface.co/{repository}")
    if card.bases:
        writer.add_base_model_count(len(card.bases))
    for index, base in enumerate(card.bases):
        owner, _, base_name = base.rpartition("/")
        writer.add_base_model_name(index, base_name)
        if owner:
            writer.add_base_model_organization(index, owner)
            writer.add_base_model_repo_url(index, f"https://huggingface.co/{base}")
    writer.add_file_type(_FILE_TYPES[dtype])
    write_shape(writer, shape, norm_epsilon=opened.norm_epsilon, rope_theta=opened.rope.theta)
    _write_vocabulary(writer, opened)
    licence = card.licence_name if card.licence == "other" and card.licence_name else card.licence
    return name, licence


def write_shape(writer: gguf.GGUFWriter, shape: Shape, *, norm_epsilon: float, rope_theta: float) -> None:
    """Write a model's numbers as metadata; those that make a CWM of it only where the architecture has them."""
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_layer_norm_rms_eps(norm_epsilon)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(rope_theta)
    if writer.arch != ARCHITECTURE:
        return
    writer.add_uint32("foretrace.format_version", FORMAT_VERSION)
    writer.add_float32(TEMPERATURE_KEY, 1.0)  # taken at its word until it is measured: `python -m nano.calibrate`
    writer.add_sliding_window(shape.window)
    writer.add_sliding_window_pattern(shape.windowed)
    writer.add_logit_scale(1.0)
    writer.add_residual_scale(1.0)
    writer.add_embedding_scale(1.0)
    writer.add_attention_scale(shape.head_size**-0.5)


def _write_vocabulary(writer: gguf.GGUFWriter, opened: Checkpoint) -> None:
    tokenizer = opened.tokenizer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre_tokenizer)
    writer.add_token_list(tokenizer.pieces)
    writer.add_token_types(tokenizer.kinds)
    writer.add_token_merges(tokenizer.merges)
    writer.add_bos_token_id(tokenizer.id_of(Special.BEGIN))
    writer.add_eos_token_id(tokenizer.id_of(Special.END))
    # Who makes a prompt puts the first token there.
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
