"""How often a checkpoint knows which way a condition goes, when it is shown the real run so far.

    python -m nano.branches nano/work/run/model [--programs N]

Counted are the steps behind a line with `if`, `elif` or `while`: event and line must be the model's first choice, token
by token; the values do not matter. Guessing the usual way is right in more than half of them in most code, so look at
the kinds `decisions` and `conditions`, where it is not, and at drills (nano/drills.py). The programs are held out from
training; drills are of seeds that training does not reach. Also told is in how many tokens there is one condition. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import CwmForCausalLM

from nano import attention, drills
from nano.chooser import Chooser
from nano.corpus import Document, fix_hash_seed
from nano.programs import GENERATED
from nano.tokenizer import SegmentTokenizer
from nano.train import HELD_OUT_LONGEST, HELD_OUT_SEED, documents, emphasis, logits_and_labels
from quant.specials import Special

WORDS = ("if ", "elif ", "while ", "if(", "while(")
DRILLS = 40
DRILLS_SEED = 10**15


def decided(document: Document, tokenizer: Tokenizer, specials: dict[Special, int]) -> Iterator[list[int]]:
    """For each step behind a condition: where its event and its line are among the tokens behind the prompt."""
    learned = document.ids[document.prompt :]
    events = {specials[event] for event in (Special.CALL, Special.LINE, Special.RETURN, Special.EXCEPTION)}
    condition_before = False
    asked: list[int] = []
    line: list[int] = []
    event, in_line = -1, False
    for place, token in enumerate(learned):
        if token in events:
            event, asked = token, [place]
        elif token == specials[Special.ACTION]:
            in_line, line = True, []
        elif token in (specials[Special.FRAME], specials[Special.ARG]):
            if in_line:
                if condition_before:
                    yield asked
                text: Any = tokenizer.decode(line)
                condition_before = event == specials[Special.LINE] and text.lstrip().startswith(WORDS)
            in_line = False
        elif in_line:
            asked.append(place)
            line.append(token)


@torch.no_grad()
def right(model: Any, document: Document) -> list[bool]:
    """For each token behind the prompt: whether it is the model's first choice."""
    logits, labels = logits_and_labels(model, [document], "cpu")
    return (logits.argmax(-1) == labels).tolist()


def main() -> None:
    """Count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--programs", type=int, default=200)
    fix_hash_seed()
    options = parser.parse_args()
    vocabulary = options.checkpoint / "tokenizer.json"
    if not vocabulary.exists():
        parser.error(f"{options.checkpoint} is no checkpoint of nano; nano.base and nano.train make them")
    attention.register()
    model: Any = CwmForCausalLM.from_pretrained(
        options.checkpoint, dtype="bfloat16", attn_implementation=attention.NAME
    ).eval()
    plain = Tokenizer.from_file(str(vocabulary))
    tokenizer = SegmentTokenizer(plain)
    counts: Counter[tuple[str, bool]] = Counter()
    tokens: Counter[str] = Counter()
    held_out = documents(tokenizer, HELD_OUT_SEED, True, HELD_OUT_LONGEST)
    for document in itertools.islice(held_out, options.programs):
        correct = right(model, document)
        kind = "generated" if document.kind in GENERATED else document.kind
        tokens[kind] += len(document.ids)
        for places in decided(document, plain, tokenizer.specials):
            counts[kind, all(correct[place] for place in places)] += 1
    answers = emphasis(tokenizer, 1.0)
    for seed in range(DRILLS):
        drill = Document(drills.KIND, drills.drill(Chooser(DRILLS_SEED + seed), tokenizer), 1)
        kind = f"{drills.KIND}: next line" if tokenizer.specials[Special.CONTEXT] in drill.ids else drills.KIND
        tokens[kind] += len(drill.ids)
        judged = itertools.groupby(zip(right(model, drill), answers.of(drill), strict=True), key=lambda pair: pair[1])
        counts.update((kind, all(ok for ok, _ in answer)) for is_answer, answer in judged if is_answer)
    result: dict[str, dict[str, float]] = {}
    for kind in sorted({kind for kind, _ in counts}):
        good, count = counts[kind, True], counts[kind, True] + counts[kind, False]
        each = round(tokens[kind] / count)
        result[kind] = {"conditions": count, "right": round(good / count, 3), "tokens_each": each}
        print(f"{kind:18} {good / count:6.1%} of {count}, one in {each} tokens")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
