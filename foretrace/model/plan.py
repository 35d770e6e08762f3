"""`foretrace model plan`: which build of a model, context and offload fit a GPU, and how fast that can be at most.

With `--json` one object is printed; sizes are bytes, rates bytes or tokens a second:

    {"version": 1,
     "model": {"name", "parameters", "layers", "full_layers", "window", "context"},
     "device": {"name", "kind", "memory", "room", "bandwidth", "given"} or null where there is no GPU,
     "host": {"name", "memory", "room", "bandwidth"},
     "builds": [{"build", "size", "fits": [FIT or null where memory holds it nowhere, for each of "contexts"]}],
     "contexts": [...],
     "recommended": FIT, "commands": [what to run next, in order], "notes": [sentences]}

FIT: {"build", "context", "kv_type", "layers_on_gpu", "whole", "memory": {"device": PARTS, "host": PARTS},
"tokens_per_s": {"empty", "full"} or null where a bandwidth is not known}; `layers_on_gpu` leaves the output matrix out.
PARTS: {"weights", "kv", "compute", "output", "overhead", "total"}. `room` is what a model may take, "full" a full
context. `fits` holds the best choice for each build and context; the rule is told in quant/plan.py.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from foretrace.models import find_model
from foretrace.output import report_console
from foretrace.session import Exit, UsageError
from quant.device import Device, find_devices
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.plan import (
    BUILDS,
    FLOATS,
    QUANTIZED,
    Build,
    Fit,
    Usage,
    best_kv,
    build_of_gguf,
    build_of_shape,
    context_for,
    kv_sizes,
    least_needed,
    pool,
    recommend,
    room_in,
    room_on,
    too_large,
)
from quant.shape import CWM_32B, Shape
from quant.sizes import spelled_size

CWM = "cwm-32b"
"""As MODEL: Meta's model, of which no file needs to be here."""
REPOSITORY = "facebook/cwm"
CONTEXTS = (8192, 32_768, 131_072)
_CONVERTED = "cwm-bf16.gguf"

_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(iB|B|)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is planned for."""

    name: str
    builds: tuple[Build, ...]
    """From large to small."""
    commands: dict[str, tuple[str, ...]]
    """For each build what to run to have it and to use it."""
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        """Of all builds."""
        return self.builds[0].shape


@dataclass(frozen=True, slots=True)
class Plan:
    """What is told."""

    subject: Subject
    device: Device | None
    """None where there is no GPU."""
    host: Device
    given: bool
    """Whether the GPU is one that the command line tells of."""
    contexts: Sequence[int]
    table: Sequence[tuple[Build, Sequence[Fit | None]]]
    """For each build how it fits with each of the contexts, if it does."""
    best: Fit
    notes: Sequence[str]


def plan_model(model: str, vram: str | None, bandwidth: str | None, context: int | None, as_json: bool) -> int:
    """Plan and print. Raises UsageError for options that cannot be read, ModelError where nothing fits."""
    given = _given_device(vram, bandwidth)
    subject = _subject(model)
    most = context_for(subject.shape, subject.shape.context)
    if context is not None and context > most:
        raise UsageError(f"{subject.name} is for at most {most:,} tokens; ask for a --context of no more.")
    found = find_devices(measure=True)
    host, notes = found.host, list(subject.notes)
    device = given or pool(found.gpus or found.unused)
    if bandwidth is not None and given is None:
        if device is None:
            raise UsageError("--bandwidth is a GPU's, and there is none here; give its memory too: --vram 24GiB.")
        device = replace(device, bandwidth=parse_bandwidth(bandwidth))
    if given is None and found.problem:
        notes.append(found.problem)
    if device is None:
        notes.append("There is no GPU here, so this is for the CPU; --vram 24GiB plans for a GPU.")
    contexts = list(
        dict.fromkeys(context_for(subject.shape, tokens) for tokens in ([context] if context else CONTEXTS))
    )
    best = recommend(subject.builds, device, host, context)
    if best is None:
        raise ModelError(too_large(subject.name, least_needed(subject.builds, min(contexts)), device, host))
    if best.context not in contexts:
        contexts = sorted([*contexts, best.context])
    table = [(build, [best_kv(build, tokens, device, host) for tokens in contexts]) for build in subject.builds]
    if vram is not None and re.search(r"\d\s*GB", vram, re.IGNORECASE):
        notes.append(f"{vram} are {spelled_size(parse_size(vram))}; cards sold as {vram} mostly have as many GiB.")
    if any(fit is not None and fit.kv_type == "q8_0" for _, fits in table for fit in fits):
        notes.append("q8_0: keys and values are kept in 8 bits, where 16 do not fit.")
    notes += _notes(best, device, host, given is not None)
    plan = Plan(subject, device, host, given is not None, contexts, table, best, notes)
    if as_json:
        print(json.dumps(_json(plan), indent=1))
    else:
        _print(plan)
    return Exit.CONFIRMED


# Options.


def parse_size(text: str, option: str = "--vram") -> int:
    """Bytes of `24GiB` (2^30 each), `24GB` (10^9 each), `24G` (as GiB) or `24564MiB`. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        what = "has no unit" if re.fullmatch(r"[\d.]+", text.strip()) else "is no size"
        raise UsageError(f"{option} {text} {what}; write {option} 24GiB, or 24GB for 24 times 10^9 bytes.")
    number, prefix, ending = match.groups()
    base = 1000 if ending.upper() == "B" else 1024
    size = int(Decimal(number) * base ** _UNITS[prefix.upper()])
    if size == 0:
        raise UsageError(f"{option} {text} is nothing; leave it out to plan for what is here.")
    return size


def parse_bandwidth(text: str) -> float:
    """Bytes a second of `1008GB/s`. Raises UsageError."""
    size, slash, second = text.strip().partition("/")
    if not slash or second.strip() != "s":
        raise UsageError(f"--bandwidth {text} is no speed; write --bandwidth 1008GB/s.")
    return float(parse_size(size, "--bandwidth"))


def _given_device(vram: str | None, bandwidth: str | None) -> Device | None:
    rate = parse_bandwidth(bandwidth) if bandwidth is not None else None
    if vram is None:
        return None
    size = parse_size(vram)
    return Device(f"a GPU of {spelled_size(size)}", "cuda", size, size, rate)


# What is planned for.


def _subject(model: str) -> Subject:
    if model.casefold() == CWM:
        return _of_shape("CWM 32B", CWM_32B, [f"foretrace model pull {REPOSITORY}"], REPOSITORY, ())
    folder = Path(model).expanduser()
    if (folder / "config.json").is_file():
        from quant.checkpoint import Checkpoint

        checkpoint = Checkpoint.open(folder)
        return _of_shape(folder.resolve().name, checkpoint.shape, [], shlex.quote(model), checkpoint.assumptions)
    file = find_model(model)
    build = build_of_gguf(read_gguf(file.path))
    use = f"foretrace diff TARGET --model {shlex.quote(model)}"
    commands: dict[str, tuple[str, ...]] = {build.name: (use,)}
    notes: list[str] = []
    if build.shape.context > (most := context_for(build.shape, build.shape.context)):
        notes.append(
            f"{file.name} was converted as a plain llama, without CWM's windows: it is right for {most:,} tokens only."
        )
    builds = [build]
    if build.name in FLOATS:
        for name in QUANTIZED:
            builds.append(build_of_shape(build.shape, name))
            out = f"{file.path.stem}-{name}.gguf"
            quantize = f"foretrace model quantize {shlex.quote(model)} {shlex.quote(out)} --type {name}"
            commands[name] = (quantize, f"foretrace diff TARGET --model {shlex.quote(out)}")
    return Subject(file.name, tuple(builds), commands, tuple(notes))


def _of_shape(name: str, shape: Shape, before: Sequence[str], folder: str, notes: Sequence[str]) -> Subject:
    """A model that is to be converted first."""
    commands: dict[str, tuple[str, ...]] = {}
    for build in BUILDS:
        steps = [*before, f"foretrace model convert {folder} {_CONVERTED}"]
        out = _CONVERTED
        if build in QUANTIZED:
            out = f"cwm-{build}.gguf"
            steps.append(f"foretrace model quantize {_CONVERTED} {out} --type {build}")
        commands[build] = (*steps, f"foretrace diff TARGET --model {out}")
    return Subject(name, tuple(build_of_shape(shape, build) for build in BUILDS), commands, tuple(notes))


# What is told.


def _notes(best: Fit, device: Device | None, host: Device, given: bool) -> list[str]:
    shape, notes = best.build.shape, list[str]()
    if any(shape.windowed):
        plain = replace(shape, windowed=(False,) * shape.layers)
        kept = sum(kv_sizes(shape, best.context, best.kv_type))
        without = sum(kv_sizes(plain, best.context, best.kv_type))
        if without > kept:
            notes.append(
                f"Keys and values of {best.context:,} tokens take {spelled_size(kept)}, since {sum(shape.windowed)} of "
                f"{shape.layers} layers keep only their window; without windows, as in other conversions, they would "
                f"take {spelled_size(without)}."
            )
    if best.speed is not None:
        notes.append(
            "Tokens/s are upper limits for one stream, with a full and an empty context: each token reads all weights "
            "and the keys and values that it sees once."
        )
    elif device is not None and device.bandwidth is None:
        notes.append("How fast that can be follows from the GPU's bandwidth: --bandwidth 1008GB/s.")
    if best.memory.device.overhead:
        assumed = spelled_size(best.memory.device.overhead)
        notes.append(f"The driver's {assumed} are an assumption; all else is what llama.cpp allocates.")
    if given and host.memory_total:
        notes.append("RAM is that of this machine.")
    if best.memory.host.weights and host.bandwidth and (device is None or not best.whole):
        notes.append("The RAM's speed was measured just now; other programs that use it make it less.")
    return notes


def _json(plan: Plan) -> dict[str, Any]:
    subject, device, host, best = plan.subject, plan.device, plan.host, plan.best
    shape = subject.shape
    about_host = {"name": host.name, "memory": host.memory_total, "room": room_in(host), "bandwidth": host.bandwidth}
    about_device = None
    if device is not None:
        about_device = {"name": device.name, "kind": device.kind, "memory": device.memory_total}
        about_device |= {"room": room_on(device), "bandwidth": device.bandwidth, "given": plan.given}
    return {
        "version": 1,
        "model": {
            "name": subject.name,
            "parameters": shape.parameters,
            "layers": shape.layers,
            "full_layers": shape.full_layers,
            "window": shape.window,
            "context": context_for(shape, shape.context),
        },
        "device": about_device,
        "host": about_host,
        "contexts": list(plan.contexts),
        "builds": [
            {"build": build.name, "size": build.size, "fits": [_fit_as_json(fit) for fit in fits]}
            for build, fits in plan.table
        ],
        "recommended": _fit_as_json(best),
        "commands": subject.commands[best.build.name],
        "notes": list(plan.notes),
    }


def _fit_as_json(fit: Fit | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    return {
        "build": fit.build.name,
        "context": fit.context,
        "kv_type": fit.kv_type,
        "layers_on_gpu": fit.layers_on_gpu,
        "whole": fit.whole,
        "memory": {"device": _usage_as_json(fit.memory.device), "host": _usage_as_json(fit.memory.host)},
        "tokens_per_s": {"empty": round(fit.speed[0], 2), "full": round(fit.speed[1], 2)} if fit.speed else None,
    }


def _usage_as_json(usage: Usage) -> dict[str, int]:
    return {**asdict(usage), "total": usage.total}


def _print(plan: Plan) -> None:
    subject, device, host, best = plan.subject, plan.device, plan.host, plan.best
    console = report_console()
    console.print(Text.assemble((subject.name, "bold"), " on ", _where(device, host, plan.given)))
    shown = Table()
    shown.add_column("build")
    shown.add_column("size", justify="right")
    for context in plan.contexts:
        shown.add_column(f"{context:,} tokens")
    for build, fits in plan.table:
        cells = [_cell(fit, device, _same(fit, best)) for fit in fits]
        shown.add_row(build.name, spelled_size(build.size), *cells)
    console.print(shown)
    console.print(Text.assemble(("Recommended: ", "bold"), _in_words(best, device)))
    console.print(_parts(best, device, host))
    for note in plan.notes:
        console.print(Text(f"• {note}"))
    console.print(Text("Next:", "bold"))
    for command in subject.commands[best.build.name]:
        console.print(Text(f"  {command}", "cyan"), soft_wrap=True)


def _where(device: Device | None, host: Device, given: bool) -> str:
    ram = f"{spelled_size(host.memory_total)} of RAM{_rate(host)}"
    if device is None:
        return f"{host.name}, {ram}"
    name = (
        device.name
        if given
        else f"{device.name}, {spelled_size(device.memory_free)} of {spelled_size(device.memory_total)} free"
    )
    return f"{name}{_rate(device)}, beside {ram}"


def _rate(device: Device) -> str:
    if device.bandwidth is None:
        return ""
    return f" at {device.bandwidth / 1e9:,.0f} GB/s" + (" (measured)" if device.kind == "cpu" else "")


def _same(fit: Fit | None, best: Fit) -> bool:
    return fit is not None and (fit.build.name, fit.context) == (best.build.name, best.context)


def _cell(fit: Fit | None, device: Device | None, is_best: bool) -> Text:
    """What a build takes in one context: on the GPU, or in RAM where nothing is there."""
    if fit is None:
        return Text("too large", "dim")
    if device is None or not fit.gpu_layers:
        where = f"{spelled_size(fit.memory.host.total)} RAM"
    elif fit.whole:
        where = spelled_size(fit.memory.device.total)
    else:
        where = f"{fit.layers_on_gpu} of {fit.build.shape.layers} layers"
    text = where if fit.kv_type == "f16" else f"{where}, {fit.kv_type}"
    if fit.speed is not None:
        slow, fast = _tokens(fit.speed[1]), _tokens(fit.speed[0])
        text += f"\n{slow} to {fast} tokens/s" if slow != fast else f"\n{slow} tokens/s"
    whole = fit.whole or device is None
    return Text(f"▶ {text}" if is_best else text, "bold green" if is_best else "" if whole else "yellow")


def _in_words(fit: Fit, device: Device | None) -> str:
    text = f"{fit.build.name}, a context of {fit.context:,} tokens, keys and values in {fit.kv_type}, "
    if device is None or not fit.gpu_layers:
        return text + "all layers in RAM."
    if fit.whole:
        return text + "all layers on the GPU."
    return text + f"{fit.layers_on_gpu} of {fit.build.shape.layers} layers on the GPU."


def _parts(fit: Fit, device: Device | None, host: Device) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=device is not None)
    table.add_column("")
    table.add_column("GPU", justify="right")
    table.add_column("RAM", justify="right")
    sides = (fit.memory.device, fit.memory.host)
    names = {"weights": "weights", "kv": "keys and values", "compute": "intermediate results", "output": "logits"}
    names |= {"overhead": "driver (assumed)"}
    for key, name in names.items():
        sizes = [getattr(side, key) for side in sides]
        if any(sizes):
            table.add_row(f"  {name}", *(spelled_size(size) if size else "" for size in sizes))
    rooms = (f"of {spelled_size(room_on(device))}" if device is not None else "", f"of {spelled_size(room_in(host))}")
    totals = [f"{spelled_size(side.total)} {room}" if room else "" for side, room in zip(sides, rooms, strict=True)]
    table.add_row("  in all", *totals)
    return table


def _tokens(rate: float) -> str:
    return f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"
