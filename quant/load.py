"""A model loaded as it fits here."""

from __future__ import annotations

from pathlib import Path

from quant.device import find_devices
from quant.gguf_file import read_gguf
from quant.plan import Choice, choose
from quant.runtime import Runtime


def load(path: Path, *, context: int | None = None, threads: int | None = None) -> tuple[Runtime, Choice]:
    """Open a GGUF with the context, the keys and values and the offload that `quant.plan` chooses, and tell of it.

    `context` is what is asked for; None takes what fits, up to DEFAULT_CONTEXT. Raises ModelError.
    """
    file = read_gguf(path)
    devices = find_devices()
    choice = choose(file, devices.gpus, devices.host, context)
    runtime = Runtime.open(
        file, context=choice.context, kv_type=choice.kv_type, gpu_layers=choice.gpu_layers, threads=threads
    )
    return runtime, choice
