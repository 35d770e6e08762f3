"""What llama.cpp loses where other processes keep every core busy, and what its threads' way of waiting does to that.

    python -m bench.busy [--model GGUF] [--tokens N]

Prefill of 256 tokens and N single tokens, on an idle machine and beside one busy process for each core: as the runtime
sets the threads up, with one for each core throughout, and with OpenMP's own long waits besides. Each in a process of
its own, since OpenMP reads its settings once. Table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from foretrace.models import bundled_path
from quant.runtime import Runtime

CORES = psutil.cpu_count(logical=False) or 1
SETTINGS: dict[str, tuple[int | None, dict[str, str]]] = {
    "as the runtime sets it": (None, {}),
    f"{CORES} threads throughout": (CORES, {}),
    f"{CORES} threads, OpenMP's own waits": (CORES, {"GOMP_SPINCOUNT": "300000"}),
}
"""Threads (None leaves it to the runtime) and environment."""
PREFILLED = 256


def measure(model: Path, threads: int | None, tokens: int) -> tuple[float, float]:
    """Tokens a second: prefilled together, and one by one."""
    with Runtime.open(model, context=2 * PREFILLED, threads=threads) as runtime:
        text = (runtime.vocabulary.tokenize("def f(a):\n    return a\n") * PREFILLED)[:PREFILLED]
        runtime.prefill(text)
        runtime.roll_back(0)
        start = time.perf_counter()
        runtime.prefill(text)
        middle = time.perf_counter()
        for token in text[:tokens]:
            runtime.extend([token])
        end = time.perf_counter()
    return PREFILLED / (middle - start), tokens / (end - middle)


@contextmanager
def busy(processes: int) -> Generator[None, None, None]:
    """Keep so many cores busy."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=bundled_path())
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.model, SETTINGS[options.one][0], options.tokens)))
        return
    table = Table("", "idle: prefill", "one by one", "busy: prefill", "one by one", title="tokens a second")
    found: dict[str, list[float]] = {}
    for name, (_, environment) in SETTINGS.items():
        command = [sys.executable, "-m", "bench.busy", "--one", name, "--model", str(options.model)]
        command += ["--tokens", str(options.tokens)]
        found[name] = []
        for processes in (0, CORES):
            with busy(processes):
                done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
            found[name] += json.loads(done.stdout)
        table.add_row(name, *(f"{speed:.1f}" for speed in found[name]))
    Console().print(table)
    keys = ("idle_prefill", "idle_single", "busy_prefill", "busy_single")
    print(json.dumps({name: dict(zip(keys, speeds, strict=True)) for name, speeds in found.items()}))


if __name__ == "__main__":
    main()
