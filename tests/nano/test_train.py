from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from tokenizers import Tokenizer
from transformers import CwmForCausalLM

from nano.corpus import Document
from nano.tokenizer import SegmentTokenizer
from nano.train import (
    IGNORED,
    Team,
    batches,
    documents,
    emphasis,
    logits_and_labels,
    rate_at,
    score,
    steps,
    tensors,
)
from quant.specials import Special

ROOT = Path(__file__).parents[2]


def test_the_loss_is_on_frames_only(tokenizer: SegmentTokenizer):
    sample = list(itertools.islice(documents(tokenizer, 3, False, 2000), 4))
    ids, labels = tensors(sample)
    for row, document in enumerate(sample):
        length = len(document.ids)
        assert document.ids[document.prompt] == tokenizer.specials[Special.CALL]
        assert document.ids[-1] == tokenizer.specials[Special.END]
        assert labels[row, : document.prompt - 1].eq(IGNORED).all() and labels[row, length - 1 :].eq(IGNORED).all()
        assert labels[row, document.prompt - 1 : length - 1].tolist() == ids[row, document.prompt : length].tolist()


def test_batches_keep_to_their_size_and_lose_nothing():
    lengths = [30, 700, 45, 90, 90, 512, 64, 33] * 8
    stream = iter([Document(str(index), [0] * length, 1) for index, length in enumerate(lengths)])
    made = list(itertools.takewhile(lambda batch: batch, itertools.islice(batches(stream, 1024, 0, 32), 40)))
    assert sorted(int(document.kind) for batch in made for document in batch) == list(range(len(lengths)))
    assert all(len(batch) * max(len(document.ids) for document in batch) <= 1024 for batch in made)


def test_steps_are_whole_batches_the_longest_first():
    made = [[Document("", [0] * length, 1)] for length in (30, 60, 50, 90, 10)]
    found = [[len(batch[0].ids) for batch in step] for step in steps(iter(made), 100)]
    assert found == [[60, 50, 30], [90, 10]]


def test_what_tells_a_branch_can_weigh_more(tiny_cwm, tokenizer: SegmentTokenizer):
    sample = [list(itertools.islice(documents(tokenizer, 3, True, 2000), 3))]
    model = CwmForCausalLM.from_pretrained(tiny_cwm())
    logits, labels = logits_and_labels(model, sample[0], "cpu")
    losses = F.cross_entropy(logits, labels, reduction="none")
    expected: list[float] = []
    for document in sample[0]:
        special = None
        for token in document.ids[document.prompt - 1 : -1]:
            special = next((name for name, number in tokenizer.specials.items() if number == token), special)
            expected.append(5.0 if special in (Special.FRAME, Special.ACTION) else 1.0)
    weights = torch.tensor(expected)
    assert 30 < weights.eq(5).sum() < len(weights) / 1.5
    found = Team(model, 1, emphasis(tokenizer, 5.0)).learn(sample, "cpu")
    assert torch.allclose(found, (losses * weights).sum() / weights.sum(), rtol=1e-4)
    assert torch.allclose(Team(model, 1).learn(sample, "cpu"), losses.mean(), rtol=1e-4)


def test_workers_add_up_to_one(tiny_cwm, tokenizer: SegmentTokenizer):
    sample = [[document] for document in itertools.islice(documents(tokenizer, 3, False, 2000), 5)]
    found = []
    for workers in (1, 2):
        model = CwmForCausalLM.from_pretrained(tiny_cwm())
        team = Team(model, workers)
        loss = team.learn(sample, "cpu")
        gradients = [
            sum(parameter.grad for parameter in each if parameter.grad is not None)
            for each in zip(*(model.parameters() for model in team.models), strict=True)
        ]
        found.append((loss, gradients))
    assert found[0][0] == pytest.approx(found[1][0])
    assert all(torch.allclose(one, two, atol=1e-6) for one, two in zip(found[0][1], found[1][1], strict=True))


def test_the_rate_rises_and_then_falls_to_zero():
    assert rate_at(0, 1.0, 0.1) == 0
    assert rate_at(0.1, 1.0, 0.1) == pytest.approx(1.0)
    assert rate_at(0.55, 1.0, 0.1) == pytest.approx(0.5)
    assert rate_at(1.0, 1.0, 0.1) == rate_at(1.5, 1.0, 0.1) == 0


def test_padding_and_neighbours_change_nothing(tiny_cwm, tokenizer: SegmentTokenizer):
    model = CwmForCausalLM.from_pretrained(tiny_cwm()).eval()
    sample = list(itertools.islice(documents(tokenizer, 3, False, 2000), 3))
    together, _ = logits_and_labels(model, sample, "cpu")
    alone = torch.cat([logits_and_labels(model, [document], "cpu")[0] for document in sample])
    assert torch.allclose(together, alone, atol=1e-4)


def test_a_frame_counts_only_if_every_token_is_right(tiny_cwm, tokenizer: SegmentTokenizer):
    sample = list(itertools.islice(documents(tokenizer, 3, False, 2000), 5))
    model = CwmForCausalLM.from_pretrained(tiny_cwm()).eval()
    frame = tokenizer.specials[Special.FRAME]
    frames = {"": 0}
    expected = 0
    for document in sample:
        with torch.no_grad():
            guesses = model(input_ids=torch.tensor([document.ids])).logits[0].argmax(-1).tolist()
        start = document.prompt
        for end in [index for index in range(start, len(document.ids)) if document.ids[index] == frame]:
            frames[""] += 1
            expected += document.ids[start : end + 1] == guesses[start - 1 : end]
            start = end + 1
    result = score(Team(model, 2), sample, frame, 2048, "cpu")
    assert sum(count for _, count in result.by_kind.values()) == frames[""]
    assert result.frame == expected / frames[""]


def test_training_learns_stops_and_resumes(tiny_cwm, tmp_path: Path):
    base, out = tiny_cwm(), tmp_path / "run"

    def train(*more: str) -> list[dict[str, object]]:
        fixed = shlex.split("--minutes 10 --tokens 512 --threads 1 --held-out 3 --rate 3e-3 --warmup 1e-4")
        command = [sys.executable, "-m", "nano.train", "--base", str(base), "--out", str(out), *fixed, *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]

    first = train("--steps", "2")[-1]
    assert first["step"] == 2 and (out / "state.pt").exists()
    second = train("--steps", "22", "--resume")
    assert second[-1]["step"] == 22 and second[-1]["tokens"] > first["tokens"]
    assert second[-1]["held_out_loss"] < first["held_out_loss"]
    state = torch.load(out / "state.pt", weights_only=True)
    assert state["steps"] == 22 and state["resumed"] == 1 and state["seconds"] > 0
    model = CwmForCausalLM.from_pretrained(out / "model", dtype=torch.float32)
    for parameter, master in zip(model.parameters(), state["optimizer"]["masters"], strict=True):
        assert torch.equal(parameter, master.bfloat16().float())
    Tokenizer.from_file(str(out / "model" / "tokenizer.json"))
