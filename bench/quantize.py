"""What each build of nano costs, plain and calibrated on traces: `python -m bench.quantize [--quick]`.

Needs a checkpoint of nano, which `python -m nano.train` makes. Calibrated on runs of programs such as nano was trained
on; measured on held-out ones, shown whole: KL divergence from the float16 source for each token behind what a
prediction is given, same first choice, and whole frames right.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import tempfile
import time
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from debugger.predicted.codec import text_of
from nano.programs import programs, training_segments
from quant.convert import convert
from quant.errors import ModelError
from quant.importance import collect
from quant.measure import Comparison, compare
from quant.plan import QUANTIZED
from quant.quantize import Build, quantize
from quant.runtime import Runtime
from quant.traces import WrittenTrace

CHECKPOINT = Path(__file__).parents[1] / "nano" / "work" / "final"
CALIBRATION_SEED, HELD_OUT_SEED = 900_000_000, 2_100_000_000
"""Beyond the seeds that training and evaluating nano start from."""
CONTEXT = 4096


def main() -> None:
    """Build, measure, print a table for people and one line of JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Q4_K_M only, on few traces")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="folder of a nano (default: %(default)s)")
    parser.add_argument("--types", nargs="+", choices=QUANTIZED, help="which builds (default: all)")
    parser.add_argument("--calibrate", type=int, help="traces to calibrate on (default: 200, with --quick 12)")
    parser.add_argument("--measure", type=int, help="traces to measure on (default: 60, with --quick 5)")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    quick: bool = options.quick
    kinds: list[str] = options.types or (["Q4_K_M"] if quick else list(QUANTIZED))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        source = Path(folder, "source.gguf")
        try:
            convert(options.checkpoint, source, dtype="f16")
        except ModelError as error:
            parser.exit(3, f"{error}\n")
        importance = collect(
            source,
            traces(CALIBRATION_SEED, False, options.calibrate or (12 if quick else 200)),
            context=CONTEXT,
            threads=options.threads,
        )
        builds: list[tuple[Build, bool]] = []
        for kind in kinds:
            for known in (None, importance):
                path = Path(folder, f"{kind}-{'calibrated' if known else 'plain'}.gguf")
                builds.append((quantize(source, path, kind, known, options.threads), known is not None))
        models = [
            stack.enter_context(Runtime.open(path, context=CONTEXT, threads=options.threads))
            for path in (source, *(build.path for build, _ in builds))
        ]
        found = compare(models[0], models[1:], traces(HELD_OUT_SEED, True, options.measure or (5 if quick else 60)))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]

    first = found[0]
    table = Table("build", "calibrated", "MB", "bits", "KL", "of plain", "same choice", "frames")
    table.add_row(
        "F16", "", f"{builds[0][0].source_size / 1e6:.1f}", "16", "", "", "", _share(first.source_frames, first)
    )
    for index, ((build, calibrated), comparison) in enumerate(zip(builds, found, strict=True)):
        table.add_row(
            build.kind,
            "yes" if calibrated else "",
            f"{build.size / 1e6:.1f}",
            f"{build.bits_per_weight:.2f}",
            f"{comparison.mean_divergence:.6f}",
            f"{comparison.divergence / found[index - 1].divergence:.0%}" if calibrated else "",
            f"{comparison.agreement:.3%}",
            _share(comparison.build_frames, comparison),
        )
    Console().print(table)
    print(
        json.dumps(
            {
                "bench": "quantize",
                "source_sha256": digest,
                "calibrated_on": {"traces": importance.traces, "tokens": importance.tokens},
                "measured_on": {"traces": first.traces, "frames": first.frames, "tokens": first.tokens},
                "source_frames_right": first.source_frames,
                "builds": [
                    {
                        "type": build.kind,
                        "calibrated": calibrated,
                        "size": build.size,
                        "bits_per_weight": round(build.bits_per_weight, 3),
                        "tensors": dict(build.tensors),
                        "kl": comparison.mean_divergence,
                        "agreement": comparison.agreement,
                        "frames_right": comparison.build_frames,
                    }
                    for (build, calibrated), comparison in zip(builds, found, strict=True)
                ],
                "llama_cpp_python": metadata.version("llama-cpp-python"),
                "machine": platform.machine(),
                "seconds": round(time.monotonic() - began),
            }
        )
    )


def traces(seed: int, held_out: bool, count: int) -> list[WrittenTrace]:
    """Runs of nano's programs as traces; what is given is the program and the frames of its `main`."""
    found: list[WrittenTrace] = []
    for program, trace in itertools.islice(programs(seed, held_out=held_out), count):
        given, rest = training_segments(program.source, program.call, trace)
        prompt = text_of(given)
        found.append(WrittenTrace(prompt + text_of(rest), len(prompt)))
    return found


def _share(count: int, comparison: Comparison) -> str:
    return f"{count / comparison.frames:.1%}"


if __name__ == "__main__":
    main()
