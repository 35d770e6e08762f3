"""The recorded frames are what a debugger's user sees: small programs, stepped through with debugpy's own requests."""

from __future__ import annotations

import pytest

from bench.stepping import log_points, step_through
from debugger.actual.run import run
from debugger.trace import Event

LOOP = """def f(n):
    total = 0
    names = []
    while n:
        if n % 2:
            names.append(str(n))
        total += n
        n -= 1
    return total, names
"""

CALLS = """def add(a, b):
    c = a + b
    return c

def f(n):
    total = 0
    for i in range(n):
        total = add(total, i)
    try:
        total //= 0
    except ZeroDivisionError as error:
        total = -1
    return total
"""

RECURSION = """def f(n):
    if n < 2:
        return n
    a = f(n - 1)
    b = f(n - 2)
    return a + b
"""


def stops_at_lines(path, line):
    """Each stop before a line that is about to run: not the second one at a line whose call has just returned."""
    last = {}
    before = None
    for stop in step_through(path, line):
        if stop.function == "<module>":
            return
        returned = before not in (None, stop.function) and last.get(stop.function) == stop.line
        before, last[stop.function] = stop.function, stop.line
        if not returned:
            yield stop


@pytest.mark.parametrize(("text", "line"), [(LOOP, 2), (CALLS, 6)], ids=["a loop", "calls and an exception"])
def test_line_frames_are_where_stepping_stops_and_show_what_it_shows(text, line, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(text + "\nif __name__ == '__main__':\n    f(3)\n")
    frames = [frame for frame in run(path, "f(3)").frames if frame.event is Event.LINE]
    assert list(stops_at_lines(path, line)) == [(frame.function, frame.line, dict(frame.locals)) for frame in frames]


def test_log_points_see_the_same_lines_and_values(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(RECURSION + "\nif __name__ == '__main__':\n    f(4)\n")
    frames = [frame for frame in run(path, "f(4)").frames if frame.event is Event.LINE]
    logged = list(log_points(path, [2, 3, 4, 5, 6], "locals()"))
    assert logged == [
        "{" + ", ".join(f"'{name}': {text}" for name, text in frame.locals.items()) + "}" for frame in frames
    ]
