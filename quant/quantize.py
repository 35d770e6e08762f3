"""A float GGUF made smaller by llama.cpp's own quantizer, with an importance matrix where there is one.

llama.cpp gives a matrix whose rows are no multiple of 256 numbers another type than asked for, since the K types come
in blocks of that size; `Build.tensors` says what was really made. Where that happens, most matrices have more bits than
those that do fit, of which ffn_down needs them most: a calibrated build raises these by one type (see LOG.md).
"""

from __future__ import annotations

import ctypes
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from quant.errors import ModelError
from quant.gguf_file import GgufFile, read_gguf
from quant.importance import Importance
from quant.llama_log import CapturedLog
from quant.plan import FLOATS, QUANTIZED
from quant.runtime import load_library
from quant.sizes import spelled_size

DATASET = "execution traces"
"""What the GGUF says that its importance matrix was collected from."""
_POLL_SECONDS = 0.2
_NAME_BYTES = 127
"""llama.cpp's room for a text that it puts into the metadata."""
_SIZE = re.compile(r"quant size\s*=\s*([\d.]+) MiB")
_TYPE = re.compile(r"\[ *\d+/ *\d+\] (\S+) .*-> +[\d.]+ MiB \((\w+)\)")
_RAISED = {"Q4_K_M": ("Q4_K", "Q5_K"), "Q5_K_M": ("Q5_K", "Q6_K")}
"""For a build which type is raised, and to which."""
MOST_GROWTH = 0.03
"""The part by which raising may make a file larger; where it would be more, it is not done."""


@dataclass(frozen=True, slots=True)
class Build:
    """A quantized GGUF as it came out."""

    path: Path
    kind: str
    size: int
    """Bytes of the file."""
    source_size: int
    bits_per_weight: float
    tensors: Mapping[str, int]
    """How many tensors there are of each type, the most frequent first."""
    unfitting: int
    """How many matrices have rows that are no multiple of the type's block, and so are of another type."""
    raised: int
    """How many others have one type more than llama.cpp's own choice."""


def quantize(
    source: Path,
    out: Path,
    kind: str,
    importance: Importance | None = None,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Build:
    """Write the build `kind` (one of `plan.QUANTIZED`) of the float GGUF `source` to `out`.

    `threads` defaults to all cores; `on_progress` hears of bytes written and in all. Raises ModelError, and leaves
    nothing at `out` then.
    """
    file = check_source(source, out, kind)
    library = load_library()
    parameters = library.llama_model_quantize_default_params()
    parameters.nthread = threads or 0
    parameters.ftype = getattr(library, f"LLAMA_FTYPE_MOSTLY_{kind}")
    # ctypes keeps nothing alive that only llama.cpp points to: these live until the end of this function.
    entries = _entries(library, importance) if importance is not None else None
    overrides = _metadata(library, importance) if importance is not None else None
    if entries is not None and overrides is not None:
        parameters.imatrix, parameters.kv_overrides = entries, overrides
    needed, types = _rehearse(library, file, out, parameters)
    raised = 0
    if importance is not None and kind in _RAISED:
        larger = _raise(file, types, *_RAISED[kind])
        if larger != types:
            parameters.tt_overrides = _types(library, larger)
            size, _ = _rehearse(library, file, out, parameters)
            if size <= needed * (1 + MOST_GROWTH):
                needed, raised = size, sum(larger[name] != types[name] for name in types)
            else:
                parameters.tt_overrides = None
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise ModelError(
            f"{kind} of {source.name} needs {spelled_size(needed)}, but only {spelled_size(free)} are free in "
            f"{out.parent}; free some space or name another place."
        )
    try:
        with CapturedLog(library) as log:
            failed = _run(library, source, out, parameters, lambda: on_progress(min(_length(out), needed), needed))
        if failed:
            written = _length(out)
            if "iostream" in log.complaint() or shutil.disk_usage(out.parent).free < needed - written:
                raise ModelError(
                    f"{kind} of {source.name} could not be written whole: {spelled_size(written)} of "
                    f"{spelled_size(needed)} went into {out.parent}; free some space or name another place. "
                    "Nothing was left behind."
                )
            raise ModelError(f"{source} could not be quantized to {kind}: {log.complaint()}")
        on_progress(needed, needed)
        return _describe(read_gguf(out), kind, file, raised)
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def check_source(source: Path, out: Path, kind: str) -> GgufFile:
    """The head of `source`, where a build `kind` can be made of it at `out`; else raises ModelError."""
    if kind not in QUANTIZED:
        raise ModelError(f"There is no build {kind}; there are {', '.join(QUANTIZED)}.")
    if out.exists() and source.exists() and out.samefile(source):
        raise ModelError(f"{out} is the source itself; give the build another name.")
    file = read_gguf(source)
    quantized = sorted({tensor.type for tensor in file.tensors} - set(FLOATS))
    if quantized:
        what = file.quantization or quantized[0]
        raise ModelError(
            f"{source} is quantized already ({what}), and quantizing again would lose twice; "
            "give the f32, f16 or bf16 GGUF that it was made of, as `foretrace model convert` writes it."
        )
    if not any(len(tensor.shape) > 1 for tensor in file.tensors):
        raise ModelError(f"{source} has no matrices to quantize; give a GGUF with a model's weights.")
    return file


def _describe(build: GgufFile, kind: str, source: GgufFile, raised: int) -> Build:
    types = Counter(tensor.type for tensor in build.tensors)
    block = 32 if kind in ("Q8_0", "Q4_0") else 256
    unfitting = sum(
        len(tensor.shape) > 1 and tensor.type not in FLOATS and tensor.shape[-1] % block != 0
        for tensor in build.tensors
    )
    tensors = dict(types.most_common())
    return Build(build.path, kind, build.size, source.size, build.bits_per_weight, tensors, unfitting, raised)


def _entries(library: Any, importance: Importance) -> Any:
    """llama.cpp's array of importances; an entry without a name ends it."""
    entries = (library.llama_model_imatrix_data * (len(importance.columns) + 1))()
    for entry, (name, columns) in zip(entries, importance.columns.items(), strict=False):
        data = (ctypes.c_float * len(columns))(*columns.tolist())
        entry.name, entry.size = name.encode(), len(columns)
        entry.data = ctypes.cast(data, ctypes.POINTER(ctypes.c_float))
    return entries


def _metadata(library: Any, importance: Importance) -> Any:
    """What llama.cpp's own tool writes about an importance matrix; an entry without a key ends the array."""
    found: dict[str, str | int] = {
        "quantize.imatrix.dataset": DATASET,
        "quantize.imatrix.entries_count": len(importance.columns),
        "quantize.imatrix.chunks_count": importance.traces,
    }
    overrides = (library.llama_model_kv_override * (len(found) + 1))()
    for override, (key, value) in zip(overrides, found.items(), strict=False):
        override.key = key.encode()
        if isinstance(value, int):
            override.tag, override.value.val_i64 = library.LLAMA_KV_OVERRIDE_TYPE_INT, value
        else:
            override.tag, override.value.val_str = library.LLAMA_KV_OVERRIDE_TYPE_STR, value.encode()[:_NAME_BYTES]
    return overrides


def _rehearse(library: Any, source: GgufFile, out: Path, parameters: Any) -> tuple[int, dict[str, str]]:
    """Bytes of the file to be made, a little more rather than less, and the type of each matrix in it."""
    parameters.dry_run = True
    with CapturedLog(library) as log:
        failed = _run(library, source.path, out, parameters, lambda: None)
    parameters.dry_run = False
    text = log.text
    found = _SIZE.search(text)
    if failed or found is None:
        raise ModelError(f"{source.path} could not be quantized: {log.complaint()}")
    head = min(tensor.offset for tensor in source.tensors)
    padding = 32 * (len(source.tensors) + 1) + 4096
    size = int((float(found[1]) + 0.01) * 2**20) + head + padding
    return size, {name: kind.upper() for name, kind in _TYPE.findall(text)}


def _raise(source: GgufFile, types: Mapping[str, str], low: str, high: str) -> dict[str, str]:
    """The types with `high` for each `low`, where other matrices of the layers do not fit `low`; else as they are."""
    block = GGML_QUANT_SIZES[GGMLQuantizationType[low]][0]
    columns = {tensor.name: tensor.shape[-1] for tensor in source.tensors}
    if all(columns[name] % block == 0 for name in types if name.startswith("blk.")):
        return dict(types)
    return {name: high if kind == low else kind for name, kind in types.items()}


def _types(library: Any, types: Mapping[str, str]) -> Any:
    """llama.cpp's array of types by pattern, for every matrix: its own choice counts only those it makes itself."""
    overrides = (library.llama_model_tensor_override * (len(types) + 1))()
    for override, (name, kind) in zip(overrides, types.items(), strict=False):
        override.pattern, override.type = f"^{re.escape(name)}$".encode(), GGMLQuantizationType[kind].value
    return overrides


def _run(library: Any, source: Path, out: Path, parameters: Any, on_wait: Callable[[], None]) -> bool:
    """Quantize in a thread of its own, so that Ctrl-C and a progress bar work. Returns whether it failed."""
    result: list[int] = []

    def work() -> None:
        reference: Any = ctypes.byref(parameters)
        result.append(library.llama_model_quantize(str(source).encode(), str(out).encode(), reference))

    # A daemon: llama.cpp cannot be interrupted, and a process that is told to end must not wait for it.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_SECONDS)
        on_wait()
    return result != [0]


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
