"""How fast a CWM runs on a GPU, and how close that comes to what the GPU could do.

    python -m bench.gpu [--quick] [--shape cwm-32b|nano|small] [--type Q4_K_M] [--contexts 1024 8192 ...]
                        [--model GGUF] [--out results.json [--resume]] [--work FOLDER]
    python -m bench.gpu --table results.json

Without --model, a GGUF of the shape is written with random weights: as large and as fast as the real one, and needing
no licence. Measured through `quant.runtime`, as everything else uses it: loading from disk and from the page cache,
memory with the layers' windows and without, and for each context prefill, decoding and the cost of verifying drafted
tokens. Where llama.cpp was built without a GPU it all runs on the CPU, and the results say so.

The results are saved after each measurement; --resume takes up what is missing. The last line of output is all of them
as JSON. Keys end in their units; shares are between 0 and 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import psutil

from bench.gpu.machine import Machine, this_machine
from bench.gpu.measure import FULL, QUICK, Way, load_times, memory_taken, speeds, warm_up
from bench.gpu.table import table
from bench.random_gguf import NOTE, SHAPES, shape_called, write_random_gguf
from quant.device import Device
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.plan import QUANTIZED
from quant.runtime import KV_TYPES
from quant.shape import shape_of_gguf

CONTEXTS = (1024, 8192, 32768, 131072)
QUICK_CONTEXTS = (256, 1024)
"""On both sides of the small shape's window."""
FAILED = 3


def main() -> None:
    """Measure, print a table for people and one line of JSON for machines."""
    options = _options()
    try:
        if options.table:
            print(table(_read(options.table)))
            return
        results = measure(options)
    except ModelError as error:
        print(error, file=sys.stderr)
        sys.exit(FAILED)
    print(table(results))
    print(json.dumps(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the small shape, few repeats: less than a minute")
    parser.add_argument("--shape", choices=SHAPES, help="cwm-32b; with --quick small")
    parser.add_argument("--type", choices=QUANTIZED, default="Q4_K_M")
    parser.add_argument("--kv-type", choices=tuple(KV_TYPES), default="f16")
    parser.add_argument(
        "--contexts", type=int, nargs="+", metavar="TOKENS", help="1024 8192 32768 131072, as far as it goes"
    )
    parser.add_argument("--model", type=Path, help="this GGUF instead of random weights")
    parser.add_argument("--work", type=Path, help="keep the random GGUF here, and take it from here if it is there")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--out", type=Path, help="write the results here, too")
    parser.add_argument("--resume", action="store_true", help="keep what --out already has")
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="only print the table of these results")
    options = parser.parse_args()
    options.shape = options.shape or ("small" if options.quick else "cwm-32b")
    if min(options.contexts or [1]) < 1 or options.threads < 1:
        parser.error("--contexts and --threads are positive numbers")
    if options.resume and not options.out:
        parser.error("--resume needs --out")
    if options.out and not options.out.parent.is_dir():
        parser.error(f"there is no folder {options.out.parent} for {options.out.name}")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All measurements that `options` ask for and that the results to resume do not have. Raises ModelError."""
    effort = QUICK if options.quick else FULL
    with ExitStack() as stack:
        path, written = _model(options, stack)
        trained = shape_of_gguf(read_gguf(path)).context
        usual = [context for context in (QUICK_CONTEXTS if options.quick else CONTEXTS) if context <= trained]
        contexts: list[int] = sorted(set(options.contexts or usual or [trained]))
        if contexts[-1] > trained:
            raise ModelError(f"The model was trained for {trained:,} tokens; ask for --contexts up to that.")
        machine = this_machine(options.threads)
        results = _begun(options, path, written, machine)
        # Room for what is measured at the last context, where the model has it.
        way = Way(path, min(trained, contexts[-1] + 256), options.kv_type, options.threads)
        device = Device(machine.device, machine.kind, machine.device_memory_bytes, 0, machine.bandwidth_bytes_per_s)
        if not results["load"]:
            _say("loading")
            results["load"] = load_times(way, effort)
            _save(options.out, results)
        if not results["memory"]:
            _say("memory")
            results["memory"] = memory_taken(way, machine.kind)
            _save(options.out, results)
        done = {each["context_tokens"] for each in results["contexts"]}
        missing = [context for context in contexts if context not in done]
        if not missing:
            return results
        runtime = stack.enter_context(way.open())
        warm_up(runtime)
        for context in missing:
            _say(f"{context:,} tokens")
            found = speeds(runtime, context, way, effort, device, machine.compute_flops_per_s)
            results["contexts"] = sorted([*results["contexts"], found], key=lambda each: each["context_tokens"])
            _save(options.out, results)
        return results


def _model(options: argparse.Namespace, stack: ExitStack) -> tuple[Path, float | None]:
    """The GGUF, and how many seconds it took to write if it was written."""
    if options.model:
        return options.model, None
    folder: Path = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"random-{options.shape}-{options.type}.gguf"
    if path.exists():
        return path, None
    _say(f"writing {path.name}")
    written = write_random_gguf(path, shape_called(options.shape), options.type)
    return path, written.seconds


def _begun(options: argparse.Namespace, path: Path, written: float | None, machine: Machine) -> dict[str, Any]:
    """Results without measurements, or those to resume. Raises ModelError where these are of something else."""
    file = read_gguf(path)
    model = {
        "shape": path.name if options.model else options.shape,
        "dimensions": asdict(shape_of_gguf(file)),
        "type": file.quantization,
        "architecture": file.architecture,
        "file_bytes": file.size,
        "weights": file.weights,
        "bits_per_weight": file.bits_per_weight,
        "random": not options.model,
        "note": f"{path.name} as it is" if options.model else NOTE,
        "write_s": written,
        "write_bytes_per_s": file.size / written if written else None,
    }
    begun: dict[str, Any] = {
        "bench": "gpu",
        "quick": options.quick,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": model,
        "machine": asdict(machine),
        "kv_type": options.kv_type,
        "load": None,
        "memory": [],
        "contexts": [],
    }
    if options.resume and options.out.exists():
        before = _read(options.out)
        same = ("quick", "kv_type")
        if (
            any(before[key] != begun[key] for key in same)
            or before["model"]["file_bytes"] != file.size
            or before["machine"]["device"] != machine.device
            or before["machine"]["commit"] != machine.commit
        ):
            raise ModelError(f"{options.out} is of another model, machine or commit; give another file to --out.")
        return before
    return begun


def _read(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); give results that --out wrote.") from error
    except ValueError:
        found = None
    if not isinstance(found, dict) or cast("dict[str, Any]", found).get("bench") != "gpu":
        raise ModelError(f"{path} holds no results; give a file that --out wrote.")
    return cast("dict[str, Any]", found)


def _save(path: Path | None, results: dict[str, Any]) -> None:
    if path is None:
        return
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error.strerror}); give another file to --out.") from error


_BEGAN = time.perf_counter()


def _say(what: str) -> None:
    print(f"{time.perf_counter() - _BEGAN:7.1f} s  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
