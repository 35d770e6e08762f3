"""Real debugpy runs: what a run gives, and every input that could break one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from debugger.actual.dap import Client, ClosedError
from debugger.actual.record import record_in_process
from debugger.actual.run import RunError, run, run_many
from debugger.trace import Ending, Event

INTERPRETERS = sorted(
    {sys.executable}
    | {str(path) for path in Path.home().glob(".pyenv/versions/3.1[0-9]*/bin/python")}
    | {path for minor in range(10, 15) if (path := shutil.which(f"python3.{minor}", path="/usr/bin:/usr/local/bin"))}
)


@pytest.fixture
def program(tmp_path):
    def write(text: str, name: str = "program.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
        return path

    return write


def events(trace):
    return [
        (frame.event.value, frame.line, dict(frame.locals), frame.value, frame.function, frame.depth)
        for frame in trace.frames
    ]


BOTH_WAYS = """
class Point:
    def __init__(self, x):
        self.x = x

def squares(n):
    for i in range(n):
        yield i * i

def f(n):
    p = Point(n)
    total = 0
    try:
        total += sum(squares(n)) + sum([k for k in range(n)])
        return total // 0
    except ZeroDivisionError as error:
        message = str(error)
    finally:
        p.x = {"a", "b"} - {"a"}
    return message, p.x, p
"""


def test_a_debugpy_run_gives_the_frames_of_a_run_in_process(program):
    ours = record_in_process(BOTH_WAYS, "f(3)")
    trace = run(program(BOTH_WAYS), "f(3)")
    assert trace.frames == ours.frames
    assert trace.outcome == ours.outcome
    assert trace.output == ""


@pytest.mark.parametrize("python", INTERPRETERS)
def test_every_interpreter_runs_under_debugpy_though_it_need_not_have_it(python, program):
    oracle = Path(__file__).with_name("oracle.py")
    path = program(BOTH_WAYS)
    jobs = path.with_suffix(".json")
    jobs.write_text(f'[["{path}", "f(3)"]]')
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    answer = subprocess.run([python, oracle, jobs], env=environment, capture_output=True, check=True, timeout=60)
    expected = json.loads(answer.stdout)
    trace = run(path, "f(3)", python=python)
    for ours, theirs in zip(events(trace), expected["frames"], strict=True):
        event, line, values, value, function, depth = theirs
        assert ours == (event, line, dict(values or []), value, function, depth)
    assert trace.outcome.value == expected["value"]


def test_path_arguments_and_directory_are_those_of_python_file_py(program, monkeypatch, tmp_path):
    text = """
    import os, sys
    def f():
        return sys.path, sys.argv[1:], os.getcwd(), sorted(n for n in os.environ if "PYDEV" in n or "DEBUGPY" in n)
    if __name__ == "__main__":
        print(f())
    """
    path = program(text, "folder/program.py")
    monkeypatch.chdir(tmp_path)
    plain = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    assert run(path, "f()").outcome.value == plain


def test_a_module_of_a_package_imports_relatively_and_a_script_imports_its_neighbour(program):
    program("", "package/__init__.py")
    program("def double(n):\n    return 2 * n\n", "package/other.py")
    path = program(
        "from .other import double\nimport package.other\n\ndef f():\n    return double(2), __name__\n",
        "package/module.py",
    )
    assert run(path, "f()").outcome.value == "(4, 'package.module')"
    script = program("import other\n\ndef f():\n    return other.double(3)\n", "package/script.py")
    assert run(script, "f()").outcome.value == "6"


def test_a_file_named_like_a_library_does_not_replace_it(program):
    path = program("import dataclasses\n\ndef f():\n    return dataclasses.dataclass\n", "types.py")
    assert run(path, "f()").outcome.ending is Ending.RETURNED


def test_what_is_printed_is_kept_apart(program):
    path = program(
        "import sys\nprint('loaded')\n\ndef f():\n    print('out')\n    print('err', file=sys.stderr)\n    return 1\n"
    )
    trace = run(path, "f()")
    assert trace.output == "loaded\nout\nerr\n"
    assert len(trace.frames) == 5


def test_a_hundred_megabytes_of_output_neither_stall_nor_stay(program):
    path = program("def f():\n    for _ in range(1000):\n        print('x' * 100_000)\n    return 1\n")
    trace = run(path, "f()", timeout=60)
    assert trace.outcome.ending is Ending.RETURNED
    assert len(trace.output) < 2_000_000
    assert trace.output.endswith("more bytes)\n")


@pytest.mark.parametrize(
    ("body", "ending", "value", "detail"),
    [
        ("import sys\n    sys.exit(4)", Ending.RAISED, "SystemExit(4)", ""),
        ("import os\n    os._exit(7)", Ending.EXITED, None, "The process left with exit code 7."),
        ("import os\n    os.abort()", Ending.CRASHED, None, "The process was ended by SIGABRT."),
        ("import ctypes\n    ctypes.string_at(0)", Ending.CRASHED, None, "The process was ended by SIGSEGV."),
        ("while True:\n        pass", Ending.OUT_OF_FRAMES, None, ""),
        ("import time\n    time.sleep(100)", Ending.TIMED_OUT, None, "The call was ended after 1 s."),
        ("sum(iter(int, 1))", Ending.TIMED_OUT, None, "The call was ended after 1 s."),
        ("input()", Ending.RAISED, "EOFError('EOF when reading a line')", ""),
        ("breakpoint()\n    return 1", Ending.RETURNED, "1", ""),
        ("import os\n    os.closerange(0, 100)\n    return 1", Ending.RETURNED, "1", ""),
        ("raise KeyboardInterrupt", Ending.RAISED, "KeyboardInterrupt()", ""),
        ("raise BaseExceptionGroup('g', [ValueError(1)])", Ending.RAISED, "ExceptionGroup('g', [ValueError(1)])", ""),
        ("return bytearray(10**12)", Ending.RAISED, "MemoryError()", ""),
        (
            "import sys\n    sys.settrace(lambda *_: None)\n    return 1",
            Ending.RETURNED,
            "1",
            "Tracing was switched off during the call; what came after that is not recorded.",
        ),
    ],
)
def test_every_ending_is_told_apart_and_the_frames_before_it_are_kept(body, ending, value, detail, program):
    if "ExceptionGroup" in body and sys.version_info < (3, 11):
        body, value = "raise ValueError(1)", "ValueError(1)"
    trace = run(program(f"def f():\n    {body}\n"), "f()", timeout=1, max_frames=1000)
    assert (trace.outcome.ending, trace.outcome.value, trace.outcome.detail) == (ending, value, detail)
    assert [frame.event for frame in trace.frames[:2]] == [Event.CALL, Event.LINE]
    assert ending is not Ending.OUT_OF_FRAMES or len(trace.frames) == 1000


def test_an_endless_recursion_ends_as_in_the_users_program(program):
    trace = run(program("def f(n):\n    return f(n + 1)\n"), "f(1)")
    assert trace.outcome.value == "RecursionError('maximum recursion depth exceeded')"
    assert max(int(frame.locals["n"]) for frame in trace.frames if frame.locals) == sys.getrecursionlimit() - 1
    assert trace.frames[-1].function == "f"
    assert trace.frames[-1].depth == 0


def test_reprs_that_raise_block_or_return_megabytes_become_marked_values(program):
    text = """
    import time
    class Raises:
        def __repr__(self): raise ValueError
    class Blocks:
        def __repr__(self): time.sleep(100)
    class Big:
        def __repr__(self): return "x" * 5_000_000
    def f():
        values = Raises(), Blocks(), Big()
        return values
    """
    trace = run(program(text), "f()")
    assert trace.outcome.value == (
        "(<repr of Raises raised ValueError>, <repr of Blocks took longer than 0.5 s>, "
        "<repr of Big is longer than 65536 characters>)"
    )


@pytest.mark.parametrize(
    ("data", "second_line", "value"),
    [
        (b"def f():\r\n\treturn '\xc3\xa9'\r\n", "\treturn 'é'\n", "'é'"),
        (b"\xef\xbb\xbfdef f():\n    return 'x'", "    return 'x'\n", "'x'"),
        (b"def f(): # \xe9\n    return '\xe9'\n# coding: latin-1\n", None, None),
        (b"# coding: latin-1\ndef f(): return '\xe9'\n", "def f(): return 'é'\n", "'é'"),
        (
            "def f():\n    größe = '<|frame_sep|>'; return größe\n".encode(),
            "    größe = '<|frame_sep|>'; return größe\n",
            "'<|frame_sep|>'",
        ),
        (b"def f():\n    return '\\x0c \xe2\x80\xa8'\n", "    return '\\x0c \u2028'\n", "'\\x0c \\u2028'"),
        (b"def f():\n\x0c    return 1\n", "\x0c    return 1\n", "1"),
    ],
    ids=[
        "crlf and tab",
        "bom, no final newline",
        "bad encoding",
        "cookie",
        "non-ASCII names",
        "line separator",
        "form feed",
    ],
)
def test_lines_are_the_files_physical_lines(data, second_line, value, tmp_path):
    path = tmp_path / "file.py"
    path.write_bytes(data)
    if second_line is None:
        with pytest.raises(RunError, match="save it as UTF-8"):
            run(path, "f()")
        return
    trace = run(path, "f()")
    assert trace.outcome.value == value
    assert trace.frames[-1].line == 2
    assert trace.frames[-1].source == second_line


@pytest.mark.parametrize(
    ("text", "call", "sentence"),
    [
        ("def f(:\n", "f()", "program.py line 1 is not valid Python: "),
        ("x = 1\ny = x // 0\n", "f()", "program.py cannot be imported: program.py line 2 raises ZeroDivisionError: "),
        ("import sys\nsys.exit(3)\n", "f()", "program.py cannot be imported: program.py line 2 raises SystemExit: 3."),
        ("import os\nos._exit(3)\n", "f()", "program.py left with exit code 3 while it was imported."),
        ("def f():\n    pass\n", "f(", "The call f( cannot be made: SyntaxError: "),
        (
            "def f():\n    pass\n",
            "f(Missing())",
            "The call f(Missing()) cannot be made: NameError: name 'Missing' is not",
        ),
        (
            "def f():\n    pass\n",
            "f(1)",
            "The call f(1) cannot be made: TypeError: f() takes 0 positional arguments but 1",
        ),
        (
            "def f(a):\n    pass\n",
            "f(int('x'))",
            "The call f(int('x')) cannot be made: ValueError: invalid literal for",
        ),
    ],
)
def test_a_call_that_cannot_be_run_is_told_in_one_sentence(text, call, sentence, program):
    with pytest.raises(RunError) as caught:
        run(program(text), call)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_process_that_is_gone_before_debugpy_could_answer_is_told_as_what_it_is(program, monkeypatch):
    request = Client.request

    def request_of_a_slow_client(client: Client, command: str, *arguments, **deadline):
        answer = request(client, command, *arguments, **deadline)
        if command == "configurationDone":
            raise ClosedError
        return answer

    monkeypatch.setattr(Client, "request", request_of_a_slow_client)
    with pytest.raises(RunError) as caught:
        run(program("import os\nos._exit(3)\n"), "f()")
    assert str(caught.value) == "program.py left with exit code 3 while it was imported."


def test_an_import_that_does_not_end_is_ended_and_told_in_one_sentence(program, monkeypatch):
    path = program("def f():\n    pass\nwhile True:\n    pass\n")
    with pytest.raises(RunError) as caught:
        run(path, "f()", import_timeout=2)
    assert str(caught.value).startswith("program.py took longer than 2 s to be imported: ")
    assert '`if __name__ == "__main__":`' in str(caught.value) and "\n" not in str(caught.value)
    monkeypatch.setattr("debugger.actual.run.START_SECONDS", 1.0)
    with pytest.raises(RunError, match=r"took longer than 3 s to be imported"):
        run(path, "f()", timeout=3)


def test_an_interpreter_that_is_none_is_told_in_one_sentence(program, tmp_path):
    path = program("def f():\n    pass\n")
    with pytest.raises(
        RunError, match=r"The interpreter .*nowhere cannot be started \(No such file or directory\); name"
    ):
        run(path, "f()", python=str(tmp_path / "nowhere"))
    with pytest.raises(RunError, match=r"cannot run debugpy .* name another interpreter"):
        run(path, "f()", python="/bin/ls")
    with pytest.raises(RunError, match="cannot be read"):
        run(tmp_path / "nofile.py", "f()")


def test_no_free_port_is_told_in_one_sentence(program, monkeypatch):
    def refuse(*_, **__):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("socket.create_server", refuse)
    with pytest.raises(RunError, match="No port is free on the loopback interface"):
        run(program("def f():\n    pass\n"), "f()")


def test_exit_handlers_run(program, tmp_path):
    path = program(
        """
        import atexit, pathlib
        atexit.register(lambda: pathlib.Path("left").write_text("yes"))
        def f():
            return 1
        """
    )
    assert run(path, "f()", cwd=tmp_path).outcome.value == "1"
    assert (tmp_path / "left").read_text() == "yes"


def test_calls_of_one_session_do_not_see_each_other(program):
    program("count = 0\n", "helper.py")
    path = program(
        """
        import os, sys, helper
        seen = []
        def f(n, memory=[]):
            memory.append(n)
            seen.append(n)
            helper.count += 1
            found = os.environ.get("LEFT"), os.getcwd()
            os.environ["LEFT"] = "behind"
            os.chdir("/")
            sys.path.append("left")
            print(n)
            return memory, seen, helper.count, found[0], found[1] == "/", "left" in sys.path[:-1]
        """
    )
    results = list(run_many(path, ["f(1)", "f(2)", "f(", "f(3)"]))
    assert [str(result) if isinstance(result, RunError) else result.outcome.value for result in results] == [
        "([1], [1], 1, None, False, False)",
        "([2], [2], 1, None, False, False)",
        "The call f( cannot be made: SyntaxError: '(' was never closed.",
        "([3], [3], 1, None, False, False)",
    ]
    assert [result.output for result in results if not isinstance(result, RunError)] == ["1\n", "2\n", "3\n"]


def test_a_call_that_ends_the_process_does_not_take_the_others_along(program):
    text = "import os, time\ndef f(n):\n    if n == 1:\n        os._exit(1)\n    if n == 2:\n        time.sleep(60)\n"
    path = program(text + "    return n\n")
    results = list(run_many(path, ["f(0)", "f(1)", "f(2)", "f(3)"], timeout=1))
    assert [result.outcome.ending for result in results] == [
        Ending.RETURNED,
        Ending.EXITED,
        Ending.TIMED_OUT,
        Ending.RETURNED,
    ]


def listening(pid: int) -> list[str]:
    return [at.laddr.ip for at in psutil.Process(pid).net_connections("inet") if at.status == psutil.CONN_LISTEN]


LEAVES_PROCESSES = """
import os, subprocess, sys, time
def f(path):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    pids = [subprocess.Popen(sleep, start_new_session=True).pid, subprocess.Popen(sleep).pid, os.getpid()]
    if os.fork() == 0:
        os.setsid()
        pids.append(os.getpid())
        with open(path + ".part", "w") as file:
            file.write(" ".join(map(str, pids)))
        os.rename(path + ".part", path)
        time.sleep(60)
    while not os.path.exists(path):
        pass
    WAIT
    return 1
"""


def left_of(pids: list[int]) -> list[int]:
    def lives(pid):
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [pid for pid in pids if lives(pid)]


@pytest.mark.parametrize("wait", ["pass", "time.sleep(60)"])
def test_every_process_is_gone_after_a_run(wait, program, tmp_path):
    pids = tmp_path / "pids"
    run(program(LEAVES_PROCESSES.replace("WAIT", wait)), f"f({str(pids)!r})", timeout=3, max_frames=10**6)
    assert left_of([int(pid) for pid in pids.read_text().split()]) == []


def test_nothing_is_left_of_a_run_that_is_interrupted_and_nothing_listens_meanwhile(program, tmp_path):
    pids = tmp_path / "pids"
    path = program(LEAVES_PROCESSES.replace("WAIT", "time.sleep(60)"))
    code = (
        "import sys, pathlib, tempfile\nfrom debugger.actual.run import run\n"
        f"run(pathlib.Path({str(path)!r}), {f'f({str(pids)!r})'!r}, timeout=50, max_frames=10**7)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(Path(__file__).parents[3])}
    (tmp_path / "tmp").mkdir()
    runner = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not pids.exists():
        assert time.monotonic() < deadline
        assert runner.poll() is None
        time.sleep(0.05)
    started = [int(pid) for pid in pids.read_text().split()]
    family = [runner.pid, *(process.pid for process in psutil.Process(runner.pid).children(recursive=True))]
    assert set(started) & set(family)
    assert [address for pid in family for address in listening(pid)] == []
    runner.send_signal(2)
    _, error = runner.communicate(timeout=30)
    assert b"KeyboardInterrupt" in error
    assert left_of([*started, *family]) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_run_is_cancelled_from_outside(program):
    began = threading.Event()
    path = program("import time\ndef f():\n    time.sleep(60)\n")
    timer = threading.Timer(2, began.set)
    timer.start()
    trace = run(path, "f()", timeout=50, cancelled=began.is_set)
    assert trace.outcome.ending is Ending.CANCELLED


def test_a_stranger_at_the_port_is_turned_away(program, monkeypatch):
    strangers = []
    create = socket.create_server

    def create_server(*arguments, **options):
        listener = create(*arguments, **options)
        strangers.append(socket.create_connection(listener.getsockname()))
        answer = b'{"seq": 1, "type": "response", "request_seq": 1, "success": true, "command": "?", "body": {}}'
        strangers[0].sendall(b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer))
        return listener

    monkeypatch.setattr("socket.create_server", create_server)
    assert run(program("def f():\n    return 1\n"), "f()").outcome.value == "1"
    strangers[0].close()


def test_threads_and_coroutines(program):
    text = """
    import asyncio, threading
    def work(out):
        out.append(1)
    def threads():
        out = []
        thread = threading.Thread(target=work, args=(out,))
        thread.start()
        thread.join()
        return out
    async def wait(n):
        await asyncio.sleep(0.01)
        return n
    """
    first, second = run_many(program(text), ["threads()", "asyncio.run(wait(3))"])
    assert first.outcome.value == "[1]"
    assert {frame.function for frame in first.frames} == {"threads"}
    assert second.outcome.value == "3"
    assert [frame.function for frame in second.frames if frame.event is Event.CALL] == ["wait", "wait"]
