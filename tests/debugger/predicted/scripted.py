"""A model that wants to write a given text: what decoding makes of it needs no weights and no luck."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from debugger.predicted.codec import Segment, tokenize
from quant.errors import ContextFullError
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

    def __init__(self, script: Iterable[Segment], context: int = 10_000_000) -> None:
        self.vocabulary = ByteVocabulary()
        self.context = context
        self.tokens: list[int] = []
        self._script = tokenize(script, self.vocabulary.tokenize, SPECIAL_IDS)
        self._start = 0

    def metadata(self, key: str) -> str | None:
        return None

    def prefill(self, tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> np.ndarray:
        self.tokens = []
        # The program, which the script leaves out, ends with the first frame separator.
        self._start = list(tokens).index(SPECIAL_IDS[Special.FRAME]) + 1
        return self.extend(tokens)

    def extend(self, tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> np.ndarray:
        if len(self.tokens) + len(tokens) > self.context:
            raise ContextFullError("full")
        self.tokens.extend(tokens)
        logits = np.zeros(self.vocabulary.size, dtype=np.float32)
        position = len(self.tokens) - self._start
        if 0 <= position < len(self._script):
            logits[self._script[position]] = 20
        return logits

    def roll_back(self, length: int) -> None:
        del self.tokens[length:]
