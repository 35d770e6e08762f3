"""CWM's special tokens: how they are spelled, and under which ids a checkpoint may still hide them."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from quant.errors import ModelError


class Special(str, Enum):
    """CWM's special tokens, by piece."""

    BEGIN = "<|begin_of_text|>"
    END = "<|end_of_text|>"
    CONTEXT = "<|trace_context_start|>"
    FRAME = "<|frame_sep|>"
    CALL = "<|call_sep|>"
    LINE = "<|line_sep|>"
    RETURN = "<|return_sep|>"
    EXCEPTION = "<|exception_sep|>"
    ACTION = "<|action_sep|>"
    ARG = "<|arg_sep|>"


IDS_IN_CWM = {
    Special.FRAME: 128100,
    Special.ACTION: 128101,
    Special.RETURN: 128102,
    Special.CALL: 128103,
    Special.LINE: 128104,
    Special.EXCEPTION: 128105,
    Special.ARG: 128106,
    Special.CONTEXT: 128107,
}
"""Their ids in CWM's vocabulary. Some copies of it still call these entries `<|reserved_special_token_N|>`."""
RESERVED = "<|reserved_special_token_"


class Spellings(Protocol):
    """What is asked of a vocabulary."""

    def spelling(self, token: int) -> str:
        """How it spells a token; '' for an id beyond it."""
        ...

    def id_of_piece(self, piece: str) -> int | None:
        """The id of the entry spelled exactly so, or None."""
        ...


def special_ids(vocabulary: Spellings, name: object) -> dict[Special, int]:
    """The ids of CWM's special tokens in the vocabulary of the model called `name`.

    Raises ModelError if one is missing.
    """
    ids: dict[Special, int] = {}
    for special in Special:
        token = vocabulary.id_of_piece(special.value)
        if token is None and special in IDS_IN_CWM:
            reserved = IDS_IN_CWM[special]
            if vocabulary.spelling(reserved).startswith(RESERVED):
                token = reserved
        if token is None:
            raise ModelError(
                f"{name} does not have CWM's token {special.value}, so it cannot trace; "
                "give a GGUF of a Code World Model."
            )
        ids[special] = token
    return ids
