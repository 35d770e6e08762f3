"""Greedy decoding under constraints: the likeliest token among those that can come, with its probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from debugger.predicted.grammar import State
from quant.errors import CancelledError
from quant.runtime import Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_FRAME_TOKENS = 2048
"""A frame longer than this never ends: small models can repeat themselves inside a string for good."""
_LIKELIEST = 64
"""Tokens tried in order before the whole vocabulary is sorted; the first one is nearly always possible."""


class EndlessFrameError(Exception):
    """The model does not end its frame."""


class Grammar(Protocol):
    """Text that is accepted character by character."""

    start: State

    def advance(self, state: State, text: str) -> State | None:
        """The state after some more characters, or None if none goes on like that."""
        ...


class Writer:
    """Writes tokens behind a prompt. Tokens that leave no choice are evaluated together with the next chosen one."""

    def __init__(self, runtime: Runtime, prompt: Sequence[int], cancelled: Callable[[], bool]) -> None:
        """Evaluate the prompt. Raises ContextFullError, CancelledError."""
        self._runtime = runtime
        self._cancelled = cancelled
        self._pending: list[int] = []
        self._logits: NDArray[np.float32] | None = runtime.prefill(prompt, cancelled)
        self._mark = len(prompt)

    def mark(self) -> None:
        """Remember this place, where a frame begins."""
        self._mark = self._length

    def back_to_mark(self) -> None:
        """Forget everything written since the mark."""
        if len(self._runtime.tokens) > self._mark:
            self._runtime.roll_back(self._mark)
            self._logits = None
        self._pending = self._pending[: self._mark - len(self._runtime.tokens)]

    def write(self, tokens: Sequence[int]) -> None:
        """Write tokens that leave no choice."""
        self._pending.extend(tokens)

    def choose(self, tokens: Sequence[int]) -> int:
        """Write and return the likeliest of the given tokens. A single one leaves no choice."""
        if len(tokens) == 1:
            token = tokens[0]
        else:
            logits = self._read()
            token = max(tokens, key=lambda each: logits[each])
        self._pending.append(token)
        return token

    def choose_sequence(self, sequences: Sequence[Sequence[int]]) -> int:
        """Write one of several token sequences, none a prefix of another, and return its index."""
        alive: list[int] = list(range(len(sequences)))
        depth = 0
        while len(alive) > 1:
            token = self.choose(list(dict.fromkeys(sequences[index][depth] for index in alive)))
            alive = [index for index in alive if sequences[index][depth] == token]
            depth += 1
        self.write(sequences[alive[0]][depth:])
        return alive[0]

    def continue_text(self, grammar: Grammar, state: State) -> tuple[str, State, float]:
        """Write the likeliest token that the grammar accepts: its text, the state behind it and its log probability.

        The probability is the model's own, before anything is ruled out.
        """
        logits = self._read()
        for token in _by_likelihood(logits):
            text = self._text(token)
            following = grammar.advance(state, text) if text else None
            if following is not None:
                self._pending.append(token)
                return text, following, _log_probability(logits, token)
        raise EndlessFrameError  # no token of this vocabulary can go on

    def free(self) -> int:
        """Write and return the likeliest token of all."""
        token = int(self._read().argmax())
        self._pending.append(token)
        return token

    @property
    def _length(self) -> int:
        return len(self._runtime.tokens) + len(self._pending)

    def _text(self, token: int) -> str:
        """A token's text if it is ASCII, as all JSON is here; else ''."""
        piece = self._runtime.vocabulary.piece(token)
        return piece.decode("ascii") if piece.isascii() else ""

    def _read(self) -> NDArray[np.float32]:
        """The logits behind all that is written."""
        if self._cancelled():
            raise CancelledError
        if self._length - self._mark > MAX_FRAME_TOKENS:
            raise EndlessFrameError
        if self._logits is None and not self._pending:
            self._pending = [self._runtime.tokens[-1]]
            self._runtime.roll_back(len(self._runtime.tokens) - 1)
        if self._pending:
            self._logits = self._runtime.extend(self._pending, self._cancelled)
            self._pending = []
        assert self._logits is not None
        return self._logits


def _by_likelihood(logits: NDArray[np.float32]) -> Iterator[int]:
    """Token ids from the likeliest down, sorted no further than is looked at."""
    yield int(logits.argmax())
    count = min(_LIKELIEST, len(logits))
    likeliest = np.argpartition(-logits, count - 1)[:count]
    ranked = likeliest[np.argsort(-logits[likeliest])]
    yield from (int(token) for token in ranked[1:])
    yield from (int(token) for token in np.argsort(-logits)[count:])


def _log_probability(logits: NDArray[np.float32], token: int) -> float:
    shifted = logits - logits.max()
    return float(shifted[token] - np.log(np.exp(shifted).sum()))
