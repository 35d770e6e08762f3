"""The functions written for nano: all are fit to learn from, and what is not is told."""

from __future__ import annotations

from nano.check_written import MAX_STEPS, benchmark_shapes, faults
from nano.real import HERE, Function, written, written_in
from tests.data import real_functions

TEXT = """\
>>> tally('||| |')
>>> tally('', mark='x')
def tally(text, mark='|'):
    count = 0
    for sign in text:
        if sign == mark:
            count += 1
    return count

>>> low(3)
import math


def low(x):
    return math.floor(x)
"""


def test_files_have_calls_and_the_module_that_they_are_of():
    tally, low = written_in(TEXT)
    assert (tally.name, tally.calls) == ("tally", ("tally('||| |')", "tally('', mark='x')"))
    assert tally.source.startswith("def tally(") and tally.source.endswith("    return count\n")
    assert low.source == "import math\n\n\ndef low(x):\n    return math.floor(x)\n"


def test_every_function_can_be_learned_from():
    benchmarks = benchmark_shapes()
    functions = [
        function
        for path in (HERE / "written").glob("*.txt")
        for function in written_in(path.read_text(encoding="ascii"))
    ]
    assert len(functions) > 2000
    assert len(written(False)) + len(written(True)) == len(functions)
    assert 0.07 < len(written(True)) / len(functions) < 0.13
    assert [(function.name, found) for function in functions if (found := faults(function, benchmarks))] == []


def test_faults_are_told():
    assert real_functions()  # or the test is skipped
    benchmarks = benchmark_shapes()

    def of(source: str, call: str) -> str:
        return " ".join(faults(Function("f", source, (call,)), benchmarks))

    assert of("def f(x):\n    return x + 12345\n", "f(1)") == ""
    assert "no Python" in of("def f(x):\n    return (x\n", "f(1)")
    assert "fails" in of("def f(x):\n    return x * 77777\n", "f(")
    assert "asks for the time" in of("import time\n\ndef f(x):\n    return time.time() + x\n", "f(1)")
    assert "ASCII" in of("def f(x):\n    return x + 'ß'\n", "f('')")
    assert f"{MAX_STEPS + 4} steps" in of(
        "def f(n):\n    for i in range(n):\n        pass\n    return -77\n", f"f({MAX_STEPS // 2})"
    )
    row = next(row for row in real_functions() if row["id"].startswith("HumanEval"))
    assert "HumanEval" in " ".join(faults(Function(row["entry"], row["source"], tuple(row["calls"][:1])), benchmarks))
