from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention

from nano.int8 import Int8Linear, multiply_in_int8, product, quantized


def test_a_product_of_rounded_factors_is_nearly_exact():
    torch.manual_seed(0)
    left, right = torch.randn(40, 64) * torch.logspace(-3, 3, 40).unsqueeze(1), torch.randn(64, 24)
    exact = left @ right
    found = product(quantized(left, 1), quantized(right, 0))
    # Rows of very different size have scales of their own.
    assert (F.cosine_similarity(found, exact) > 0.999).all()


def test_rows_of_zeros_stay_zeros():
    values, scale = quantized(torch.zeros(3, 8), 1)
    assert values.eq(0).all() and torch.isfinite(scale).all()


def test_a_layer_learns_in_eight_bits_what_it_learns_in_float():
    torch.manual_seed(0)
    exact = torch.nn.Linear(64, 32, bias=False)
    inputs, wanted = torch.randn(4, 10, 64), torch.randn(4, 10, 32)
    gradients = {}
    for name in ("exact", "int8"):
        given = inputs.clone().requires_grad_()
        exact.weight.grad = None
        F.mse_loss(exact(given), wanted).backward()
        assert exact.weight.grad is not None and given.grad is not None
        gradients[name] = (exact.weight.grad.clone(), given.grad)
        multiply_in_int8(torch.nn.Sequential(exact))
    assert isinstance(exact, Int8Linear)
    for one, other in zip(gradients["exact"], gradients["int8"], strict=True):
        assert not torch.equal(one, other)
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


def test_a_layer_is_exact_where_it_is_only_measured():
    layer = torch.nn.Linear(64, 32, bias=False)
    inputs = torch.randn(10, 64)
    before = layer(inputs)
    multiply_in_int8(torch.nn.Sequential(layer).eval())
    assert torch.equal(layer(inputs), before)
