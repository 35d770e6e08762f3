from __future__ import annotations

import itertools
import json
import re
from collections import Counter

from tokenizers import Tokenizer

from nano import drills
from nano.chooser import Chooser
from nano.corpus import Document
from nano.tokenizer import SegmentTokenizer, Vocabulary, build_tokenizer
from nano.train import emphasis


def answers_of(tokenizer: SegmentTokenizer, plain: Tokenizer, seed: int) -> tuple[str, list[str]]:
    """The text of a drill, special tokens spelled out, and what is learned of it."""
    document = Document(drills.KIND, drills.drill(Chooser(seed), tokenizer), 1)
    weights = emphasis(tokenizer, 5.0).of(document)
    assert len(weights) == len(document.ids) - 1 and set(weights) == {0, 5}
    runs = itertools.groupby(zip(document.ids[1:], weights, strict=True), key=lambda pair: pair[1])
    found = [plain.decode([token for token, _ in run]) for weight, run in runs if weight]
    return plain.decode(document.ids, skip_special_tokens=False), found


def test_truths_are_those_of_the_conditions(small_vocabulary: Vocabulary, tokenizer: SegmentTokenizer):
    plain = build_tokenizer(small_vocabulary)
    truths: Counter[str] = Counter()
    for seed in range(40):
        text, found = answers_of(tokenizer, plain, seed)
        if "<|trace_context_start|>" in text:
            continue
        lines = [re.sub(r"<\|(frame|line|action)_sep\|>", "", line) for line in text.splitlines()]
        values: dict[str, object] = {}
        asked: list[str] = []
        for line in lines:
            match = re.match(r"(?:<\|begin_of_text\|>)?(\w+) = (.*)", line)
            if match:
                values[match[1]] = eval(match[2])
            elif " -> " in line:
                asked.append(line.split(" -> ")[0])
            elif line.endswith(":"):
                asked.append(line.split(" ", 1)[1][:-1])
        assert [f" {bool(eval(condition, {}, values))}" for condition in asked] == found
        truths.update(found)
    assert truths.total() > 300 and 0.4 < truths[" True"] / truths.total() < 0.6


def test_next_lines_are_those_that_python_goes_on_with(small_vocabulary: Vocabulary, tokenizer: SegmentTokenizer):
    plain = build_tokenizer(small_vocabulary)
    ways: Counter[bool] = Counter()
    for seed in range(60):
        text, found = answers_of(tokenizer, plain, seed)
        if "<|trace_context_start|>" not in text:
            continue
        source = text.split("<|trace_context_start|>")[1].split("<|frame_sep|>")[0].splitlines()
        compile("\n".join(source), "<drill>", "exec")
        values: dict[str, object] = {}
        expected: list[str] = []
        for shown, condition, answer in re.findall(
            r"_sep\|>(\{[^<]*\})<\|action_sep\|>(.*)\n<\|frame_sep\|>"
            r"(?:<\|line_sep\|>\{\}<\|action_sep\|>(.*)\n)?",
            text,
        ):
            values |= {name: eval(value) for name, value in json.loads(shown).items() if value != ".."}
            if answer:
                where = source.index(condition)
                truth = bool(eval(condition.strip().split(" ", 1)[1][:-1], {}, values))
                after = where + 1 if truth else where + 2
                expected.append(source[after + 1 if source[after] == "    else:" and not truth else after])
                ways[truth] += 1
        assert expected == found
    assert ways.total() > 300 and 0.35 < ways[True] / ways.total() < 0.65
