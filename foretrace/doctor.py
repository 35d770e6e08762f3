"""`foretrace doctor`: does everything work here, and what to do where it does not."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

import foretrace
from foretrace.session import Exit

if TYPE_CHECKING:
    from quant.model import Model

_PACKAGES = ("llama-cpp-python", "debugpy", "numpy", "pygls", "rich", "typer")
_PROGRAM = "def add(a, b):\n    total = a + b\n    return total\n"
_CALL = "add(2, 3)"
_AMX_FLAGS = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    works: bool
    text: str
    remedy: str = ""
    """What to do; empty where nothing has to be done."""


def examine(model: str | None) -> int:
    """Make every check, print a line for each, and return the exit code."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("foretrace", _versions),
        ("Python", _python),
        ("llama.cpp", _llama),
        ("GPU", _gpu),
        ("model", lambda: _model(model)),
        ("real run", _real_run),
    ]
    console = Console(highlight=False, soft_wrap=True)
    failed = 0
    for name, check in checks:
        try:
            finding = check()
        except Exception as error:  # a check that breaks is a finding, too
            finding = Finding(False, f"{type(error).__name__}: {error}", "Reinstall foretrace.")
        failed += not finding.works
        mark = ("✓", "green") if finding.works else ("✗", "bold red")
        console.print(Text.assemble(mark, f" {name}: ", finding.text))
        if finding.remedy:
            console.print(Text(f"  {finding.remedy}", "yellow"))
    console.print("Everything works." if not failed else f"{failed} of {len(checks)} checks failed.")
    return Exit.COULD_NOT_RUN if failed else Exit.CONFIRMED


def _versions() -> Finding:
    found = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return Finding(True, f"{foretrace.__version__} with {found}")


def _python() -> Finding:
    text = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}, {sys.executable}"
    if platform.python_implementation() != "CPython":
        return Finding(False, text, "Install foretrace for CPython: predictions follow its bytecode.")
    return Finding(True, text)


def _llama() -> Finding:
    from quant.device import REBUILD, REMEDY
    from quant.runtime import built_with_amx

    try:
        library = import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(False, f"does not load: {error}", "Run: pip install --force-reinstall llama-cpp-python")
    text = f"loads ({Path(library.__file__ or '').parent})"
    if built_with_amx(library):
        text += ", built for AMX, which some compilers get wrong: it is not used, so models run slower on the CPU"
        build = REMEDY if library.llama_supports_gpu_offload() else REBUILD
        return Finding(True, text, f'Build it without: CFLAGS="{_AMX_FLAGS}" CXXFLAGS="{_AMX_FLAGS}" {build}')
    return Finding(True, text)


def _gpu() -> Finding:
    from quant.device import REMEDY, find_devices
    from quant.sizes import spelled_size

    devices = find_devices()
    found = devices.gpus or devices.unused
    text = "; ".join(
        f"{gpu.name}, {spelled_size(gpu.memory_free)} of {spelled_size(gpu.memory_total)} free"
        + (f", {gpu.bandwidth / 1e9:,.0f} GB/s" if gpu.bandwidth else "")
        for gpu in found
    )
    if devices.gpus:
        return Finding(True, f"{text}; llama.cpp uses {'it' if len(found) == 1 else 'them'}")
    if devices.unused:
        return Finding(True, f"{text}; not used", devices.problem)
    return Finding(
        True,
        "none; models run on the CPU",
        "That is fine for nano. With an NVIDIA GPU, llama.cpp is built for it by: " + REMEDY,
    )


def _model(wanted: str | None) -> Finding:
    from foretrace.models import ServedModel, find_predictor
    from quant.errors import ModelError
    from quant.load import load
    from quant.runtime import ALL_LAYERS
    from quant.sizes import spelled_size
    from quant.specials import special_ids

    try:
        file = find_predictor(wanted)
        if isinstance(file, ServedModel):
            return _served_model(file.path)
        runtime, choice = load(file.path)
        with runtime:
            special_ids(runtime.vocabulary, file.path)
            text = f"{file.name} ({runtime.description}) at {file.path} predicted {_steps_predicted(runtime)}"
            warnings = " ".join((*runtime.warnings, *choice.notes))
    except ModelError as error:
        return Finding(
            False, str(error), "Give another model with --model or FORETRACE_MODEL; without both it is nano."
        )
    text += f"; {choice.context:,} tokens of context in {choice.kv_type}, "
    if choice.device is not None and choice.gpu_layers:
        layers = "all layers" if choice.gpu_layers == ALL_LAYERS else f"{choice.gpu_layers - 1} layers"
        text += f"{layers} on {choice.device.name} ({spelled_size(choice.memory.device.total)}), "
    text += f"{spelled_size(choice.memory.host.total)} of RAM"
    return Finding(True, text, warnings)


def _served_model(address: str) -> Finding:
    from quant.remote import RemoteModel

    with RemoteModel.open(address) as model:
        text = f"{model.name} ({model.description}) on the server at {address} predicted {_steps_predicted(model)}"
        return Finding(True, f"{text}; {model.context:,} tokens of context")


def _steps_predicted(model: Model) -> str:
    from debugger.predicted.predict import predict
    from debugger.target import SourceFile, Target

    target = Target(SourceFile.from_text("add.py", _PROGRAM), "add", 1, 3)
    return f"{len(predict(model, target, _CALL, max_frames=2).frames)} steps of {_CALL}"


def _real_run() -> Finding:
    from debugger.actual.run import RunError, run

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "add.py")
        path.write_text(_PROGRAM)
        try:
            trace = run(path, _CALL, timeout=30)
        except RunError as error:
            return Finding(False, str(error), "Run: pip install --force-reinstall debugpy")
    if trace.outcome.value != "5":
        return Finding(False, f"{_CALL} came out as {trace.outcome.value}", "Please report this as a bug of foretrace.")
    return Finding(True, f"debugpy {metadata.version('debugpy')} recorded {len(trace.frames)} steps of {_CALL}")
