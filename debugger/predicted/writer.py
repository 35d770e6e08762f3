"""Greedy decoding under constraints: the likeliest token among those that can come, with its probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from debugger.predicted.evaluation import Evaluation
from debugger.predicted.grammar import State
from quant.errors import CancelledError, ContextFullError
from quant.runtime import CHUNK_TOKENS, VERIFY_TOKENS, Part, Runtime, common_prefix

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


class Drafter(Protocol):
    """Guesses what comes next, so that one call of the model can check many tokens. What it guesses changes no result."""

    def draft(self, tokens: Sequence[int], mark: int, most: int) -> Sequence[int]:
        """At most so many tokens that are likely behind `tokens`, of which the frame begins at the mark."""
        ...

    def judge(self, accepted: int, refused: bool) -> None:
        """How many tokens of the last draft came true, and whether the next one did not."""
        ...


class Writer:
    """Writes tokens behind a prompt: the likeliest ones that can come, whatever is drafted.

    All that is written and not yet evaluated goes into one call of the model together with a draft of what may follow,
    and the logits after each drafted token are kept. As long as the token that is chosen by them is the drafted one, no
    further call is needed. The methods are coroutines (see `evaluation.py`).
    """

    def __init__(
        self,
        runtime: Runtime,
        prompt: Sequence[int],
        cancelled: Callable[[], bool] = lambda: False,
        drafter: Drafter | None = None,
        sequence: int = 0,
    ) -> None:
        """Begin behind the prompt, in this sequence of the runtime. Raises ContextFullError."""
        self._runtime = runtime
        self._cancelled = cancelled
        self._drafter = drafter
        self._sequence = sequence
        self._tokens = list(prompt)
        self._check_room()
        self._agreed = common_prefix(runtime.tokens_of(sequence), self._tokens)
        """So many tokens are written and evaluated alike; what is evaluated beyond them came to nothing."""
        self._mark = len(self._tokens)
        self._draft: Sequence[int] = ()
        self._rows: NDArray[np.float32] | None = None
        """The logits behind the token `_rows_from` and behind each drafted one."""
        self._rows_from = 0
        self._evaluation = 0
        """What the runtime had counted when these logits were new; the next call overwrites them."""

    def mark(self) -> None:
        """Remember this place, where a frame begins."""
        self._mark = len(self._tokens)

    def back_to_mark(self) -> None:
        """Forget everything written since the mark; what was evaluated of it counts again if it is written again."""
        del self._tokens[self._mark :]
        self._agreed = min(self._agreed, self._mark)

    def write(self, tokens: Sequence[int]) -> None:
        """Write tokens that leave no choice."""
        for token in tokens:
            self._append(token)

    def choose(self, tokens: Sequence[int]) -> Evaluation[int]:
        """Write and return the likeliest of the given tokens. A single one leaves no choice."""
        if len(tokens) == 1:
            token = tokens[0]
        else:
            logits = yield from self._read()
            token = max(tokens, key=lambda each: logits[each])
        self._append(token)
        return token

    def choose_sequence(self, sequences: Sequence[Sequence[int]]) -> Evaluation[int]:
        """Write one of several token sequences, none a prefix of another, and return its index."""
        alive: list[int] = list(range(len(sequences)))
        depth = 0
        while len(alive) > 1:
            token = yield from self.choose(list(dict.fromkeys(sequences[index][depth] for index in alive)))
            alive = [index for index in alive if sequences[index][depth] == token]
            depth += 1
        self.write(sequences[alive[0]][depth:])
        return alive[0]

    def continue_text(self, grammar: Grammar, state: State) -> Evaluation[tuple[str, State, float]]:
        """Write the likeliest token that the grammar accepts: its text, the state behind it and its log probability.

        The probability is the model's own, before anything is ruled out.
        """
        logits = yield from self._read()
        for token in _by_likelihood(logits):
            text = self._text(token)
            following = grammar.advance(state, text) if text else None
            if following is not None:
                self._append(token)
                return text, following, _log_probability(logits, token)
        raise EndlessFrameError  # no token of this vocabulary can go on

    def free(self) -> Evaluation[int]:
        """Write and return the likeliest token of all."""
        logits = yield from self._read()
        token = int(logits.argmax())
        self._append(token)
        return token

    def _append(self, token: int) -> None:
        position = len(self._tokens)
        self._tokens.append(token)
        if self._agreed == position:
            evaluated = self._runtime.tokens_of(self._sequence)
            if position < len(evaluated) and evaluated[position] == token:
                self._agreed += 1

    def _text(self, token: int) -> str:
        """A token's text if it is ASCII, as all JSON is here; else ''."""
        piece = self._runtime.vocabulary.piece(token)
        return piece.decode("ascii") if piece.isascii() else ""

    def _check_room(self) -> None:
        if len(self._tokens) > self._runtime.context:
            raise ContextFullError(
                f"{len(self._tokens)} tokens do not fit into a context of {self._runtime.context}; "
                "ask for a larger one."
            )

    def _read(self) -> Evaluation[NDArray[np.float32]]:
        """The logits behind all that is written."""
        if self._cancelled():
            raise CancelledError
        length = len(self._tokens)
        if length - self._mark > MAX_FRAME_TOKENS:
            raise EndlessFrameError
        offset = length - self._rows_from
        known = self._rows is not None and self._evaluation == self._runtime.calls and self._agreed == length
        if not known or not 0 <= offset <= len(self._draft):
            yield from self._evaluate(offset)
            offset = 0
        assert self._rows is not None
        return self._rows[offset]

    def _evaluate(self, offset: int) -> Evaluation[None]:
        """Evaluate what is not yet, and a draft behind it; `offset` is how far the last draft was followed."""
        self._check_room()
        length = len(self._tokens)
        # The last token is evaluated again even when it is known: only a call of llama.cpp gives its logits.
        done = self._agreed = self._runtime.forget(min(self._agreed, length - 1), self._sequence)
        while length - done > CHUNK_TOKENS:
            yield Part(self._tokens[done : done + CHUNK_TOKENS], 0, self._sequence)
            done = self._agreed = done + CHUNK_TOKENS
            if self._cancelled():
                raise CancelledError
        self._draft = self._new_draft(min(VERIFY_TOKENS - 1, CHUNK_TOKENS - (length - done)), offset)
        tokens = [*self._tokens[done:], *self._draft]
        self._rows = yield Part(tokens, 1 + len(self._draft), self._sequence)
        self._evaluation = self._runtime.calls
        self._rows_from = self._agreed = length

    def _new_draft(self, most: int, offset: int) -> Sequence[int]:
        if self._drafter is None:
            return ()
        length = len(self._tokens)
        followed = min(offset, len(self._draft))
        came_true = common_prefix(self._tokens[length - offset :], self._draft) if followed > 0 else 0
        if self._rows is not None:
            self._drafter.judge(came_true, came_true < followed)
        most = min(most, self._runtime.context - length)
        return self._drafter.draft(self._tokens, self._mark, most)[:most] if most else ()


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
