"""The recorder, in this process: which frames it sees, and how it writes values."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from debugger.actual.record import record_in_process
from debugger.actual.snapshot import MAX_REPR, REPR_SECONDS, Reprs
from debugger.trace import Ending, Event

CLASSES = """
class Plain:
    pass

class Point:
    def __init__(self, x):
        self.x = x

    def __repr__(self):
        return f"Point({self.x})"

def gen(n):
    for i in range(n):
        yield i
"""


def record(body: str, call: str, **options):
    return record_in_process(CLASSES + body, call, **options)


def steps(trace):
    return [(frame.event.value, frame.function, frame.depth) for frame in trace.frames]


def last_locals(trace, function="f"):
    return [dict(frame.locals) for frame in trace.frames if frame.function == function and frame.event is Event.LINE][
        -1
    ]


def test_a_line_frame_holds_the_state_before_the_line():
    trace = record_in_process("def f(n):\n    n = n + 1\n    return n\n", "f(1)")
    assert [
        (frame.event.value, frame.line, frame.source, dict(frame.locals), frame.value) for frame in trace.frames
    ] == [
        ("call", 1, "def f(n):\n", {"n": "1"}, None),
        ("line", 2, "    n = n + 1\n", {"n": "1"}, None),
        ("line", 3, "    return n\n", {"n": "2"}, None),
        ("return", 3, "    return n\n", {}, "2"),
    ]
    assert (trace.outcome.ending, trace.outcome.value) == (Ending.RETURNED, "2")


def test_names_stand_in_order_of_first_appearance():
    trace = record("def f(z):\n    b = 1\n    a = 2\n    del b\n    b = 3\n    return a\n", "f(0)")
    assert list(last_locals(trace)) == ["z", "a", "b"]


def test_an_uncaught_exception_is_seen_in_each_frame_it_leaves():
    trace = record("def g():\n    return 1 // 0\n\ndef f():\n    return g()\n", "f()")
    error = "(<class 'ZeroDivisionError'>, ZeroDivisionError('integer division or modulo by zero'), <traceback object>)"
    assert [(frame.event.value, frame.function, frame.value) for frame in trace.frames[-4:]] == [
        ("exception", "g", error),
        ("return", "g", "None"),
        ("exception", "f", error),
        ("return", "f", "None"),
    ]
    assert trace.outcome.ending is Ending.RAISED
    assert trace.outcome.value == "ZeroDivisionError('integer division or modulo by zero')"


def test_a_generator_returns_what_it_yields_and_is_called_again():
    trace = record("def f():\n    return list(gen(1))\n", "f()")
    assert [step for step in steps(trace) if step[0] != "line"] == [
        ("call", "f", 0),
        ("call", "gen", 1),
        ("return", "gen", 1),
        ("call", "gen", 1),
        ("return", "gen", 1),
        ("return", "f", 0),
    ]


def test_frames_of_libraries_are_left_out_but_what_they_call_is_not():
    trace = record(
        "import textwrap, functools\ndef f():\n    return functools.reduce(lambda a, b: a + b, [1, 2])\n", "f()"
    )
    assert [step for step in steps(trace) if step[0] == "call"] == [("call", "f", 0), ("call", "<lambda>", 1)]
    assert len(record("import textwrap\ndef f():\n    return textwrap.dedent('  a')\n", "f()").frames) == 3


def test_a_main_block_does_not_run_and_pickle_dataclasses_and_inspect_work():
    body = (
        "import dataclasses, inspect, pickle\n@dataclasses.dataclass\nclass D:\n    n: int\n\n"
        "def f():\n    return pickle.loads(pickle.dumps(D(1))), inspect.getsource(gen)[:7]\n"
        "if __name__ == '__main__':\n    raise SystemExit\n"
    )
    assert record(body, "f()").outcome.value == "(D(n=1), 'def gen')"


def test_addresses_are_left_out_of_values_but_not_of_strings():
    body = "def f():\n    text = '<C object at 0x7f12>'\n    both = [text, Plain(), gen, {Plain: iter([])}]\n    1\n"
    values = last_locals(record(body, "f()"))
    assert values["text"] == "'<C object at 0x7f12>'"
    assert values["both"] == (
        "['<C object at 0x7f12>', <__main__.Plain object>, <function gen>, "
        "{<class '__main__.Plain'>: <list_iterator object>}]"
    )


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("<mine.C object at 0x7f>", "<__main__.C object>"),
        ("<bound method C.m of <mine.C object at 0x7f>>", "<bound method C.m of <__main__.C object>>"),
        ('<code object f at 0x7f, file "a.py", line 1>', '<code object f, file "a.py", line 1>'),
        ("<cell at 0x7f: int object at 0x7f>", "<cell: int object>"),
        ("<it's at 0x7f>", "<it's>"),
        ("<str_ascii_iterator object at 0x7f>", "<str_iterator object>"),
        ("C('<mine.C object at 0x7f>')", "C('<mine.C object at 0x7f>')"),
        ("<class 'mine.C'>", "<class '__main__.C'>"),
        ("<class 'determine.C'>", "<class 'determine.C'>"),
    ],
)
def test_what_varies_is_taken_from_a_repr(text, stable):
    class Shown:
        def __repr__(self):
            return text

    assert Reprs("mine")(Shown()) == stable


def test_an_object_under_construction_and_a_raising_repr_are_marked():
    trace = record("def f():\n    p = Point(1)\n    return [p]\n", "f()")
    assert trace.frames[2].function == "__init__"
    assert trace.frames[2].locals["self"] == "<repr of Point raised AttributeError>"
    assert trace.outcome.value == "[Point(1)]"
    trace = record("def f():\n    bad = Point.__new__(Point)\n    d = {1: (bad,), 2: {3}}\n    return d\n", "f()")
    assert trace.outcome.value == "{1: (<repr of Point raised AttributeError>,), 2: {3}}"


def test_a_container_that_holds_itself_and_what_cannot_be_shown_ends():
    body = "def f():\n    l = [Point.__new__(Point)]\n    l += [l, l]\n    return l\n"
    assert record(body, "f()").outcome.value == "[<repr of Point raised AttributeError>, [...], [...]]"


def test_a_repr_that_takes_too_long_is_given_up_once_for_its_class():
    body = (
        "import time\nclass Slow:\n    def __repr__(self):\n        time.sleep(60)\ndef f():\n    s = Slow()\n"
        + "    1\n" * 20
    )
    began = time.monotonic()
    values = last_locals(record(body + "    return [s]\n", "f()"))
    assert values["s"] == f"<repr of Slow took longer than {REPR_SECONDS} s>"
    assert time.monotonic() - began < 10 * REPR_SECONDS


def test_a_repr_of_megabytes_is_marked():
    body = "class Big:\n    def __repr__(self):\n        return 'x' * 5_000_000\n"
    body += "def f():\n    b = Big()\n    t = 'y' * 70_000\n"
    values = last_locals(
        record(body + "    l = list(range(10**6))\n    s = [t]\n    a = bytearray(10**7)\n    return 1\n", "f()")
    )
    kinds = {"b": "Big", "t": "str", "l": "list", "a": "bytearray"}
    marks = {name: f"<repr of {kind} is longer than {MAX_REPR} characters>" for name, kind in kinds.items()}
    assert values == {**marks, "s": f"[{marks['t']}]"}


def test_a_container_is_shown_again_when_it_has_become_small():
    body = "def f():\n    s = {'y' * 70_000, 1}\n    s.pop()\n    s.clear()\n    s.add(2)\n    s\n"
    shown = [frame.locals.get("s") for frame in record(body, "f()").frames if frame.event is Event.LINE]
    assert shown[-2:] == ["set()", "{2}"]


def test_a_value_of_the_greatest_size_is_whole():
    text = "x" * (MAX_REPR - 2)
    assert Reprs("mine")(text) == repr(text)


def test_the_users_alarm_goes_on_after_a_repr():
    body = (
        "import signal\ndef f():\n    signal.setitimer(signal.ITIMER_REAL, 1000)\n    p = [Plain()]\n    q = [p]\n"
        "    left = signal.setitimer(signal.ITIMER_REAL, 0)[0]\n    return left\n"
    )
    assert 900 < float(record(body, "f()").outcome.value) <= 1000


def test_code_run_by_a_repr_is_not_recorded():
    trace = record("def f():\n    p = Point(1)\n    return 0\n", "f()")
    assert "__repr__" not in {frame.function for frame in trace.frames}


RECURSIVE = """
import functools

def direct(n):
    seen.append(n)
    return direct(n + 1)

def through(n):
    seen.append(n)
    return max([n], key=lambda m: through(m + 1))

@functools.lru_cache
def cached(n):
    seen.append(n)
    return cached(n + 1)

seen = []
"""


@pytest.mark.parametrize("name", ["direct", "through", "cached"])
def test_endless_recursion_ends_where_it_would_without_a_debugger(name, tmp_path):
    path = tmp_path / "plain.py"
    path.write_text(f"{RECURSIVE}\ntry:\n    {name}(1)\nexcept RecursionError:\n    print(seen[-1])\n")
    plain = int(subprocess.run([sys.executable, path], capture_output=True, check=True, timeout=60).stdout)
    limit = sys.getrecursionlimit()
    trace = record_in_process(RECURSIVE, f"{name}(1)")
    assert trace.outcome.ending is Ending.RAISED
    assert trace.outcome.value == "RecursionError('maximum recursion depth exceeded')"
    calls = [frame for frame in trace.frames if frame.event is Event.CALL]
    assert abs(max(int(frame.locals["n"]) for frame in calls if frame.function == name) - plain) <= 1
    assert len([frame for frame in trace.frames if frame.event is Event.RETURN]) == len(calls)
    assert sys.getrecursionlimit() == limit


def test_the_user_sees_and_sets_an_own_recursion_limit():
    body = (
        "import sys\ndef deep(n):\n    try:\n        return deep(n + 1)\n    except RecursionError:\n        return n\n"
        "def f():\n    sys.setrecursionlimit(300)\n    return sys.getrecursionlimit(), deep(1)\n"
    )
    assert record(body, "f()").outcome.value == "(300, 298)"


def test_max_frames_ends_the_run():
    trace = record("def f():\n    while True:\n        pass\n", "f()", max_frames=50)
    assert trace.outcome.ending is Ending.OUT_OF_FRAMES
    assert len(trace.frames) == 50


def test_generators_that_are_closed_then_say_nothing(monkeypatch: pytest.MonkeyPatch):
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)
    body = "def f():\n    return [all(i != j for i in range(99)) for j in range(99)]\n"
    endings = {record(body, "f()", max_frames=count).outcome.ending for count in range(40, 50)}
    assert endings == {Ending.OUT_OF_FRAMES}
    assert lost == []
    assert sys.unraisablehook == lost.append


def test_other_threads_are_not_recorded():
    body = "import threading\ndef g():\n    return 1\n"
    body += "def f():\n    t = threading.Thread(target=g)\n    t.start()\n    t.join()\n"
    assert {frame.function for frame in record(body, "f()").frames} == {"f"}


def test_recording_works_in_a_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(record("def f():\n    return [Plain()]\n", "f()")))
    thread.start()
    thread.join(10)
    assert results[0].outcome.value == "[<__main__.Plain object>]"


def test_the_tracer_that_was_there_is_there_again():
    before = sys.gettrace()
    record("def f():\n    return 1\n", "f()")
    assert sys.gettrace() is before
