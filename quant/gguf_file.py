"""The head of a GGUF file: metadata and where the tensors lie, without reading the weights.

The reader of the `gguf` package makes an array of every string, which takes many seconds for CWM's 128,256 pieces.
Layout of the file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from quant.errors import ModelError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
"""The versions of the file format that llama.cpp reads; version 1 counts with other numbers."""
TEMPERATURE_KEY = "foretrace.confidence_temperature"
"""The metadata that says how overconfident a model is about whole values (`debugger/predicted/confidence.py`)."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
_DEFAULT_ALIGNMENT = 32
_MOST_ENTRIES = 2**16
_MOST_ITEMS = 2**22
"""Of one array; the largest vocabularies have 2**18 pieces and 2**19 merges."""
_MOST_DIMENSIONS = 4
"""GGML_MAX_DIMS of ggml.h."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as the file describes it."""

    name: str
    shape: tuple[int, ...]
    """As numpy has it: rows before columns."""
    type: str
    """`F16`, `Q4_K`, ..."""
    offset: int
    """Bytes from the beginning of the file."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class GgufFile:
    """A GGUF's metadata and tensors; `read_gguf` makes it."""

    path: Path
    version: int
    metadata: Mapping[str, Any]
    """Numbers, booleans, strings, and lists of them, by key."""
    tensors: tuple[TensorInfo, ...]
    size: int
    """Bytes of the whole file."""

    @property
    def architecture(self) -> str:
        """llama.cpp's name for the kind of network; '' where the file does not say."""
        return str(self.metadata.get("general.architecture", ""))

    @cached_property
    def quantization(self) -> str:
        """What most weights are stored as, in llama.cpp's words: `F16`, `Q4_K_M`, ...; '' where it does not say."""
        kind = self.metadata.get("general.file_type")
        try:
            return LlamaFileType(kind).name.removeprefix("MOSTLY_").removeprefix("ALL_")
        except ValueError:
            return ""

    @cached_property
    def weights(self) -> int:
        """How many numbers the tensors hold."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits of the tensors for each of their numbers."""
        return 8 * sum(tensor.size for tensor in self.tensors) / max(1, self.weights)


def read_gguf(path: Path) -> GgufFile:
    """Read the head of a GGUF. Raises ModelError where the file is none, of another version, damaged or cut short."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                what = "is not a GGUF file" if magic else "is empty"
                raise ModelError(f"{path} {what}; give the path of a GGUF.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(path, data)
    except FileNotFoundError:
        raise ModelError(f"There is no model file {path}; give the path of a GGUF.") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder; give the path of a GGUF.") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); give the path of a GGUF.") from error
    except (struct.error, IndexError):
        raise ModelError(f"{path} is cut short in its header; download or build it again.") from None
    except ValueError as error:
        raise ModelError(f"{path} has a header that cannot be read ({error}); download or build it again.") from None


def _parse(path: Path, data: mmap.mmap) -> GgufFile:
    cursor = _Cursor(data, len(MAGIC))
    version = cursor.number("I")
    if version not in VERSIONS:
        spelled = "big-endian" if version & 0xFFFF == 0 else f"version {version}"
        raise ModelError(
            f"{path} is a GGUF of another kind ({spelled}); llama.cpp reads versions 2 and 3, little-endian. "
            "Build or download the file anew."
        )
    tensor_count, entry_count = cursor.number("Q"), cursor.number("Q")
    metadata: dict[str, Any] = {}
    for _ in range(_plausible(entry_count, _MOST_ENTRIES, "metadata entries")):
        key = cursor.string()
        if key in metadata:
            raise ValueError(f"{key} is there twice")
        metadata[key] = cursor.value(cursor.number("I"))
    described: list[tuple[str, tuple[int, ...], GGMLQuantizationType, int]] = []
    for _ in range(_plausible(tensor_count, _MOST_ENTRIES, "tensors")):
        name = cursor.string()
        dimensions = _plausible(cursor.number("I"), _MOST_DIMENSIONS, f"dimensions of {name}")
        shape = tuple(cursor.number("Q") for _ in range(dimensions))
        described.append((name, shape[::-1], GGMLQuantizationType(cursor.number("I")), cursor.number("Q")))
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"an alignment of {alignment}")
    start = -(-cursor.position // alignment) * alignment
    tensors: list[TensorInfo] = []
    for name, shape, kind, offset in described:
        block, block_bytes = GGML_QUANT_SIZES[kind]
        size = math.prod(shape) // block * block_bytes
        if start + offset + size > len(data):
            missing = start + offset + size - len(data)
            raise ModelError(
                f"{path} is cut short: at least {missing} bytes are missing, at {name}; download or build it again."
            )
        tensors.append(TensorInfo(name, shape, kind.name, start + offset, size))
    return GgufFile(path, version, metadata, tuple(tensors), len(data))


def _plausible(count: int, most: int, what: str) -> int:
    """The count, where it can be meant: a damaged one would keep us reading through gigabytes of weights."""
    if count > most:
        raise ValueError(f"{count} {what}")
    return count


class _Cursor:
    """Reads one value after another. Raises struct.error or IndexError at the end, ValueError for what cannot be."""

    def __init__(self, data: mmap.mmap, position: int) -> None:
        self._data = data
        self.position = position

    def number(self, spelling: str) -> int:
        layout = struct.Struct("<" + spelling)
        (found,) = layout.unpack_from(self._data, self.position)
        self.position += layout.size
        return found

    def string(self) -> str:
        return self._strings(1)[0]

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            return self.number(_scalar(kind))
        item, count = self.number("I"), _plausible(self.number("Q"), _MOST_ITEMS, "items in an array")
        if item == _STRING:
            return self._strings(count)
        layout = struct.Struct(f"<{count}{_scalar(item)}")
        found = list(layout.unpack_from(self._data, self.position))
        self.position += layout.size
        return found

    def _strings(self, count: int) -> list[str]:
        # One loop without calls of our own: a vocabulary and its merges are 400,000 of them.
        data, position, end = self._data, self.position, len(self._data)
        length_at, found = _LENGTH.unpack_from, list[str]()
        for _ in range(count):
            (length,) = length_at(data, position)
            position += _LENGTH.size
            if length > end - position:
                raise IndexError
            found.append(data[position : position + length].decode(errors="replace"))
            position += length
        self.position = position
        return found


def _scalar(kind: int) -> str:
    """How `struct` spells a kind of number."""
    if kind not in _SCALARS:
        raise ValueError(f"a value of the unknown kind {kind}")
    return _SCALARS[kind]
