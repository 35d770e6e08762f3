"""Trains nano: a `CwmForCausalLM` that reads a program and writes its run, frame by frame, in CWM's format.

    python -m nano.base                                   once: SmolLM2's weights as nano/work/base
    nice -n 10 python -m nano.train --minutes 60          on the CPU or, with --device cuda, on a GPU
    nice -n 10 python -m nano.train --minutes 60 --resume
    nice -n 10 python -m nano.train --base nano/work/run/model --out nano/work/run2 --corpus nano/work/corpus

Programs are generated while training runs and none is seen twice, or they come from a corpus that `nano.corpus` wrote.
The loss is taken on frames only; programs in one batch have similar lengths and stand in rows of their own. The
learning rate falls to zero with the time that is used up, so that a run ends well however fast the machine turns out
to be. Weights are bfloat16, AdamW keeps float32 copies. Every `--save-minutes` the state goes to OUT/state.pt and the
model to OUT/model; both are whole at any time. To start anew from a trained model, with a new optimizer and schedule,
name it with `--base`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from tokenizers import Tokenizer
from transformers import CwmForCausalLM

from nano import corpus
from nano.base import WORK
from nano.programs import programs, training_segments
from nano.tokenizer import SegmentTokenizer
from quant.specials import Special

IGNORED = -100
"""The label of tokens without loss."""
HELD_OUT_SEED = 1_000_000_000
"""Where the seeds of held-out programs start; training seeds start at --seed times `SEED_STRIDE`."""
SEED_STRIDE = 20_000_000
PADDING = 64
"""Lengths are padded to a multiple. On CPUs each shape of a matrix has its own prepared kernels, which stay in memory
(10 MB for each new length, measured: 15 GB after an hour), and leaves its own holes there."""
LONG_ROW = 512
"""From this length on attention on CPUs goes the way that keeps no [length, length] matrices: as fast, and small."""


@dataclass(frozen=True, slots=True)
class Document:
    """One program and its run as token ids."""

    kind: str
    ids: list[int]
    prompt: int
    """How many ids are given; the loss starts behind them."""


def documents(tokenizer: SegmentTokenizer, first_seed: int, held_out: bool, longest: int) -> Iterator[Document]:
    """Documents of at most `longest` tokens, in the order of seeds."""
    for program, trace in programs(first_seed, held_out):
        prompt, frames = training_segments(program.source, program.call, trace)
        given = tokenizer.segments(prompt)
        ids = given + tokenizer.segments(frames)
        if len(ids) <= longest:
            yield Document(program.kind, ids, len(given))


def documents_of(folder: Path, tokenizer: Path, longest: int, seed: int) -> Iterator[Document]:
    """The documents of a corpus in random order; again, in another order, when all were seen."""
    shards, kinds = corpus.read(folder, tokenizer)
    shuffle = random.Random(seed)
    for epoch in itertools.count(1):
        if epoch > 1:
            print(f"the corpus starts anew: epoch {epoch}", flush=True)
        shuffle.shuffle(shards)
        for path in shards:
            with np.load(path) as shard:
                ids, lengths, prompts, kind = (shard[name] for name in ("ids", "lengths", "prompts", "kinds"))
            ends = np.cumsum(lengths, dtype=np.int64)
            order = [index for index in range(len(lengths)) if lengths[index] <= longest]
            shuffle.shuffle(order)
            for index in order:
                text = ids[ends[index] - lengths[index] : ends[index]].tolist()
                yield Document(kinds[kind[index]], text, int(prompts[index]))


def batches(stream: Iterator[Document], tokens: int, seed: int, buffer: int = 256) -> Iterator[list[Document]]:
    """Batches of about `tokens` tokens with little padding: documents of similar length, in random order."""
    shuffle = random.Random(seed)
    while True:
        waiting = sorted(itertools.islice(stream, buffer), key=lambda document: len(document.ids))
        groups: list[list[Document]] = [[]]
        for document in waiting:
            if groups[-1] and (len(groups[-1]) + 1) * len(document.ids) > tokens:
                groups.append([])
            groups[-1].append(document)
        shuffle.shuffle(groups)
        yield from groups


def tensors(batch: list[Document], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids, padded on the right, and labels already moved by one: [documents, a multiple of `PADDING`] each."""
    length = -(-max(len(document.ids) for document in batch) // PADDING) * PADDING
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    labels = torch.full((len(batch), length), IGNORED)
    for row, document in enumerate(batch):
        ids[row, : len(document.ids)] = torch.tensor(document.ids)
        labels[row, document.prompt - 1 : len(document.ids) - 1] = torch.tensor(document.ids[document.prompt :])
    return ids.to(device), labels.to(device)


def logits_and_labels(model: Any, batch: list[Document], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, float32 [tokens, vocabulary], and labels, [tokens], where there is a loss; rows one after the other."""
    ids, labels = tensors(batch, device)
    if device == "cpu":  # on short rows eager attention is a third faster on CPUs, measured
        model.config._attn_implementation = "sdpa" if ids.shape[1] >= LONG_ROW else "eager"
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    learned = labels != IGNORED
    picked = hidden[learned]
    count = len(picked)
    logits = model.lm_head(F.pad(picked, (0, 0, 0, -count % (4 * PADDING))))
    return logits[:count].float(), labels[learned]


@dataclass(frozen=True, slots=True)
class Score:
    """How well a model knows runs when it is shown the real ones so far."""

    loss: float
    token: float
    frame: float
    """Share of frames in which every token is the model's first choice: what greedy forced decoding gets exactly."""
    by_kind: dict[str, tuple[int, int]]
    """Kind to (right, all) frames."""


@torch.no_grad()
def score(model: Any, held_out: list[Document], frame_id: int, tokens: int, device: str) -> Score:
    """Forced next-frame accuracy without constraints."""
    model.eval()
    loss = right = count = 0.0
    by_kind: dict[str, tuple[int, int]] = {}
    for batch in itertools.islice(batches(iter(held_out), tokens, 0, len(held_out)), None):
        if not batch:
            break
        logits, labels = logits_and_labels(model, batch, device)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct = (logits.argmax(-1) == labels).tolist()
        right, count = right + sum(correct), count + len(correct)
        position = 0
        for document in batch:
            whole = True
            for token in document.ids[document.prompt :]:
                whole = whole and correct[position]
                position += 1
                if token == frame_id:
                    good, frames = by_kind.get(document.kind, (0, 0))
                    by_kind[document.kind] = (good + whole, frames + 1)
                    whole = True
    model.train()
    frames = sum(frames for _, frames in by_kind.values())
    return Score(loss / count, right / count, sum(good for good, _ in by_kind.values()) / frames, by_kind)


class Optimizer:
    """AdamW on float32 copies of bfloat16 weights."""

    def __init__(self, parameters: list[torch.nn.Parameter], beta2: float) -> None:
        """Copy the weights."""
        self._parameters = parameters
        self._masters = [parameter.detach().float().clone() for parameter in parameters]
        self._adam = torch.optim.AdamW(self._masters, lr=0.0, betas=(0.9, beta2), weight_decay=0.0, fused=True)

    @torch.no_grad()
    def step(self, rate: float, clip: float = 1.0) -> float:
        """Take the gradients, clipped to a norm of `clip`, and make one step. Returns the norm before clipping."""
        for parameter, master in zip(self._parameters, self._masters, strict=True):
            master.grad = parameter.grad.float() if parameter.grad is not None else None
            parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self._masters, clip)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()
        for parameter, master in zip(self._parameters, self._masters, strict=True):
            parameter.copy_(master)
        return norm.item()

    def state(self) -> dict[str, Any]:
        """What `load` needs."""
        return {"masters": self._masters, "adam": self._adam.state_dict()}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for parameter, master, saved in zip(self._parameters, self._masters, state["masters"], strict=True):
            master.copy_(saved)
            parameter.copy_(saved)
        self._adam.load_state_dict(state["adam"])


def rate_at(done: float, peak: float, warmup: float) -> float:
    """The learning rate when a share `done` of the run is over: up for `warmup`, then down to zero in a line."""
    return peak * min(done / warmup, (1 - done) / (1 - warmup)) if done < 1 else 0.0


def parse() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=WORK / "base", help="checkpoint to start from")
    parser.add_argument("--out", type=Path, default=WORK / "run")
    parser.add_argument("--corpus", type=Path, help="folder of nano.corpus; without it programs are made meanwhile")
    parser.add_argument("--minutes", type=float, default=60, help="the whole run, resumed parts included")
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps (0: when time is up)")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens in a step")
    parser.add_argument("--longest", type=int, default=1024, help="tokens in a document")
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--beta2", type=float, default=0.98)
    parser.add_argument("--warmup", type=float, default=0.03, help="share of the run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--held-out", type=int, default=60, help="programs to measure on before each save")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def save(out: Path, base: Path, model: Any, state: dict[str, Any]) -> None:
    """Write the state and the model, each whole or not at all."""
    torch.save(state, out / "state.new")
    new = out / "model.new"
    model.save_pretrained(new)
    for name in ("tokenizer.json", "tokenizer_config.json", "README.md"):
        if (base / name).exists():
            shutil.copy(base / name, new / name)
    shutil.rmtree(out / "model", ignore_errors=True)
    new.rename(out / "model")
    (out / "state.new").replace(out / "state.pt")


def main() -> None:
    """Train until the time is used up."""
    corpus.fix_hash_seed()
    options = parse()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)

    model: Any = CwmForCausalLM.from_pretrained(options.base, dtype=torch.bfloat16, attn_implementation="sdpa")
    model.to(options.device).train()
    tokenizer = SegmentTokenizer(Tokenizer.from_file(str(options.base / "tokenizer.json")))
    optimizer = Optimizer(list(model.parameters()), options.beta2)
    held_out = list(itertools.islice(documents(tokenizer, HELD_OUT_SEED, True, options.longest), options.held_out))

    steps = tokens_seen = resumed = 0
    before = 0.0
    if options.resume:
        state = torch.load(options.out / "state.pt", map_location=options.device, weights_only=True)
        optimizer.load(state["optimizer"])
        steps, tokens_seen, before, resumed = state["steps"], state["tokens"], state["seconds"], state["resumed"] + 1

    # A resumed run goes on with programs that no earlier part of it has reached.
    first_seed = options.seed * SEED_STRIDE + resumed * SEED_STRIDE // 10
    if options.corpus is None:
        stream = documents(tokenizer, first_seed, False, options.longest)
    else:
        stream = documents_of(options.corpus, options.base / "tokenizer.json", options.longest, first_seed)
    feed = batches(stream, options.tokens, options.seed)
    start = saved = time.monotonic()
    log = (options.out / "log.jsonl").open("a")
    total_seconds = options.minutes * 60
    recent: list[float] = []
    recent_tokens, recent_start = 0, start
    while True:
        seconds = before + time.monotonic() - start
        done = min(seconds / total_seconds, 1.0)
        finished = done >= 1 or (options.steps and steps >= options.steps)
        if finished or time.monotonic() - saved > options.save_minutes * 60:
            result = score(model, held_out, tokenizer.specials[Special.FRAME], options.tokens, options.device)
            record = {"step": steps, "tokens": tokens_seen, **{f"held_out_{k}": v for k, v in asdict(result).items()}}
            print(f"held out: loss {result.loss:.4f}  tokens {result.token:.2%}  frames {result.frame:.1%}", flush=True)
            log.write(json.dumps(record) + "\n")
            log.flush()
            seconds = before + time.monotonic() - start
            counts = {"steps": steps, "tokens": tokens_seen, "seconds": seconds, "resumed": resumed}
            save(options.out, options.base, model, {"optimizer": optimizer.state(), **counts})
            saved = time.monotonic()
            if finished:
                break
        batch = next(feed)
        logits, labels = logits_and_labels(model, batch, options.device)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        rate = rate_at(done, options.rate, options.warmup)
        norm = optimizer.step(rate)
        steps += 1
        tokens = sum(len(document.ids) for document in batch)
        tokens_seen, recent_tokens = tokens_seen + tokens, recent_tokens + tokens
        recent.append(loss.item())
        if steps % 20 == 0:
            speed = recent_tokens / (time.monotonic() - recent_start)
            mean = sum(recent) / len(recent)
            print(
                f"step {steps}  {tokens_seen / 1e6:.3f} M tokens  loss {mean:.4f}  norm {norm:.2f}  rate {rate:.2e}  "
                f"{speed:.0f} tokens/s  {done:.0%}",
                flush=True,
            )
            log.write(json.dumps({"step": steps, "tokens": tokens_seen, "loss": mean, "speed": round(speed)}) + "\n")
            log.flush()
            recent, recent_tokens, recent_start = [], 0, time.monotonic()
    log.close()


if __name__ == "__main__":
    main()
