"""Writes programs and their runs as token ids, ahead of training: `nano.train --corpus OUT` reads them.

    python -m nano.corpus nano/work/corpus --programs 200000 --processes 2

The programs are those of `nano.programs`, in the order of seeds from --seed, whatever the number of processes, without
repeats; between them stand drills (`nano.drills`). OUT gets shards (`000.npz`: `ids` uint16, all documents one after
the other; `lengths`, `prompts` and `kinds`, one number for each) and `corpus.json`, which says what they are; it is
written last.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nano import drills
from nano.chooser import Chooser
from nano.programs import KINDS, program_key, program_of, training_segments
from nano.real import digest
from nano.tokenizer import SegmentTokenizer

WORK = Path(__file__).parent / "work"
CHUNK = 250
"""Seeds that a process takes at once."""
DRILLS = 0.2
"""The share of documents that are drills (nano/drills.py), by default."""
DRILLS_SEED = 10**12
"""Added to the seed of a drill."""
SHARD = 20_000
"""Documents in a file."""
NAMES = [*KINDS, drills.KIND]


@dataclass(frozen=True, slots=True)
class Document:
    """One program and its run, or a drill, as token ids."""

    kind: str
    ids: list[int]
    prompt: int
    """How many ids are given; the loss starts behind them."""
    key: int = field(default=0, compare=False)
    """What repeats are told by."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Many documents."""

    ids: NDArray[np.uint16]
    """All documents, one after the other."""
    lengths: NDArray[np.int32]
    prompts: NDArray[np.int32]
    """How many ids at the start of each are given; the loss starts behind them."""
    kinds: NDArray[np.uint8]
    keys: NDArray[np.uint64]
    """What repeats are told by."""

    def starts(self) -> NDArray[np.int64]:
        """Where each document starts in `ids`."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths, dtype=np.int64)])[:-1]


def tokenizer_digest(path: Path) -> str:
    """What tells two tokenizer.json apart."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


_tokenizer: SegmentTokenizer | None = None


def _start(path: str) -> None:
    global _tokenizer
    _tokenizer = SegmentTokenizer(Tokenizer.from_file(path))


def document_of(
    seed: int, held_out: bool, longest: int, tokenizer: SegmentTokenizer, seen: set[int],
    shares: Mapping[str, int] = KINDS, drilled: float = DRILLS,
) -> Document | None:  # fmt: skip
    """What is learned from at a seed: a program with its run or a drill; None where that is unfit or in `seen`.

    `shares` are those of kinds of programs, `drilled` is the share of drills, of which none are held out.
    """
    choose = Chooser(seed + DRILLS_SEED)  # the program of this seed is drawn by numbers of its own
    if not held_out and choose.chance(drilled):
        ids = drills.drill(choose, tokenizer)
        document = Document(drills.KIND, ids, 1, digest(np.array(ids, np.uint16).tobytes()))
        if document.key in seen:
            return None
        seen.add(document.key)
    else:
        found = program_of(seed, held_out, shares, seen)
        if found is None:
            return None
        program, trace = found
        prompt, frames = map(tokenizer.segments, training_segments(program.source, program.call, trace))
        document = Document(program.kind, prompt + frames, len(prompt), program_key(program))
    return document if len(document.ids) <= longest else None


def chunk(job: tuple[int, int, bool, Mapping[str, int], float]) -> Documents:
    """What is fit among `CHUNK` seeds: of at most so many tokens, on one side of the split, in these shares."""
    first_seed, longest, held_out, shares, drilled = job
    assert _tokenizer is not None
    seen: set[int] = set()
    seeds = range(first_seed, first_seed + CHUNK)
    each = (document_of(seed, held_out, longest, _tokenizer, seen, shares, drilled) for seed in seeds)
    found = [document for document in each if document is not None]
    return Documents(
        np.array([token for document in found for token in document.ids], np.uint16),
        np.array([len(document.ids) for document in found], np.int32),
        np.array([document.prompt for document in found], np.int32),
        np.array([NAMES.index(document.kind) for document in found], np.uint8),
        np.array([document.key for document in found], np.uint64),
    )


def without_repeats(documents: Documents, seen: set[int]) -> Documents:
    """Those whose keys are not in `seen`, which gets them."""
    keep = np.array([key not in seen for key in documents.keys.tolist()], bool)
    seen.update(documents.keys.tolist())
    return Documents(
        documents.ids[np.repeat(keep, documents.lengths)], documents.lengths[keep], documents.prompts[keep],
        documents.kinds[keep], documents.keys[keep],
    )  # fmt: skip


def joined(parts: list[Documents]) -> Documents:
    """Several as one."""
    return Documents(*(np.concatenate([getattr(part, name) for part in parts]) for name in Documents.__slots__))


def write(out: Path, number: int, documents: Documents) -> None:
    """One shard."""
    columns = {name: getattr(documents, name) for name in ("ids", "lengths", "prompts", "kinds")}
    np.savez_compressed(out / f"{number:03d}.npz", **columns)


def read(folder: Path, tokenizer: Path) -> tuple[list[Path], list[str]]:
    """The shards of a corpus and the names of its kinds. Raises ValueError if it was made for another tokenizer."""
    about = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    if about["tokenizer"] != tokenizer_digest(tokenizer):
        raise ValueError(f"{folder} was written with another tokenizer than {tokenizer}")
    return sorted(folder.glob("*.npz")), about["kinds"]


def chunks(options: argparse.Namespace, processes: int) -> Iterator[Documents]:
    """Chunks of documents, in the order of seeds, without end."""
    shares = KINDS | dict(options.share)
    same = (options.longest, options.held_out, shares, options.drills)
    jobs = ((options.seed + index * CHUNK, *same) for index in range(10**9))
    if processes == 1:
        _start(str(options.tokenizer))
        yield from map(chunk, jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _start, (str(options.tokenizer),)) as pool:
        waiting: deque[Future[Documents]] = deque()
        for job in jobs:
            waiting.append(pool.submit(chunk, job))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()


def fix_hash_seed() -> None:
    """Start this command anew with PYTHONHASHSEED=0 if need be: the order of sets of strings depends on it."""
    if sys.flags.hash_randomization:
        module = sys.modules["__main__"].__spec__
        assert module is not None
        command = [sys.executable, "-m", module.name, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})


def share(text: str) -> tuple[str, int]:
    """A kind and its share. Raises ValueError."""
    kind, number = text.split("=")
    if kind not in KINDS:
        raise ValueError(kind)
    return kind, int(number)


def main() -> None:
    """Write a corpus."""
    fix_hash_seed()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--programs", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=100_000_000, help="the first program's")
    parser.add_argument("--longest", type=int, default=2048, help="tokens in a document")
    parser.add_argument("--held-out", action="store_true", help="of the other side of the split, to measure on")
    parser.add_argument("--share", nargs="+", type=share, default=[], metavar="KIND=N", help="not KINDS' own")
    parser.add_argument("--drills", type=float, default=DRILLS, help="share of documents that are drills")
    parser.add_argument("--tokenizer", type=Path, default=WORK / "base" / "tokenizer.json")
    options = parser.parse_args()
    if not options.tokenizer.exists():
        parser.error(f"{options.tokenizer} is missing: python -m nano.base makes it")
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    options.out.mkdir(parents=True, exist_ok=True)

    seen: set[int] = set()
    kinds: Counter[int] = Counter()
    waiting: list[Documents] = []
    programs = tokens = shards = 0
    start = time.monotonic()
    for part in chunks(options, options.processes):
        waiting.append(without_repeats(part, seen))
        programs += len(waiting[-1].lengths)
        tokens += len(waiting[-1].ids)
        kinds.update(waiting[-1].kinds.tolist())
        finished = programs >= options.programs
        if finished or sum(len(part.lengths) for part in waiting) >= SHARD:
            write(options.out, shards, joined(waiting))
            waiting, shards = [], shards + 1
            seconds = time.monotonic() - start
            print(f"{programs} programs, {tokens / 1e6:.1f} M tokens, {tokens / seconds:.0f} tokens/s", flush=True)
        if finished:
            break
    about = {
        "programs": programs, "tokens": tokens, "seed": options.seed, "longest": options.longest,
        "held_out": options.held_out, "tokenizer": tokenizer_digest(options.tokenizer), "kinds": NAMES,
        "programs_by_kind": {NAMES[kind]: count for kind, count in kinds.most_common()},
    }  # fmt: skip
    (options.out / "corpus.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
