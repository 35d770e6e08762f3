from __future__ import annotations

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize, quantize
from transformers import CwmForCausalLM

from nano.base import leave_grid, nano_config, nano_model, unpermute
from nano.evaluate import SHIPPED
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


def on_the_grid(weight: torch.Tensor) -> torch.Tensor:
    """Rounded to Q4_0."""
    kind = GGMLQuantizationType.Q4_0
    return torch.from_numpy(dequantize(quantize(weight.numpy(), kind), kind))


def test_leaving_a_grid_changes_nothing_that_the_model_says(tiny_cwm):
    model = CwmForCausalLM.from_pretrained(tiny_cwm()).eval()
    matrices = [parameter for name, parameter in model.named_parameters() if "layers" in name and parameter.dim() == 2]
    with torch.no_grad():
        for matrix in matrices:
            matrix.copy_(on_the_grid(matrix))
        ids = torch.randint(0, 300, (2, 40))
        before = model(ids).logits
        leave_grid(model)
        assert torch.allclose(model(ids).logits, before, rtol=1e-3, atol=1e-3)
        for matrix in matrices:
            lost = (on_the_grid(matrix) - matrix).norm() / matrix.norm()
            assert lost > 0.03, "the matrix lies on a grid still"


def test_the_shipped_nano_can_be_trained_further(vocabulary: Vocabulary):
    reader = GGUFReader(str(SHIPPED))
    model = nano_model(reader, vocabulary)
    query = next(tensor for tensor in reader.tensors if tensor.name == "blk.3.attn_q.weight")
    expected = unpermute(dequantize(query.data, query.tensor_type), 9)
    assert np.array_equal(model.model.layers[3].self_attn.q_proj.weight.detach().numpy(), expected)
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
