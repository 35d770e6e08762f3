from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gguf import GGUFReader, dequantize
from transformers import CwmForCausalLM

from nano.base import even_columns, kept_layers, nano_config, nano_model, unpermute
from nano.evaluate import SHIPPED
from nano.rounding import rounded
from nano.tokenizer import Vocabulary, smollm2_path


def test_nano_has_smollm2s_shape(vocabulary: Vocabulary):
    reader = GGUFReader(str(smollm2_path()))
    config = nano_config(reader, vocabulary)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (576, 30, 9)
    assert config.rope_parameters["rope_theta"] == 100_000.0
    assert config.layer_types[:5] == ["full_attention"] + ["sliding_attention"] * 3 + ["full_attention"]
    query = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.attn_q.weight")
    assert dequantize(query.data, query.tensor_type).shape == (576, 576)


def test_halves_that_rotate_together_are_put_one_after_the_other_again():
    interleaved = np.array([[0, 4, 1, 5, 2, 6, 3, 7], [8, 12, 9, 13, 10, 14, 11, 15]]).reshape(16, 1)
    assert unpermute(interleaved, 2)[:, 0].tolist() == list(range(16))


def uneven(model) -> None:
    """Columns of different size that their norms make up for: the same function."""
    for layer in model.model.layers:
        mlp = layer.mlp
        scale = 3 ** torch.randn(mlp.up_proj.in_features, generator=torch.Generator().manual_seed(5))
        layer.post_attention_layernorm.weight /= scale
        mlp.gate_proj.weight *= scale
        mlp.up_proj.weight *= scale


def rounded_logits(model, ids: torch.Tensor) -> torch.Tensor:
    """What a copy of the model says in which those matrices are Q4_0's that `uneven` makes worse."""
    other = copy.deepcopy(model)
    for name, parameter in other.named_parameters():
        if "gate_proj" in name or "up_proj" in name:
            parameter.copy_(rounded(parameter))
    return other(ids).logits


@torch.no_grad()
def test_even_columns_change_nothing_but_what_rounding_costs(tiny_cwm):
    model = CwmForCausalLM.from_pretrained(tiny_cwm()).eval()
    ids = torch.randint(0, 300, (2, 40), generator=torch.Generator().manual_seed(6))
    exact = model(ids).logits
    uneven(model)
    cost = (rounded_logits(model, ids) - exact).norm()
    even_columns(model)
    assert torch.allclose(model(ids).logits, exact, rtol=1e-3, atol=1e-3)
    assert (rounded_logits(model, ids) - exact).norm() < cost / 2


def test_the_shipped_nano_can_be_trained_further(vocabulary: Vocabulary):
    reader = GGUFReader(str(SHIPPED))
    model = nano_model(reader, vocabulary)
    query = next(tensor for tensor in reader.tensors if tensor.name == "blk.3.attn_q.weight")
    expected = unpermute(dequantize(query.data, query.tensor_type), 9)
    assert np.array_equal(model.model.layers[3].self_attn.q_proj.weight.detach().numpy(), expected)
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


def test_layers_are_left_out_evenly(vocabulary: Vocabulary):
    assert kept_layers(30, 30) == list(range(30))
    assert kept_layers(30, 4) == [0, 10, 19, 29]
    for count in (1, 31):
        with pytest.raises(ValueError, match=f"not {count}"):
            kept_layers(30, count)
    reader = GGUFReader(str(SHIPPED))
    model = nano_model(reader, vocabulary, 4)
    assert model.config.num_hidden_layers == len(model.model.layers) == len(model.config.layer_types) == 4
    down = next(tensor for tensor in reader.tensors if tensor.name == "blk.19.ffn_down.weight")
    expected = dequantize(down.data, down.tensor_type)
    assert np.array_equal(model.model.layers[2].mlp.down_proj.weight.detach().numpy(), expected)
