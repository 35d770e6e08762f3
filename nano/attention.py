"""Causal attention for training: on CPUs queries in blocks, each with the keys that it can see and no others.

PyTorch's own kernels for CPUs are slow, and eager attention computes the half that is masked, too
(`python -m bench.attention` has the times). On GPUs its kernels are fast, but know no window.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor
from transformers import AttentionInterface

NAME = "blocks"
"""What a configuration calls it once `register` was called."""
BLOCK = 256
"""Queries at once; fewer make small matrices, more compute what is masked."""


def register() -> None:
    """Let transformers know it."""
    AttentionInterface.register(NAME, attend)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers asks of an attention: [rows, length, heads, size] of queries [rows, heads, length, size].

    Keys and values may have fewer heads than queries. Rows are padded on the right, if at all, so that being causal is
    all the mask there is.
    """
    rows, heads, length, size = query.shape
    if query.is_cuda and (sliding_window is None or length <= sliding_window):
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=True)
        return mixed.transpose(1, 2).contiguous(), None
    groups = key.shape[1]
    query = (query * scaling).view(rows, groups, heads // groups, length, size)
    key, value = (each.reshape(rows * groups, length, size) for each in (key, value))
    positions = torch.arange(length, device=query.device)
    blocks: list[Tensor] = []
    for start in range(0, length, BLOCK):
        end = min(length, start + BLOCK)
        first = max(0, start - sliding_window + 1) if sliding_window else 0
        asking = query[..., start:end, :].reshape(rows * groups, -1, size)
        scores = torch.bmm(asking, key[:, first:end].transpose(1, 2))
        distances = positions[start:end, None] - positions[first:end]
        hidden = distances < 0
        if sliding_window:
            hidden |= distances >= sliding_window
        bias = torch.zeros(hidden.shape, dtype=scores.dtype, device=query.device).masked_fill(hidden, -torch.inf)
        weights = (scores.view(rows * groups, heads // groups, *bias.shape) + bias).softmax(-1)
        mixed = torch.bmm(weights.view_as(scores), value[:, first:end])
        blocks.append(mixed.view(rows, heads, end - start, size))
    return torch.cat(blocks, dim=2).transpose(1, 2).contiguous(), None
