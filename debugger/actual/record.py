"""From what the recorder writes to a `Trace`, and runs inside our own process."""

from __future__ import annotations

import itertools
import linecache
import sys
from types import ModuleType

from debugger.actual.snapshot import Recorder, headroom
from debugger.trace import Ending, Event, Frame, Outcome, Trace

_counter = itertools.count()


class _OutOfFrames(BaseException):
    """Unwinds the recorded code once enough frames are known."""


def record_in_process(source: str, call: str, max_frames: int = 10_000, *, module: str = "program") -> Trace:
    """The trace of `call` in a module with the text `source`, recorded inside this process.

    For programs we made ourselves (training data, tests): nothing guards against what they do besides the number of
    frames. Frames are the same as those of `run`; reprs of sets of strings depend on this process's PYTHONHASHSEED,
    which `run` sets to 0. Raises whatever the module raises while it is executed, and SyntaxError.
    """
    filename = f"<{module} {next(_counter)}>"
    lines = source.split("\n")
    frames: list[Frame] = []

    def write(
        event: str,
        line: int,
        function: str,
        depth: int,
        values: dict[str, str] | None,
        before: dict[str, str] | None,
        value: str | None,
    ) -> None:
        if len(frames) == max_frames:
            raise _OutOfFrames
        text = lines[line - 1] + "\n"
        frames.append(Frame(Event(event), line, text, values or {}, value, function, depth))

    namespace = ModuleType(module)
    namespace.__file__ = filename
    code = compile(source, filename, "exec", dont_inherit=True)
    expression = compile(call, "<call>", "eval", dont_inherit=True)
    replaced = sys.modules.get(module)
    sys.modules[module] = namespace
    linecache.cache[filename] = (len(source), None, [line + "\n" for line in lines], filename)
    try:
        exec(code, namespace.__dict__)
        recorder = Recorder(filename, module, write)
        outcome = _evaluate(expression, namespace, recorder)
    finally:
        del linecache.cache[filename]
        if replaced is None:
            del sys.modules[module]
        else:
            sys.modules[module] = replaced
    return Trace(tuple(frames), outcome)


def _evaluate(expression: object, namespace: ModuleType, recorder: Recorder) -> Outcome:
    tracer = sys.gettrace()
    try:
        with headroom():
            sys.settrace(recorder)
            try:
                value = eval(expression, namespace.__dict__)  # type: ignore[arg-type]
            finally:
                sys.settrace(tracer)
    except _OutOfFrames:
        return Outcome(Ending.OUT_OF_FRAMES)
    except BaseException as error:
        return Outcome(Ending.RAISED, recorder.repr(error))
    return Outcome(Ending.RETURNED, recorder.repr(value))
