"""nano's vocabularies, and tiny random CWMs with nano's real tokenizer rules."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from gguf import GGUFReader

import tests.checkpoints
from nano.tokenizer import SegmentTokenizer, Vocabulary, build_tokenizer, smollm2_path, trimmed_vocabulary


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return trimmed_vocabulary(GGUFReader(str(smollm2_path())))


@pytest.fixture(scope="session")
def small_vocabulary() -> Vocabulary:
    return tests.checkpoints.small_vocabulary()


@pytest.fixture(scope="session")
def tokenizer(small_vocabulary: Vocabulary) -> SegmentTokenizer:
    return SegmentTokenizer(build_tokenizer(small_vocabulary))


@pytest.fixture
def tiny_cwm(tmp_path: Path):
    """Make a random CWM checkpoint; keyword arguments change its configuration."""
    return partial(tests.checkpoints.random_cwm, tmp_path / "checkpoint")
