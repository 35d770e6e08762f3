from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from nano.programs import programs, training_segments
from nano.tokenizer import SPECIALS, SegmentTokenizer, Vocabulary, build_tokenizer
from quant.specials import Special

ROOT = Path(__file__).parents[2]
ODD_TEXTS = [
    "", " ", "\n", "\t\tx\n", "   \n\n  ", "12345", "-0.5e10", "a1b22c333", "don't we'll I've", "été naïve Straße",
    "变量 = '汉字'  # 注释", "😀👩‍👩‍👧 emoji", "a\u00a0b\u2003c", "x²+y³ ½ ٣٤", "\x00\x7f\x01",
    "<|frame_sep|> <|begin_of_text|>",
    '{"a": "..", "b": "\'it\\\\\'s\'"}', "\r\n\r\n", "def f(x):\r\n", "«quoted» — dash…", "\ufeffBOM", "x" * 300,
]  # fmt: skip


@cache
def lines() -> list[str]:
    files = [path for folder in ("debugger", "foretrace", "quant", "nano", "tests")
             for path in sorted((ROOT / folder).rglob("*.py"))]  # fmt: skip
    code = [line for path in files for line in path.read_text(encoding="utf-8").splitlines(keepends=True)]
    traces: list[str] = []
    for program, trace in itertools.islice(programs(5, held_out=False), 300):
        prompt, frames = training_segments(program.source, program.call, trace)
        traces += [segment for segment in prompt + frames if not isinstance(segment, Special)]
    assert len(code) > 3000 and len(traces) > 3000
    return ODD_TEXTS + code + traces


def test_the_vocabulary_is_closed(vocabulary: Vocabulary):
    pieces = set(vocabulary.pieces)
    assert len(pieces) == len(vocabulary.pieces) == len(vocabulary.source_ids) == 8192
    for left, right in vocabulary.merges:
        assert {left, right, left + right} <= pieces
    assert vocabulary.pieces[-len(SPECIALS) :] == tuple(special.value for special in Special)


def test_text_comes_back_and_nothing_is_unknown(vocabulary: Vocabulary):
    tokenizer = build_tokenizer(vocabulary)
    for text in lines():
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_digits_stand_alone(vocabulary: Vocabulary):
    tokenizer = SegmentTokenizer(build_tokenizer(vocabulary))
    assert len(tokenizer.text("9071")) == 4


def test_specials_are_never_made_from_text(vocabulary: Vocabulary):
    tokenizer = SegmentTokenizer(build_tokenizer(vocabulary))
    ids = set(tokenizer.specials.values())
    assert len(ids) == len(SPECIALS)
    for special in Special:
        assert ids.isdisjoint(tokenizer.text(f"print('{special.value}')"))
    assert tokenizer.segments([Special.CALL, "{}", Special.FRAME])[::2] == [
        tokenizer.specials[Special.CALL],
        tokenizer.specials[Special.FRAME],
    ]


def test_a_tokenizer_without_a_special_is_refused(vocabulary: Vocabulary):
    tokenizer = Tokenizer.from_str(build_tokenizer(vocabulary).to_str().replace("<|arg_sep|>", "<|other|>"))
    with pytest.raises(ValueError, match="arg_sep"):
        SegmentTokenizer(tokenizer)
