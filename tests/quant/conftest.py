"""Random CWM checkpoints with nano's tokenizer, and Llama 3's own tokenizer as CWM has it."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path

import pytest
from gguf import GGUFReader
from tokenizers import Tokenizer
from transformers.convert_slow_tokenizer import TikTokenConverter

from nano.base import write_tokenizer
from nano.tokenizer import smollm2_path, trimmed_vocabulary
from quant.convert import convert
from quant.specials import IDS_IN_CWM
from tests.checkpoints import SCALED_ROPE, random_cwm, random_model

LLAMA3_RANKS = 128_000
"""Llama 3's pieces; 256 special tokens stand behind them."""


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CWM with llama3 rope; not to be changed."""
    return random_cwm(tmp_path_factory.mktemp("tiny") / "checkpoint", rope_parameters=SCALED_ROPE)


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")


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


@pytest.fixture(scope="session")
def real_vocabulary(tmp_path_factory: pytest.TempPathFactory, cwm_tokenizer: Path) -> Path:
    """A random CWM, small but for its vocabulary, which is CWM's."""
    folder = tmp_path_factory.mktemp("real vocabulary") / "checkpoint"
    random_model(folder, 128256, hidden_size=32, sliding_window=64, num_hidden_layers=3, rope_parameters=SCALED_ROPE)
    shutil.copy(cwm_tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def real_vocabulary_gguf(real_vocabulary: Path) -> Path:
    path = real_vocabulary.with_name("real.gguf")
    convert(real_vocabulary, path, dtype="f32")
    return path


@pytest.fixture(scope="session")
def nano_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CWM with nano's whole vocabulary; its tokenizer.json lies beside."""
    vocabulary = trimmed_vocabulary(GGUFReader(str(smollm2_path())))
    folder = tmp_path_factory.mktemp("nano") / "checkpoint"
    random_model(folder, len(vocabulary.pieces))
    write_tokenizer(vocabulary, folder)
    convert(folder, folder / "nano.gguf", dtype="f16")
    return folder / "nano.gguf"
