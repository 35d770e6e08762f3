"""Tiny random CWMs with nano's real tokenizer rules, small enough to train and run in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from transformers import CwmConfig, CwmForCausalLM

from nano.base import write_tokenizer
from nano.tokenizer import Vocabulary, smollm2_path, trimmed_vocabulary


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return trimmed_vocabulary(GGUFReader(str(smollm2_path())))


@pytest.fixture(scope="session")
def small_vocabulary() -> Vocabulary:
    return trimmed_vocabulary(GGUFReader(str(smollm2_path())), 300)


@pytest.fixture
def tiny_cwm(tmp_path: Path, small_vocabulary: Vocabulary):
    """Make a random CWM checkpoint; keyword arguments change its configuration."""

    def make(**changes: Any) -> Path:
        torch.manual_seed(0)
        shape: dict[str, Any] = {
            "vocab_size": len(small_vocabulary.pieces),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "sliding_window": 16,
            "max_position_embeddings": 16384,
            "bos_token_id": 0,
            "eos_token_id": 1,
        }
        model = CwmForCausalLM(CwmConfig(**{**shape, **changes})).float()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.mul_(3)  # the default initialization is so small that windows and RoPE hardly matter
        folder = tmp_path / "checkpoint"
        model.save_pretrained(folder)
        write_tokenizer(small_vocabulary, folder)
        return folder

    return make
