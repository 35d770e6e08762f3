"""A CWM as Hugging Face lays it out: configuration, tokenizer, and where the weights lie in the safetensors files.

All is checked from the files' heads, before any weight is read. Layout of a safetensors file:
https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from gguf import Metadata
from gguf.utility import SafetensorsLocal
from numpy.typing import NDArray

from quant.errors import ModelError
from quant.shape import CWM_32B, FULL_EVERY, WINDOW, Shape, windowed_layers
from quant.tokenizer import Tokenizer, read_json, spells_specials, vocabulary_of

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
DTYPE_SIZES = {"BF16": 2, "F16": 2, "F32": 4}
"""The kinds of numbers that a checkpoint may hold, by safetensors' names, and their bytes."""

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""The parts of a layer: llama.cpp's name, and transformers'."""
_OTHER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_IGNORED = re.compile(r"rotary_emb\.inv_freq$")
"""Buffers that some checkpoints keep, computed from the configuration again by whoever loads them."""
_LFS_POINTER = b"version https://git-lfs"
_SHARD = re.compile(r"model-(\d+)-of-(\d+)\.safetensors")


@dataclass(frozen=True, slots=True)
class Weights:
    """One tensor in a safetensors file."""

    name: str
    """Hugging Face's."""
    dtype: str
    """A key of DTYPE_SIZES."""
    shape: tuple[int, ...]
    path: Path
    offset: int
    """Bytes from the beginning of the file."""


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary position embeddings: frequencies theta^(-2i/n), the slow ones divided as Llama 3.1 does it."""

    theta: float
    factor: float = 1.0
    """What wavelengths beyond the original context are stretched by; 1 where nothing is scaled."""
    low: float = 1.0
    high: float = 4.0
    """Wavelengths of more than original / low tokens are stretched, of less than original / high are not."""
    original: int = 8192
    """The context before stretching, in tokens."""

    def divisors(self, head_size: int) -> NDArray[np.float32] | None:
        """What each of the head_size / 2 frequencies is divided by; None where nothing is scaled."""
        if self.factor == 1.0:
            return None
        frequencies = self.theta ** -(np.arange(0, head_size, 2, dtype=np.float64) / head_size)
        wavelengths = 2 * math.pi / frequencies
        smooth = (self.original / wavelengths - self.low) / (self.high - self.low)
        blended = 1 / ((1 - smooth) / self.factor + smooth)
        slow, fast = wavelengths > self.original / self.low, wavelengths < self.original / self.high
        return np.where(fast, 1.0, np.where(slow, self.factor, blended)).astype(np.float32)


CWM_ROPE = Rope(theta=1_000_000.0, factor=16.0, low=1.0, high=4.0, original=8192)
"""CWM's own."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a checkpoint's README.md says about where it comes from; '' for what it does not say."""

    name: str
    licence: str
    licence_name: str
    licence_link: str
    bases: tuple[str, ...]
    """Models it was made from, as `owner/name`."""
    repository: str
    """Where it lies on the Hugging Face hub, as `owner/name`."""


@dataclass(frozen=True)
class Checkpoint:
    """A checked CWM checkpoint; `open` makes it."""

    folder: Path
    config: Mapping[str, Any]
    shape: Shape
    rope: Rope
    norm_epsilon: float
    tensors: Mapping[str, Weights]
    """The weights under llama.cpp's names, in the order of `shape.tensors()`, without what llama.cpp has besides."""
    tokenizer: Tokenizer
    card: Card
    assumptions: tuple[str, ...]
    """Sentences about what the checkpoint does not say, for a person to read."""

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read and check the checkpoint in `folder`.

        Raises ModelError with one sentence: not a CWM; a missing, unexpected, misshapen or cut tensor; a tokenizer that
        does not match.
        """
        if not folder.is_dir():
            raise ModelError(f"There is no folder {folder}; give the folder of a Hugging Face checkpoint.")
        assumptions: list[str] = []
        config = _Config(folder, read_json(folder / "config.json"))
        kind = config.data.get("model_type")
        if kind not in ("cwm", "llama"):
            found = "does not say its model_type" if kind is None else f"holds a model of type {kind!r}"
            raise ModelError(f"{folder} {found}; a Code World Model says 'cwm' (older copies 'llama').")
        config.refuse_what_cwm_has_not()
        shape = config.shape(assumptions)
        rope = config.rope(assumptions)
        tokenizer_path = folder / "tokenizer.json"
        tokenizer_data = read_json(tokenizer_path)
        if kind == "llama":
            _check_llama(folder, shape, rope, spells_specials(tokenizer_data), assumptions)
        tokenizer = vocabulary_of(tokenizer_data, tokenizer_path, shape.vocabulary)
        return cls(
            folder=folder,
            config=config.data,
            shape=shape,
            rope=rope,
            norm_epsilon=config.positive("rms_norm_eps"),
            tensors=_matched(folder, shape, tied=bool(config.data.get("tie_word_embeddings"))),
            tokenizer=tokenizer,
            card=_card(folder),
            assumptions=(*assumptions, *tokenizer.assumptions),
        )


class _Config:
    """config.json, asked for numbers."""

    def __init__(self, folder: Path, data: dict[str, Any]) -> None:
        self.path = folder / "config.json"
        self.data = data

    def number(self, key: str, within: Mapping[str, Any] | None = None) -> int:
        value = (self.data if within is None else within).get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"{self.path} {_said(key, value)}, which must be a whole number from 1 on.")
        return value

    def positive(self, key: str, within: Mapping[str, Any] | None = None) -> float:
        value = (self.data if within is None else within).get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ModelError(f"{self.path} {_said(key, value)}, which must be a number above 0.")
        return float(value)

    def refuse_what_cwm_has_not(self) -> None:
        """Raise ModelError where something is switched on that changes the computation and that CWM does not have."""
        if self.data.get("quantization_config"):
            raise ModelError(f"{self.path} is of a quantized checkpoint; give the one in bf16, f16 or f32.")
        for key in ("attention_bias", "mlp_bias"):
            if self.data.get(key):
                raise ModelError(f"{self.path} sets {key}, which a Code World Model does not have.")
        activation = self.data.get("hidden_act", "silu")
        if activation != "silu":
            raise ModelError(f"{self.path} asks for the activation {activation!r}; a Code World Model has 'silu'.")

    def shape(self, assumptions: list[str]) -> Shape:
        layers, hidden = self.number("num_hidden_layers"), self.number("hidden_size")
        heads, kv_heads = self.number("num_attention_heads"), self.number("num_key_value_heads")
        # A llama without head_dim has heads that share the hidden size; CWM says it always.
        is_llama = self.data["model_type"] == "llama"
        head_size = hidden // heads if is_llama and self.data.get("head_dim") is None else self.number("head_dim")
        if heads % kv_heads:
            raise ModelError(f"{self.path} has {heads} query heads, which is no multiple of {kv_heads} key heads.")
        if head_size % 2:
            raise ModelError(f"{self.path} says head_dim is {head_size}, which must be even.")
        window = self.data.get("sliding_window")
        if window is None and is_llama:
            window = WINDOW
            assumptions.append(f"config.json names no sliding window; it is taken to be CWM's, {WINDOW:,} tokens.")
        else:
            window = self.number("sliding_window")
        return Shape(
            layers=layers,
            hidden=hidden,
            feed_forward=self.number("intermediate_size"),
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            vocabulary=self.number("vocab_size"),
            context=self.number("max_position_embeddings"),
            window=window,
            windowed=self.windowed(layers, assumptions),
        )

    def windowed(self, layers: int, assumptions: list[str]) -> tuple[bool, ...]:
        kinds: object = self.data.get("layer_types")
        if kinds is None:
            assumptions.append(
                f"config.json does not say which layers have the window; all have but every {FULL_EVERY}th, "
                "from the first on, as in CWM."
            )
        names = {"full_attention": False, "sliding_attention": True}
        listed = cast("list[object]", kinds) if isinstance(kinds, list) else []
        if kinds is not None and len(listed) != layers:
            raise ModelError(f"{self.path} has {len(listed)} layer_types for {layers} layers.")
        for name in listed:
            if name not in names:
                raise ModelError(f"{self.path} has a layer of type {name!r}; a CWM has only {' and '.join(names)}.")
        windowed = tuple(names[cast("str", name)] for name in listed) or windowed_layers(layers)
        if not any(windowed):  # llama.cpp would abort
            raise ModelError(f"{self.path} gives no layer a window; of a CWM's layers three in four have one.")
        return windowed

    def rope(self, assumptions: list[str]) -> Rope:
        """Rotary embeddings in any of transformers' spellings."""
        # Until version 5 transformers wrote `rope_scaling` and `rope_theta`; where both spellings are, it takes these.
        found: object = self.data.get("rope_scaling") or self.data.get("rope_parameters")
        is_cwm = self.data["model_type"] == "cwm"
        if not found and is_cwm:
            assumptions.append("config.json does not say how positions are scaled; it is taken to be as in CWM.")
            theta = self.positive("rope_theta") if "rope_theta" in self.data else CWM_ROPE.theta
            return replace(CWM_ROPE, theta=theta)
        if found is not None and not isinstance(found, dict):
            raise ModelError(f"{self.path} has rope parameters that are no object: {found!r}.")
        given = cast("dict[str, Any]", found or {})
        kind = given.get("rope_type", given.get("type", "default"))
        if kind not in ("default", "llama3") or any(isinstance(value, dict) for value in given.values()):
            raise ModelError(
                f"{self.path} scales positions by {kind!r}; a Code World Model does by 'llama3' or not at all."
            )
        if given.get("partial_rotary_factor", self.data.get("partial_rotary_factor", 1)) not in (1, None):
            raise ModelError(f"{self.path} rotates a part of each head (partial_rotary_factor); CWM rotates it whole.")
        if "rope_theta" in given:
            theta = self.positive("rope_theta", given)
        elif is_cwm and "rope_theta" not in self.data:
            theta = CWM_ROPE.theta
            assumptions.append(f"config.json does not say rope_theta; it is taken to be CWM's, {theta:,.0f}.")
        else:
            theta = self.positive("rope_theta")
        if kind == "default":
            return Rope(theta)
        original_key = "original_max_position_embeddings"
        rope = Rope(
            theta=theta,
            factor=self.positive("factor", given),
            low=self.positive("low_freq_factor", given),
            high=self.positive("high_freq_factor", given),
            original=self.number(original_key, given)
            if original_key in given
            else self.number("max_position_embeddings"),
        )
        if rope.high <= rope.low:
            raise ModelError(f"{self.path} has rope parameters that make no sense: {rope}.")
        return rope


def _said(key: str, value: object) -> str:
    return f"does not say {key}" if value is None else f"says {key} is {value!r}"


def _check_llama(folder: Path, shape: Shape, rope: Rope, specials_spelled: bool, assumptions: list[str]) -> None:
    """Whether a checkpoint that calls itself a llama is a CWM. Raises ModelError where it is not."""
    same = replace(shape, window=CWM_32B.window, windowed=CWM_32B.windowed) == CWM_32B and rope == CWM_ROPE
    if same:
        assumptions.insert(0, "config.json calls the model a llama; it has CWM 32B's numbers and is taken for it.")
    elif specials_spelled:
        assumptions.insert(
            0, "config.json calls the model a llama; its tokenizer has CWM's special tokens, so it is taken for a CWM."
        )
    else:
        raise ModelError(
            f"{folder} holds a llama with {shape.layers} layers of {shape.hidden}, whose numbers are not CWM 32B's and "
            "whose tokenizer has not CWM's special tokens, so it is not a Code World Model."
        )


def _matched(folder: Path, shape: Shape, *, tied: bool) -> dict[str, Weights]:
    """The tensors under llama.cpp's names. Raises ModelError where one is missing, too many or misshapen."""
    found = _read_tensors(folder)
    matched: dict[str, Weights] = {}
    for name, (rows, columns) in shape.tensors().items():
        if name.endswith("attn_sinks.weight"):
            continue
        source = _name_in_checkpoint(name)
        if tied and name == "output.weight" and source not in found:
            matched[name] = matched["token_embd.weight"]
            continue
        weights = found.pop(source, None)
        if weights is None:
            raise ModelError(f"{folder} lacks the tensor {source}; download the checkpoint again.")
        expected = (columns,) if name.endswith("_norm.weight") else (rows, columns)
        if weights.shape != expected:
            raise ModelError(
                f"{weights.path} has {source} in the shape {list(weights.shape)}, but config.json makes it "
                f"{list(expected)}; one of the two belongs to another model."
            )
        if weights.dtype not in DTYPE_SIZES:
            raise ModelError(
                f"{weights.path} stores {source} as {weights.dtype}; convert reads {', '.join(DTYPE_SIZES)}, so give "
                "the checkpoint in one of them."
            )
        matched[name] = weights
    left = sorted(name for name in found if not _IGNORED.search(name))
    if left:
        others = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise ModelError(f"{found[left[0]].path} has a tensor that no CWM has: {left[0]}{others}.")
    return matched


def _name_in_checkpoint(name: str) -> str:
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"


def _read_tensors(folder: Path) -> dict[str, Weights]:
    """All tensors of the checkpoint's files by name."""
    index = folder / INDEX
    if not index.is_file():
        tensors: dict[str, Weights] = {}
        for path in _files_without_index(folder):
            for name, weights in _read_head(path).items():
                if name in tensors:
                    raise ModelError(f"{path} and {tensors[name].path} both hold {name}; remove the one too many.")
                tensors[name] = weights
        return tensors
    listed: object = read_json(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise ModelError(f"{index} has no weight_map; download it again.")
    heads: dict[str, dict[str, Weights]] = {}
    tensors = {}
    for name, file in cast("dict[str, object]", listed).items():
        if not isinstance(file, str) or Path(file).name != file:
            raise ModelError(f"{index} names {file!r} as the file of {name}; download it again.")
        if file not in heads:
            if not (folder / file).is_file():
                count = len(set(map(str, cast("dict[str, object]", listed).values())))
                raise ModelError(f"{folder} lacks {file}, one of {count} files with weights; download it again.")
            heads[file] = _read_head(folder / file)
        if name not in heads[file]:
            raise ModelError(f"{folder / file} lacks the tensor {name}, which {INDEX} puts there; download both again.")
        tensors[name] = heads[file][name]
    return tensors


def _files_without_index(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    shards = {
        int(match[1]): (path, int(match[2])) for path in folder.iterdir() if (match := _SHARD.fullmatch(path.name))
    }
    if not shards:
        raise ModelError(f"{folder} has no {SINGLE} and no {INDEX}; give a checkpoint with safetensors files.")
    count = max(total for _, total in shards.values())
    missing = sorted(set(range(1, count + 1)) - set(shards))
    if missing:
        raise ModelError(
            f"{folder} lacks model-{missing[0]:05}-of-{count:05}.safetensors, one of {count} files with weights; "
            "download it again."
        )
    return [path for _, (path, _) in sorted(shards.items())]


def _read_head(path: Path) -> dict[str, Weights]:
    """The tensors that a safetensors file describes. Raises ModelError where the file is cut short or broken."""
    try:
        size = path.stat().st_size
        described = SafetensorsLocal(path).tensors
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); make it readable.") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        with path.open("rb") as file:
            pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
        what = "is a Git LFS pointer, not the weights themselves" if pointer else "is cut short or no safetensors file"
        raise ModelError(f"{path} {what}; download it again.") from error
    found: dict[str, Weights] = {}
    for name, tensor in described.items():
        offset, length = tensor.data_range.offset, tensor.data_range.size
        # A kind of number that is not known has no size to check; who needs the tensor refuses it.
        expected = math.prod(tensor.shape) * DTYPE_SIZES[tensor.dtype] if tensor.dtype in DTYPE_SIZES else length
        if length != expected or length < 0:
            raise ModelError(f"{path} gives {name} {length} bytes where its shape needs {expected}; download it again.")
        if offset + length > size:
            raise ModelError(
                f"{path} is cut short: {offset + length - size} bytes of {name} are missing; download it again."
            )
        found[name] = Weights(name, tensor.dtype, tensor.shape, path, offset)
    return found


def _card(folder: Path) -> Card:
    """What README.md's front matter and the folder's name say. A card that cannot be read says nothing."""
    import yaml

    try:
        data = Metadata.load_model_card(folder)
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        data = {}

    def text(value: object) -> str:
        return "".join(char for char in value if char.isprintable()).strip() if isinstance(value, str) else ""

    bases: object = data.get("base_model")
    listed = cast("list[object]", bases) if isinstance(bases, list) else [bases]
    # The hub's own cache keeps a repository as models--OWNER--NAME/snapshots/REVISION.
    cached = re.search(r"models--([^/\\]+?)--([^/\\]+)[/\\]snapshots", str(folder.resolve()))
    return Card(
        name=text(data.get("model_name")),
        licence=text(data.get("license")),
        licence_name=text(data.get("license_name")),
        licence_link=text(data.get("license_link")),
        bases=tuple(name for value in listed if (name := text(value))),
        repository=f"{cached[1]}/{cached[2]}" if cached else "",
    )
