"""A converted CWM says what transformers says, however the runtime gets there.

In float32 nothing but the order of additions differs. With flash attention llama.cpp rounds keys and values to float16,
whatever the cache holds; from 64 tokens at once on, that is all (so transformers is made to round them, too), and for
fewer its CPU code also adds values up in float16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import CwmForCausalLM
from transformers.models.cwm import modeling_cwm

from quant.convert import convert
from quant.runtime import CHUNK_TOKENS, VERIFY_TOKENS, Runtime
from tests.checkpoints import SCALED_ROPE, random_cwm, small_vocabulary

TOKENS = 600
"""More than the runtime evaluates in one call, and many windows."""
TILE = 64
"""From so many tokens in one call on, llama.cpp's flash attention adds up in float32."""

SHAPES: dict[str, dict[str, Any]] = {
    "a key head each": {"num_key_value_heads": 4},
    "3 query heads to a key head, llama3 rope": {
        "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "hidden_size": 144, "num_hidden_layers": 5,
        "rope_parameters": SCALED_ROPE,
    },
    "6 to one with heads of 128 as in CWM, llama3 rope": {
        "num_attention_heads": 12, "num_key_value_heads": 2, "head_dim": 128, "hidden_size": 96, "num_hidden_layers": 5,
        "rope_parameters": SCALED_ROPE, "sliding_window": 100,
    },
    "one key head for all, eight layers": {
        "num_attention_heads": 6, "num_key_value_heads": 1, "hidden_size": 96, "num_hidden_layers": 8,
    },
    "window beyond the text, llama3 rope": {
        "sliding_window": 2048, "rope_parameters": SCALED_ROPE, "num_hidden_layers": 4,
    },
    "only windowed layers, heads of 80": {
        "head_dim": 80, "num_hidden_layers": 3, "sliding_window": 33, "layer_types": ["sliding_attention"] * 3,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How far apart two rows of logits may be, whose standard deviation is 0.5 or more."""

    difference: float
    divergence: float
    """Kullback-Leibler, in nats. A window that is one token off gives 5e-5 and more."""


EXACT = Limits(1e-4, 1e-8)
ROUNDED = Limits(1e-3, 1e-8)
"""Where both sides round to float16: a value between two floats may fall to either side."""
ADDED_IN_HALF = Limits(2e-2, 1e-5)
"""Measured: at most 9e-3 and 3e-6."""


@dataclass(frozen=True)
class Converted:
    """A random CWM as a GGUF, a text, and what transformers says about it."""

    folder: Path
    path: Path
    ids: list[int]
    exact: NDArray[np.float32]
    """Logits after each token."""
    rounded: NDArray[np.float32]
    """The same with keys and values rounded to float16."""


def reference(folder: Path, ids: list[int]) -> NDArray[np.float32]:
    model = CwmForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


def rounded_reference(folder: Path, ids: list[int]) -> NDArray[np.float32]:
    eager: Any = modeling_cwm.eager_attention_forward

    def attend(module: Any, query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> Any:
        return eager(module, query, key.half().float(), value.half().float(), *rest, **named)

    with mock.patch.object(modeling_cwm, "eager_attention_forward", attend):
        return reference(folder, ids)


@pytest.fixture(scope="module", params=SHAPES)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    folder = random_cwm(tmp_path_factory.mktemp("cwm") / "checkpoint", **SHAPES[request.param])
    path = folder.parent / "whole.gguf"
    convert(folder, path, dtype="f32")
    ids = torch.randint(
        0, len(small_vocabulary().pieces), (TOKENS,), generator=torch.Generator().manual_seed(1)
    ).tolist()
    return Converted(folder, path, ids, reference(folder, ids), rounded_reference(folder, ids))


@pytest.fixture(params=[False, True], ids=["plain attention", "flash attention"])
def flash_attention(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=[False, True], ids=["window kept", "all kept"])
def runtime(request: pytest.FixtureRequest, converted: Converted, flash_attention: bool) -> Iterator[Runtime]:
    kept = {"flash_attention": flash_attention, "whole_window": request.param}
    with Runtime.open(converted.path, context=TOKENS, threads=1, kv_type="f32", **kept) as opened:
        yield opened


def distances(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[float, float]:
    """The largest difference of two rows of logits, and the largest Kullback-Leibler divergence."""
    left, right = log_probabilities(theirs), log_probabilities(ours)
    return float(np.abs(ours - theirs).max()), float((np.exp(left) * (left - right)).sum(axis=-1).max())


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class Comparison:
    """Feeds a runtime in pieces and holds what it says against transformers."""

    def __init__(self, converted: Converted, runtime: Runtime, flash_attention: bool) -> None:
        self.converted = converted
        self.runtime = runtime
        self.flash_attention = flash_attention
        self.in_half = False
        """Whether anything evaluated so far was added up in float16: it stays in the cache."""

    def verify(self, sizes: Sequence[int]) -> None:
        """Verify the rest of the text in drafts of these sizes, over and over."""
        rows: list[NDArray[np.float32]] = []
        start = len(self.runtime.tokens)
        while (done := len(self.runtime.tokens)) < TOKENS:
            draft = self.converted.ids[done : done + sizes[len(rows) % len(sizes)]]
            self.in_half |= len(draft) < TILE
            rows.append(self.runtime.verify(draft))
        self.check(np.concatenate(rows), slice(start, TOKENS))

    def extend(self, size: int) -> None:
        """Evaluate further tokens and look at what is said after the last one."""
        done = len(self.runtime.tokens)
        self.in_half |= size % CHUNK_TOKENS < TILE
        logits = self.runtime.extend(self.converted.ids[done : done + size])
        self.check(logits[None], slice(done + size - 1, done + size))

    def roll_back(self, length: int) -> None:
        self.runtime.roll_back(length)
        assert list(self.runtime.tokens) == self.converted.ids[:length]
        self.in_half &= length > 0

    def check(self, logits: NDArray[np.float32], where: slice) -> None:
        if not self.flash_attention:
            expected, limits = self.converted.exact, EXACT
        elif self.in_half:
            expected, limits = self.converted.exact, ADDED_IN_HALF
        else:
            expected, limits = self.converted.rounded, ROUNDED
        difference, divergence = distances(logits, expected[where])
        assert difference < limits.difference and divergence < limits.divergence


def test_logits_are_those_of_transformers(converted: Converted, runtime: Runtime, flash_attention: bool):
    assert converted.exact.std() > 0.3
    comparison = Comparison(converted, runtime, flash_attention)
    # The prompt at once, which is more than one call.
    assert TOKENS > CHUNK_TOKENS
    comparison.extend(TOKENS)
    # All positions, then again from inside the window and from far beyond it.
    comparison.roll_back(0)
    comparison.verify([VERIFY_TOKENS])
    comparison.roll_back(TOKENS - 5)
    comparison.verify([2])
    comparison.roll_back(TOKENS // 3)
    comparison.verify([VERIFY_TOKENS])
    # The prompt in pieces of odd sizes, the rest in drafts of odd sizes.
    comparison.roll_back(0)
    for size in (1, 7, 33, 250, 1, 59):
        comparison.extend(size)
    comparison.verify([1, 2, 5, 127])


@pytest.mark.parametrize(
    "converted", ["a key head each", "6 to one with heads of 128 as in CWM, llama3 rope"], indirect=True
)
def test_a_window_that_is_one_token_off_would_be_seen(converted: Converted):
    config = json.loads((converted.folder / "config.json").read_text())
    for off in (-1, 1):
        folder = converted.folder.parent / f"off by {off}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**config, "sliding_window": config["sliding_window"] + off}))
        (folder / "model.safetensors").symlink_to(converted.folder / "model.safetensors")
        difference, divergence = distances(reference(folder, converted.ids), converted.exact)
        assert difference > ADDED_IN_HALF.difference and divergence > ADDED_IN_HALF.divergence
