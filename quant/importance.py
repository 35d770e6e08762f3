"""Which columns of a model's weight matrices matter for tracing: the importance matrix that the quantizer weighs by.

A weight's error costs as much as the number it is multiplied by is large. For each matrix the importance is therefore
the mean square of each of its input columns over many tokens, as llama.cpp's own tool has it.

The tokens are those of execution traces behind what a prediction is given, so what the model will be asked to say. The
first tokens of a text must stay out: a model gives them activations a thousand times larger than all others, which
would decide alone what matters (see LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quant.errors import ModelError
from quant.runtime import ALL_LAYERS, DEFAULT_CONTEXT, VERIFY_TOKENS, Runtime
from quant.specials import special_ids
from quant.traces import WrittenTrace, usable_documents

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Importance:
    """How much each column of each weight matrix matters."""

    columns: Mapping[str, NDArray[np.float32]]
    """For each matrix, by llama.cpp's name, the mean square of each input column, [columns]."""
    traces: int
    tokens: int
    """How many the squares were taken of."""
    cut: int
    """How many of the traces were longer than the context and were seen as far as it goes."""
    left_out: int
    """Traces of which what is given alone fills the context."""


class _Squares:
    """Sums of squares by weight; what `Runtime.open` is given to observe with."""

    def __init__(self) -> None:
        self.counting = False
        """Whether the tokens being evaluated count."""
        self.sums: dict[str, NDArray[np.float64]] = {}
        self.counts: dict[str, int] = {}

    def add(self, weight: str, rows: NDArray[np.float32]) -> None:
        """Add what a weight multiplies, [tokens, columns]."""
        if not self.counting:
            return
        squares = np.einsum("ij,ij->j", rows, rows).astype(np.float64)
        if not np.isfinite(squares).all():
            raise ModelError(f"The model computes numbers that are not finite at {weight}; build or download it again.")
        self.sums[weight] = self.sums.get(weight, 0.0) + squares
        self.counts[weight] = self.counts.get(weight, 0) + len(rows)

    def means(self) -> dict[str, NDArray[np.float32]]:
        """The mean squares by weight."""
        return {weight: (total / self.counts[weight]).astype(np.float32) for weight, total in self.sums.items()}


def collect(
    model: Path,
    traces: Sequence[WrittenTrace],
    *,
    context: int = DEFAULT_CONTEXT,
    kv_type: str = "f16",
    gpu_layers: int = ALL_LAYERS,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Importance:
    """The importance of a float GGUF's columns for traces, as `traces.read_traces` gives them.

    `on_progress` hears of tokens done and in all. Raises ModelError.
    """
    squares = _Squares()
    with Runtime.open(
        model, context=context, kv_type=kv_type, gpu_layers=gpu_layers, threads=threads, observe=squares.add
    ) as runtime:
        ids = special_ids(runtime.vocabulary, model)
        documents = usable_documents(traces, runtime.vocabulary, ids, runtime.context)
        total, done = sum(len(document.tokens) for document in documents), 0
        on_progress(0, total)
        for document in documents:
            squares.counting = False
            runtime.prefill(document.tokens[: document.given])
            squares.counting = True
            for start in range(document.given, len(document.tokens), VERIFY_TOKENS):
                runtime.verify(document.tokens[start : start + VERIFY_TOKENS])
            done += len(document.tokens)
            on_progress(done, total)
        matrices = [tensor.name for tensor in runtime.file.tensors if len(tensor.shape) > 1]
    means = squares.means()
    # The embedding is looked up, not multiplied, unless the model uses it as its output too.
    unseen = [name for name in matrices if name not in means and name != "token_embd.weight"]
    if unseen:
        raise ModelError(f"llama.cpp did not show what {unseen[0]} of {model} multiplies; it cannot be calibrated.")
    tokens = sum(len(document.tokens) - document.given for document in documents)
    return Importance(
        means, len(documents), tokens, sum(document.cut for document in documents), len(traces) - len(documents)
    )
