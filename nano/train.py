"""Trains nano: a `CwmForCausalLM` that reads a program and writes its run, frame by frame, in CWM's format.

    python -m nano.base                                   once: SmolLM2's weights as nano/work/base
    nice -n 10 python -m nano.train --minutes 60          on the CPU or, with --device cuda --compile, on a GPU
    nice -n 10 python -m nano.train --minutes 60 --resume
    nice -n 10 python -m nano.train --base nano/work/run/model --out nano/work/run2 --corpus nano/work/corpus

Programs are generated while training runs and none is seen twice, or they come from a corpus that `nano.corpus` wrote.
The loss is taken on frames, and on the answers of drills (nano/drills.py); documents in one batch have similar lengths
and stand in rows of their own. The learning rate falls to zero with the time that is used up, so that a run ends well
however fast the machine turns out to be. Weights are bfloat16, AdamW keeps float32 copies; some CPUs multiply float32
faster (--dtype). On CPUs each core takes batches of a step for itself (--workers), so that one that other work keeps
busy holds up nothing. Every `--save-minutes` the state goes to OUT/state.pt and the model to OUT/model; both are whole
at any time. To start anew from a trained model, with a new optimizer and schedule, name it with `--base`. With
`--rounded-from` the last part of a run learns with weights rounded to four bits, as the shipped file has them;
OUT/model has them, too, then.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import CwmForCausalLM

from nano import attention, corpus, drills
from nano.base import WORK, copy_beside_weights
from nano.corpus import Document, document_of
from nano.int8 import multiply_in_int8, prepare_thread
from nano.rounding import BLOCK, is_rounded, rounded
from nano.tokenizer import SegmentTokenizer
from quant.specials import Special

IGNORED = -100
"""The label of tokens without loss."""
HELD_OUT_SEED = 1_000_000_000
"""Where the seeds of held-out programs start; training seeds start at --seed times `SEED_STRIDE`."""
HELD_OUT_LONGEST = 2048
"""Tokens of a held-out document: more than one to learn from has, so that forgetting long runs shows."""
SEED_STRIDE = 20_000_000
Item = TypeVar("Item")
Result = TypeVar("Result")
PADDING = 64
"""Lengths are padded to a multiple. On CPUs each shape of a matrix has its own prepared kernels, which stay in memory
(10 MB for each new length, measured: 15 GB after an hour), and leaves its own holes there."""


def documents(tokenizer: SegmentTokenizer, first_seed: int, held_out: bool, longest: int) -> Iterator[Document]:
    """Documents of at most `longest` tokens, in the order of seeds."""
    seen: set[int] = set()
    for seed in itertools.count(first_seed):
        document = document_of(seed, held_out, longest, tokenizer, seen)
        if document is not None:
            yield document


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


def batches(stream: Iterator[Document], tokens: int, seed: int, buffer: int | None = None) -> Iterator[list[Document]]:
    """Batches of about `tokens` tokens with little padding: documents of similar length, in random order.

    The documents are sorted `buffer` at a time; by default as many as make that worthwhile.
    """
    shuffle = random.Random(seed)
    while True:
        waiting = sorted(
            itertools.islice(stream, buffer or max(256, tokens // 8)), key=lambda document: len(document.ids)
        )
        groups: list[list[Document]] = [[]]
        for document in waiting:
            if groups[-1] and (len(groups[-1]) + 1) * len(document.ids) > tokens:
                groups.append([])
            groups[-1].append(document)
        shuffle.shuffle(groups)
        yield from groups


def steps(stream: Iterator[list[Document]], tokens: int) -> Iterator[list[list[Document]]]:
    """Batches gathered to at least `tokens` tokens: those of one step, the longest first."""
    step: list[list[Document]] = []
    for batch in stream:
        step.append(batch)
        if sum(len(document.ids) for batch in step for document in batch) >= tokens:
            yield sorted(step, key=lambda batch: -sum(len(document.ids) for document in batch))
            step = []


def tensors(batch: list[Document]) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids, padded on the right, and labels already moved by one: [documents, a multiple of `PADDING`] each."""
    length = -(-max(len(document.ids) for document in batch) // PADDING) * PADDING
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    labels = torch.full((len(batch), length), IGNORED)
    for row, document in enumerate(batch):
        whole = torch.from_numpy(np.array(document.ids))  # many times as fast as a tensor from a list
        ids[row, : len(whole)] = whole
        labels[row, document.prompt - 1 : len(whole) - 1] = whole[document.prompt :]
    return ids, labels


def moved(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """The tensor on the device; the host does not wait for the copy."""
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def logits_and_labels(model: Any, batch: list[Document], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, float32 [tokens, vocabulary], and labels, [tokens], where there is a loss; rows one after the other."""
    ids, labels = tensors(batch)
    learned = (labels.flatten() != IGNORED).nonzero().flatten()
    count = len(learned)
    hidden = model.model(input_ids=moved(ids, device), use_cache=False).last_hidden_state
    picked = hidden.flatten(0, 1).index_select(0, moved(learned, device))
    logits = model.lm_head(F.pad(picked, (0, 0, 0, -count % (4 * PADDING))))
    return logits[:count].float(), moved(labels.flatten()[learned], device)


@dataclass(frozen=True, slots=True)
class Score:
    """How well a model knows runs when it is shown the real ones so far."""

    loss: float
    token: float
    frame: float
    """Share of frames in which every token is the model's first choice: what greedy forced decoding gets exactly."""
    by_kind: dict[str, tuple[int, int]]
    """Kind to (right, all) frames."""


@dataclass(frozen=True, slots=True)
class Emphasis:
    """How much the losses of a document's tokens count."""

    behind: NDArray[np.float32]
    """For each token the weight of what comes behind it, up to the next that has one; NaN: it has none. [vocabulary]"""
    before: list[list[int]]
    """What may stand before the answers of drills, of which nothing else counts."""
    ends: set[int]
    """What ends them."""
    answer: float
    """Their weight."""

    def of(self, document: Document) -> NDArray[np.float32]:
        """A weight for each token behind the prompt."""
        if document.kind == drills.KIND:
            answers = drills.answers(document.ids, self.before, self.ends)
            return np.where(answers[document.prompt :], np.float32(self.answer), np.float32(0))
        weights = self.behind[np.array(document.ids[document.prompt - 1 : -1])]
        weights[0] = np.nan_to_num(weights[0], nan=1)
        last = np.where(np.isnan(weights), 0, np.arange(len(weights)))
        return weights[np.maximum.accumulate(last)]


class Team:
    """Workers that take batches from one queue: the same weights, but gradients of their own, on a thread each."""

    def __init__(self, model: Any, workers: int, emphasis: Emphasis | None = None) -> None:
        """Share the weights of `model`, which is the first worker's. Without `emphasis` all tokens count the same."""
        self._emphasis = emphasis
        self.models = [model, *(copy.deepcopy(model) for _ in range(workers - 1))]
        for other in self.models[1:]:
            for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
                theirs.data = ours.data

        def prepare() -> None:
            torch.set_num_threads(1)
            prepare_thread()

        self._pool = ThreadPoolExecutor(workers, initializer=prepare)

    def map(self, work: Callable[[Any, Item], Result], todo: list[Item]) -> list[Result]:
        """`work(model, item)` for each item, in order; a model works on one item at a time."""
        free: SimpleQueue[Any] = SimpleQueue()
        for model in self.models:
            free.put(model)

        def one(item: Item) -> Result:
            model = free.get()
            try:
                return work(model, item)
            finally:
                free.put(model)

        # With one worker the main thread does the work, with all threads that PyTorch has.
        return list(self._pool.map(one, todo)) if len(self.models) > 1 else list(map(one, todo))

    def learn(self, step: list[list[Document]], device: str) -> torch.Tensor:
        """Add up the gradients of one step's weighted mean loss, and return that; a GPU may still be computing it."""
        weights = [self._weights(batch) for batch in step]
        whole = sum(each.sum().item() for each in weights)

        def work(model: Any, item: tuple[list[Document], torch.Tensor]) -> torch.Tensor:
            logits, labels = logits_and_labels(model, item[0], device)
            losses = F.cross_entropy(logits, labels, reduction="none")
            loss = (losses * moved(item[1], device)).sum() / whole
            loss.backward()
            return loss.detach()

        return torch.stack(self.map(work, list(zip(step, weights, strict=True)))).sum()

    def _weights(self, batch: list[Document]) -> torch.Tensor:
        """How much each token's loss counts, float32 [tokens], in the order of `logits_and_labels`."""
        if self._emphasis is None:
            return torch.ones(sum(len(document.ids) - document.prompt for document in batch))
        return torch.from_numpy(np.concatenate([self._emphasis.of(document) for document in batch]))


def score(team: Team, held_out: list[Document], frame_id: int, tokens: int, device: str) -> Score:
    """Forced next-frame accuracy without constraints."""
    todo = list(itertools.takewhile(bool, batches(iter(held_out), tokens, 0, len(held_out))))

    @torch.no_grad()
    def work(model: Any, batch: list[Document]) -> tuple[float, list[bool]]:
        model.eval()
        logits, labels = logits_and_labels(model, batch, device)
        model.train()
        return F.cross_entropy(logits, labels, reduction="sum").item(), (logits.argmax(-1) == labels).tolist()

    loss = right = count = 0.0
    by_kind: dict[str, tuple[int, int]] = {}
    for batch, (lost, correct) in zip(todo, team.map(work, todo), strict=True):
        loss, right, count = loss + lost, right + sum(correct), count + len(correct)
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
    frames = sum(frames for _, frames in by_kind.values())
    return Score(loss / count, right / count, sum(good for good, _ in by_kind.values()) / frames, by_kind)


class Optimizer:
    """AdamW on float32 copies of the weights that a team shares."""

    def __init__(self, models: list[Any], beta2: float) -> None:
        """Take the weights of the first model, and the gradients of all."""
        self._parameters = list(models[0].parameters())
        self._rounded = [is_rounded(name, parameter) for name, parameter in models[0].named_parameters()]
        self._shared = list(zip(*(model.parameters() for model in models), strict=True))
        self._masters = [parameter.detach().to(torch.float32, copy=True) for parameter in self._parameters]
        self._adam = torch.optim.AdamW(self._masters, lr=0.0, betas=(0.9, beta2), weight_decay=0.0, fused=True)

    @torch.no_grad()
    def step(self, rate: float, rounding: bool = False, clip: float = 1.0) -> torch.Tensor:
        """Take the gradients, clipped to a norm of `clip`, and make one step. Returns the norm before clipping.

        With `rounding` the team goes on with weights as Q4_0 keeps them.
        """
        for shared, master in zip(self._shared, self._masters, strict=True):
            gradients = [parameter.grad.float() for parameter in shared if parameter.grad is not None]
            for other in gradients[1:]:
                gradients[0] += other
            master.grad = gradients[0]
            for parameter in shared:
                parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self._masters, clip)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()
        weights = self._rounded_masters() if rounding else self._masters
        for parameter, weight in zip(self._parameters, weights, strict=True):
            parameter.copy_(weight)
        return norm

    def _rounded_masters(self) -> Iterator[torch.Tensor]:
        """The weights as Q4_0 keeps them; on a GPU all are rounded at once, as few large steps take less time there."""
        matrices = [master for master, is_matrix in zip(self._masters, self._rounded, strict=True) if is_matrix]
        if self._masters[0].is_cuda:
            joined = rounded(torch.cat([matrix.view(-1, BLOCK) for matrix in matrices]))
            parts = iter(joined.split([matrix.numel() // BLOCK for matrix in matrices]))
        else:
            parts = map(rounded, matrices)
        for master, is_matrix in zip(self._masters, self._rounded, strict=True):
            yield next(parts).view_as(master) if is_matrix else master

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


def emphasis(tokenizer: SegmentTokenizer, line_weight: float) -> Emphasis:
    """What tells how conditions turned out counts `line_weight` times: lines, events and the answers of drills."""
    tells_branch = (Special.FRAME, Special.ACTION)  # the event comes behind the first, the line behind the second
    behind = np.full(tokenizer.size, np.nan, np.float32)
    for special, token in tokenizer.specials.items():
        behind[token] = line_weight if special in tells_branch else 1
    before = [tokenizer.segments([drills.ARROW]), tokenizer.segments(list(drills.BEFORE_ANSWER))]
    ends = {*tokenizer.segments(["\n"]), tokenizer.specials[Special.FRAME]}
    return Emphasis(behind, before, ends, line_weight)


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
    parser.add_argument("--batch", type=int, help="tokens in a batch (default: as many as in a step)")
    parser.add_argument("--longest", type=int, default=1024, help="tokens in a document")
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--beta2", type=float, default=0.98)
    parser.add_argument("--warmup", type=float, default=0.03, help="share of the run")
    parser.add_argument("--rounded-from", type=float, default=1, help="share of the run after which weights are Q4_0's")
    parser.add_argument("--line-weight", type=float, default=1, help="of lines, events and the answers of drills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--held-out", type=int, default=60, help="programs to measure on before each save")
    parser.add_argument("--held-out-corpus", type=Path, help="take those from this folder of nano.corpus --held-out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--compile", action="store_true", help="compile the layers: worth it on a GPU")
    parser.add_argument("--int8", action="store_true", help="multiply in 8 bits (nano/int8.py), with --dtype float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of one worker alone")
    parser.add_argument("--workers", type=int, default=1, help="on CPUs: batches at once, with a thread each")
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if not (options.base / "tokenizer.json").exists():
        parser.error(f"{options.base} is no checkpoint of nano; nano.base makes one")
    if options.resume and not (options.out / "state.pt").exists():
        parser.error(f"{options.out} has nothing to go on from; leave out --resume")
    return options


def save(out: Path, base: Path, model: Any, state: dict[str, Any]) -> None:
    """Write the state and the model, each whole or not at all."""
    torch.save(state, out / "state.new")
    new = out / "model.new"
    model.save_pretrained(new)
    copy_beside_weights(base, new)
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

    attention.register()
    model: Any = CwmForCausalLM.from_pretrained(options.base, dtype=options.dtype, attn_implementation=attention.NAME)
    model.to(options.device).train()
    if options.compile:
        for layer in model.model.layers:
            layer.compile(dynamic=True)
    tokenizer = SegmentTokenizer(Tokenizer.from_file(str(options.base / "tokenizer.json")))
    if options.int8:
        multiply_in_int8(model.model)
    team = Team(model, options.workers, emphasis(tokenizer, options.line_weight))
    optimizer = Optimizer(team.models, options.beta2)
    batch_tokens = options.batch or options.tokens
    longest = max(options.longest, HELD_OUT_LONGEST)
    if options.held_out_corpus is None:
        unseen = documents(tokenizer, HELD_OUT_SEED, True, longest)
    else:
        unseen = documents_of(options.held_out_corpus, options.base / "tokenizer.json", longest, 0)
    held_out = list(itertools.islice(unseen, options.held_out))

    step = tokens_seen = resumed = 0
    before = 0.0
    if options.resume:
        state = torch.load(options.out / "state.pt", map_location=options.device, weights_only=True)
        optimizer.load(state["optimizer"])
        step, tokens_seen, before, resumed = state["steps"], state["tokens"], state["seconds"], state["resumed"] + 1

    # A resumed run goes on with programs that no earlier part of it has reached.
    first_seed = options.seed * SEED_STRIDE + resumed * SEED_STRIDE // 10
    if options.corpus is None:
        stream = documents(tokenizer, first_seed, False, options.longest)
    else:
        stream = documents_of(options.corpus, options.base / "tokenizer.json", options.longest, first_seed)
    feed = steps(batches(stream, batch_tokens, options.seed), options.tokens)
    start = saved = time.monotonic()
    log = (options.out / "log.jsonl").open("a")
    total_seconds = options.minutes * 60
    recent: list[torch.Tensor] = []
    recent_tokens, recent_start = 0, start
    while True:
        seconds = before + time.monotonic() - start
        done = min(seconds / total_seconds, 1.0)
        finished = done >= 1 or (options.steps and step >= options.steps)
        if finished or time.monotonic() - saved > options.save_minutes * 60:
            result = score(team, held_out, tokenizer.specials[Special.FRAME], batch_tokens, options.device)
            record = {"step": step, "tokens": tokens_seen, **{f"held_out_{k}": v for k, v in asdict(result).items()}}
            print(f"held out: loss {result.loss:.4f}  tokens {result.token:.2%}  frames {result.frame:.1%}", flush=True)
            log.write(json.dumps(record) + "\n")
            log.flush()
            seconds = before + time.monotonic() - start
            counts = {"steps": step, "tokens": tokens_seen, "seconds": seconds, "resumed": resumed}
            save(options.out, options.base, model, {"optimizer": optimizer.state(), **counts})
            saved = time.monotonic()
            if finished:
                break
        todo = next(feed)
        loss = team.learn(todo, options.device)
        rate = rate_at(done, options.rate, options.warmup)
        norm = optimizer.step(rate, rounding=done >= options.rounded_from)
        step += 1
        tokens = sum(len(document.ids) for batch in todo for document in batch)
        tokens_seen, recent_tokens = tokens_seen + tokens, recent_tokens + tokens
        recent.append(loss)
        if step % 10 == 0:
            mean = torch.stack(recent).mean().item()
            speed = recent_tokens / (time.monotonic() - recent_start)
            print(
                f"step {step}  {tokens_seen / 1e6:.3f} M tokens  loss {mean:.4f}  norm {norm.item():.2f}  "
                f"rate {rate:.2e}  {speed:.0f} tokens/s  {done:.0%}",
                flush=True,
            )
            log.write(json.dumps({"step": step, "tokens": tokens_seen, "loss": mean, "speed": round(speed)}) + "\n")
            log.flush()
            recent, recent_tokens, recent_start = [], 0, time.monotonic()
    log.close()


if __name__ == "__main__":
    main()
