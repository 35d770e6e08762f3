"""What predicts a next token: a model in this process (`quant.runtime`) or one elsewhere (`quant.remote`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quant.specials import Spellings

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LIKELIEST = 64
"""Tokens ranked before the whole vocabulary is sorted; the first one is nearly always what is looked for."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one call of the model shall evaluate of one sequence: tokens behind those that it holds."""

    tokens: Sequence[int]
    rows: int = 0
    """After how many of the last tokens it shall say what comes next."""
    sequence: int = 0


class Row(Protocol):
    """What a model says about the token at one place. It holds until the model's next call."""

    def likeliest(self, tokens: Sequence[int]) -> int:
        """The likeliest of the given tokens."""
        ...

    def ranked(self) -> Iterator[int]:
        """All tokens from the likeliest down, found no further than is looked at."""
        ...

    def log_probability(self, token: int) -> float:
        """The natural logarithm of a token's probability."""
        ...


class Vocabulary(Spellings, Protocol):
    """A model's tokens: text to ids with specials disabled, ids to bytes, and pieces to ids."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text: nothing is added, and no special token is ever made from characters."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes of text that a token stands for, which may be part of a character; none for a special token."""
        ...


class Model(Protocol):
    """What decoding needs of a model."""

    context: int
    """How many tokens fit into a sequence."""
    calls: int
    """How often the model was asked; on every machine the same measure of work saved."""
    token_cost: float
    """What one more token adds to a call, in calls of a single token; about."""
    checks_drafts: bool
    """Whether one call tells of many tokens, so that it pays to guess them."""

    @property
    def vocabulary(self) -> Vocabulary:
        """Its tokens."""
        ...

    @property
    def path(self) -> object:
        """Where it is, for people."""
        ...

    def metadata(self, key: str) -> str | None:
        """A value of its GGUF's metadata as text, or None where it has none or does not tell."""
        ...

    def tokens_of(self, sequence: int) -> Sequence[int]:
        """The tokens that a sequence holds."""
        ...

    def forget(self, length: int, sequence: int = 0) -> int:
        """Forget a sequence's tokens from position `length` on, and return how many are left: less where it must be."""
        ...

    def read(self, part: Part) -> Sequence[Row]:
        """Evaluate a part, and return its rows. Raises ModelError, CancelledError."""
        ...


class LogitRow:
    """A row of logits (n_vocab,), as llama.cpp keeps it."""

    __slots__ = ("_logits",)

    def __init__(self, logits: NDArray[np.float32]) -> None:
        """Read that row; it is not copied."""
        self._logits = logits

    def likeliest(self, tokens: Sequence[int]) -> int:
        """The likeliest of the given tokens; of equal ones the first given."""
        return max(tokens, key=lambda token: self._logits[token])

    def ranked(self) -> Iterator[int]:
        """All tokens from the likeliest down, sorted no further than is looked at."""
        yield int(self._logits.argmax())
        count = min(_LIKELIEST, len(self._logits))
        likeliest = np.argpartition(-self._logits, count - 1)[:count]
        ranked = likeliest[np.argsort(-self._logits[likeliest])]
        yield from (int(token) for token in ranked[1:])
        yield from (int(token) for token in np.argsort(-self._logits)[count:])

    def log_probability(self, token: int) -> float:
        """The natural logarithm of the token's share of the softmax."""
        shifted = self._logits - self._logits.max()
        return float(shifted[token] - np.log(np.exp(shifted).sum()))


def logit_rows(logits: Iterable[Any]) -> list[Row]:
    """The rows of logits (rows, n_vocab)."""
    return [LogitRow(row) for row in logits]
