"""Random CWMs as Hugging Face checkpoints, small enough to run in a moment."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from safetensors.torch import load_file, save_file
from transformers import CwmConfig, CwmForCausalLM

from nano.base import write_tokenizer
from nano.tokenizer import Vocabulary, smollm2_path, trimmed_vocabulary

torch.set_num_threads(1)  # the models are so small that threads would only wait for each other

PLAIN_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
SCALED_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 16.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
"""As CWM's, but with wavelengths that small contexts reach."""
TINY: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "sliding_window": 16,
    "max_position_embeddings": 16384,
    "rope_parameters": PLAIN_ROPE,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


@cache
def small_vocabulary() -> Vocabulary:
    """nano's vocabulary, cut off after 300 merges."""
    return trimmed_vocabulary(GGUFReader(str(smollm2_path())), 300)


def random_cwm(folder: Path, **changes: Any) -> Path:
    """Write a CWM with random weights in float32 and a small tokenizer, the same for the same numbers.

    `changes` are other numbers than those of TINY.
    """
    random_model(folder, len(small_vocabulary().pieces), **changes)
    write_tokenizer(small_vocabulary(), folder)
    return folder


def random_model(folder: Path, vocabulary: int, **changes: Any) -> None:
    """Write only the model, for a tokenizer with so many entries."""
    torch.manual_seed(0)
    model = CwmForCausalLM(CwmConfig(vocab_size=vocabulary, **{**TINY, **changes})).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(3)  # the default initialization is so small that windows and RoPE hardly matter
            elif name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
    model.save_pretrained(folder)


def change_json(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; a key that becomes `...` goes."""
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Let `change` change a checkpoint's tensors, by name."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def shard(folder: Path, count: int) -> None:
    """Spread a checkpoint's tensors over `count` files, as large checkpoints have them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    where = {name: files[index % count] for index, name in enumerate(tensors)}
    for file in files:
        save_file({name: tensors[name] for name in tensors if where[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def hollow_model(folder: Path, **numbers: Any) -> None:
    """Write a CWM with these numbers whose weights, all zero in bfloat16, are a hole that takes no room on the disk."""
    config = CwmConfig(**numbers)
    config.save_pretrained(folder)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CwmForCausalLM(config).state_dict().items()}
    head: dict[str, Any] = {}
    offset = 0
    for name, shape in shapes.items():
        end = offset + 2 * math.prod(shape)
        head[name], offset = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}, end
    described = json.dumps(head).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(described).to_bytes(8, "little") + described)
        file.truncate(8 + len(described) + offset)


def hollow_cwm(folder: Path, **changes: Any) -> None:
    """Write one with a small tokenizer; `changes` are other numbers than those of TINY."""
    hollow_model(folder, vocab_size=len(small_vocabulary().pieces), **{**TINY, **changes})
    write_tokenizer(small_vocabulary(), folder)


def as_older_spelling(folder: Path) -> None:
    """Write config.json as transformers did before version 5."""
    config = json.loads((folder / "config.json").read_text())
    rope = dict(config["rope_parameters"])
    theta = rope.pop("rope_theta")
    scaling = None if rope["rope_type"] == "default" else rope
    change_json(
        folder / "config.json", rope_parameters=..., rope_scaling=scaling, rope_theta=theta, layer_types=..., dtype=...
    )
