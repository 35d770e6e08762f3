"""What is predicted: calls of real functions, long runs, and functions before and after an edit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from debugger.actual.record import record_in_process
from debugger.target import Target, find_targets
from debugger.trace import Trace
from nano.evaluate import Case, real_functions, target_of

LOOPS = {
    "count down": "def f(n):\n    while n:\n        n -= 1\n    return n\n",
    "count up": "def f(n):\n    i = 0\n    while i < n:\n        i += 1\n    return i\n",
    "halve": "def f(n):\n    k = 0\n    while k < n:\n        k += 2\n    return k\n",
    "for": "def f(n):\n    for i in range(n):\n        pass\n",
    "toggle": "def f(n):\n    t = 0\n    for i in range(n):\n        t = 1 - t\n    return t\n",
    "last": "def f(n):\n    x = 1\n    for i in range(n):\n        x = i\n    return x\n",
    "same": "def f(n):\n    a = 5\n    for i in range(n):\n        a = 5\n    return a\n",
    "odd": "def f(n):\n    o = 1\n    while o < n:\n        o += 2\n    return o\n",
    "down by two": "def f(n):\n    while n > 0:\n        n -= 2\n    return n\n",
    "flag": "def f(n):\n    d = True\n    for i in range(n):\n        d = False\n    return d\n",
}
"""Loops with short frames: 500 of them fit into nano's 8,192 tokens."""
LONG_FRAMES = 500
EDITED = 40
"""Lines of a function whose last line is edited."""


def short_cases(count: int, frames: int, folder: Path) -> list[tuple[Target, str]]:
    """Calls of held-out MBPP functions."""
    return [
        (_target(case, folder / f"mbpp{index}"), case.call)
        for index, case in enumerate(real_functions("mbpp", count, frames))
    ]


def _target(case: Case, folder: Path) -> Target:
    folder.mkdir(parents=True)
    return target_of(case, folder)


def long_cases(count: int, folder: Path) -> Iterator[tuple[Target, str, Trace]]:
    """Calls that run for LONG_FRAMES frames and more, with their real runs."""
    for name, source in itertools.islice(LOOPS.items(), count):
        call, actual = next(
            (f"f({number})", trace)
            for number in range(50, 10_000, 50)
            if len((trace := record_in_process(source, f"f({number})", 20_000)).frames) >= LONG_FRAMES
        )
        path = folder / f"{name.replace(' ', '_')}.py"
        path.write_text(source, encoding="utf-8")
        yield find_targets(f"{path}::f")[0], call, actual


def edited_cases(folder: Path) -> Iterator[tuple[Target, Target, str]]:
    """Functions of EDITED lines before and after an edit of the last line, and a call: a straight one and a loop."""
    straight = ["def f(n):", "    a = n", "    b = 1"]
    straight += [f"    {'ab'[index % 2]} = {'ba'[index % 2]} + {index % 7}" for index in range(EDITED - 4)]
    branches = [
        line
        for index in range((EDITED - 5) // 2)
        for line in (f"        {'if' if not index else 'elif'} word == {f'w{index}'!r}:", f"            a += {index}")
    ]
    loop = ["def f(words):", "    a = 0", "    b = len(words)", "    for word in words:", *branches]
    loop += ["    # as many as there are"] * (EDITED - 1 - len(loop))
    for name, lines, call in (("straight", straight, "f(3)"), ("loop", loop, "f(['w3', 'w0', 'w2', 'w9', 'w1'])")):
        path = folder / f"{name}.py"
        targets: list[Target] = []
        for last in ("a", "b"):
            path.write_text("\n".join([*lines, f"    return {last}", ""]), encoding="utf-8")
            targets.append(find_targets(f"{path}::f")[0])
        yield targets[0], targets[1], call
