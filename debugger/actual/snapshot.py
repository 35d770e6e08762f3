"""The recorder that lives in the debuggee: evaluates calls of the user's file and writes down every frame.

`session.py` launches this file as the program, which connects itself to debugpy; `record.py` imports it to record
inside our own process. It needs nothing but the standard library of Python 3.8 or newer and imports nothing of ours,
because it runs in the user's interpreter. Frames are exactly the call, line, return and exception events of
`sys.settrace` for code of the user's file, in the thread that makes the call.
"""

from __future__ import annotations

import dis
import importlib
import importlib.machinery
import importlib.util
import json
import os
import re
import signal
import sys
import threading
import time
from functools import partial
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

MAX_REPR = 65_536
"""A `repr` with more characters than this becomes a marked value."""
REPR_SECONDS = 0.5
"""A `repr` that takes longer than this is given up and becomes a marked value."""
MAX_RECORDING = 64 << 20
"""A recording of more bytes than this ends the run, like too many frames."""
HEADROOM = 100
"""Stack frames that the recorder may take above the deepest frame of the user's code."""
_FEW = 1000
"""A container of no more elements, and too long, shows which of them are too long."""

CALL, LINE, RETURN, EXCEPTION = "call", "line", "return", "exception"
RETURNED, RAISED, OUT_OF_FRAMES = "returned", "raised", "out of frames"
NOT_LOADED, NOT_CALLED = "not loaded", "not called"

if TYPE_CHECKING:
    from collections.abc import Callable

    Texts = dict[str, str]
    Write = Callable[[str, int, str, int, Texts | None, Texts | None, str | None], None]

_setrecursionlimit = sys.setrecursionlimit
_ATOMS = frozenset([int, float, complex, bool, str, bytes, type(None)])
_CHARACTERS = frozenset([str, bytes, bytearray])
_BRACKETS = {list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})"), dict: "{}"}
_LITERAL = r"""(?<![A-Za-z0-9_])[bB]?(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")"""


class _GivenUp(BaseException):
    """Raised by the timer inside a `repr` that takes too long; never leaves `Reprs`."""


class Reprs:
    """Whole reprs of the user's values: bounded in size and time, never raising, the same in every run.

    Addresses are left out, as CWM does (`<list_iterator object>`), and classes of the user's module read as they do in
    `python file.py`, where the module is `__main__`: neither an address nor the file's name is something a prediction
    could know. Iterators over strings have one name in all versions of Python. The text of strings is never touched.
    """

    def __init__(self, module: str) -> None:
        """`module` is the `__name__` under which the user's file is loaded."""
        self._own = module + "."
        own = r"(?P<own><(?:class ')?)" + re.escape(self._own) + r"(?=\w)"
        address = r"(?P<address> at 0x[0-9A-Fa-f]+)(?=[>,:;\s])"
        iterator = r"(?P<iterator>(?<=<)str_ascii_iterator)(?= object)"
        self._varying = re.compile(own + "|(?P<literal>" + _LITERAL + ")|" + address + "|" + iterator)
        self._slow: set[type] = set()
        self._costly: set[int] = set()
        self._inside: set[int] = set()
        self._running = False

    def __call__(self, value: object) -> str:
        """The repr of `value`, or a marked value such as `<repr of C raised ValueError>`."""
        kind = type(value)
        try:
            if kind in _CHARACTERS and len(value) > MAX_REPR:  # type: ignore[arg-type]
                return _too_long(kind)
            if kind in _ATOMS:
                return _bounded(repr(value), kind)
            if kind in self._slow:
                return _too_slow(kind)
            if kind in _BRACKETS and id(value) in self._costly:
                return self._by_element(value, kind)
            # An element takes at least three characters ("1, "): this repr need not be built to know that it is long.
            if kind in _BRACKETS and len(value) > MAX_REPR // 3 + 1:  # type: ignore[arg-type]
                return _too_long(kind)
            text = self._limited(value)
            if len(text) > MAX_REPR and kind in _BRACKETS and len(value) < _FEW:  # type: ignore[arg-type]
                self._costly.add(id(value))  # and the more so the next time
                return self._by_element(value, kind)
            return self._stable(_bounded(text, kind))
        except _GivenUp:
            if kind in _BRACKETS:
                self._costly.add(id(value))
                return self._by_element(value, kind)
            # Only a repr written in Python is slow by itself; that of a deque is as slow as what it holds.
            if isinstance(getattr(kind, "__repr__", None), FunctionType):
                self._slow.add(kind)
            return _too_slow(kind)
        except BaseException as error:
            if kind in _BRACKETS:
                return self._by_element(value, kind)
            return _raised(kind, error)

    def _limited(self, value: object) -> str:
        """`repr(value)` with a time limit; raises what it raises, and `_GivenUp`."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            return repr(value)  # no timer here: what blocks runs into the time limit of the whole run
        began = time.monotonic()
        handler = signal.signal(signal.SIGALRM, self._give_up)
        timer = signal.setitimer(signal.ITIMER_REAL, REPR_SECONDS, REPR_SECONDS / 10)
        try:
            self._running = True
            return repr(value)
        finally:
            self._running = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
            if timer[0]:  # the user's own alarm goes on
                left = timer[0] - (time.monotonic() - began)
                signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), timer[1])

    def _give_up(self, *_: object) -> None:
        # Fires again and again, because the user's `__repr__` may catch the exception.
        if self._running:
            raise _GivenUp

    def _stable(self, text: str) -> str:
        if " at 0x" not in text and self._own not in text:
            return text
        return self._varying.sub(_without_what_varies, text)

    def _by_element(self, value: Any, kind: type) -> str:
        """The repr of a container one of whose elements has none, or a very long one, element by element."""
        if not value:
            return repr(value)
        left, right = _BRACKETS[kind]
        if id(value) in self._inside:
            return left + "..." + right
        self._inside.add(id(value))
        try:
            if kind is dict:
                parts = [self(key) + ": " + self(item) for key, item in list(value.items())]
            else:
                parts = [self(item) for item in list(value)]
            comma = "," if kind is tuple and len(parts) == 1 else ""
            return _bounded(left + ", ".join(parts) + comma + right, kind)
        except BaseException as error:  # no memory, or the stack ends
            return _raised(kind, error)
        finally:
            self._inside.discard(id(value))


def _without_what_varies(match: re.Match[str]) -> str:
    own: str | None = match.group("own")
    if own is not None:
        return own + "__main__."
    if match.group("iterator") is not None:
        return "str_iterator"  # as it was called up to Python 3.10, and as CWM calls it
    return match.group("literal") or ""


def _name(kind: type) -> str:
    return type.__dict__["__name__"].__get__(kind)  # whatever a metaclass makes of it


def _bounded(text: str, kind: type) -> str:
    return text if len(text) <= MAX_REPR else _too_long(kind)


def _too_long(kind: type) -> str:
    return f"<repr of {_name(kind)} is longer than {MAX_REPR} characters>"


def _too_slow(kind: type) -> str:
    return f"<repr of {_name(kind)} took longer than {REPR_SECONDS} s>"


def _raised(kind: type, error: BaseException) -> str:
    return f"<repr of {_name(kind)} raised {_name(type(error))}>"


class Recorder:
    """A trace function that hands each frame of the user's file to `write`.

    `write(event, line, function, depth, locals, before, value)`: `locals` maps names to reprs in order of first
    appearance (call and line), `before` is what it was at the last frame of the same Python frame (None for a call),
    `value` is the repr of what is returned or raised. It may raise only in order to end the run.
    """

    def __init__(self, filename: str, module: str, write: Write) -> None:
        """Record code whose `co_filename` is `filename`, of the module with the `__name__` `module`."""
        self.filename = filename
        self.write = write
        self.repr = Reprs(module)
        self.recursion = RecursionLimit()
        self.interrupted = False
        """Tracing was switched off during the call, by the user's code or for it, so that later frames are missing."""
        self.limit = 0
        """How high the user's stack may grow; the call expression stands on it where the module's body would."""
        self._ground = 0
        # Each frame of the user's code that is being executed: its depth, and its height on the whole stack.
        self.places: dict[FrameType, tuple[int, int]] = {}
        self._expression: CodeType | None = None

    def evaluate(self, expression: CodeType, namespace: dict[str, Any]) -> object:
        """The value of the call, recorded; raises what it raises.

        The user's code keeps, and sees, its own recursion limit. The interpreter's is set higher by what lies below the
        user's code and by what the recorder needs: at its limit the interpreter could not even enter the trace
        function, would raise RecursionError in there and switch tracing off.
        """
        below, frame = 0, sys._getframe()  # pyright: ignore[reportPrivateUsage]
        while frame.f_back is not None:
            below, frame = below + 1, frame.f_back
        extra = below + 1 + HEADROOM
        get, set_ = sys.getrecursionlimit, sys.setrecursionlimit
        limit = self.limit = get()

        def getrecursionlimit() -> int:
            return self.limit

        def setrecursionlimit(limit: int) -> None:
            set_(limit + extra if limit > 0 else limit)
            self.limit = limit

        set_(limit + extra)
        sys.getrecursionlimit, sys.setrecursionlimit = getrecursionlimit, setrecursionlimit
        self._expression = expression
        tracer = sys.gettrace()
        sys.settrace(self)
        try:
            return eval(expression, namespace)
        finally:
            self.interrupted = sys.gettrace() is not self
            sys.settrace(tracer)
            self.places.clear()
            sys.getrecursionlimit, sys.setrecursionlimit = get, set_
            set_(limit)

    def __call__(self, frame: FrameType, event: str, arg: object) -> Activation | None:
        """Called for each Python frame that is entered, by the user's code and by libraries."""
        code, places = frame.f_code, self.places
        if code is self._expression:
            self._ground = stack_height() - 1
            places[frame] = (-1, 1)
            return None
        if code.co_filename == __file__:
            return None
        below, steps = frame.f_back, 1
        while below is not None and below not in places:
            below, steps = below.f_back, steps + 1
        if below is None:
            return None  # not on the stack of the call: a finalizer, a signal handler in a thread's first moment
        depth, height = places[below]
        height += steps
        if _COUNTS_C_CALLS and height > self.limit // 8:
            height = stack_height() - self._ground
        if height > self.limit:
            _ = -self.recursion.reached  # raised where this frame begins
            return None
        if code.co_filename != self.filename:
            return None
        activation: object = frame.f_trace
        if not isinstance(activation, Activation) or activation.recorder is not self:
            activation = Activation(self, code)  # else a generator goes on
        activation.enter(frame, depth + 1, height)
        return activation


class Activation:
    """The local trace function of one Python frame of the user's code; knows the locals that it saw last."""

    __slots__ = ("atoms", "depth", "first_line", "full", "function", "recorder", "texts")

    def __init__(self, recorder: Recorder, code: CodeType) -> None:
        """Nothing was seen yet of the frame, which executes `code`."""
        self.recorder = recorder
        self.function = code.co_name
        self.first_line = code.co_firstlineno
        self.depth = 0
        self.full = False
        self.texts: Texts = {}
        self.atoms: dict[str, object] = {}

    def enter(self, frame: FrameType, depth: int, height: int) -> None:
        """The frame is entered, or resumed."""
        self.depth = depth
        self.full = _ENTERS_BEFORE_TRACING and height == self.recorder.limit
        self.recorder.places[frame] = (depth, height)
        self._write(CALL, frame, self._look(frame), None, None)

    def __call__(self, frame: FrameType, event: str, arg: object) -> Activation:
        """Called for each line, return and exception of the frame."""
        recorder = self.recorder
        if event == LINE:
            before = self.texts
            self._write(LINE, frame, self._look(frame), before, None)
        else:
            self._write(event, frame, None, None, recorder.repr(arg))
            if event == RETURN:
                recorder.places.pop(frame, None)
        if self.full and event == LINE and calls(frame.f_code, frame.f_lineno):
            _ = -recorder.recursion.reached  # raised where this line makes its call
        return self

    def _write(
        self, event: str, frame: FrameType, values: Texts | None, before: Texts | None, value: str | None
    ) -> None:
        line: int | None = frame.f_lineno  # the compiler's own instructions have none
        self.recorder.write(event, line or self.first_line, self.function, self.depth, values, before, value)

    def _look(self, frame: FrameType) -> Texts:
        """The frame's locals as reprs. An immutable value that is still the same object is not asked again."""
        values: dict[str, object] = frame.f_locals
        before, atoms = self.texts, self.atoms
        texts = {name: "" for name in before if name in values}
        for name, value in values.items():
            if name in before and name in atoms and atoms[name] is value:
                texts[name] = before[name]
                continue
            texts[name] = self.recorder.repr(value)
            if type(value) in _ATOMS:
                atoms[name] = value
            else:
                atoms.pop(name, None)
        self.texts = texts
        return texts


class RecursionLimit:
    """Has the interpreter raise RecursionError in the frame being traced.

    A trace function must not raise, or tracing ends; so the interpreter is asked to. It does at the next instruction
    that looks for such requests: one that begins a function or makes a call, also in the trace function itself.
    Therefore the request is an operator, `-reached`, implemented in C and looking for nothing, the trace function
    returns right after it, and it is used only where the next such instruction is the user's. Where the interpreter
    cannot be asked (no ctypes), the recursion ends `HEADROOM` frames later, and what follows is not recorded.
    """

    def __init__(self) -> None:
        """For the thread that is running."""
        raise_error = partial(int)
        try:
            from ctypes import c_ulong, py_object, pythonapi
        except ImportError:
            pass
        else:
            thread = c_ulong(threading.get_ident())
            raise_error = partial(pythonapi.PyThreadState_SetAsyncExc, thread, py_object(_TooDeepError))
        self.reached: Any = type("Reached", (), {"__neg__": staticmethod(raise_error)})()


_ENTERS_BEFORE_TRACING = sys.version_info >= (3, 11) and sys.version_info[:2] != (3, 12)
"""A function looks for requests before the trace function hears of its call; in other versions, right after that."""


_COUNTS_C_CALLS = sys.version_info < (3, 12)
"""The recursion limit also counts calls from C code, such as those that `functools.lru_cache` makes."""


def stack_height() -> int:
    """The caller's height on the stack, as the interpreter counts it: before Python 3.12, it says so when asked to."""
    if not _COUNTS_C_CALLS:
        return 0
    try:
        _setrecursionlimit(1)
    except RecursionError as error:
        return int(str(error).split("at the recursion depth ")[1].split(":")[0])
    return 0


def calls(code: CodeType, line: int) -> bool:
    """Whether a line's bytecode (Python 3.11 and newer) makes a call, at which the interpreter looks for requests."""
    instructions: Any = dis.get_instructions(code)
    return any(step.opname.startswith("CALL") and step.positions.lineno == line for step in instructions)


class _TooDeepError(RecursionError):
    """What the user's code sees as RecursionError: the interpreter is handed a class and creates the exception."""

    def __init__(self) -> None:
        super().__init__("maximum recursion depth exceeded")


_TooDeepError.__name__ = _TooDeepError.__qualname__ = "RecursionError"
_TooDeepError.__module__ = "builtins"


class Recording:
    """A file of JSON lines that holds every frame the moment it is known, whatever becomes of the process.

    A frame is `[event, line, function, depth, locals or value]`, a local that has not changed since the frame before in
    the same Python frame is null. The last line, unless the process ended before, is `[ending, …]`.
    """

    def __init__(self, path: str, max_frames: int) -> None:
        """Create `path`; after `max_frames` frames or `MAX_RECORDING` bytes the process leaves."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._path, self._flags = path, flags
        self._file = os.open(path, flags, 0o600)
        self._process = os.getpid()
        self._frames_left, self._bytes_left = max_frames, MAX_RECORDING
        self.empty = True
        """No frame was written yet."""

    def frame(
        self,
        event: str,
        line: int,
        function: str,
        depth: int,
        values: Texts | None,
        before: Texts | None,
        value: str | None,
    ) -> None:
        """Write one frame; see `Recorder`."""
        if os.getpid() != self._process:
            return  # a process that the user's code forked
        if self._frames_left == 0:
            self._leave("")
        if self._bytes_left < 0:
            self._leave(f"The recorded values take more than {MAX_RECORDING >> 20} MiB.")
        self._frames_left -= 1
        self.empty = False
        state: object = value
        if values is not None:
            state = values
            if before is not None:
                state = {name: None if before.get(name) == text else text for name, text in values.items()}
        self.line(event, line, function, depth, state)

    def line(self, *record: object) -> None:
        """Write one line."""
        data = json.dumps(record).encode("ascii") + b"\n"
        self._bytes_left -= len(data)
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except OSError:  # the user's code closed it
                self._file = os.open(self._path, self._flags, 0o600)

    def _leave(self, detail: str) -> None:
        self.line(OUT_OF_FRAMES, detail)
        flush()
        os._exit(0)


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the file as it is now: a `.pyc` is neither trusted nor left behind."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compile(self.get_data(path), path, "exec", dont_inherit=True)


class Program:
    """The user's file as a module under its own name, never `__main__`, so that `if __name__` blocks do not run.

    It is imported like any module: it is in `sys.modules` (pickle, dataclasses), its source is known (inspect), and in
    a package relative imports work.
    """

    def __init__(self, path: str, module: str, root: str) -> None:
        """`root` is the folder that the module's dotted name starts from."""
        self.path, self.root = path, root
        if "." not in module and module in sys.modules:  # the user's types.py is not the types that everybody uses
            module += "_"
        self.module = module
        self._known = set(sys.modules)
        self._world = (os.getcwd(), dict(os.environ), list(sys.path), list(sys.argv), list(sys.meta_path))
        sys.meta_path.insert(0, self)  # pyright: ignore[reportArgumentType] - a finder needs one method

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:
        """The import system asks for a module; only ours is known here."""
        if fullname != self.module:
            return None
        search = [os.path.dirname(self.path)] if os.path.basename(self.path) == "__init__.py" else None
        loader = _Loader(fullname, self.path)
        return importlib.util.spec_from_file_location(
            fullname, self.path, loader=loader, submodule_search_locations=search
        )

    def load(self) -> ModuleType:
        """The module, executed anew; raises what it raises."""
        return importlib.import_module(self.module)

    def forget(self) -> None:
        """Undo what a call may have left behind: the user's own modules, and what state of the process is cheap."""
        for name in set(sys.modules) - self._known:
            if self._is_own(sys.modules[name]):
                del sys.modules[name]
        folder, environment, path, argv, finders = self._world
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:], sys.argv[:], sys.meta_path[:] = path, argv, [self, *finders]
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        importlib.invalidate_caches()

    def _is_own(self, module: ModuleType) -> bool:
        origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        return origin.startswith(self.root + os.sep) and "site-packages" not in origin[len(self.root) :]


def flush() -> None:
    """Nothing that was printed is lost when the process leaves at once."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # the user's own stream
            continue


def place(error: BaseException, path: str) -> tuple[str, int | None]:
    """The file and line an exception comes from: the last one in the user's file, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    places: list[tuple[str, int | None]] = []
    step = error.__traceback__
    while step is not None:
        places.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    own = [where for where in places if where[0] == path]
    return (own or [(path, None)])[-1]


def evaluate(program: Program, call: str, recording: Recording) -> None:
    """Load the program, evaluate `call` in it, and write how that ended."""
    recorder = Recorder(program.path, program.module, recording.frame)
    try:
        namespace = program.load().__dict__
    except BaseException as error:
        recording.line(NOT_LOADED, type(error).__name__, message(error), *place(error, program.path))
        return
    try:
        expression = compile(call, "<call>", "eval", dont_inherit=True)
        halt()
        value = recorder.evaluate(expression, namespace)
    except BaseException as error:
        if recording.empty:  # nothing of the user's was reached
            recording.line(NOT_CALLED, type(error).__name__, message(error))
        else:
            recording.line(RAISED, recorder.repr(error), recorder.interrupted)
    else:
        recording.line(RETURNED, recorder.repr(value), recorder.interrupted)


def message(error: BaseException) -> str:
    """What an exception says, whatever its class makes of `str`."""
    try:
        return error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:
        return ""


def halt() -> None:
    """Let debugpy stop: right before a call, when the module is loaded, and once more when the call is over."""
    resume_debugger()
    stop()
    pause_debugger()


def stop() -> None:
    """Debugpy stops in here, in a frame that began under its eyes."""
    return  # the breakpoint


def pause_debugger() -> None:
    """From here on, this thread's trace function is ours to set; debugpy's own threads go on."""
    tracing = sys.modules.get("pydevd_tracing")
    if tracing is not None:
        tracing.restore_sys_set_trace_func()  # before Python 3.12, `sys.settrace` was replaced by one that complains
    if sys.gettrace() is not None:
        sys.settrace(None)


def resume_debugger() -> None:
    """Debugpy traces again (before Python 3.12; from then on it has `sys.monitoring`)."""
    tracing = sys.modules.get("pydevd_tracing")
    if tracing is not None:
        tracing.reapply_settrace()


def main(job_path: str) -> None:
    """Make the calls of a job: a JSON object with the keys used here."""
    with open(job_path, encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    pause_debugger()
    sys.breakpointhook = lambda *_, **__: None  # nobody is there to answer
    for name in job["environment"]:
        os.environ.pop(name, None)
    sys.path[:] = job["path_before"] + sys.path + job["path_after"]
    sys.argv[:] = [job["file"]]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr] - as in a terminal
    if job["memory"] and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (job["memory"], job["memory"]))
    marker = os.dup(1)
    program = Program(job["file"], job["module"], job["root"])
    for index, call in enumerate(job["calls"]):
        if index:
            program.forget()
        recording = Recording(os.path.join(os.path.dirname(job_path), f"{index}.jsonl"), job["max_frames"])
        evaluate(program, call, recording)
        flush()
        os.write(marker, job["marker"].encode("ascii"))
        halt()


def attach() -> str:
    """Get debugpy ready, wait to be told what to do, and let the debugger have this process: the path of the job.

    We are told over standard input: a command line and an environment can be read by others. Where that ends, nobody is
    there any more. Debugpy's own command would do the same, and list all packages of the interpreter for its log,
    twice: that takes longer than all else.
    """
    start = _told()
    own = os.path.dirname(os.path.realpath(__file__))
    if sys.path and os.path.realpath(sys.path[0]) == own:
        del sys.path[0]  # or modules of ours would stand in for the user's
    sys.path.insert(0, start["packages"])  # where debugpy lies
    debugpy: Any = importlib.import_module("debugpy")
    server: Any = importlib.import_module("debugpy.server.api")
    sys.path.remove(start["packages"])
    if "DEBUGPY_LOG_DIR" not in os.environ:
        server.ensure_logging.ensured = True
    debugpy.configure(subProcess=False)
    flush()
    os.write(1, start["marker"].encode("ascii"))
    order = _told()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    debugpy.connect(("127.0.0.1", order["port"]), access_token=order["token"])
    return order["job"]


def _told() -> dict[str, Any]:
    """The next line of standard input, of which not a byte more is read."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(0)
        line += byte
    return json.loads(line)


if __name__ == "__main__":
    main(attach())
