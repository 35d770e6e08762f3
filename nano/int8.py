"""Linear layers that multiply in 8 bits, forward and backward: how nano is trained on CPUs without fast bfloat16.

Each factor of each product is rounded to int8 with one scale for each row or column that is not summed over, as in
SwitchBack (Wortsman et al. 2023, arXiv 2304.13013); here the product that gives the weights' gradient, too. Weights,
their gradients and everything between the products stay float32. On CPUs with VNNI instructions such a product is four
times as fast as in float32 (nano/LOG.md has what that gives and costs).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

_LARGEST = 127
_SMALLEST_SCALE = 1e-30
"""Rows of zeros have a scale, too."""


# Compiled, each is one pass over the numbers instead of four or five, which together took longer than the products.
@torch.compile(dynamic=True)
def quantized(matrix: Tensor, summed: int) -> tuple[Tensor, Tensor]:
    """int8 values and their scales, for a product that sums over dimension `summed` of a float32 matrix."""
    scale = (matrix.abs().amax(summed, keepdim=True) / _LARGEST).clamp_min(_SMALLEST_SCALE)
    return (matrix * (1 / scale)).round().to(torch.int8), scale


@torch.compile(dynamic=True)
def _rescaled(whole: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return whole.float() * rows * columns


def product(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> Tensor:
    """The float32 product of [m, k] and [k, n], each int8 values and scales [m, 1] and [1, n]."""
    return _rescaled(torch.ops.aten._int_mm(left[0], right[0]), left[1], right[1])


class _Int8Product(torch.autograd.Function):
    """inputs [m, k] times weight [n, k] transposed."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        context.save_for_backward(*quantized(inputs, 0), weight)
        values, scale = quantized(weight, 1)
        return product(quantized(inputs, 1), (values.t().contiguous(), scale.t()))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, scale, weight = context.saved_tensors
        of_inputs = product(quantized(gradient, 1), quantized(weight, 0))
        outputs, outputs_scale = quantized(gradient, 0)
        of_weight = product((outputs.t().contiguous(), outputs_scale.t()), (values, scale))
        return of_inputs, of_weight


def prepare_thread() -> None:
    """Let a thread keep a compiled kernel for each layout that it meets; this setting is one of threads."""
    torch._dynamo.config.recompile_limit = 64


class Int8Linear(nn.Linear):
    """A linear layer without bias; in evaluation mode it is exact."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., k] to [..., n]."""
        if not self.training:
            return F.linear(input, self.weight)
        flat = input.reshape(-1, input.shape[-1])
        result: Tensor = _Int8Product.apply(flat, self.weight)  # pyright: ignore[reportAssignmentType]
        return result.view(*input.shape[:-1], -1)


def multiply_in_int8(model: nn.Module) -> None:
    """Let the linear layers of a model's layers, not its head, multiply in 8 bits while it is trained."""
    for module in model.modules():
        if type(module) is nn.Linear and module.bias is None:
            module.__class__ = Int8Linear
