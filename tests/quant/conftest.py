"""Random CWM checkpoints with nano's tokenizer, and Llama 3's own tokenizer as CWM has it."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from tokenizers import Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter

from nano.base import write_tokenizer
from nano.tokenizer import Vocabulary, smollm2_path, trimmed_vocabulary
from quant.specials import IDS_IN_CWM
from tests.checkpoints import random_cwm

LLAMA3_RANKS = 128_000
"""Llama 3's pieces; 256 special tokens stand behind them."""


@pytest.fixture(scope="session")
def small_vocabulary() -> Vocabulary:
    return trimmed_vocabulary(GGUFReader(str(smollm2_path())), 300)


@pytest.fixture
def tiny_cwm(tmp_path: Path, small_vocabulary: Vocabulary) -> Callable[..., Path]:
    """Make a random CWM checkpoint; keyword arguments change its configuration."""

    def make(**changes: Any) -> Path:
        folder = random_cwm(tmp_path / "checkpoint", len(small_vocabulary.pieces), **changes)
        write_tokenizer(small_vocabulary, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def cwm_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.json of Llama 3's real pieces, with CWM's special tokens under CWM's ids."""
    names = {id_: special.value for special, id_ in IDS_IN_CWM.items()} | {
        128000: "<|begin_of_text|>", 128001: "<|end_of_text|>", 128004: "<|pad|>", 128006: "<|start_header_id|>",
        128007: "<|end_header_id|>", 128008: "<|eom_id|>", 128009: "<|eot_id|>",
        128120: "<|reasoning_thinking_start|>", 128121: "<|reasoning_thinking_end|>",
    }  # fmt: skip
    specials = [names.get(LLAMA3_RANKS + index, f"<|reserved_special_token_{index}|>") for index in range(256)]
    ranks = importlib.resources.files("llama_models") / "llama3" / "tokenizer.model"
    tokenizer: Tokenizer = TikTokenConverter(str(ranks), extra_special_tokens=specials).converted()
    path = tmp_path_factory.mktemp("llama3") / "tokenizer.json"
    tokenizer.save(str(path))
    return path
