"""Memory that a plan predicts against what llama.cpp allocates: `python -m bench.memory [--quick]`.

Models of several shapes are written with all their tensors, but nothing in them: the file is a hole. The small ones are
loaded. Of CWM's 32B, llama.cpp lays everything out in RAM without allocating it (`no_alloc`), at any context, on any
machine. Where llama.cpp finds a GPU, every case that fits is loaded there, too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import tempfile
from dataclasses import asdict, astuple, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import gguf
from gguf.gguf_writer import TensorInfo as WriterTensor
from rich.console import Console
from rich.table import Table

from quant.convert import write_shape
from quant.device import find_devices
from quant.gguf_file import read_gguf
from quant.llama_log import CapturedLog
from quant.plan import MIB, Build, build_of_shape, memory, pool, room_on
from quant.runtime import ALL_LAYERS, CHUNK_TOKENS, KV_TYPES, VERIFY_TOKENS, built_with_amx, load_library
from quant.shape import ARCHITECTURE, CWM_32B, Shape, windowed_layers

NANO = Shape(30, 576, 1536, 9, 3, 64, 8192, 8192, 2048, windowed_layers(30))
WIDE = Shape(2, 3072, 10752, 24, 8, 128, 128256, 131072, 8192, windowed_layers(2))
DEEP = Shape(48, 512, 1408, 8, 2, 64, 128256, 131072, 1024, windowed_layers(48))
MANY_HEADS = Shape(8, 1024, 2816, 16, 16, 64, 128256, 131072, 4096, windowed_layers(8))
SHAPES = {"nano": NANO, "wide": WIDE, "deep": DEEP, "many KV heads": MANY_HEADS, "CWM 32B": CWM_32B}


@dataclass(frozen=True, slots=True)
class Case:
    """One way to load one model."""

    shape: str
    build: str
    context: int
    kv_type: str = "f16"
    flash_attention: bool = True
    whole_window: bool = False
    gpu_layers: int = 0


CASES = (
    Case("nano", "Q4_0", 8192),
    Case("nano", "Q4_K_M", 2048, "q8_0"),
    Case("nano", "F16", 8192, flash_attention=False),
    Case("wide", "Q4_K_M", 8192),
    Case("wide", "Q8_0", 32768, "q8_0"),
    Case("deep", "Q6_K", 32768),
    Case("deep", "Q4_K_M", 16384, whole_window=True),
    Case("many KV heads", "Q5_K_M", 2048),
    Case("many KV heads", "IQ4_XS", 16384, "q8_0"),
    Case("many KV heads", "Q3_K_M", 8192, flash_attention=False),
    Case("CWM 32B", "Q4_K_M", 8192),
    Case("CWM 32B", "Q4_K_M", 32768),
    Case("CWM 32B", "Q4_K_M", 131072, "q8_0"),
    Case("CWM 32B", "Q8_0", 131072),
    Case("CWM 32B", "BF16", 131072, whole_window=True),
    Case("CWM 32B", "IQ4_XS", 131072, "q4_0"),
)
QUICK = (0, 1, 7, 11, 12)
"""Of the cases, those of a quick run."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Bytes on the GPU and in RAM together, or on one of them."""

    weights: int
    kv: int
    compute: int
    output: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute + self.output


def write_empty_gguf(path: Path, build: Build, architecture: str = ARCHITECTURE) -> None:
    """A GGUF of the build's shape and types whose weights are a hole in the file, with a vocabulary without words."""
    shape = build.shape
    writer = gguf.GGUFWriter(path, architecture)
    write_shape(writer, shape, norm_epsilon=1e-5, rope_theta=1e6)
    writer.add_tokenizer_model("none")
    end = 0
    for tensor in build.tensors:
        if architecture != ARCHITECTURE and tensor.name.endswith("attn_sinks.weight"):
            continue
        kind = gguf.GGMLQuantizationType[tensor.type]
        writer.tensors[-1][tensor.name] = WriterTensor(shape=tensor.shape, dtype=kind, nbytes=tensor.size)
        end += gguf.GGUFWriter.ggml_pad(tensor.size, writer.data_alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, gguf.GGUFWriter.ggml_pad(path.stat().st_size, writer.data_alignment) + end)


def allocated(path: Path, case: Case, *, simulated: bool) -> tuple[Parts, Parts]:
    """What llama.cpp says that it allocates, on GPUs and in RAM; `simulated` leaves it at laying everything out.

    The logits' buffer is made for one row and grows with the first call that wants more, so its row counts
    VERIFY_TOKENS times.
    """
    library = load_library()
    with CapturedLog(library) as log:
        model_parameters = library.llama_model_default_params()
        model_parameters.n_gpu_layers = 2**31 - 1 if case.gpu_layers == ALL_LAYERS else case.gpu_layers
        model_parameters.use_extra_bufts = not built_with_amx(library)  # as the runtime does
        no_devices = (ctypes.c_void_p * 1)()
        if not case.gpu_layers:
            model_parameters.devices = ctypes.cast(no_devices, ctypes.c_void_p)
        if simulated:
            model_parameters.no_alloc = True
            model_parameters.load_mode = library.LLAMA_LOAD_MODE_NONE
        model = library.llama_model_load_from_file(str(path).encode(), model_parameters)
        if not model:
            raise RuntimeError(log.text[-2000:])
        parameters = library.llama_context_default_params()
        parameters.n_ctx = case.context
        parameters.n_batch = parameters.n_ubatch = CHUNK_TOKENS
        parameters.n_outputs_max = VERIFY_TOKENS
        parameters.n_seq_max = 1
        parameters.swa_full = case.whole_window
        parameters.type_k = parameters.type_v = getattr(library, KV_TYPES[case.kv_type])
        parameters.n_threads = parameters.n_threads_batch = 1
        switch = "ENABLED" if case.flash_attention else "DISABLED"
        parameters.flash_attn_type = getattr(library, f"LLAMA_FLASH_ATTN_TYPE_{switch}")
        context = library.llama_init_from_model(model, parameters)
        if not context:
            library.llama_model_free(model)
            raise RuntimeError(log.text[-2000:])
        library.llama_free(context)
        library.llama_model_free(model)
    device, host = _read_log(log.text)
    if simulated and not case.gpu_layers:
        kv = sum(float(size) for size in _KV.findall(log.text))
        host = replace(host, kv=int(kv * MIB))
    return device, host


def rearranged(build: Build, library: Any) -> int:
    """Bytes of matrices that llama.cpp keeps a second time on the CPU, rearranged for its vector instructions.

    What the file holds of them is mapped, never read again, and dropped by the system when memory is short: it needs no
    room, and a plan leaves it out, though llama.cpp's log counts it. Which types: ggml-cpu/repack.cpp.
    """
    if built_with_amx(library):
        return 0  # the runtime does without
    has = library._lib
    types: set[str] = set()
    if has.ggml_cpu_has_avx2():
        types |= {"Q4_0", "Q4_K", "IQ4_NL"}
    if has.ggml_cpu_has_avx512():
        types.add("Q2_K")
    if has.ggml_cpu_has_neon() and has.ggml_cpu_has_dotprod():
        types |= {"Q4_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "Q8_0"}
    return sum(
        tensor.size
        for tensor in build.tensors
        if tensor.type in types and tensor.name != "token_embd.weight" and tensor.shape[0] % 8 == 0
    )


_KV = re.compile(r"llama_kv_cache: size =\s+([\d.]+) MiB")
_BUFFER = re.compile(r"(\S+)\s+(model|KV|compute|output)\s+buffer size\s*=\s*([\d.]+) MiB")


def _read_log(log: str) -> tuple[Parts, Parts]:
    """Sizes on GPUs and in RAM. In a simulation, weights and KV buffers are 0."""
    sides = (
        {"model": 0.0, "KV": 0.0, "compute": 0.0, "output": 0.0},
        {"model": 0.0, "KV": 0.0, "compute": 0.0, "output": 0.0},
    )
    for buffer, part, size in _BUFFER.findall(log):
        in_ram = buffer.startswith("CPU") or buffer.endswith("_Host")
        sides[in_ram][part] += float(size) * MIB * (VERIFY_TOKENS if part == "output" else 1)
    device, host = (Parts(*(int(side[part]) for part in ("model", "KV", "compute", "output"))) for side in sides)
    return device, host


def predicted(build: Build, case: Case, device_kind: str) -> tuple[Parts, Parts]:
    """What the plan says for GPUs, without the driver's part, and for RAM."""
    found = memory(
        build,
        case.context,
        kv_type=case.kv_type,
        gpu_layers=case.gpu_layers,
        device_kind=device_kind,
        flash_attention=case.flash_attention,
        whole_window=case.whole_window,
    )
    device, host = (Parts(side.weights, side.kv, side.compute, side.output) for side in (found.device, found.host))
    return device, host


def compare(folder: Path, case: Case, device_kind: str = "cpu") -> list[tuple[str, Parts, Parts]]:
    """Where, predicted and allocated, for one case on one machine.

    What is too large to be loaded here is laid out only. That allocates no weights, but the file's head says how large
    they are.
    """
    build = build_of_shape(SHAPES[case.shape], case.build)
    path = folder / "model.gguf"
    write_empty_gguf(path, build)
    simulated = case.shape == "CWM 32B" and not case.gpu_layers
    device, host = predicted(build, case, device_kind)
    real_device, real_host = allocated(path, case, simulated=simulated)
    if case.gpu_layers:
        return [("GPU", device, real_device), ("RAM", host, real_host)]
    if simulated:
        return [("RAM", host, replace(real_host, weights=sum(tensor.size for tensor in read_gguf(path).tensors)))]
    return [("RAM", replace(host, weights=host.weights + rearranged(build, load_library())), real_host)]


def _size_on_gpu(case: Case, kind: str) -> int:
    return predicted(build_of_shape(SHAPES[case.shape], case.build), case, kind)[0].total


def main() -> None:
    """Compare, print a table for people and one line of JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="five of the cases")
    quick: bool = parser.parse_args().quick
    devices = find_devices()
    cases = [CASES[index] for index in QUICK] if quick else list(CASES)
    gpu, kind = pool(devices.gpus), "cpu"
    if gpu is not None:
        on_gpu = [replace(case, gpu_layers=ALL_LAYERS) for case in cases]
        cases += [case for case in on_gpu if _size_on_gpu(case, gpu.kind) <= room_on(gpu)]
        kind = gpu.kind
    table = Table(title="Memory predicted and allocated, MiB")
    for column in (
        "shape",
        "build",
        "context",
        "KV",
        "on",
        "weights",
        "KV cache",
        "compute",
        "logits",
        "total",
        "error",
    ):
        table.add_column(column, justify="left" if column in ("shape", "build", "KV", "on") else "right")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            for where, plan, real in compare(Path(folder), case, kind):
                error = plan.total / real.total - 1
                rows.append(
                    {
                        **asdict(case),
                        "on": where,
                        "predicted": asdict(plan),
                        "allocated": asdict(real),
                        "error": round(error, 4),
                    }
                )
                how = (
                    case.kv_type
                    + (" no FA" if not case.flash_attention else "")
                    + (" whole" if case.whole_window else "")
                )
                pairs = zip(astuple(plan), astuple(real), strict=True)
                table.add_row(
                    case.shape,
                    case.build,
                    f"{case.context:,}",
                    how,
                    where,
                    *(f"{left / MIB:,.1f}\n{right / MIB:,.1f}" for left, right in pairs),
                    f"{plan.total / MIB:,.1f}\n{real.total / MIB:,.1f}",
                    f"{error:+.1%}",
                )
    Console(width=130).print(table)
    worst = max(rows, key=lambda row: abs(row["error"]))
    print(
        json.dumps(
            {
                "bench": "memory",
                "worst_error": worst["error"],
                "llama_cpp": metadata.version("llama-cpp-python"),
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
