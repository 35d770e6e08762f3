"""Attention when nano is trained on a CPU, forward and backward, bfloat16: `python -m bench.attention`.

PyTorch's scaled dot product beside `nano.attention`, in nano's shape (9 heads of queries, 3 of keys and values, 64
numbers each), for rows of several lengths with about 2,000 tokens together. The least of five counts. A table, then
JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nano.attention import attend

ROWS = ((8, 256), (4, 512), (2, 960))
"""How many, and how long."""
HEADS, GROUPS, SIZE = 9, 3, 64
TIMES = 5


def by_pytorch(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal, as transformers asks for it."""
    key, value = (each.repeat_interleave(HEADS // GROUPS, 1) for each in (key, value))
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)


def in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As nano is trained."""
    return attend(None, query, key, value, None, SIZE**-0.5)[0]


def milliseconds(attention: Callable[[Tensor, Tensor, Tensor], Tensor], rows: int, length: int) -> float:
    """One pass forward and backward."""
    inputs = [
        torch.randn(rows, heads, length, SIZE, dtype=torch.bfloat16, requires_grad=True)
        for heads in (HEADS, GROUPS, GROUPS)
    ]
    times: list[float] = []
    for _ in range(TIMES):
        began = time.perf_counter()
        mixed = attention(*inputs)
        torch.autograd.grad(mixed, inputs, torch.ones_like(mixed))
        times.append(time.perf_counter() - began)
    return round(1000 * min(times), 1)


def main() -> None:
    """Measure both in turns."""
    table = Table("rows", "PyTorch's, ms", "in blocks, ms", "times as fast")
    speedups: dict[int, float] = {}
    for rows, length in ROWS:
        theirs, ours = (milliseconds(each, rows, length) for each in (by_pytorch, in_blocks))
        speedups[length] = round(theirs / ours, 2)
        table.add_row(f"{rows} of {length}", f"{theirs}", f"{ours}", f"{speedups[length]}")
    Console().print(table)
    print(json.dumps({"bench": "attention", "threads": torch.get_num_threads(), "speedup_by_length": speedups}))


if __name__ == "__main__":
    main()
