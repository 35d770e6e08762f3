"""What a build costs: its predictions beside those of its source, on the same traces.

Both models are shown the real trace and asked for each next token behind what a prediction is given. Logits are
compared chunk by chunk and not kept: a trace of 8,192 tokens has 4 GB of them with CWM's vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quant.errors import ModelError
from quant.runtime import VERIFY_TOKENS, Runtime
from quant.specials import Special, special_ids
from quant.traces import Document, WrittenTrace, usable_documents

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(slots=True)
class Comparison:
    """A build beside its source, over all traces. Only tokens behind what a prediction is given count."""

    traces: int = 0
    cut: int = 0
    """Traces that were longer than the context and were measured as far as it goes."""
    left_out: int = 0
    """Traces of which what is given alone fills the context."""
    tokens: int = 0
    frames: int = 0
    divergence: float = 0.0
    """Sum over tokens of the Kullback-Leibler divergence of the build from the source, in nats."""
    agreed: int = 0
    """Tokens where both have the same first choice."""
    source_frames: int = 0
    """Frames of which every token is the source's first choice, given the real trace before it."""
    build_frames: int = 0

    @property
    def mean_divergence(self) -> float:
        """Nats for each token."""
        return self.divergence / self.tokens

    @property
    def agreement(self) -> float:
        """Share of tokens where both have the same first choice."""
        return self.agreed / self.tokens


def divergence(source: NDArray[np.float32], build: NDArray[np.float32]) -> NDArray[np.float64]:
    """KL(source || build) in nats for each row of logits [tokens, n_vocab]."""
    rows: list[float] = []
    for left, right in zip(source, build, strict=True):  # row by row: float64 of a whole chunk would take gigabytes
        log_source, log_build = _log_softmax(left), _log_softmax(right)
        rows.append(float(np.exp(log_source) @ (log_source - log_build)))
    return np.array(rows)


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def right_frames(first_choices: Sequence[int], tokens: Sequence[int], frame: int) -> list[bool]:
    """For each frame of `tokens`, which the token `frame` ends, whether all of it is what was chosen first.

    What comes after the last `frame` is no whole frame and does not count.
    """
    found: list[bool] = []
    whole = True
    for chosen, token in zip(first_choices, tokens, strict=True):
        whole = whole and chosen == token
        if token == frame:
            found.append(whole)
            whole = True
    return found


def compare(
    source: Runtime,
    builds: Sequence[Runtime],
    traces: Sequence[WrittenTrace],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Comparison]:
    """Each build beside its source; `on_progress` hears of tokens done and in all. Raises ModelError."""
    models = (source, *builds)
    ids = special_ids(source.vocabulary, source.path)
    for build in builds:
        if build.vocabulary.size != source.vocabulary.size:
            raise ModelError(f"{build.path} has another vocabulary than {source.path}, so they cannot be compared.")
    room = min(model.context for model in models)
    usable = usable_documents(traces, source.vocabulary, ids, room)
    total, done = sum(len(document.tokens) for document in usable), 0
    found = [Comparison(len(usable), sum(each.cut for each in usable), len(traces) - len(usable)) for _ in builds]
    on_progress(0, total)
    for document in usable:
        targets = document.tokens[document.given :]
        choices: list[list[int]] = [[] for _ in models]
        for rows in _logits(models, document):
            for chosen, logits in zip(choices, rows, strict=True):
                chosen += logits.argmax(axis=1).tolist()
            for comparison, logits in zip(found, rows[1:], strict=True):
                comparison.divergence += float(divergence(rows[0], logits).sum())
        expected = right_frames(choices[0], targets, ids[Special.FRAME])
        for comparison, chosen in zip(found, choices[1:], strict=True):
            comparison.tokens += len(targets)
            comparison.agreed += sum(left == right for left, right in zip(choices[0], chosen, strict=True))
            comparison.frames += len(expected)
            comparison.source_frames += sum(expected)
            comparison.build_frames += sum(right_frames(chosen, targets, ids[Special.FRAME]))
        done += len(document.tokens)
        on_progress(done, total)
    return found


def _logits(models: Sequence[Runtime], document: Document) -> Iterator[list[NDArray[np.float32]]]:
    """Chunk by chunk, each model's logits for the tokens behind what is given, each [tokens of the chunk, n_vocab]."""
    tokens, given = document.tokens, document.given
    yield [model.prefill(tokens[:given])[None] for model in models]
    for start in range(given, len(tokens) - 1, VERIFY_TOKENS):
        chunk = tokens[start : min(start + VERIFY_TOKENS, len(tokens) - 1)]
        yield [model.verify(chunk) for model in models]
