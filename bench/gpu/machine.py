"""Where a measurement was made: the device, what it could do at most, the llama.cpp build and the commit."""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quant.device import find_devices
from quant.errors import ModelError
from quant.runtime import load_library

COMMIT = "FORETRACE_COMMIT"
"""The environment variable that names the commit where the files lie outside a repository."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured on, as it goes into the results."""

    device: str
    """The GPU, or the processor where llama.cpp runs on that."""
    kind: str
    """`cuda`, ..., `cpu`."""
    driver: str | None
    cuda: str | None
    """The newest CUDA that the driver runs, and not the one that llama.cpp was built with."""
    device_memory_bytes: int
    processor: str
    threads: int
    """That llama.cpp uses on the CPU."""
    bandwidth_bytes_per_s: float | None
    """Of the memory that the weights are in; the limit of decoding."""
    bandwidth_source: str
    copy_bytes_per_s: float | None
    """Read and written together, by a large copy on the GPU; None where nothing measured it."""
    compute_flops_per_s: float | None
    """Of a large matrix product; the limit of prefill."""
    compute_source: str
    llama_cpp: str
    """Version of llama-cpp-python."""
    system_info: str
    """What llama.cpp was built for, in its own words."""
    commit: str
    python: str


def this_machine(threads: int) -> Machine:
    """Look at this machine and measure its limits. Raises ModelError where there are several GPUs to choose from."""
    library = load_library()
    devices = find_devices(measure=True)
    if len(devices.gpus) > 1:
        raise ModelError(
            f"llama.cpp sees {len(devices.gpus)} GPUs and would use all of them; choose one: CUDA_VISIBLE_DEVICES=0"
        )
    if devices.problem:
        print(f"This measures the CPU. {devices.problem}", file=sys.stderr)
    gpu = devices.gpus[0] if devices.gpus else None
    device = gpu or devices.host
    driver, cuda = _driver() if gpu else (None, None)
    copied, computed, source = _gpu_ceilings() if gpu else (None, _host_matmul(), "numpy, float32, all threads")
    return Machine(
        device=gpu.name if gpu else _processor(),
        kind=device.kind,
        driver=driver,
        cuda=cuda,
        device_memory_bytes=device.memory_total,
        processor=_processor(),
        threads=threads,
        bandwidth_bytes_per_s=device.bandwidth,
        bandwidth_source="by its clock and bus width" if gpu else "as RAM is read here",
        copy_bytes_per_s=copied,
        compute_flops_per_s=computed,
        compute_source=source,
        llama_cpp=str(importlib.import_module("llama_cpp").__version__),
        system_info=library.llama_print_system_info().decode(errors="replace").strip(),
        commit=commit(),
        python=platform.python_version(),
    )


def commit() -> str:
    """The commit that is checked out, with `+` behind it where files differ from it; else `COMMIT`; else `unknown`."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
        return found + "+" * bool(changed.stdout)
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get(COMMIT) or "unknown"


def device_bytes_used() -> int | None:
    """Bytes of the GPU's memory that are taken, by anyone; None without a driver of NVIDIA's."""
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(0)).used)
    finally:
        nvml.nvmlShutdown()


def _driver() -> tuple[str | None, str | None]:
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None, None
    try:
        driver = nvml.nvmlSystemGetDriverVersion()
        cuda: int = nvml.nvmlSystemGetCudaDriverVersion_v2()
    finally:
        nvml.nvmlShutdown()
    spelled = driver.decode() if isinstance(driver, bytes) else str(driver)
    return spelled, f"{cuda // 1000}.{cuda % 1000 // 10}"


def _processor() -> str:
    """The processor's name, which only Linux gives to everyone."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text("utf-8", "replace")) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _host_matmul() -> float:
    """Operations a second of a float32 matrix product, the best of a few."""
    size = 1024
    left = np.ones((size, size), dtype=np.float32)
    rates: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        np.dot(left, left)
        rates.append(2 * size**3 / (time.perf_counter() - began))
    return max(rates)


_CEILINGS = """
import json, time, torch
def best(work, amount, rounds=10):
    for _ in range(3): work()
    torch.cuda.synchronize(); rates = []
    for _ in range(rounds):
        began = time.perf_counter(); work(); torch.cuda.synchronize()
        rates.append(amount / (time.perf_counter() - began))
    return max(rates)
source = torch.empty(2**32, dtype=torch.uint8, device="cuda"); target = torch.empty_like(source)
copied = best(lambda: target.copy_(source), 2 * 2**32)
left, right = (torch.randn(8192, 8192, device="cuda").to(torch.bfloat16) for _ in range(2))
print(json.dumps([copied, best(lambda: left @ right, 2 * 8192**3)]))
"""


def _gpu_ceilings() -> tuple[float | None, float | None, str]:
    """Copied bytes and bf16 operations a second, measured by PyTorch where it is installed.

    In a process of its own: what PyTorch takes of the GPU's memory is free again afterwards.
    """
    done = subprocess.run([sys.executable, "-c", _CEILINGS], capture_output=True, text=True, check=False)
    if done.returncode:
        return None, None, "not known without PyTorch"
    copied, computed = map(float, done.stdout.strip().strip("[]").split(","))
    return copied, computed, "PyTorch, bf16 matrix product of 8192"
