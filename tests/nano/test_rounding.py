from __future__ import annotations

import numpy as np
import torch
from gguf import GGMLQuantizationType, dequantize, quantize
from transformers import CwmForCausalLM

from nano.rounding import is_rounded, rounded
from nano.train import Optimizer


def as_q4_0(weight: torch.Tensor) -> torch.Tensor:
    kind = GGMLQuantizationType.Q4_0
    return torch.from_numpy(dequantize(quantize(weight.numpy(), kind), kind))


def test_rounded_weights_are_those_of_a_gguf():
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(3)) * torch.logspace(-4, 2, 64)[:, None]
    weight[5, 32:64] = 0
    assert torch.equal(rounded(weight), as_q4_0(weight))
    assert not torch.equal(rounded(weight), weight)


def test_what_is_rounded_stays_the_same_when_it_is_quantized_as_bfloat16():
    weight = rounded(torch.randn(64, 96, generator=torch.Generator().manual_seed(4)))
    again = as_q4_0(weight.bfloat16().float())
    assert np.allclose(again, weight, rtol=2**-8, atol=0)


def test_rounding_steps_learn_exact_weights_and_use_rounded_ones(tiny_cwm):
    model = CwmForCausalLM.from_pretrained(tiny_cwm())
    optimizer = Optimizer([model], 0.9)
    for rounding in (True, False):
        model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
        optimizer.step(1e-3, rounding=rounding)
        exact = dict(zip((name for name, _ in model.named_parameters()), optimizer.state()["masters"], strict=True))
        for name, parameter in model.named_parameters():
            expected = rounded(exact[name]) if rounding and is_rounded(name, parameter) else exact[name]
            assert torch.equal(parameter.detach(), expected), name
        assert any(not torch.equal(rounded(each), each) for name, each in exact.items() if "proj" in name)
