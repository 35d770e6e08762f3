"""A checkpoint's tokenizer.json as the vocabulary of a GGUF, refused where llama.cpp would split text in another way.

The format is that of Hugging Face's tokenizers: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gguf.constants import TokenType

from quant.errors import ModelError
from quant.specials import IDS_IN_CWM, RESERVED, Special

LLAMA3_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""How Llama 3, and with it CWM, cuts text into words before the merges."""
PRE_TOKENIZERS: dict[str, tuple[Mapping[str, Any], ...]] = {
    "llama-bpe": (
        {"type": "Split", "pattern": {"Regex": LLAMA3_REGEX}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
    ),
    "smollm": (
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
    ),
}
"""What llama.cpp calls the two ways of cutting that a CWM may have, and how tokenizer.json spells them."""
WHOLE_PIECES_FIRST = {"llama-bpe": True, "smollm": False}
"""Whether llama.cpp takes a word that is a piece as it is, without going through the merges (`ignore_merges`)."""
_BYTES = 256


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The vocabulary that a GGUF holds."""

    pieces: tuple[str, ...]
    """By id, one for each row of the embeddings."""
    kinds: tuple[TokenType, ...]
    """By id: normal, control (never made from text), user-defined, or unused."""
    merges: tuple[str, ...]
    """`left right`, in order of rank."""
    pre_tokenizer: str
    """llama.cpp's name for how text is cut into words."""
    assumptions: tuple[str, ...]
    """Sentences about what the file does not say."""

    def id_of(self, special: Special) -> int:
        """The id of one of CWM's special tokens; each is there."""
        return self.pieces.index(special.value)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ModelError where there is none."""
    try:
        found: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} has no {path.name}; give the folder of a Hugging Face checkpoint with all its files."
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); make it readable.") from error
    except (ValueError, RecursionError):
        raise ModelError(f"{path} is not JSON; download it again.") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no JSON object; download it again.")
    return cast("dict[str, Any]", found)


def spells_specials(data: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json spells all of CWM's special tokens."""
    added = data.get("added_tokens")
    if not isinstance(added, list):
        return False
    contents = {token.get("content") for token in cast("list[dict[str, Any]]", added)}
    return contents.issuperset(special.value for special in Special)


def vocabulary_of(data: Mapping[str, Any], path: Path, rows: int) -> Tokenizer:
    """The vocabulary of the tokenizer.json `data`, read from `path`, for embeddings of `rows` rows.

    Raises ModelError where the file is broken, does not match the embeddings or CWM's special tokens, or asks for what
    llama.cpp does in another way.
    """
    try:
        return _vocabulary_of(data, path, rows)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is no tokenizer.json that can be understood; download it again.") from error


def _vocabulary_of(data: Mapping[str, Any], path: Path, rows: int) -> Tokenizer:
    model = data["model"]
    if model.get("type") != "BPE":
        raise ModelError(f"{path} is a {model.get('type')} tokenizer; CWM's is a byte-level BPE.")
    unknown = [
        key
        for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
        if model.get(key)
    ]
    if data.get("normalizer"):
        unknown.append("normalizer")
    if unknown:
        raise ModelError(f"{path} sets {unknown[0]}, which CWM's tokenizer does not and llama.cpp would ignore.")
    pre_tokenizer = _pre_tokenizer(data.get("pre_tokenizer"), path)
    assumptions: list[str] = []
    whole_first = bool(model.get("ignore_merges", False))
    if whole_first and not WHOLE_PIECES_FIRST[pre_tokenizer]:
        raise ModelError(f"{path} sets ignore_merges, which llama.cpp does not do for {pre_tokenizer}.")
    if WHOLE_PIECES_FIRST[pre_tokenizer] and not whole_first:
        assumptions.append(
            "tokenizer.json does not set ignore_merges; a word that is a piece is taken whole all the same, "
            "as CWM's own tokenizer does."
        )

    ids: dict[str, int] = dict(model["vocab"])
    added: list[dict[str, Any]] = list(data.get("added_tokens") or [])
    for token in added:
        content, number = token["content"], token["id"]
        if ids.setdefault(content, number) != number:
            raise ModelError(f"{path} gives {content!r} two ids, {ids[content]} and {number}; download it again.")
    merges = _merges(model["merges"], ids, path)
    pieces: list[str | None] = [None] * rows
    for piece, number in ids.items():
        if not 0 <= number < rows:
            raise ModelError(
                f"{path} gives {piece!r} the id {number}, but the embeddings have {rows} rows (vocab_size); "
                "the tokenizer belongs to another model."
            )
        if pieces[number] is not None:
            raise ModelError(f"{path} gives {piece!r} and {pieces[number]!r} the same id {number}; download it again.")
        pieces[number] = piece
    _check_bytes(ids, path)

    kinds = [TokenType.UNUSED if piece is None else TokenType.NORMAL for piece in pieces]
    for token in added:
        special = bool(token.get("special"))
        if not special and any(token.get(flag) for flag in ("lstrip", "rstrip", "single_word")):
            raise ModelError(f"{path} strips blanks around {token['content']!r}, which llama.cpp does not.")
        kinds[token["id"]] = TokenType.CONTROL if special else TokenType.USER_DEFINED
    renamed = _spell_specials(pieces, path)
    if renamed:
        token, special = renamed[0]
        assumptions.append(
            f"tokenizer.json calls {len(renamed)} of CWM's special tokens {RESERVED}N|>; they are taken to have CWM's "
            f"ids and are spelled as CWM spells them, {token} as {special.value}."
        )
    spelled = [piece if piece is not None else f"[unused {number}]" for number, piece in enumerate(pieces)]
    if len(set(spelled)) != rows:
        raise ModelError(f"{path} spells two entries the same; download it again.")
    for special in Special:
        kinds[spelled.index(special.value)] = TokenType.CONTROL
    return Tokenizer(tuple(spelled), tuple(kinds), merges, pre_tokenizer, tuple(assumptions))


def _pre_tokenizer(data: Mapping[str, Any] | None, path: Path) -> str:
    """llama.cpp's name for a pre-tokenizer; offsets, which only some of its keys are about, do not matter here."""
    if data is not None:
        steps: Sequence[Mapping[str, Any]] = data["pretokenizers"] if data["type"] == "Sequence" else [data]
        found = [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]
        for step in found:
            if step["type"] == "ByteLevel":
                step.setdefault("use_regex", True)
        for name, known in PRE_TOKENIZERS.items():
            if found == [dict(step) for step in known]:
                return name
    raise ModelError(
        f"{path} cuts text into words in a way that is neither Llama 3's nor SmolLM2's (pre_tokenizer), "
        "so the tokens would not be the model's."
    )


def _merges(merges: Sequence[Any], ids: Mapping[str, int], path: Path) -> tuple[str, ...]:
    """Merges as llama.cpp spells them; tokenizer.json has them as `left right` or, newer, as pairs."""
    found: list[str] = []
    for merge in merges:
        parts: Sequence[str] = merge.split(" ") if isinstance(merge, str) else merge
        left, right = parts
        for piece in (left, right, left + right):
            if piece not in ids:
                raise ModelError(
                    f"{path} merges {left!r} and {right!r}, but has no piece {piece!r}; download it again."
                )
        found.append(f"{left} {right}")
    return tuple(found)


def _check_bytes(ids: Mapping[str, int], path: Path) -> None:
    """Every byte must have a piece: else text would lose characters, in transformers and llama.cpp differently."""
    # The alphabet of byte-level BPE: printable Latin-1 stands for itself, the rest for characters from U+0100 on.
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = [chr(byte) for byte in plain] + [chr(_BYTES + index) for index in range(_BYTES - len(plain))]
    missing = [piece for piece in alphabet if piece not in ids]
    if missing:
        raise ModelError(f"{path} has no piece for {len(missing)} of the 256 bytes, so it is not CWM's tokenizer.")


def _spell_specials(pieces: list[str | None], path: Path) -> list[tuple[int, Special]]:
    """Give CWM's special tokens their names where the entries are still called reserved; return those renamed."""
    known = set(pieces)
    renamed: list[tuple[int, Special]] = []
    for special in Special:
        if special.value in known:
            continue
        token = IDS_IN_CWM.get(special)
        piece = pieces[token] if token is not None and token < len(pieces) else None
        if token is None or piece is None or not piece.startswith(RESERVED):
            raise ModelError(f"{path} lacks CWM's special token {special.value}, so it is not a CWM's tokenizer.")
        pieces[token] = special.value
        renamed.append((token, special))
    return renamed
