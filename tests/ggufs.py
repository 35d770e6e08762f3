"""GGUF files made byte by byte, whole or broken in one place, and a tiny CWM as others convert it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from quant.specials import IDS_IN_CWM, Special

ALIGNMENT = 32


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key: str, value: Any) -> bytes:
    """A metadata entry: an integer as uint32, a float as float32, a string, or a list of those."""

    def kind_and_data(value: Any) -> tuple[int, bytes]:
        if isinstance(value, bool):
            return 7, struct.pack("<?", value)
        if isinstance(value, int):
            return 4, struct.pack("<I", value)
        if isinstance(value, float):
            return 6, struct.pack("<f", value)
        if isinstance(value, str):
            return 8, string(value)
        items = [kind_and_data(item) for item in value]
        return 9, struct.pack("<IQ", items[0][0], len(items)) + b"".join(data for _, data in items)

    kind, data = kind_and_data(value)
    return string(key) + struct.pack("<I", kind) + data


def tensor(name: str, shape: Sequence[int], kind: int = 0, offset: int = 0) -> bytes:
    """A tensor's description; shape as numpy has it."""
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, offset)


def file_of(
    entries: Sequence[bytes], tensors: Sequence[bytes], data: bytes, *, magic: bytes = b"GGUF", version: int = 3
) -> bytes:
    head = magic + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join([*entries, *tensors])
    return head + b"\0" * (-len(head) % ALIGNMENT) + data


def byte_pieces() -> list[str]:
    """The 256 pieces of a byte-level BPE, each byte as the character that stands for it."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def write_llama(
    path: Path, *, specials: str = "named", context: int = 131072, vocabulary: int = 300, name: str = "tiny"
) -> None:
    """A random network of two layers as a plain llama, whose vocabulary has CWM's specials.

    `specials` is `named`, `reserved` (at CWM's ids, under the names they had before), or `none`.
    """
    pieces = byte_pieces()
    if specials == "reserved":
        vocabulary = max(vocabulary, 128256)
    pieces += [f"[unused {index}]" for index in range(len(pieces), vocabulary)]
    kinds = [gguf.TokenType.NORMAL] * vocabulary
    ids: dict[str, int] = {}
    if specials == "named":
        ids = {special.value: 256 + index for index, special in enumerate(Special)}
    elif specials == "reserved":
        ids = {f"<|reserved_special_token_{token - 128008 + 5}|>": token for token in IDS_IN_CWM.values()}
        ids |= {Special.BEGIN.value: 128000, Special.END.value: 128001}
    for piece, token in ids.items():
        pieces[token], kinds[token] = piece, gguf.TokenType.CONTROL
    hidden, feed_forward, heads = 32, 64, 2
    random = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return (random.standard_normal((rows, columns), dtype=np.float32) * 0.05).astype(np.float16)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(vocabulary)
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(feed_forward)
    writer.add_block_count(2)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(pieces)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(ids.get(Special.BEGIN.value, 0))
    writer.add_eos_token_id(ids.get(Special.END.value, 0))
    writer.add_tensor("token_embd.weight", matrix(vocabulary, hidden))
    for layer in range(2):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", matrix(hidden, hidden))
        for part in ("ffn_gate", "ffn_up"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", matrix(feed_forward, hidden))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", matrix(hidden, feed_forward))
        for part in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(hidden, dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(hidden, dtype=np.float32))
    writer.add_tensor("output.weight", matrix(vocabulary, hidden))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
