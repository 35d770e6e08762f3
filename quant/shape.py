"""The numbers of a CWM: what decides its size, its memory and its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from quant.errors import ModelError
from quant.gguf_file import GgufFile

ARCHITECTURE = "granite_swa"
"""llama.cpp's architecture that expresses a CWM exactly."""
WINDOW = 8192
"""Tokens that CWM's windowed layers see."""
FULL_EVERY = 4
"""Of CWM's layers, those with an index divisible by this see everything."""
_MOST_LAYERS = 512
"""LLAMA_MAX_LAYERS of llama.cpp."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of a CWM."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    """Tokens it was trained for."""
    window: int
    """Tokens that windowed layers see; 0 where no layer has a window."""
    windowed: tuple[bool, ...]
    """For each layer whether it has the window."""

    @property
    def full_layers(self) -> int:
        """How many layers see everything."""
        return self.layers - sum(self.windowed)

    @property
    def parameters(self) -> int:
        """How many weights it has, norms included, attention sinks and RoPE factors not."""
        return sum(
            rows * columns for name, (rows, columns) in self.tensors().items() if not name.endswith("attn_sinks.weight")
        )

    def tensors(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each tensor under llama.cpp's name, in the order of the file; vectors have one row."""
        query, key = self.heads * self.head_size, self.kv_heads * self.head_size
        found = {"token_embd.weight": (self.vocabulary, self.hidden)}
        for layer in range(self.layers):
            found |= {
                f"blk.{layer}.attn_norm.weight": (1, self.hidden),
                f"blk.{layer}.attn_q.weight": (query, self.hidden),
                f"blk.{layer}.attn_k.weight": (key, self.hidden),
                f"blk.{layer}.attn_v.weight": (key, self.hidden),
                f"blk.{layer}.attn_sinks.weight": (1, self.heads),
                f"blk.{layer}.attn_output.weight": (self.hidden, query),
                f"blk.{layer}.ffn_norm.weight": (1, self.hidden),
                f"blk.{layer}.ffn_gate.weight": (self.feed_forward, self.hidden),
                f"blk.{layer}.ffn_up.weight": (self.feed_forward, self.hidden),
                f"blk.{layer}.ffn_down.weight": (self.hidden, self.feed_forward),
            }
        found |= {"output_norm.weight": (1, self.hidden), "output.weight": (self.vocabulary, self.hidden)}
        return found


def windowed_layers(layers: int) -> tuple[bool, ...]:
    """CWM's own pattern."""
    return tuple(index % FULL_EVERY != 0 for index in range(layers))


CWM_32B = Shape(
    layers=64,
    hidden=6144,
    feed_forward=21504,
    heads=48,
    kv_heads=8,
    head_size=128,
    vocabulary=128256,
    context=131072,
    window=WINDOW,
    windowed=windowed_layers(64),
)
"""Meta's Code World Model (arXiv 2510.02387)."""


def shape_of_gguf(file: GgufFile) -> Shape:
    """The shape of a GGUF, a CWM's or of any other architecture with the same layout. Raises ModelError."""
    metadata: Mapping[str, Any] = file.metadata
    prefix = file.architecture
    tokens = metadata.get("tokenizer.ggml.tokens")
    pattern = metadata.get(f"{prefix}.attention.sliding_window_pattern")

    def number(key: str, otherwise: int | None = None, most: int = 2**31) -> int:
        value = metadata.get(f"{prefix}.{key}", otherwise)
        if not isinstance(value, int) or not 0 < value < most:
            said = "does not say its" if value is None else f"has an impossible value ({value!r:.40}) for its"
            raise ModelError(f"{file.path} {said} {key}; give a GGUF of a Code World Model.")
        return value

    layers = number("block_count", most=_MOST_LAYERS + 1)
    hidden, heads = number("embedding_length"), number("attention.head_count")
    windowed = tuple(map(bool, cast("list[Any]", pattern))) if isinstance(pattern, list) else (False,) * layers
    if len(windowed) != layers:
        raise ModelError(f"{file.path} has {layers} layers, but windows for {len(windowed)}; build it again.")
    return Shape(
        layers=layers,
        hidden=hidden,
        feed_forward=number("feed_forward_length"),
        heads=heads,
        kv_heads=number("attention.head_count_kv", heads),
        head_size=number("attention.key_length", hidden // heads),
        vocabulary=number("vocab_size", len(cast("list[Any]", tokens)) if isinstance(tokens, list) else None),
        context=number("context_length"),
        window=number("attention.sliding_window") if any(windowed) else 0,
        windowed=windowed,
    )
