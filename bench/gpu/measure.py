"""The measurements. Each returns a dictionary for the results, whose keys end in their units.

Times are wall times of `quant.runtime.Runtime`'s own calls, as everything above it pays them. They contain the copy of
the logits, n_vocab floats for each token that wants them; what copying them in Python takes is measured beside them.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.machine import device_bytes_used
from quant.device import Device
from quant.errors import ModelError
from quant.llama_log import CapturedLog
from quant.plan import MIB, Build, build_of_gguf, tokens_per_second
from quant.plan import memory as planned_memory
from quant.runtime import ALL_LAYERS, VERIFY_TOKENS, Runtime, load_library
from quant.shape import Shape

DRAFTED = (1, 8, 32, 128)
"""Tokens that one call verifies."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How often things are measured."""

    loads: int
    """With a warm cache; with a cold one there is one."""
    prefills: int
    """At most, of each context, after the first as long as they fit into `prefill_seconds`."""
    prefill_seconds: float
    decoded: int
    """Single tokens."""
    verified: int
    """Calls of each number of drafted tokens."""


QUICK = Effort(loads=2, prefills=2, prefill_seconds=4, decoded=8, verified=3)
FULL = Effort(loads=3, prefills=5, prefill_seconds=45, decoded=64, verified=10)


@dataclass(frozen=True, slots=True)
class Way:
    """How a model is run."""

    path: Path
    context: int
    kv_type: str
    threads: int

    def open(self, *, context: int | None = None, whole_window: bool = False) -> Runtime:
        """Load it. Raises ModelError."""
        return Runtime.open(
            self.path,
            context=context or self.context,
            kv_type=self.kv_type,
            threads=self.threads,
            whole_window=whole_window,
        )


# Loading.


def load_times(way: Way, effort: Effort) -> dict[str, Any]:
    """Seconds until a model with a context of 512 tokens is ready, from the disk and from the page cache."""
    size = way.path.stat().st_size
    drop_from_cache(way.path)
    cached = cached_share(way.path)
    cold = _seconds_to_load(way)
    warm = [_seconds_to_load(way) for _ in range(effort.loads)]
    warm_median = statistics.median(warm)
    return {
        "cold_s": cold,
        "cold_bytes_per_s": size / cold,
        "cold_cached_share": cached,
        "warm_s": warm_median,
        "warm_bytes_per_s": size / warm_median,
        "warm_repeats": len(warm),
    }


def _seconds_to_load(way: Way) -> float:
    began = time.perf_counter()
    with way.open(context=512):
        return time.perf_counter() - began


def drop_from_cache(path: Path) -> None:
    """Ask the kernel to forget what it holds of a file; a kernel may ignore that, which `cached_share` shows."""
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not on the disk yet stays
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_share(path: Path) -> float | None:
    """The part of a file that is in the page cache, 0 to 1; None where the kernel does not say."""
    libc: Any = ctypes.CDLL(None)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        pages = (ctypes.c_ubyte * -(-len(view) // mmap.PAGESIZE))()
        array: Any = np.frombuffer(view, dtype=np.uint8)
        failed = libc.mincore(ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(len(view)), pages)
        del array  # a map cannot be closed while something points into it
    return None if failed else sum(page & 1 for page in bytes(pages)) / len(pages)


# Memory.


def memory_taken(way: Way, device_kind: str) -> list[dict[str, Any]]:
    """What llama.cpp allocates with the window and with `whole_window`, beside what `quant.plan` predicts."""
    found: list[dict[str, Any]] = []
    for whole_window in (False, True):
        before = device_bytes_used()
        with CapturedLog(load_library()) as log, way.open(whole_window=whole_window) as runtime:
            after = device_bytes_used()
            build, context = build_of_gguf(runtime.file), runtime.context
        taken = after - before if before is not None and after is not None else None
        sizes = buffer_sizes(log.text)
        on_gpu = device_kind != "cpu"
        plan = planned_memory(
            build,
            context,
            kv_type=way.kv_type,
            gpu_layers=ALL_LAYERS if on_gpu else 0,
            device_kind=device_kind,
            whole_window=whole_window,
        )
        side = plan.device if on_gpu else plan.host
        found.append(
            {
                "context_tokens": context,
                "whole_window": whole_window,
                "kv_bytes": sizes["KV"],
                "kv_planned_bytes": side.kv,
                "compute_bytes": sizes["compute"],
                "compute_planned_bytes": side.compute,
                "model_bytes": sizes["model"],
                "device_taken_bytes": taken if on_gpu else None,
                # The driver's own part was taken when the device was first asked for its size.
                "device_planned_bytes": side.total - side.overhead if on_gpu else None,
            }
        )
    return found


_BUFFER = re.compile(r"(\S+)\s+(model|KV|compute)\s+buffer size\s*=\s*([\d.]+) MiB")


def buffer_sizes(log: str) -> dict[str, int]:
    """Bytes of the buffers in llama.cpp's log, on the GPU if there are any, else in RAM."""
    sides: dict[bool, dict[str, float]] = {side: {"model": 0.0, "KV": 0.0, "compute": 0.0} for side in (False, True)}
    for buffer, part, size in _BUFFER.findall(log):
        sides[buffer.startswith("CPU") or buffer.endswith("_Host")][part] += float(size) * MIB
    side = sides[not sides[False]["KV"]]
    if not side["KV"]:
        raise ModelError("llama.cpp's log does not say how much its keys and values take; its wording has changed.")
    return {part: round(size) for part, size in side.items()}


# Speed.


def warm_up(runtime: Runtime) -> None:
    """Let everything happen that happens once: kernels loaded, buffers grown, graphs captured."""
    random = np.random.default_rng(0)
    runtime.prefill(_tokens(runtime, random, min(1024, runtime.context // 2)))
    for count in (*DRAFTED, 1, 1, 1):
        runtime.verify(_tokens(runtime, random, count))
    for _ in range(4):
        runtime.extend(_tokens(runtime, random, 1))


def speeds(
    runtime: Runtime, context: int, way: Way, effort: Effort, device: Device, compute: float | None
) -> dict[str, Any]:
    """Prefill of `context` tokens, then decoding and verifying there.

    Where the model's whole context is asked for, the last tokens of it are left for what is decoded and verified.
    """
    filled = min(context, runtime.context - effort.decoded - VERIFY_TOKENS)
    random = np.random.default_rng(context)
    build = build_of_gguf(runtime.file)
    prefills: list[float] = []
    began = time.perf_counter()
    while not prefills or (
        len(prefills) < effort.prefills and time.perf_counter() - began + prefills[0] < effort.prefill_seconds
    ):
        runtime.roll_back(0)
        tokens = _tokens(runtime, random, filled)
        prefills.append(_seconds(lambda tokens=tokens: runtime.prefill(tokens)))
    prefill = statistics.median(prefills)

    decodes = [_seconds(lambda: runtime.extend(_tokens(runtime, random, 1))) for _ in range(effort.decoded)]
    decode = statistics.median(decodes)
    limit = tokens_per_second(
        build,
        filled + effort.decoded // 2,
        kv_type=way.kv_type,
        gpu_layers=0 if device.kind == "cpu" else ALL_LAYERS,
        device=None if device.kind == "cpu" else device,
        host=device,
    )
    work = prefill_operations(build, filled)
    return {
        "context_tokens": context,
        "filled_tokens": filled,
        "prefill_s": prefill,
        "prefill_repeats": len(prefills),
        "prefill_tokens_per_s": filled / prefill,
        "prefill_operations": work,
        "prefill_share_of_compute": work / prefill / compute if compute else None,
        "decode_ms": 1e3 * decode,
        "decode_slowest_ms": 1e3 * max(decodes),
        "decode_repeats": len(decodes),
        "decode_tokens_per_s": 1 / decode,
        "decode_limit_tokens_per_s": limit,
        "decode_share_of_bandwidth": 1 / decode / limit if limit else None,
        "logits_copy_ms": 1e3 * copy_seconds(runtime, 1),
        "verify": _verify_costs(runtime, random, effort),
    }


def _verify_costs(runtime: Runtime, random: np.random.Generator, effort: Effort) -> list[dict[str, Any]]:
    """Milliseconds to verify each number of drafted tokens at the present length, and relative to one token."""
    length = len(runtime.tokens)
    medians: list[float] = []
    for count in DRAFTED:
        times: list[float] = []
        for _ in range(effort.verified):
            tokens = _tokens(runtime, random, count)
            times.append(_seconds(lambda tokens=tokens: runtime.verify(tokens)))
            calls = runtime.calls
            runtime.roll_back(length)
            if runtime.calls != calls:
                raise ModelError(f"Rolling back {count} tokens evaluated others anew: the window holds too little.")
        medians.append(statistics.median(times))
    return [
        {
            "drafted": count,
            "ms": 1e3 * seconds,
            "relative": seconds / medians[0],
            "logits_copy_ms": 1e3 * copy_seconds(runtime, count),
            "repeats": effort.verified,
        }
        for count, seconds in zip(DRAFTED, medians, strict=True)
    ]


def prefill_operations(build: Build, tokens: int) -> int:
    """Multiplications and additions that a prefill cannot do without: matrices, scores and weighted values.

    The output matrix is asked for the last token only.
    """
    shape = build.shape
    rows = {name: rows * columns for name, (rows, columns) in shape.tensors().items() if rows > 1}
    output = rows.pop("output.weight")
    del rows["token_embd.weight"]
    return 2 * (tokens * sum(rows.values()) + output) + 4 * shape.heads * shape.head_size * _pairs(shape, tokens)


def _pairs(shape: Shape, tokens: int) -> int:
    """How many pairs of a token and one that it sees there are in all layers."""
    inside = min(tokens, shape.window)
    windowed = inside * (inside + 1) // 2 + (tokens - inside) * shape.window
    return sum(windowed if has_window else tokens * (tokens + 1) // 2 for has_window in shape.windowed)


def copy_seconds(runtime: Runtime, rows: int) -> float:
    """What Runtime's own copies of the logits of so many tokens take, from memory to memory."""
    source = np.zeros((rows, runtime.vocabulary.size), dtype=np.float32)
    return statistics.median(_seconds(lambda: np.array(source, dtype=np.float32)) for _ in range(3))


def _tokens(runtime: Runtime, random: np.random.Generator, count: int) -> list[int]:
    """Random ids of the first half of the vocabulary, where no special tokens are."""
    return [int(token) for token in random.integers(0, runtime.vocabulary.size // 2, count)]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
