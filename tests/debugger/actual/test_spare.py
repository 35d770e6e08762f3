"""A run in a debuggee that was started ahead is, frame for frame, a run in a fresh one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from debugger.actual.run import RunError, run, run_many
from debugger.actual.spare import Spares
from debugger.trace import Ending
from tests.debugger.actual.test_run import BOTH_WAYS, INTERPRETERS

SECONDS = 60
ROOT = Path(__file__).parents[3]
WORLD = """
import gc, os, random, sys, threading, time

LOADED = sorted(sys.modules)
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "FORETRACE_DEBUGGEE"}

def f():
    path = list(sys.path)
    argv = list(sys.argv)
    environment = ENVIRONMENT
    here = os.getcwd()
    modules = list(LOADED)
    threads = threading.active_count()
    limits = sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold()
    tracing = sys.gettrace(), sys.getprofile(), sys.breakpointhook.__name__
    names = __name__, __file__, sorted(globals())
    streams = [(s.encoding, s.errors, s.line_buffering) for s in (sys.stdout, sys.stderr)]
    random.seed(1)
    drawn = random.random(), hash("text"), list({"a", "b", "c"})
    return drawn
"""


@contextlib.contextmanager
def spares(**options):
    found = Spares(**options)
    try:
        yield found
    finally:
        found.close()


def waiting(found: Spares) -> psutil.Process:
    """The debuggee in waiting, when it is ready."""
    spare = found._spare
    found.wait()
    assert spare._works
    return psutil.Process(spare._session.process.pid)


def both(path: Path, call: str, **options):
    """The trace of a fresh debuggee, and that of one that waited."""
    fresh = run(path, call, **options)
    with spares() as found:
        found.prepare(options.get("python", sys.executable), str(options.get("cwd") or Path.cwd()))
        process = waiting(found)
        reused = run(path, call, spares=found, **options)
        assert not process.is_running()
        assert found._spare is None
    return fresh, reused


def write(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("python", INTERPRETERS)
def test_a_spare_is_the_same_world(python, tmp_path):
    fresh, reused = both(write(tmp_path, WORLD), "f()", python=python, cwd=tmp_path)
    assert fresh.outcome.ending is Ending.RETURNED, fresh.outcome
    for ours, theirs in zip(fresh.frames, reused.frames, strict=True):
        assert ours == theirs
    assert fresh == reused


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (BOTH_WAYS, "f(3)"),
        ("def f():\n    print('said')\n    raise ValueError('x')\n", "f()"),
        ("import os\ndef f():\n    os._exit(3)\n", "f()"),
        ("def f():\n    return open('program.py').read()\n", "f()"),
    ],
)
def test_every_ending_is_the_same(text, call, tmp_path):
    fresh, reused = both(write(tmp_path, text), call, cwd=tmp_path)
    assert fresh == reused


def test_limits_hold_in_a_spare(tmp_path):
    path = write(tmp_path, "def f():\n    while True:\n        pass\n\ndef g():\n    return bytes(1 << 30)\n")
    with spares() as found:
        found.prepare(sys.executable, str(tmp_path))
        late = run(path, "f()", cwd=tmp_path, timeout=1, max_frames=10**9, spares=found)
        assert late.outcome.ending in (Ending.TIMED_OUT, Ending.OUT_OF_FRAMES)
        found.prepare(sys.executable, str(tmp_path))
        full = run(path, "g()", cwd=tmp_path, memory=256 << 20, spares=found)
        assert full.outcome.value == "MemoryError()"


def test_a_program_is_read_when_it_runs_not_when_the_spare_starts(tmp_path):
    path = write(tmp_path, "def f():\n    return 1\n")
    with spares() as found:
        found.prepare(sys.executable, str(tmp_path))
        waiting(found)
        write(tmp_path, "import helper\ndef f():\n    return helper.VALUE\n")
        (tmp_path / "helper.py").write_text("VALUE = 2\n")
        assert run(path, "f()", cwd=tmp_path, spares=found).outcome.value == "2"


def test_a_spare_of_another_world_is_thrown_away(tmp_path, monkeypatch):
    path = write(tmp_path, "import os\ndef f():\n    return os.environ.get('SAID'), os.path.basename(os.getcwd())\n")
    other = tmp_path / "other"
    other.mkdir()
    with spares() as found:
        for change, cwd, value in (
            (lambda: monkeypatch.setenv("SAID", "yes"), tmp_path, "yes"),
            (lambda: None, other, "yes"),
        ):
            found.prepare(sys.executable, str(tmp_path))
            process = waiting(found)
            change()
            trace = run(path, "f()", cwd=cwd, spares=found)
            assert trace.outcome.value == repr((value, cwd.name))
            assert not process.is_running()


def test_a_package_that_was_installed_meanwhile_is_seen(tmp_path):
    """A `.pth` file is read when Python starts, so that a debuggee of before does not know it."""
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(os.path.realpath(sys.executable))
    (venv / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    site = venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    path = write(tmp_path, "def f():\n    import added\n    return added.VALUE\n")
    with spares() as found:
        found.prepare(str(python), str(tmp_path))
        process = waiting(found)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "added.py").write_text("VALUE = 3\n")
        (site / "added.pth").write_text(f"{tmp_path / 'elsewhere'}\n")
        assert run(path, "f()", python=str(python), cwd=tmp_path, spares=found).outcome.value == "3"
        assert not process.is_running()


def test_a_spare_that_died_costs_nothing(tmp_path):
    path = write(tmp_path, "def f():\n    return 1\n")
    with spares() as found:
        found.prepare(sys.executable, str(tmp_path))
        process = waiting(found)
        process.kill()
        found._spare._session.process.wait(SECONDS)
        assert run(path, "f()", cwd=tmp_path, spares=found).outcome.value == "1"


def test_an_interpreter_that_does_not_start_is_told_when_it_is_used(tmp_path):
    path = write(tmp_path, "def f():\n    return 1\n")
    with spares() as found:
        found.prepare("/nowhere/python", str(tmp_path))
        with pytest.raises(RunError, match="cannot be started"):
            run(path, "f()", python="/nowhere/python", cwd=tmp_path, spares=found)


def test_nobody_keeps_a_spare_for_long(tmp_path):
    with spares(seconds=0.2) as found:
        found.prepare(sys.executable, str(tmp_path))
        spare = found._spare
        assert spare is None or spare._given_up.wait(SECONDS)


def test_closing_ends_a_spare_that_waits_or_starts(tmp_path):
    for ready in (True, False):
        found = Spares()
        found.prepare(sys.executable, str(tmp_path))
        spare = found._spare
        process = waiting(found) if ready else None
        began = time.monotonic()
        found.close()
        assert time.monotonic() - began < SECONDS
        assert process is None or not process.is_running()
        assert not spare._session.is_running
        found.prepare(sys.executable, str(tmp_path))
        assert found._spare is None


def test_a_spare_does_not_outlive_a_server_that_is_killed(tmp_path):
    program = (
        "import os, signal, sys, tempfile\n"
        "from debugger.actual.spare import Spares\n"
        "found = Spares()\n"
        "found.prepare(sys.executable, tempfile.gettempdir())\n"
        "found.wait()\n"
        "print(found._spare._session.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=SECONDS, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        gone, _ = psutil.wait_procs([psutil.Process(int(done.stdout))], SECONDS)
        assert gone


def test_cancelling_does_not_wait_for_a_spare(tmp_path):
    path = write(tmp_path, "def f():\n    return 1\n")
    with spares() as found:
        found.prepare(sys.executable, str(tmp_path))
        assert run(path, "f()", cwd=tmp_path, cancelled=lambda: True, spares=found).outcome.ending is Ending.CANCELLED


def test_several_files_take_one_after_the_other(tmp_path):
    with spares() as found:
        for name in ("a", "b"):
            path = tmp_path / f"{name}.py"
            path.write_text(f"def f(n):\n    return '{name}', n\n")
            traces = list(run_many(path, ["f(1)", "f(2)"], cwd=tmp_path, spares=found))
            assert [trace.outcome.value for trace in traces] == [repr((name, 1)), repr((name, 2))]
            found.prepare(sys.executable, str(tmp_path))
