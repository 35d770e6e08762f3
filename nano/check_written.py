"""Checks the functions of `nano/written/`: that nano can learn from each, and that none is a benchmark's.

    python -m nano.check_written                          all files
    python -m nano.check_written nano/written/text.txt    some

Prints a line for each function with something wrong, and how many there are; ends with 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from debugger.trace import Ending
from nano.programs import Program, run
from nano.real import HERE, Function, humaneval_shapes, mbpp, quiet_shapes, written_in

MAX_STEPS = 150


def benchmark_shapes() -> frozenset[bytes]:
    """The shapes of HumanEval's and MBPP's functions."""
    functions = (*mbpp(False), *mbpp(True))
    return humaneval_shapes() | {shape for function in functions for shape in quiet_shapes(function.source).values()}


def faults(function: Function, benchmarks: frozenset[bytes]) -> list[str]:
    """What is wrong with a function, a sentence each."""
    try:
        shapes = quiet_shapes(function.source)
    except SyntaxError as error:
        return [f"line {error.lineno} of it is no Python: {error.msg}"]
    found: list[str] = []
    if not function.source.isascii():
        found.append("it has characters beyond ASCII")
    if shapes.get(function.name) in benchmarks:
        found.append("it is a function of HumanEval or MBPP in all but names")
    for call in function.calls:
        trace = run(Program("written", function.source, call, function.source))
        if trace is None:
            found.append(f"{call} is too short or too long, fails, has long values, or asks for the time or for chance")
        elif trace.outcome.ending is Ending.RETURNED and len(trace.frames) > MAX_STEPS:
            found.append(f"{call} takes {len(trace.frames)} steps")
    return found


def main() -> None:
    """Check the files that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    paths: list[Path] = parser.parse_args().files or sorted((HERE / "written").glob("*.txt"))
    for path in paths:
        if not path.is_file():
            parser.error(f"there is no file {path}")
    benchmarks = benchmark_shapes()
    seen: dict[bytes, str] = {}
    count = wrong = 0
    for path in paths:
        for function in written_in(path.read_text(encoding="utf-8")):
            count += 1
            found = faults(function, benchmarks)
            shape = None if found else quiet_shapes(function.source).get(function.name)
            if shape in seen:
                found.append(f"it is {seen[shape]} once more")
            elif shape is not None:
                seen[shape] = f"{function.name} of {path.name}"
            wrong += bool(found)
            for fault in found:
                print(f"{path.name}: {function.name}: {fault}")
    print(f"{count} functions, {wrong} with something wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
