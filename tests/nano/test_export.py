from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
import torch
from gguf import GGUFReader, dequantize
from transformers import CwmForCausalLM

from nano.base import nano_config, unpermute
from nano.export import ExportError, permute, quantize, rope_factors, write_gguf
from nano.tokenizer import Vocabulary, smollm2_path

TOKENS = 120
PLAIN_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}}
SCALED_ROPE = {
    "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
}  # fmt: skip


def llama_logits(path: Path, ids: list[int]) -> np.ndarray[Any, Any]:
    """Logits after every token from llama.cpp, all in float32 and without flash attention (which rounds to float16)."""
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    assert model
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 256
    parameters.n_threads = parameters.n_threads_batch = 1
    parameters.type_k = parameters.type_v = llama_cpp.GGML_TYPE_F32
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, parameters)
    assert context
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for index, token in enumerate(ids):
        batch.token[index], batch.pos[index], batch.logits[index] = token, index, 1
        batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
    assert llama_cpp.llama_decode(context, batch) == 0
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    rows = [np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, index), shape=(size,)).copy()
            for index in range(len(ids))]  # fmt: skip
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return np.stack(rows)


def reference(folder: Path, ids: list[int]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return CwmForCausalLM.from_pretrained(folder).float()(input_ids=torch.tensor([ids])).logits[0].numpy()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({**PLAIN_ROPE, "num_hidden_layers": 6}, id="window smaller than the text"),
        pytest.param({**SCALED_ROPE, "num_hidden_layers": 6}, id="llama3 rope"),
        pytest.param({**PLAIN_ROPE, "sliding_window": 512}, id="window larger than the text"),
        pytest.param(
            {**PLAIN_ROPE, "num_attention_heads": 6, "num_key_value_heads": 1, "hidden_size": 96}, id="one kv head"
        ),
    ],
)
def test_logits_are_those_of_transformers(tiny_cwm, tmp_path: Path, changes: dict[str, Any]):
    folder = tiny_cwm(**changes)
    write_gguf(folder, tmp_path / "m.gguf", half=False)
    ids = torch.randint(0, 300, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    ours, theirs = llama_logits(tmp_path / "m.gguf", ids), reference(folder, ids)
    assert theirs.std() > 0.3
    assert np.abs(ours - theirs).max() < 1e-4


def test_the_window_matters_in_that_test(tiny_cwm, tmp_path: Path):
    folder = tiny_cwm(**PLAIN_ROPE, num_hidden_layers=6)
    config = json.loads((folder / "config.json").read_text())
    config["sliding_window"] = 512
    ids = torch.randint(0, 300, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    windowed = reference(folder, ids)
    (folder / "config.json").write_text(json.dumps(config))
    assert np.abs(reference(folder, ids) - windowed).max() > 0.05


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_quantized_builds_stay_close(tiny_cwm, tmp_path: Path, kind: str):
    folder = tiny_cwm(**PLAIN_ROPE)
    write_gguf(folder, tmp_path / "m.gguf")
    quantize(tmp_path / "m.gguf", tmp_path / "q.gguf", kind)
    assert (tmp_path / "q.gguf").stat().st_size < (tmp_path / "m.gguf").stat().st_size
    ids = list(range(TOKENS))
    theirs = reference(folder, ids)
    limit = {"Q8_0": 0.05, "Q4_0": 0.5}[kind]
    assert np.sqrt(np.mean((llama_logits(tmp_path / "q.gguf", ids) - theirs) ** 2)) < limit * theirs.std()


def test_a_model_that_is_no_cwm_is_refused(tiny_cwm, tmp_path: Path):
    folder = tiny_cwm()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(ExportError, match="'llama', not a CWM"):
        write_gguf(folder, tmp_path / "m.gguf")


def test_a_rope_that_is_not_known_is_refused():
    with pytest.raises(ExportError, match="yarn"):
        rope_factors({"rope_type": "yarn"}, 64)


def test_permuting_is_undone():
    weight = np.arange(4 * 8 * 3).reshape(32, 3)
    assert (unpermute(permute(weight, 4), 4) == weight).all()
    assert not (permute(weight, 4) == weight).all()


def test_nano_has_smollm2s_shape(vocabulary: Vocabulary):
    reader = GGUFReader(str(smollm2_path()))
    config = nano_config(reader, vocabulary)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (576, 30, 9)
    assert config.rope_parameters["rope_theta"] == 100_000.0
    assert config.layer_types[:5] == ["full_attention"] + ["sliding_attention"] * 3 + ["full_attention"]
    query = next(tensor for tensor in reader.tensors if tensor.name == "blk.0.attn_q.weight")
    assert dequantize(query.data, query.tensor_type).shape == (576, 576)
