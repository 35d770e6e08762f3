"""Fit the temperature of a GGUF's confidence on held-out programs and write it into the file.

    python -m nano.calibrate GGUF [--programs N]

The programs are generated, or of nano/written, and held out from training; others than those of nano.evaluate, and none
of a benchmark. The last line is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import gguf

from nano.calibration import calibration_error, fit_temperature
from nano.evaluate import CONTEXT, HELD_OUT_SEED, Case, measure_forced
from nano.programs import GENERATED, REAL, programs
from quant.errors import ModelError
from quant.gguf_file import TEMPERATURE_KEY
from quant.runtime import Runtime

SEED = HELD_OUT_SEED + 1_000_000_000
"""Where the seeds of the programs fitted on start."""
KINDS = GENERATED | {"written": REAL["written"]}
"""Kinds of programs fitted on, and their shares."""


def write_temperature(path: Path, temperature: float) -> None:
    """Replace the temperature in a GGUF, whose size stays. Raises ValueError where it has none to replace."""
    field: Any = gguf.GGUFReader(path, "r+").fields.get(TEMPERATURE_KEY)
    if field is None:
        raise ValueError(f"{path} has no {TEMPERATURE_KEY}; convert its checkpoint again")
    field.parts[field.data[0]][0] = temperature


def main() -> None:
    """Fit, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--programs", type=int, default=300)
    options = parser.parse_args()
    drawn = itertools.islice(programs(SEED, True, KINDS), options.programs)
    cases = (Case(program.kind, program.source, program.call, trace) for program, trace in drawn)
    try:
        with Runtime.open(options.model, context=CONTEXT) as runtime, tempfile.TemporaryDirectory() as folder:
            judged = [each for case in cases for each in measure_forced(runtime, case, Path(folder)).judged]
        temperature = fit_temperature(judged)
        write_temperature(options.model, temperature)
    except (ModelError, ValueError) as error:
        parser.error(str(error))
    result = {
        "model": options.model.name,
        "values": len(judged),
        "temperature": round(temperature, 3),
        "error_before": round(calibration_error(judged), 4),
        "error_after": round(calibration_error(judged, temperature), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
