"""Greedy decoding under constraints: the likeliest token among those that can come, with its probability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from debugger.predicted.evaluation import Evaluation
from debugger.predicted.grammar import State
from quant.errors import CancelledError, ContextFullError
from quant.model import Model, Part, Row
from quant.runtime import CHUNK_TOKENS, VERIFY_TOKENS, common_prefix

MAX_FRAME_TOKENS = 2048
"""A frame longer than this is given up."""
_REPETITION_STEP = 32
"""Tokens between two looks at whether the frame only repeats itself."""


class EndlessFrameError(Exception):
    """The model does not end its frame; `str()` is one sentence that says how that was seen."""


class Grammar(Protocol):
    """Text that is accepted character by character."""

    start: State

    def advance(self, state: State, text: str) -> State | None:
        """The state after some more characters, or None if none goes on like that."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens that likely come next."""

    tokens: Sequence[int] = ()
    scored: Sequence[int] = ()
    """Positions among them whose log probabilities are wanted."""
    kinds: Sequence[str] = ()
    """For the drafter: by what reasoning each was guessed."""


class Drafter(Protocol):
    """Guesses what comes next, so that one call of the model checks many tokens. What it guesses changes no result."""

    def draft(self, tokens: Sequence[int], mark: int, most: int) -> Draft:
        """At most so many tokens that are likely behind `tokens`, of which the frame begins at the mark."""
        ...

    def judge(self, draft: Draft, accepted: int, refused: bool) -> None:
        """How many tokens of a draft came true, and whether the next one did not."""
        ...


@dataclass(slots=True)
class _Seen:
    """What the last call of the model said."""

    rows: Sequence[Row]
    """Behind the token right before `start`, and behind each drafted one."""
    start: int
    draft: Draft
    call: int
    """What the model had counted then: its next call overwrites the rows."""
    judged: bool = False
    """Whether the drafter was told what became of the draft."""


class Writer:
    """Writes tokens behind a prompt: the likeliest ones that can come, whatever is drafted.

    All that is written and not yet evaluated goes into one call of the model together with a draft of what may follow,
    and what it says after each drafted token is kept. As long as the chosen token is the drafted one, no further call
    is needed. The methods are coroutines (see `evaluation.py`).
    """

    def __init__(
        self,
        model: Model,
        prompt: Sequence[int],
        cancelled: Callable[[], bool] = lambda: False,
        drafter: Drafter | None = None,
        sequence: int = 0,
        repeats: Callable[[Sequence[int]], bool] = lambda tokens: False,
    ) -> None:
        """Begin behind the prompt, in this sequence of the model. Raises ContextFullError.

        `repeats` says of the beginning of a frame that it will never end, as the model only repeats itself.
        """
        self._model = model
        self._cancelled = cancelled
        self.drafter = drafter
        self._sequence = sequence
        self._repeats = repeats
        self._next_look = 0
        """The length at which the frame is looked at for repetition."""
        self._tokens = list(prompt)
        self._check_room()
        self._agreed = common_prefix(model.tokens_of(sequence), self._tokens)
        """So many tokens are written and evaluated alike; what is evaluated beyond them came to nothing."""
        self._mark = len(self._tokens)
        self._seen: _Seen | None = None
        self.scores: dict[int, float] = {}
        """By position, the model's log probability of tokens that were drafted as `scored` or asked for by `score`."""
        self.chosen: dict[int, float] = {}
        """By position, the model's log probability of tokens that it chose itself in values, or without a grammar."""
        self._unscored: list[int] = []

    @property
    def tokens(self) -> Sequence[int]:
        """The prompt and all that is written."""
        return self._tokens

    @property
    def begin(self) -> int:
        """The position that was marked last, where a frame begins."""
        return self._mark

    def mark(self) -> None:
        """Remember this place, where a frame begins."""
        self._mark = len(self._tokens)
        self._next_look = self._mark + _REPETITION_STEP

    def back_to_mark(self) -> None:
        """Forget everything written since the mark; what was evaluated of it counts again if it is written again."""
        self.back_to(self._mark)

    def back_to(self, position: int) -> None:
        """Forget everything written from there on, and begin a frame there."""
        if self._agreed < len(self._tokens):
            self._judge()
        del self._tokens[position:]
        self._agreed = min(self._agreed, position)
        self._mark = position

    def score(self, positions: Iterable[int]) -> None:
        """Have the log probabilities of written tokens put into `scores` by the next call of the model at the latest.

        The context must be the same as when they were drafted.
        """
        self._unscored += [position for position in positions if position not in self.scores]

    def score_rest(self) -> Evaluation[None]:
        """Make the call for the scores that are still to come, if there are any."""
        if self._unscored:
            yield from self._evaluate(None)

    def write(self, tokens: Sequence[int]) -> None:
        """Write tokens that leave no choice."""
        for token in tokens:
            self._append(token)

    def choose(self, tokens: Sequence[int]) -> Evaluation[int]:
        """Write and return the likeliest of the given tokens. A single one leaves no choice."""
        if len(tokens) == 1:
            token = tokens[0]
        else:
            row = yield from self._read()
            token = row.likeliest(tokens)
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

        The probability is the model's own, before anything is ruled out; 0 outside of values, where nobody asks.
        """
        row = yield from self._read()
        for token in row.ranked():
            text = self._text(token)
            following = grammar.advance(state, text) if text else None
            if following is not None:
                log = 0.0
                if state.in_value or following.in_value:
                    log = self.chosen[len(self._tokens)] = row.log_probability(token)
                self._append(token)
                return text, following, log
        raise EndlessFrameError("The model's vocabulary has no token that can come next.")

    def free(self) -> Evaluation[int]:
        """Write and return the likeliest token of all."""
        row = yield from self._read()
        token = next(row.ranked())
        self.chosen[len(self._tokens)] = row.log_probability(token)
        self._append(token)
        return token

    def _append(self, token: int) -> None:
        position = len(self._tokens)
        self._tokens.append(token)
        if self._agreed == position:
            evaluated = self._model.tokens_of(self._sequence)
            if position < len(evaluated) and evaluated[position] == token:
                self._agreed += 1

    def _text(self, token: int) -> str:
        """A token's text if it is ASCII, as all JSON is here; else ''."""
        piece = self._model.vocabulary.piece(token)
        return piece.decode("ascii") if piece.isascii() else ""

    def _check_room(self) -> None:
        if len(self._tokens) > self._model.context:
            raise ContextFullError(
                f"{len(self._tokens)} tokens do not fit into a context of {self._model.context}; ask for a larger one."
            )

    def _read(self) -> Evaluation[Row]:
        """What the model says behind all that is written."""
        if self._cancelled():
            raise CancelledError
        length = len(self._tokens)
        self._look_for_an_end(length)
        seen = self._seen
        if (
            seen is None
            or self._agreed != length
            or not seen.start <= length <= seen.start + len(seen.draft.tokens)
            or seen.call != self._model.calls
        ):
            seen = yield from self._evaluate(self.drafter)
        return seen.rows[length - seen.start]

    def _look_for_an_end(self, length: int) -> None:
        """Raises EndlessFrameError where the frame will have none. Drafts are not looked at: they change nothing."""
        if length - self._mark > MAX_FRAME_TOKENS:
            raise EndlessFrameError(f"The model wrote {MAX_FRAME_TOKENS} tokens without ending a step.")
        if length >= self._next_look:
            self._next_look = length + _REPETITION_STEP
            if self._repeats(self._tokens[self._mark :]):
                raise EndlessFrameError(
                    f"The model repeated itself for {length - self._mark} tokens without ending a step."
                )

    def _evaluate(self, drafter: Drafter | None) -> Evaluation[_Seen]:
        """Evaluate what is not yet, and a draft behind it."""
        self._check_room()
        self._judge()
        length = len(self._tokens)
        # The last token is evaluated again even when it is known, and so is what comes before a token to score: only a
        # call of llama.cpp gives logits.
        first = min([*self._unscored, length])
        done = self._agreed = self._model.forget(min(self._agreed, first - 1), self._sequence)
        while True:
            end = min(length, done + CHUNK_TOKENS, max(done, first - 1) + VERIFY_TOKENS)
            rows = end - max(done, first - 1)
            draft = Draft()
            if end == length and drafter is not None:
                room = min(VERIFY_TOKENS - rows, CHUNK_TOKENS - (end - done), self._model.context - length)
                draft = drafter.draft(self._tokens, self._mark, room) if room else draft
            tokens = [*self._tokens[done:end], *draft.tokens]
            read = yield Part(tokens, max(0, rows) + len(draft.tokens), self._sequence)
            self._agreed = end
            if end == length:
                break
            self._note_scores(read, end - rows + 1, self._unscored)
            done = end
            if self._cancelled():
                raise CancelledError
        start = length - rows + 1
        self._note_scores(read, start, self._unscored)
        self._unscored.clear()
        seen = self._seen = _Seen(read[rows - 1 :], length, draft, self._model.calls)
        self._note_scores(seen.rows, length, [length + offset for offset in draft.scored], draft.tokens)
        return seen

    def _judge(self) -> None:
        """Tell the drafter what became of the last draft."""
        seen = self._seen
        if self.drafter is not None and seen is not None and not seen.judged:
            written = self._tokens[seen.start : seen.start + len(seen.draft.tokens)]
            accepted = common_prefix(written, seen.draft.tokens)
            self.drafter.judge(seen.draft, accepted, accepted < len(written))
            seen.judged = True

    def _note_scores(
        self, rows: Sequence[Row], start: int, positions: Sequence[int], draft: Sequence[int] | None = None
    ) -> None:
        """Note the log probabilities of the tokens at those positions, where `rows` begin with that of `start`."""
        for position in positions:
            if start <= position < start + len(rows):
                token = self._tokens[position] if draft is None else draft[position - start]
                self.scores[position] = rows[position - start].log_probability(token)
