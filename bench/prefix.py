"""Taking what a model has read from the disk, against reading it: `python -m bench.prefix [--model GGUF]`.

For prompts of several lengths: processor time of the evaluation, of saving the state with its evaluation left out, and
of loading it, and the bytes on the disk. A table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foretrace.models import bundled_path
from quant.prefixes import Prefixes
from quant.runtime import Runtime

LENGTHS = (128, 256, 512, 1024)
_ROUNDS = 2


def main() -> None:
    """Measure, print a table for people and one line of JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=bundled_path())
    options = parser.parse_args()
    model: Path = options.model
    table = Table("tokens", "read", "kept", "loaded", "on the disk", "read / loaded", title=f"Prompts of {model.name}")
    ratios: dict[int, float] = {}
    with Runtime.open(model, context=2 * max(LENGTHS)) as runtime:
        chance = random.Random(0)
        for length in LENGTHS:
            tokens = [chance.randrange(10, 4000) for _ in range(length)]
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                read = min(_seconds(runtime, lambda: runtime.extend(tokens)) for _ in range(_ROUNDS))  # noqa: B023
                runtime.forget(0)
                runtime.extend(tokens)
                began = time.process_time()
                Prefixes(runtime, folder).read(tokens)
                kept = time.process_time() - began
                loaded = min(_seconds(runtime, lambda: Prefixes(runtime, folder).read(tokens)) for _ in range(_ROUNDS))  # noqa: B023
                size = sum(path.stat().st_size for path in folder.iterdir())
            ratios[length] = round(read / loaded, 1)
            table.add_row(
                f"{length:,}",
                *(f"{1000 * each:,.1f} ms" for each in (read, kept, loaded)),
                f"{size / 1e6:,.1f} MB",
                f"{ratios[length]}",
            )
    Console().print(table)
    print(json.dumps({"bench": "prefix", "model": model.name, "speedup": ratios, "machine": platform.machine()}))


def _seconds(runtime: Runtime, work: Callable[[], object]) -> float:
    """Processor time from an empty context on: what else keeps the machine busy counts little."""
    runtime.forget(0)
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
