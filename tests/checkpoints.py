"""Random CWMs as Hugging Face checkpoints, small enough to run in a moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import CwmConfig, CwmForCausalLM

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


def random_cwm(folder: Path, vocabulary: int, **changes: Any) -> Path:
    """Write a CWM with random weights in float32, the same for the same numbers; the tokenizer is still to be added.

    `changes` are other numbers than those of TINY, and `dtype` another kind of weights.
    """
    dtype = changes.pop("dtype", torch.float32)
    torch.manual_seed(0)
    model = CwmForCausalLM(CwmConfig(vocab_size=vocabulary, **{**TINY, **changes})).float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(3)  # the default initialization is so small that windows and RoPE hardly matter
            elif name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
    model.to(dtype).save_pretrained(folder)
    return folder
