"""A model that wants to write a given text: what decoding makes of it needs no weights and no luck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from debugger.predicted.codec import Segment, tokenize
from quant.errors import ContextFullError
from quant.model import Part, logit_rows
from quant.specials import Special

SPECIAL_IDS = {special: 256 + index for index, special in enumerate(Special)}


class ByteVocabulary:
    """One token a byte, and CWM's specials."""

    size = 256 + len(SPECIAL_IDS)

    def tokenize(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""

    def spelling(self, token: int) -> str:
        return next((special.value for special, number in SPECIAL_IDS.items() if number == token), chr(token))

    def id_of_piece(self, piece: str) -> int | None:
        return SPECIAL_IDS.get(piece)  # type: ignore[call-overload]


class ScriptedRuntime:
    """The script's next token has the highest logit, whatever was written before it.

    A script starts where the prompt's frames do: with those of `main`.
    """

    path = Path("scripted.gguf")

    def __init__(self, script: Iterable[Segment], context: int = 10_000_000, sequences: int = 1) -> None:
        self.vocabulary = ByteVocabulary()
        self.context = context
        self.calls = 0
        self.token_cost = 0.01
        self.checks_drafts = True
        self.sequences = sequences
        self._tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._script = tokenize(script, self.vocabulary.tokenize, SPECIAL_IDS)

    def metadata(self, key: str) -> str | None:
        return None

    def tokens_of(self, sequence: int) -> Sequence[int]:
        return self._tokens[sequence]

    @property
    def tokens(self) -> Sequence[int]:
        return self._tokens[0]

    def read(self, part: Part):
        return logit_rows(self.evaluate([part])[0])

    def evaluate(self, parts: Sequence[Part]) -> list[np.ndarray]:
        self.calls += 1
        return [self._evaluate(part) for part in parts]

    def _evaluate(self, part: Part) -> np.ndarray:
        tokens = self._tokens[part.sequence]
        if len(tokens) + len(part.tokens) > self.context:
            raise ContextFullError("full")
        tokens.extend(part.tokens)
        rows = np.zeros((part.rows, self.vocabulary.size), dtype=np.float32)
        if not part.rows:
            return rows
        # The program, which the script leaves out, ends with the first frame separator.
        start = tokens.index(SPECIAL_IDS[Special.FRAME]) + 1
        for row, position in enumerate(range(len(tokens) - part.rows + 1 - start, len(tokens) + 1 - start)):
            if 0 <= position < len(self._script):
                rows[row, self._script[position]] = 20
        return rows

    def forget(self, length: int, sequence: int = 0) -> int:
        del self._tokens[sequence][length:]
        return len(self._tokens[sequence])

    def fork(self, source: int, target: int, length: int) -> None:
        self._tokens[target] = self._tokens[source][:length]
