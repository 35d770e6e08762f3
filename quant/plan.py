"""What a build of a CWM needs of a device's memory, which one fits, and how fast it can be at most.

Pure functions, sizes in bytes. The formulas follow llama.cpp as pinned in pyproject.toml, for a context as
`quant.runtime` makes it: one sequence, chunks of CHUNK_TOKENS, logits for at most VERIFY_TOKENS of them.
`python -m bench.memory` compares them with what llama.cpp allocates.

How a choice is made, best first:

1. All layers on the GPU, since a layer left on the CPU is read about twenty times slower for every token.
2. The context that was asked for; without one DEFAULT_CONTEXT, and less, down to LEAST_CONTEXT, only where 1 fails.
3. The largest build.
4. Keys and values in f16, else in q8_0, which halves them.

Where not even the smallest build fits whole, as many layers as fit go to the GPU, and the rest is read from RAM: the
largest of the small builds is taken that reads not much more from there than the smallest (MORE_FROM_RAM).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from quant.device import Device
from quant.errors import ModelError
from quant.gguf_file import GgufFile, TensorInfo
from quant.runtime import ALL_LAYERS, CHUNK_TOKENS, VERIFY_TOKENS, plain_attention
from quant.shape import WINDOW, Shape, shape_of_gguf

GIB = 2**30
MIB = 2**20

DEFAULT_CONTEXT = 32_768
"""Tokens asked for where nobody says: room for a source file and the 1,000 frames, of about 31 tokens each, after which
a prediction is stopped."""
LEAST_CONTEXT = 8192
"""The smallest context that is chosen to keep a model on the GPU; about 270 frames."""
KV_CHOICE = ("f16", "q8_0")
"""How keys and values may be kept, best first. q4_0 is never chosen: the errors in it add up over a long trace."""

DEVICE_OVERHEAD = {"cuda": 512 * MIB, "vulkan": 256 * MIB, "metal": 128 * MIB}
"""What a GPU's driver and its loaded kernels take in this process. An assumption, measured on no GPU: 0.4 to 0.6 GiB
are reported for CUDA."""
OTHER_DEVICE_OVERHEAD = 256 * MIB
DEVICE_RESERVE = 0.04
"""The part of a GPU's memory that is left free: for what the driver holds back, for a screen, for what kernels take
beside the buffers counted here, and because a prediction may be off by a little."""
HOST_RESERVE = 2 * GIB
"""Left to the system and to other programs where a model runs in RAM, at most half of all."""

FLOATS = ("F32", "BF16", "F16")
QUANTIZED = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M")
BUILDS = ("BF16", *QUANTIZED)
"""The builds that can be made of a checkpoint, from large to small."""
ON_THE_HOST = ("Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M")
"""The builds worth running partly or wholly from RAM, where every byte costs time."""
MORE_FROM_RAM = 1.5
"""Of these, a larger one is taken where it reads at most so many times as much from RAM as the smallest."""

_BASE = {"Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K", "Q3_K_M": "Q3_K"}
"""The type that most matrices of a mixture have; elsewhere it is called as the build."""
_FALLBACK = {"IQ4_XS": "IQ4_NL", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What the quantizer takes for a matrix whose rows are no multiple of 256."""
_CELLS = 256
"""llama.cpp rounds contexts and windows up to it."""


# Weights.


@dataclass(frozen=True)
class Build:
    """The weights of one model in one quantization."""

    name: str
    """`Q4_K_M`, ..."""
    shape: Shape
    tensors: tuple[TensorInfo, ...]

    @cached_property
    def size(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.size for tensor in self.tensors)

    @cached_property
    def embedding(self) -> int:
        """Bytes of the token embedding, of which one row is read for each token."""
        return self._size_of("token_embd.")

    @cached_property
    def output(self) -> int:
        """Bytes of the output matrix and its norm; a model that has none uses the embedding."""
        own = self._size_of("output.")
        return (own or self.embedding) + self._size_of("output_norm.")

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """Bytes of each layer."""
        return tuple(sum(sizes) for sizes in self._sizes_by_layer)

    @cached_property
    def largest_matrices(self) -> tuple[int, ...]:
        """Bytes of the largest tensor of each layer."""
        return tuple(max(sizes, default=0) for sizes in self._sizes_by_layer)

    @cached_property
    def _sizes_by_layer(self) -> list[list[int]]:
        sizes: list[list[int]] = [[] for _ in range(self.shape.layers)]
        for tensor in self.tensors:
            if tensor.name.startswith("blk."):
                sizes[int(tensor.name.split(".", 2)[1])].append(tensor.size)
        return sizes

    def _size_of(self, prefix: str) -> int:
        return sum(tensor.size for tensor in self.tensors if tensor.name.startswith(prefix))


def build_of_gguf(file: GgufFile) -> Build:
    """The weights of a GGUF as they are. Raises ModelError where it is not laid out like a CWM."""
    shape = shape_of_gguf(file)
    sizes = Counter[str]()
    for tensor in file.tensors:
        sizes[tensor.type] += tensor.size
    kinds = [kind for kind, _ in sizes.most_common(1)]
    return Build(file.quantization or "".join(kinds), shape, file.tensors)


def build_of_shape(shape: Shape, name: str, *, calibrated: bool = False) -> Build:
    """The weights that a build of this name would have.

    Which matrix of a mixture gets which type is llama.cpp's choice (`src/llama-quant.cpp`); it depends a little on
    whether there is an importance matrix (`calibrated`).
    """
    if name not in (*FLOATS, *QUANTIZED):
        raise ValueError(f"no build is called {name}")
    tensors: list[TensorInfo] = []
    for tensor, (rows, columns) in shape.tensors().items():
        kind = "F32" if rows == 1 else _type_of(shape, name, tensor, columns, calibrated)
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
        dimensions = (columns,) if rows == 1 else (rows, columns)
        tensors.append(TensorInfo(tensor, dimensions, kind, 0, rows * columns // block * block_bytes))
    return Build(name, shape, tuple(tensors))


def _type_of(shape: Shape, build: str, tensor: str, columns: int, calibrated: bool) -> str:
    if build in FLOATS:
        return build
    kind = _mixed_type(shape, build, tensor, columns, calibrated)
    if columns % _block(kind) != 0:
        kind = _FALLBACK.get(kind, kind)
    return kind if columns % _block(kind) == 0 else "F16"


def _mixed_type(shape: Shape, build: str, tensor: str, columns: int, calibrated: bool) -> str:
    base = _BASE.get(build, build)
    if tensor == "output.weight":
        return "Q8_0" if base == "Q8_0" or columns % _block(base) else "Q6_K"
    if not tensor.startswith("blk."):
        return base
    layer, what = int(tensor.split(".")[1]), tensor.split(".")[2]
    early = layer < shape.layers // 8
    important = early or layer >= 7 * shape.layers // 8 or (layer - shape.layers // 8) % 3 == 2
    match build, what:
        case ("Q4_K_M" | "Q5_K_M", "attn_v" | "ffn_down") if important:
            return "Q6_K"
        case "Q3_K_M", "attn_v":
            return "Q5_K" if layer < 2 else "Q4_K"
        case "Q3_K_M", "ffn_down":
            return "Q5_K" if layer < shape.layers // 16 else "Q4_K"
        case "Q3_K_M", "attn_output":
            return "Q4_K"
        case "IQ4_XS", "attn_v" if shape.heads >= 4 * shape.kv_heads:
            return "Q5_K"
        case "IQ4_XS", "ffn_down" if early and not calibrated:
            return "Q5_K"
        case "Q4_0", "ffn_down" if early and calibrated:
            return "Q4_1"
        case _:
            return base


def _block(kind: str) -> int:
    return GGML_QUANT_SIZES[GGMLQuantizationType[kind]][0]


# Memory.


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory on one side, in bytes."""

    weights: int = 0
    kv: int = 0
    """Keys and values."""
    compute: int = 0
    """The buffer that intermediate results share."""
    output: int = 0
    """Logits, as they are read."""
    overhead: int = 0
    """Driver and kernels; an assumption."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute + self.output + self.overhead


@dataclass(frozen=True, slots=True)
class Memory:
    """What a loaded model takes on the GPU and in RAM."""

    device: Usage
    host: Usage


def context_for(shape: Shape, wanted: int) -> int:
    """The context that a model gets where `wanted` tokens are asked for: what it was trained for, and no more.

    A CWM without windows is one converted as a plain llama, which is right for WINDOW tokens only.
    """
    most = shape.context if any(shape.windowed) else min(shape.context, WINDOW)
    return min(wanted, most)


def cells(shape: Shape, context: int, *, whole_window: bool = False) -> tuple[int, int]:
    """How many tokens a full layer keeps, and a windowed one.

    A windowed layer needs its window and the chunk that is being evaluated; with `whole_window` it keeps everything.
    """
    full = _padded(context)
    return full, full if whole_window else _padded(min(full, shape.window + CHUNK_TOKENS))


def kv_sizes(shape: Shape, context: int, kv_type: str = "f16", *, whole_window: bool = False) -> tuple[int, ...]:
    """Bytes of keys and values for each layer. Raises ModelError for a type that the heads cannot be stored in."""
    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kv_type.upper()]]
    if shape.head_size % block:
        raise ModelError(
            f"Keys and values of this model cannot be kept as {kv_type}: its heads have {shape.head_size} numbers, "
            f"no multiple of {block}; keep them as f16."
        )
    of_a_token = 2 * shape.kv_heads * shape.head_size // block * block_bytes
    full, windowed = cells(shape, context, whole_window=whole_window)
    return tuple(of_a_token * (windowed if has_window else full) for has_window in shape.windowed)


def memory(
    build: Build,
    context: int,
    *,
    kv_type: str = "f16",
    gpu_layers: int = 0,
    device_kind: str = "cuda",
    devices: int = 1,
    flash_attention: bool = True,
    whole_window: bool = False,
) -> Memory:
    """What llama.cpp allocates for a build.

    `gpu_layers` counts as llama.cpp does: the output matrix first, then layers from the last one down; ALL_LAYERS or
    layers + 1 is everything. The token embedding stays in RAM. `devices` of one kind share the layers.
    """
    shape = build.shape
    whole = shape.layers + 1
    on_device = whole if gpu_layers == ALL_LAYERS else min(gpu_layers, whole)
    first = shape.layers - max(0, on_device - 1)
    sizes, kv = build.layers, kv_sizes(shape, context, kv_type, whole_window=whole_window)
    weights = sum(sizes[first:]) + (build.output if on_device else 0)
    tied = on_device > 0 and not any(tensor.name == "output.weight" for tensor in build.tensors)
    masks = _masks(shape, context, flash_attention, whole_window)
    inputs = masks + 2 * _rows(shape.hidden) + (0 if flash_attention else _transposed_indices(shape))
    device = Usage()
    if on_device:
        device = Usage(
            weights,
            sum(kv[first:]),
            devices
            * (
                _compute(shape, context, kv_type, flash_attention, masks, device_kind, first < shape.layers, True)
                # Large chunks are evaluated on the GPU everywhere; a matrix in RAM is copied there for it.
                + (max(build.largest_matrices[:first], default=0) if device_kind == "cuda" else 0)
            ),
            overhead=devices * DEVICE_OVERHEAD.get(device_kind, OTHER_DEVICE_OVERHEAD),
        )
    host = Usage(
        build.size - weights + (build.embedding if tied else 0),
        sum(kv[:first]),
        inputs
        if first == 0 and on_device
        else _compute(shape, context, kv_type, flash_attention, masks, "cpu", True, not on_device),
        VERIFY_TOKENS * shape.vocabulary * 4,
    )
    return Memory(device, host)


def _masks(shape: Shape, context: int, flash_attention: bool, whole_window: bool) -> int:
    """One row for each token of a chunk and one column for each cell, for full and for windowed layers."""
    full, windowed = cells(shape, context, whole_window=whole_window)
    columns = full * (shape.full_layers > 0) + windowed * any(shape.windowed)
    return columns * CHUNK_TOKENS * (2 if flash_attention else 4)


def _compute(
    shape: Shape,
    context: int,
    kv_type: str,
    flash_attention: bool,
    masks: int,
    kind: str,
    has_layers: bool,
    has_output: bool,
) -> int:
    """The most that lives at one time while a chunk is evaluated: in feed-forward, in attention, or at the end.

    Found by measuring many shapes. Exact for CWM's 32B in f16, and too high for some, by two hidden states and more, as
    llama.cpp places buffers in gaps that are left.
    """
    hidden, query = _rows(shape.hidden), _rows(shape.heads * shape.head_size)
    key = _rows(shape.kv_heads * shape.head_size)
    feed_forward = 3 * _rows(shape.feed_forward) + (4 if kind == "cpu" else 3) * hidden
    if not flash_attention:
        scores = _padded(context) * CHUNK_TOKENS * shape.heads * 4
        attention = scores + 3 * query + 2 * hidden + 4 * key
    else:
        attention = 2 * query + 2 * hidden + 2 * key
        if kind == "cuda" and kv_type not in ("f16", "bf16"):
            # ggml-cuda/fattn.cu: for a chunk, the keys and values of a layer are first turned into f16.
            attention += 2 * _padded(context) * shape.kv_heads * shape.head_size * 2
    logits = VERIFY_TOKENS * shape.vocabulary * 4 + 3 * hidden // 2
    return max(masks + max(feed_forward, attention) if has_layers else 0, logits if has_output else 0)


def _transposed_indices(shape: Shape) -> int:
    """Where each number of the values goes, 8 bytes each, since without flash attention they are kept transposed."""
    return 8 * CHUNK_TOKENS * shape.kv_heads * shape.head_size * (1 + any(shape.windowed))


def _rows(columns: int) -> int:
    """Bytes of float32 numbers for each token of a chunk."""
    return CHUNK_TOKENS * columns * 4


def _padded(count: int) -> int:
    return -(-count // _CELLS) * _CELLS


# Speed.


def tokens_per_second(
    build: Build, filled: int, *, kv_type: str, gpu_layers: int, device: Device | None, host: Device
) -> float | None:
    """The most tokens that one stream can write in a second, with `filled` tokens in the context.

    Each token reads all weights and the keys and values that it sees once; nothing goes faster than the memory it is
    read from. A real rate is lower. None where a bandwidth is not known.
    """
    shape = build.shape
    on_device = min(shape.layers + 1, gpu_layers if gpu_layers != ALL_LAYERS else shape.layers + 1) if device else 0
    first = shape.layers - max(0, on_device - 1)
    sizes, kv = build.layers, _read_kv(shape, filled, kv_type)
    near = sum(sizes[first:]) + sum(kv[first:]) + (build.output if on_device else 0)
    far = sum(sizes[:first]) + sum(kv[:first]) + (0 if on_device else build.output)
    seconds = 0.0
    for size, memory_of in ((near, device), (far, host)):
        if size == 0:
            continue
        if memory_of is None or memory_of.bandwidth is None:
            return None
        seconds += size / memory_of.bandwidth
    return 1 / seconds


def _read_kv(shape: Shape, filled: int, kv_type: str) -> list[int]:
    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kv_type.upper()]]
    of_a_token = 2 * shape.kv_heads * shape.head_size // block * block_bytes
    return [of_a_token * (min(filled, shape.window) if windowed else filled) for windowed in shape.windowed]


# What fits.


@dataclass(frozen=True, slots=True)
class Fit:
    """One build in one context, placed as well as it goes."""

    build: Build
    context: int
    kv_type: str
    gpu_layers: int
    """As llama.cpp counts them, the output matrix among them; 0 where all is in RAM."""
    memory: Memory
    speed: tuple[float, float] | None
    """The most tokens a second, with an empty context and with a full one."""

    @property
    def layers_on_gpu(self) -> int:
        """Without the output matrix."""
        return max(0, self.gpu_layers - 1)

    @property
    def whole(self) -> bool:
        """Whether every layer is on the GPU."""
        return self.gpu_layers > self.build.shape.layers


def room_on(device: Device) -> int:
    """Bytes that a model may take of a GPU."""
    return device.memory_free - int(DEVICE_RESERVE * device.memory_total)


def room_in(host: Device) -> int:
    """Bytes that a model may take of RAM.

    Counted from all there is: what is free this moment says little, since the system drops caches for a model.
    """
    return host.memory_total - min(HOST_RESERVE, host.memory_total // 2)


def place(build: Build, context: int, kv_type: str, device: Device | None, host: Device) -> Fit | None:
    """As many layers on the GPU as fit, the rest in RAM; None where they fit nowhere."""
    whole = build.shape.layers + 1
    for gpu_layers in range(whole, -1, -1) if device is not None else (0,):
        needed = memory(
            build,
            context,
            kv_type=kv_type,
            gpu_layers=gpu_layers,
            device_kind=device.kind if device else "cpu",
            devices=device.count if device else 1,
            # As the runtime chooses it where llama.cpp has no GPU.
            flash_attention=device is not None or kv_type != "f16" or not plain_attention(build.shape, context),
        )
        if device is not None and gpu_layers and needed.device.total > room_on(device):
            continue
        if needed.host.total > room_in(host):
            return None
        rates = [
            tokens_per_second(
                build, filled, kv_type=kv_type, gpu_layers=gpu_layers, device=device if gpu_layers else None, host=host
            )
            for filled in (0, context)
        ]
        speed = (rates[0], rates[1]) if rates[0] is not None and rates[1] is not None else None
        return Fit(build, context, kv_type, gpu_layers, needed, speed)
    return None


def best_kv(build: Build, context: int, device: Device | None, host: Device) -> Fit | None:
    """The build in this context with the best keys and values that leave it whole on the GPU, else in f16."""
    found = [fit for kv_type in _kv_types(build.shape) if (fit := place(build, context, kv_type, device, host))]
    return next((fit for fit in found if fit.whole), found[0] if found else None)


def recommend(
    builds: Sequence[Build], device: Device | None, host: Device, wanted_context: int | None = None
) -> Fit | None:
    """The best of several builds of one model, from large to small, by the rule above; None where nothing fits."""
    for context in _contexts(builds[0].shape, wanted_context):
        for build in builds if device is not None else ():
            fit = best_kv(build, context, device, host)
            if fit is not None and fit.whole:
                return fit
    context = _contexts(builds[0].shape, wanted_context)[-1 if device is not None else 0]
    small = [build for build in builds if build.name in ON_THE_HOST] or builds[-1:]
    fits = [fit for build in small if (fit := best_kv(build, context, device, host)) is not None]
    least = min((_read_from_ram(fit) for fit in fits), default=0)
    return next((fit for fit in fits if _read_from_ram(fit) <= MORE_FROM_RAM * least), None)


def _read_from_ram(fit: Fit) -> int:
    return fit.memory.host.weights + fit.memory.host.kv


def least_needed(builds: Sequence[Build], context: int) -> int:
    """Bytes that the smallest build takes in RAM, with the smallest keys and values."""
    return min(
        memory(build, context, kv_type=kv_type).host.total
        for build, kv_type in product(builds, _kv_types(builds[0].shape))
    )


def _kv_types(shape: Shape) -> list[str]:
    return [kind for kind in KV_CHOICE if shape.head_size % _block(kind.upper()) == 0]


def _contexts(shape: Shape, wanted: int | None) -> list[int]:
    """The contexts to try, the best first."""
    if wanted is not None:
        return [context_for(shape, wanted)]
    context = context_for(shape, DEFAULT_CONTEXT)
    found = [context]
    while context // 2 >= LEAST_CONTEXT:
        context //= 2
        found.append(context)
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """How a model is loaded here."""

    context: int
    kv_type: str
    gpu_layers: int
    """For `Runtime.open`."""
    device: Device | None
    """The GPU it is for; None for the CPU."""
    memory: Memory
    notes: tuple[str, ...] = field(default=())
    """Sentences about what had to be given up."""


def choose(file: GgufFile, devices: Sequence[Device], host: Device, wanted_context: int | None = None) -> Choice:
    """How to load a GGUF on the GPUs that llama.cpp can use and the RAM beside them.

    Without GPUs the context is as asked for, in f16, and less only where RAM cannot hold it. Raises ModelError where
    the model cannot fit at all.
    """
    build = build_of_gguf(file)
    wanted = context_for(build.shape, wanted_context or DEFAULT_CONTEXT)
    device = pool(devices)
    fit = recommend([build], device, host, wanted_context)
    context = wanted
    while fit is None and wanted_context is None and context > _CELLS:
        context //= 2
        fit = recommend([build], device, host, context)
    if fit is None:
        raise ModelError(too_large(file.path.name, least_needed([build], min(wanted, LEAST_CONTEXT)), device, host))
    notes: list[str] = []
    if fit.context < wanted:
        notes.append(f"The context is {fit.context:,} tokens instead of {wanted:,}, since memory holds no more.")
    if device is not None and not fit.whole:
        notes.append(
            f"{fit.layers_on_gpu} of {build.shape.layers} layers fit on {device.name}; "
            "the others are evaluated by the CPU, which is slow. A smaller build would fit: foretrace model plan."
        )
    layers = ALL_LAYERS if fit.whole or device is None else fit.gpu_layers
    return Choice(fit.context, fit.kv_type, layers, device, fit.memory, tuple(notes))


def too_large(name: str, needed: int, device: Device | None, host: Device) -> str:
    """The sentence for a model that fits nowhere."""
    there = f"{_gib(room_in(host))} GiB of RAM"
    if device is not None:
        there += f" and {_gib(room_on(device))} GiB on {device.name}"
    return (
        f"{name} needs at least {_gib(needed)} GiB of memory, but it can have {there}; "
        "take a smaller build, a smaller context, or a machine with more memory."
    )


def pool(devices: Sequence[Device]) -> Device | None:
    """Several GPUs of one kind as one: llama.cpp lays the layers out over all of them. None for none."""
    if not devices:
        return None
    same = [device for device in devices if device.kind == devices[0].kind]
    if len(same) == 1:
        return same[0]
    bandwidths = [device.bandwidth for device in same]
    sizes = [device.memory_total for device in same]
    bandwidth = None
    if all(bandwidths):
        # Layers are read one after the other, each from where it lies.
        bandwidth = sum(sizes) / sum(size / speed for size, speed in zip(sizes, bandwidths, strict=True) if speed)
    names = list(dict.fromkeys(device.name for device in same))
    name = f"{len(same)} x {names[0]}" if len(names) == 1 else " + ".join(device.name for device in same)
    return Device(name, same[0].kind, sum(sizes), sum(d.memory_free for d in same), bandwidth, len(same))


def _gib(size: int) -> str:
    return f"{math.ceil(size / GIB * 10) / 10:.1f}"
