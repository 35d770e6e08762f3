"""What a model can run on here: GPUs as llama.cpp and NVIDIA's driver see them, and the CPU with its RAM."""

from __future__ import annotations

import ctypes
import functools
import importlib
import platform
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import psutil

from quant.runtime import load_library

REBUILD = "pip install --force-reinstall --no-cache-dir --no-deps --no-binary llama-cpp-python llama-cpp-python"
"""Builds llama.cpp anew, as the environment says."""
REMEDY = f'CMAKE_ARGS="-DGGML_CUDA=on" {REBUILD}'
"""Builds llama.cpp for NVIDIA's GPUs; needs the CUDA toolkit."""
_GPU, _INTEGRATED = 1, 2  # enum ggml_backend_dev_type of ggml-backend.h
_KINDS: dict[str, str] = {
    "CUDA": "cuda",
    "ROCm": "cuda",
    "MUSA": "cuda",
    "Metal": "metal",
    "MTL": "metal",
    "Vulkan": "vulkan",
}
"""How llama.cpp's names of devices begin; AMD's backend is CUDA's source compiled for it."""
_READ_BYTES = 128 * 2**20
"""More than the caches of most processors hold."""
_READERS = 8
"""Threads that are enough to keep a memory bus busy."""


@dataclass(frozen=True, slots=True)
class Device:
    """Something that a model's layers can be on."""

    name: str
    kind: str
    """`cuda`, `metal`, `vulkan`, `cpu`, or llama.cpp's own word."""
    memory_total: int
    """Bytes."""
    memory_free: int
    """Bytes that nobody uses at the moment."""
    bandwidth: float | None
    """Bytes read a second at most; None where it is not known."""
    count: int = 1
    """How many devices this stands for."""


@dataclass(frozen=True, slots=True)
class Devices:
    """All there is."""

    gpus: tuple[Device, ...]
    """Those that llama.cpp can use."""
    unused: tuple[Device, ...]
    """Those that are there, but that llama.cpp was not built for."""
    host: Device
    problem: str = ""
    """Why `unused` are, and what to do about it; one sentence."""


def find_devices(*, measure: bool = False) -> Devices:
    """Ask llama.cpp and NVIDIA's driver what there is; with `measure`, how fast RAM is read. Raises ModelError."""
    library = load_library()
    nvidia = nvidia_devices()
    gpus = tuple(_with_bandwidth(device, nvidia) for device in llama_devices(library))
    unused = () if any(device.kind == "cuda" for device in gpus) else tuple(nvidia)
    problem = ""
    if unused:
        problem = (
            f"{unused[0].name} is here, but llama.cpp was built without CUDA and does not use it; "
            f"build it anew: {REMEDY}"
        )
    return Devices(gpus, unused, host_device(measure=measure), problem)


def llama_devices(library: Any) -> list[Device]:
    """The GPUs that llama.cpp was built for and finds."""
    ggml = library._lib
    if not hasattr(ggml, "ggml_backend_dev_count"):
        # The functions are in a library beside it. Its handle reaches them, but not on Windows.
        ggml = cast("Any", importlib.import_module("llama_cpp._ggml")).libggml
    count, get = ggml.ggml_backend_dev_count, ggml.ggml_backend_dev_get
    kind_of, memory_of = ggml.ggml_backend_dev_type, ggml.ggml_backend_dev_memory
    name_of, description_of = ggml.ggml_backend_dev_name, ggml.ggml_backend_dev_description
    count.restype, get.restype, get.argtypes = ctypes.c_size_t, ctypes.c_void_p, [ctypes.c_size_t]
    kind_of.argtypes = [ctypes.c_void_p]
    memory_of.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)]
    for function in (name_of, description_of):
        function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    found: list[Device] = []
    for index in range(count()):
        handle = get(index)
        if kind_of(handle) not in (_GPU, _INTEGRATED):
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory_of(handle, ctypes.byref(free), ctypes.byref(total))
        word: str = name_of(handle).decode(errors="replace").rstrip("0123456789")
        name: str = description_of(handle).decode(errors="replace")
        found.append(Device(name, _KINDS.get(word, word.lower()), total.value, free.value, None))
    return found


def nvidia_devices() -> list[Device]:
    """The GPUs of NVIDIA's driver; none where there is no driver."""
    with _nvml() as nvml:
        if nvml is None:
            return []
        return [
            device for index in range(nvml.nvmlDeviceGetCount()) if (device := _nvidia_device(nvml, index)) is not None
        ]


def _nvidia_device(nvml: Any, index: int) -> Device | None:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:  # a chip that shares the host's memory has none of its own
        return None
    try:
        # Memory transfers twice in a clock, the whole width of the bus: MHz * 2 * bits / 8.
        clock = nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)
        bandwidth = 2e6 * clock * nvml.nvmlDeviceGetMemoryBusWidth(handle) / 8
    except nvml.NVMLError:
        bandwidth = 0.0
    name = nvml.nvmlDeviceGetName(handle)
    name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return Device(name, "cuda", int(memory.total), int(memory.free), bandwidth or None)


@contextmanager
def _nvml() -> Generator[Any, None, None]:
    """NVIDIA's management library, or None where it does not answer."""
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _with_bandwidth(device: Device, nvidia: Sequence[Device]) -> Device:
    """What llama.cpp found, with the bandwidth that the driver knows for a GPU of the same name."""
    known = next((other.bandwidth for other in nvidia if other.name == device.name), None)
    return replace(device, bandwidth=known) if device.kind == "cuda" else device


def host_device(*, measure: bool = False) -> Device:
    """The CPU and its RAM."""
    memory: Any = psutil.virtual_memory()
    name = f"the CPU ({platform.machine()}, {_cores()} cores)"
    return Device(name, "cpu", int(memory.total), int(memory.available), measured_bandwidth() if measure else None)


@functools.cache
def measured_bandwidth() -> float:
    """Bytes of RAM that a few threads together read in a second, tried for a fifth of a second."""
    readers = min(_cores(), _READERS)
    blocks = np.array_split(np.ones(_READ_BYTES // 8), readers)
    best = 0.0
    with ThreadPoolExecutor(readers) as threads:
        end = time.perf_counter() + 0.2
        while time.perf_counter() < end:
            began = time.perf_counter()
            list(threads.map(np.sum, blocks))
            best = max(best, _READ_BYTES / (time.perf_counter() - began))
    return best


def _cores() -> int:
    return psutil.cpu_count(logical=False) or 1
