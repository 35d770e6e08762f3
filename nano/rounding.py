"""Weights as Q4_0 keeps them, while nano is trained, so that it learns to do with what is shipped.

A step's products use rounded weights, and the gradients go to the exact ones as if nothing had been rounded (the
straight-through estimator, Bengio et al. 2013, arXiv 1308.3432).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK = 32
"""Weights of a row that share a scale."""


def is_rounded(name: str, parameter: nn.Parameter | Tensor) -> bool:
    """Whether Q4_0 rounds this parameter of a `CwmForCausalLM`: all matrices but the head, which gets eight bits."""
    return parameter.ndim == 2 and not name.startswith("lm_head")


def steps_and_scales(weight: Tensor) -> tuple[Tensor, Tensor]:
    """What Q4_0 keeps of a float32 matrix: whole numbers -8 to 7, [blocks, `BLOCK`], and their scales, [blocks, 1].

    Each block's largest weight is eight steps from zero, as in `quantize_row_q4_0_ref` of ggml. The scales are values
    of float16, in float32. Rows have a multiple of `BLOCK` columns.
    """
    blocks = weight.view(-1, BLOCK)
    low, high = blocks.aminmax(dim=1, keepdim=True)
    scale = torch.where(high > -low, high, low) / -8
    inverse = torch.where(scale == 0, 0, 1 / scale)
    return (blocks * inverse).add_(8.5).floor_().clamp_max_(15).sub_(8), scale.half().float()


def rounded(weight: Tensor) -> Tensor:
    """A float32 matrix as llama.cpp reads it from Q4_0, as `dequantize_row_q4_0` of ggml does."""
    steps, scales = steps_and_scales(weight)
    return steps.mul_(scales).view_as(weight)
