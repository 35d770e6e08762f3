"""The vocabulary of a GGUF gives the token ids of the checkpoint's own tokenizer, or the checkpoint is refused."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf.constants import TokenType
from transformers import PreTrainedTokenizerFast

from quant.errors import ModelError
from quant.runtime import Runtime
from quant.specials import Special
from quant.tokenizer import vocabulary_of
from tests.data import cwm_samples, real_functions

LINES = 10_000
ODD_TEXTS = [
    "", " ", "\n", "\t\tx = 1\r\n\r\n", "\n\n\n   \n", "if a:\n\treturn '..'\n", " " * 100 + "y", "x" * 500,
    "1234567890" * 3, "٣½Ⅷ ²", "don't DON'T 'Re '\u017f", "naïve grüße 中文 हिन्दी 👨\u200d👩\u200d👧 e\u0301",
    "<|frame_sep|>", "a<|begin_of_text|> <|line_sep|>b", "\0\x0b\x0c\x85\xa0\u2028\u3000\ufeff",
]  # fmt: skip


def lines_of_code_and_traces() -> list[str]:
    """Different lines, from the standard library, from MBPP and HumanEval, and from real outputs of CWM."""
    texts = [json.dumps(sample) for sample in cwm_samples()]
    texts += [value for sample in cwm_samples() for value in sample.values() if isinstance(value, str)]
    texts += [function["source"] for function in real_functions()]
    traces = dict.fromkeys(line for text in texts for line in text.splitlines(keepends=True))
    library = Path(sysconfig.get_paths()["stdlib"])
    code: dict[str, None] = {}
    for path in sorted(library.glob("*.py")):
        if len(traces) + len(code) >= LINES:
            break
        code |= dict.fromkeys(path.read_text(encoding="utf-8").splitlines(keepends=True))
    return [*traces, *code]


def test_token_ids_are_those_of_transformers(real_vocabulary_gguf: Path, nano_gguf: Path, cwm_tokenizer: Path):
    lines = lines_of_code_and_traces()
    assert len(lines) >= LINES
    # Every assigned sign of the basic plane, in the middle of other things, 64 to a text.
    signs = [chr(code) for code in range(1, 0xD800)]
    rows = [" 1".join(signs[start : start + 64]) for start in range(0, len(signs), 64)]
    texts = lines + rows + ODD_TEXTS
    for gguf, tokenizer in ((real_vocabulary_gguf, cwm_tokenizer), (nano_gguf, nano_gguf.with_name("tokenizer.json"))):
        theirs: Any = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer))
        expected = theirs(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        with Runtime.open(gguf, context=64) as runtime:
            vocabulary = runtime.vocabulary
            different = [text for text, ids in zip(texts, expected, strict=True) if vocabulary.tokenize(text) != ids]
            assert different == []
            for special in Special:
                token = theirs.convert_tokens_to_ids(special.value)
                assert vocabulary.id_of_piece(special.value) == token
                assert vocabulary.piece(token) == b""
            assert max(max(ids, default=0) for ids in expected) < min(map(theirs.convert_tokens_to_ids, Special))


def set_in(*keys: str | int, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


@pytest.fixture
def data(tiny_checkpoint: Path) -> dict[str, Any]:
    return json.loads((tiny_checkpoint / "tokenizer.json").read_text())


@pytest.mark.parametrize(
    ("change", "rows", "sentence"),
    [
        (lambda data: None, 500, r"the id \d+, but the embeddings have 500 rows"),
        (lambda data: data["added_tokens"].pop(2), 600, r"lacks CWM's special token <\|trace_context_start\|>"),
        (lambda data: data["added_tokens"].pop(0), 600, r"lacks CWM's special token <\|begin_of_text\|>"),
        (set_in("model", "type", value="Unigram"), 600, "is a Unigram tokenizer"),
        (set_in("model", "unk_token", value="<unk>"), 600, "sets unk_token"),
        (set_in("normalizer", value={"type": "NFC"}), 600, "sets normalizer"),
        (set_in("pre_tokenizer", value=None), 600, "neither Llama 3's nor SmolLM2's"),
        (set_in("pre_tokenizer", "pretokenizers", 1, "add_prefix_space", value=True), 600, "neither Llama 3's nor"),
        (set_in("pre_tokenizer", "pretokenizers", 0, "individual_digits", value=False), 600, "neither Llama 3's nor"),
        (set_in("model", "ignore_merges", value=True), 600, "sets ignore_merges"),
        (set_in("model", "vocab", "Ġ", value=5), 600, "the same id 5"),
        (set_in("added_tokens", 1, "content", value="Ġ"), 600, "'Ġ' two ids"),
        (lambda data: data["added_tokens"][1].update(special=False, lstrip=True), 600, "strips blanks around"),
        (lambda data: data["model"]["merges"].append(["Ġ", "nothing at all"]), 600, "merges 'Ġ' and 'nothing at all'"),
        (lambda data: data["model"].pop("merges"), 600, "no tokenizer.json that can be understood"),
        (set_in("model", "merges", value=[1]), 600, "no tokenizer.json that can be understood"),
        (set_in("model", value=[]), 600, "no tokenizer.json that can be understood"),
        (lambda data: data["model"].update(vocab={"a": 0}, merges=[]), 600, "no piece for 255 of the 256 bytes"),
    ],
)
def test_a_tokenizer_that_does_not_match_is_refused(
    data: dict[str, Any], change: Callable[[Any], object], rows: int, sentence: str
):
    change(data)
    with pytest.raises(ModelError, match=sentence):
        vocabulary_of(data, Path("tokenizer.json"), rows)


def test_rows_without_a_piece_are_unused_and_cwms_tokens_are_never_text(data: dict[str, Any]):
    data["added_tokens"][4]["special"] = False
    found = vocabulary_of(data, Path("tokenizer.json"), 600)
    known = len(data["model"]["vocab"]) + len(data["added_tokens"])
    assert found.kinds[known:] == (TokenType.UNUSED,) * (600 - known)
    assert len(set(found.pieces)) == 600
    assert [found.kinds[found.id_of(special)] for special in Special] == [TokenType.CONTROL] * len(Special)


def test_reserved_entries_get_cwms_names(cwm_tokenizer: Path):
    data = json.loads(cwm_tokenizer.read_text())
    expected = vocabulary_of(data, cwm_tokenizer, 128256)
    for token in data["added_tokens"]:
        if token["id"] in (128100, 128107):
            token["content"] = f"<|reserved_special_token_{token['id']}|>"
    found = vocabulary_of(data, cwm_tokenizer, 128256)
    assert found.pieces == expected.pieces and found.kinds == expected.kinds
    assert expected.assumptions == ()
    assert "calls 2 of CWM's special tokens" in found.assumptions[0]


def test_merges_may_be_pairs_or_strings_and_ignore_merges_is_assumed(cwm_tokenizer: Path):
    data = json.loads(cwm_tokenizer.read_text())
    expected = vocabulary_of(data, cwm_tokenizer, 128256)
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]
    assert vocabulary_of(data, cwm_tokenizer, 128256) == expected
    data["model"]["ignore_merges"] = False
    assert "ignore_merges" in vocabulary_of(data, cwm_tokenizer, 128256).assumptions[0]
