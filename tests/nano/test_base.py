from __future__ import annotations

import numpy as np
from gguf import GGUFReader, dequantize

from nano.base import nano_config, unpermute
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
