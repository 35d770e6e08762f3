"""Recordings inside our own process, and frames from what the recorder writes."""

from __future__ import annotations

import itertools
import linecache
import sys
from types import ModuleType

from debugger.actual.snapshot import Recorder
from debugger.trace import Ending, Event, Frame, Outcome, Trace

_counter = itertools.count()


class _OutOfFrames(BaseException):
    """Unwinds the recorded code once enough frames are known."""


def physical_lines(source: str) -> tuple[str, ...]:
    r"""The lines of a module as frames show them: cut where Python cuts them, each with a `\n`."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return tuple(line + "\n" for line in lines)


def record_in_process(source: str, call: str, max_frames: int = 10_000, *, module: str = "program") -> Trace:
    """The trace of `call` in a module with the text `source`, recorded inside this process and its main thread.

    For programs we made ourselves (training data, tests): only the number of frames and each repr are limited. Frames
    are those that `run` gives; the order of sets of strings depends on this process's PYTHONHASHSEED, which `run` sets
    to 0. Raises whatever the module raises while it is executed, and SyntaxError.
    """
    filename = f"<{module} {next(_counter)}>"
    lines = physical_lines(source)
    frames: list[Frame] = []
    full = False

    def write(
        event: str,
        line: int,
        function: str,
        depth: int,
        values: dict[str, str] | None,
        before: dict[str, str] | None,
        value: str | None,
    ) -> None:
        nonlocal full
        if len(frames) == max_frames:
            full = True
            raise _OutOfFrames
        frames.append(Frame(Event(event), line, lines[line - 1], values or {}, value, function, depth))

    program = ModuleType(module)
    program.__file__ = filename
    replaced = sys.modules.get(module)
    sys.modules[module] = program
    linecache.cache[filename] = (len(source), None, list(lines), filename)
    recorder = Recorder(filename, module, write)
    # What is raised while a generator is closed is lost, and the code goes on, unrecorded.
    usual_hook = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if lost.exc_type is _OutOfFrames else usual_hook(lost)
    try:
        exec(compile(source, filename, "exec", dont_inherit=True), program.__dict__)
        expression = compile(call, "<call>", "eval", dont_inherit=True)
        try:
            outcome = Outcome(Ending.RETURNED, recorder.repr(recorder.evaluate(expression, program.__dict__)))
        except BaseException as error:
            outcome = Outcome(Ending.RAISED, recorder.repr(error))
    finally:
        sys.unraisablehook = usual_hook
        del linecache.cache[filename]
        if replaced is None:
            del sys.modules[module]
        else:
            sys.modules[module] = replaced
    return Trace(tuple(frames), Outcome(Ending.OUT_OF_FRAMES) if full else outcome)
