"""A real llama-server for tests: that of xllamacpp, which is llama.cpp's own code in a process of Python.

    python -m tests.llama_server GGUF [--context N] [--key KEY]

It says its address, and leaves when its standard input ends, also where the tests were killed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 120.0
"""It may take to load its model on a busy machine."""


@dataclass
class Served:
    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def llama_server(model: Path, *options: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.llama_server", str(model), *options]
    # Its threads wait for each other without spinning: a busy machine would make them wait for long.
    environment = {**os.environ, "GOMP_SPINCOUNT": "1000", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT)
    assert process.stdout is not None and process.stdin is not None
    timer = threading.Timer(SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline().decode().split()
        assert line[:1] == ["listening"], line
        timer.cancel()
        yield Served(line[1], process)
    finally:
        timer.cancel()
        process.stdin.close()
        process.stdout.close()
        process.wait(SECONDS)


def main() -> None:
    import xllamacpp

    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--key")
    parser.add_argument("--special", action="store_true")
    options = parser.parse_args()
    # What the server says on its standard output must not come before its address.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.n_ctx = options.context
    parameters.n_parallel = 1
    parameters.port = 0
    parameters.warmup = False
    parameters.swa_full = True
    parameters.special = options.special
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 2
    parameters.verbosity = -1
    if options.key:
        parameters.api_keys = [options.key]
    server = xllamacpp.Server(parameters)
    print(f"listening {server.listening_address}", file=output, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
