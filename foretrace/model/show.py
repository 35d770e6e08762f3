"""`foretrace model list` and `foretrace model info`: what a GGUF is, told from its head alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import zip_longest
from math import prod
from pathlib import Path
from typing import Any, cast

from foretrace.models import (
    BUNDLED,
    ServedModel,
    bundled_path,
    checkpoints_folder,
    find_model,
    find_predictor,
    installed,
    models_folder,
    unfinished_folder,
)
from foretrace.session import Exit
from quant.errors import ModelError
from quant.gguf_file import GgufFile, read_gguf
from quant.shape import ARCHITECTURE, CWM_32B, WINDOW, Shape, shape_of_gguf
from quant.sizes import spelled_size
from quant.specials import Special, special_ids

LLAMA = "llama"
"""llama.cpp's architecture that a CWM is when its windows are left out."""
_TOKENIZERS = {"gpt2": "byte-level BPE", "llama": "SentencePiece", "bert": "WordPiece", "t5": "Unigram"}
"""llama.cpp's names for kinds of tokenizers, and everyone else's."""


class Kind(str, Enum):
    """How a GGUF is a CWM, if it is one."""

    EXACT = "CWM, exact"
    PLAIN_LLAMA = f"CWM as plain llama, exact for the first {WINDOW:,} tokens only"
    NO_CWM = "not a CWM"


@dataclass(frozen=True)
class Description:
    """What a GGUF is; `describe` makes it."""

    file: GgufFile
    kind: Kind
    shape: Shape | None
    """None where the file does not tell all of it, as those of other networks may not."""
    specials: dict[Special, int]
    """Empty where one is missing."""
    specials_by_name: bool
    """Whether all are spelled as in CWM; else some are found by CWM's ids for them."""
    problem: str
    """Why it is not a CWM; '' where it is one."""

    @property
    def summary(self) -> str:
        """What it is in a few words, as in `CWM 32B, Q4_K_M`."""
        size = f" {self.size_label}" if self.file.tensors else ""
        network = {
            Kind.EXACT: f"CWM{size}",
            Kind.PLAIN_LLAMA: f"CWM{size} as plain llama",
            Kind.NO_CWM: f"no CWM but {self.file.architecture or 'unnamed'}{size}",
        }[self.kind]
        return network + (f", {self.file.quantization}" if self.file.quantization else "")

    @property
    def size_label(self) -> str:
        """How many weights it has, as people call a model: `32B`."""
        if self.shape is not None and replace(self.shape, window=WINDOW, windowed=CWM_32B.windowed) == CWM_32B:
            return "32B"  # Meta's name for 32.6 billion
        for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
            if self.parameters >= unit:
                return f"{self.parameters / unit:.{int(self.parameters < 10 * unit)}f}{name}"
        return str(self.parameters)

    @cached_property
    def parameters(self) -> int:
        """How many weights it has, without what a conversion adds: attention sinks and RoPE factors."""
        own = (
            tensor
            for tensor in self.file.tensors
            if not tensor.name.endswith(("attn_sinks.weight", "rope_freqs.weight"))
        )
        return sum(prod(tensor.shape) for tensor in own)

    @property
    def context(self) -> int | None:
        """For how many tokens it can be used."""
        trained = self.shape.context if self.shape is not None else None
        return min(trained, WINDOW) if trained is not None and self.kind is Kind.PLAIN_LLAMA else trained

    @property
    def licence(self) -> str:
        """As the file names it; '' where it does not."""
        return self.text("general.license.name") or self.text("general.license")

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Where it comes from: addresses where the file has them, else names."""
        bases = self.file.metadata.get("general.base_model.count")
        prefixes = [f"general.base_model.{index}" for index in range(min(bases, 8) if isinstance(bases, int) else 0)]
        found = [self.text("general.source.repo_url") or self.text("general.source.url")]
        found += [self.text(f"{prefix}.repo_url") or self.text(f"{prefix}.name") for prefix in prefixes]
        return tuple(dict.fromkeys(filter(None, found)))

    @property
    def tokenizer(self) -> str:
        """What kind of tokenizer it has."""
        model, pre = self.text("tokenizer.ggml.model"), self.text("tokenizer.ggml.pre")
        kind = _TOKENIZERS.get(model, model)
        return f"{kind}, split as {pre}" if pre else kind

    @cached_property
    def tensor_types(self) -> dict[str, int]:
        """How many tensors are stored as what, the most common first."""
        return dict(Counter(tensor.type for tensor in self.file.tensors).most_common())

    @property
    def importance(self) -> dict[str, Any]:
        """What the file tells of the importance matrix that it was quantized with."""
        prefix = "quantize.imatrix."
        entries = self.file.metadata.items()
        return {key.removeprefix(prefix): value for key, value in entries if key.startswith(prefix)}

    @property
    def format_version(self) -> int | None:
        """Of foretrace's conversion; None in files made by others."""
        return self.file.metadata.get("foretrace.format_version")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know who wants to predict with it."""
        if self.kind is Kind.NO_CWM:
            return (f"It cannot predict runs: {self.problem}",)
        if self.kind is Kind.PLAIN_LLAMA:
            return (f"It was converted as a plain llama, so it is right for {WINDOW:,} tokens only.",)
        return ()

    @property
    def parts(self) -> int:
        """Of how many files this is the first, second, ...; 1 where it is whole."""
        count = self.file.metadata.get("split.count")
        return count if isinstance(count, int) and count > 1 else 1

    def text(self, key: str) -> str:
        """A metadata entry as text; '' where it is missing."""
        value = self.file.metadata.get(key)
        return str(value) if value is not None and not isinstance(value, list) else ""


class _Tokens:
    """A GGUF's vocabulary as `special_ids` asks for it, without loading the model."""

    def __init__(self, file: GgufFile) -> None:
        found = file.metadata.get("tokenizer.ggml.tokens")
        pieces = cast("list[Any]", found) if isinstance(found, list) else []
        self._pieces: list[str] = pieces if pieces and isinstance(pieces[0], str) else []

    def spelling(self, token: int) -> str:
        return self._pieces[token] if 0 <= token < len(self._pieces) else ""

    def id_of_piece(self, piece: str) -> int | None:
        return self._pieces.index(piece) if piece in self._pieces else None


def describe(path: Path) -> Description:
    """What the GGUF at `path` is. Raises ModelError where it cannot be read."""
    file = read_gguf(path)
    tokens = _Tokens(file)
    kind = {ARCHITECTURE: Kind.EXACT, LLAMA: Kind.PLAIN_LLAMA}.get(file.architecture, Kind.NO_CWM)
    problem = f"Its architecture is {file.architecture or 'not named'}." if kind is Kind.NO_CWM else ""
    specials: dict[Special, int] = {}
    shape = None
    try:
        specials = special_ids(tokens, path)
    except ModelError as error:
        kind, problem = Kind.NO_CWM, problem or str(error)
    try:
        shape = shape_of_gguf(file)
    except ModelError as error:
        kind, problem = Kind.NO_CWM, problem or str(error)
    by_name = all(tokens.spelling(token) == special.value for special, token in specials.items())
    return Description(file, kind, shape, specials, by_name, problem)


def show_model(model: str, as_json: bool) -> int:
    """Print what a GGUF, given by path or name, is. Returns the exit code; raises ModelError."""
    found = describe(find_model(model).path)
    if as_json:
        print(json.dumps(_as_json(model, found), indent=1, ensure_ascii=False))
        return Exit.CONFIRMED
    print(model)
    facts = _facts(found)
    width = max(map(len, facts))
    for label, value in facts.items():
        print(f"  {label:{width}}  {value}")
    return Exit.CONFIRMED


def _facts(found: Description) -> dict[str, str]:
    """Label and value, in reading order."""
    file, shape = found.file, found.shape
    part = f", one of {found.parts} parts" if found.parts > 1 else ""
    facts = {
        "file": f"{file.path}, {spelled_size(file.size)}{part}",
        "title": found.text("general.name") or "none",
        "architecture": f"{file.architecture or 'not named'}: {found.kind.value}",
    }
    if found.problem:
        facts["why not"] = found.problem
    facts["parameters"] = f"{found.parameters:,}"
    if shape is not None:
        windowed = sum(shape.windowed)
        seeing = f"{shape.full_layers} see everything, {windowed} the last {shape.window:,} tokens"
        facts["layers"] = f"{shape.layers}: {seeing}" if windowed else f"{shape.layers}, all see everything"
        facts["hidden"] = f"{shape.hidden:,}, feed-forward {shape.feed_forward:,}"
        facts["heads"] = f"{shape.heads} of {shape.head_size}, {shape.kv_heads} for keys and values"
        facts["vocabulary"] = f"{shape.vocabulary:,} pieces, {found.tokenizer}"
        limit = f", to be used for {found.context:,} only" if found.context != shape.context else ""
        facts["context"] = f"trained for {shape.context:,} tokens{limit}"
    types = ", ".join(f"{count} {kind}" for kind, count in found.tensor_types.items())
    bits = f"{file.bits_per_weight:.2f} bits per weight; tensors: {types}"
    facts["quantization"] = f"{file.quantization}, {bits}" if file.quantization else bits
    if found.specials:
        how = "by name" if found.specials_by_name else "by CWM's ids, where the names are reserved ones"
        facts["special tokens"] = f"found {how}: " + ", ".join(
            f"{special.name.lower()} {token}" for special, token in found.specials.items()
        )
    facts["licence"] = found.licence or "not said"
    facts["source"] = ", ".join(found.sources) or "not said"
    if found.format_version is not None:
        facts["format version"] = str(found.format_version)
    if found.importance:
        facts["importance matrix"] = ", ".join(
            f"{key.replace('_', ' ')} {value}" for key, value in found.importance.items()
        )
    return facts


def _as_json(name: str, found: Description) -> dict[str, Any]:
    file, shape = found.file, found.shape
    return {
        "name": name,
        "path": str(file.path),
        "size": file.size,
        "kind": found.kind.name.lower(),
        "problem": found.problem or None,
        "title": found.text("general.name") or None,
        "architecture": file.architecture,
        "summary": found.summary,
        "parts": found.parts,
        "parameters": found.parameters,
        "layers": shape and shape.layers,
        "full_layers": shape and shape.full_layers,
        "window": shape and shape.window,
        "hidden": shape and shape.hidden,
        "feed_forward": shape and shape.feed_forward,
        "heads": shape and shape.heads,
        "kv_heads": shape and shape.kv_heads,
        "head_size": shape and shape.head_size,
        "vocabulary": shape and shape.vocabulary,
        "trained_context": shape and shape.context,
        "context": found.context,
        "quantization": file.quantization or None,
        "bits_per_weight": round(file.bits_per_weight, 3),
        "tensor_types": found.tensor_types,
        "tokenizer": found.tokenizer or None,
        "specials": {special.value: token for special, token in found.specials.items()},
        "specials_by_name": found.specials_by_name,
        "licence": found.licence or None,
        "sources": list(found.sources),
        "format_version": found.format_version,
        "importance_matrix": found.importance or None,
    }


def list_models(as_json: bool) -> int:
    """Print the models on this machine: nano, those installed, pulled checkpoints, and pulls that did not end."""
    paths = {BUNDLED: bundled_path(), **{name: models_folder() / f"{name}.gguf" for name in installed()}}
    default, problem = "", None
    try:
        chosen = find_predictor()
        if isinstance(chosen, ServedModel):
            problem = f"Predictions come from the llama-server at {chosen.path}, as FORETRACE_MODEL asks for."
        else:
            default = next((name for name, path in paths.items() if path == chosen.path), str(chosen.path))
            paths.setdefault(default, chosen.path)
    except ModelError as error:
        problem = str(error)
    models = [_listed(name, path, name == default) for name, path in paths.items()]
    checkpoints = [_listed_folder(folder, folder.name) for folder in _folders(checkpoints_folder())]
    unfinished = [
        _listed_folder(folder, f"{owner.name.replace('--', '/')}:{folder.name}")
        for owner in _folders(unfinished_folder())
        for folder in _folders(owner)
    ]
    if as_json:
        found = {"models": models, "checkpoints": checkpoints, "unfinished": unfinished, "problem": problem}
        print(json.dumps({"folder": str(models_folder()), **found}, indent=1, ensure_ascii=False))
        return Exit.CONFIRMED
    _print_models(models)
    if problem:
        print(f"\n{problem}")
    if checkpoints:
        print("\nCheckpoints, for `foretrace model convert FOLDER OUT.gguf`:")
        _print_columns([[folder["name"], spelled_size(folder["size"]), folder["path"]] for folder in checkpoints])
    if unfinished:
        print("\nNot pulled to the end; the same `foretrace model pull` goes on:")
        _print_columns([[folder["name"], spelled_size(folder["size"]), folder["path"]] for folder in unfinished])
    return Exit.CONFIRMED


def _listed(name: str, path: Path, is_default: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "path": str(path), "default": is_default, "problem": None}
    try:
        found = describe(path)
    except ModelError as error:
        return entry | {"problem": str(error)}
    return entry | {
        "kind": found.kind.name.lower(),
        "summary": found.summary,
        "architecture": found.file.architecture,
        "quantization": found.file.quantization or None,
        "size": found.file.size,
        "context": found.context,
        "window": found.shape and found.shape.window,
        "licence": found.licence or None,
    }


def _listed_folder(folder: Path, name: str) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"name": name, "path": str(folder), "size": size}


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    except OSError as error:
        raise ModelError(f"{folder} cannot be read ({error.strerror}); make it readable.") from error


def _print_models(models: Sequence[dict[str, Any]]) -> None:
    rows = [["", "model", "what it is", "size", "context", "window", "licence"]]
    for model in models:
        mark = "*" if model["default"] else ""
        if model["problem"]:
            rows.append([mark, model["name"], "unreadable"])
            continue
        context, window = (f"{model[key]:,}" if model[key] else "-" for key in ("context", "window"))
        size = spelled_size(model["size"])
        rows.append([mark, model["name"], model["summary"], size, context, window, model["licence"] or "not said"])
    _print_columns(rows)
    for model in models:
        if model["problem"]:
            print(f"  {model['name']}: {model['problem']}")
    if any(model["default"] for model in models):
        print("  * predicts where no --model is given.")


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Left-aligned and never cut, so that a path can be copied and a pipe gets whole lines."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)]
        print("  ".join(["", *cells]).rstrip())
