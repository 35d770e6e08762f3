"""The recorder that lives in the debuggee: runs one call of the user's file and writes down every frame.

The program that debugpy launches is this file; it is also imported by `record.py` to record inside our own process. It
needs nothing but the standard library (Python 3.8 or newer) and imports nothing of ours, because it runs in the user's
interpreter. Frames are exactly the call, line, return and exception events of `sys.settrace`, for code of the user's
file, in the thread that makes the call.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from types import FunctionType

MAX_REPR = 65_536
"""A `repr` with more characters than this becomes a marked value."""
REPR_SECONDS = 0.5
"""A `repr` that takes longer than this is given up and becomes a marked value."""
HEADROOM = 60
"""Stack frames the recorder may need above the deepest frame that the user's recursion limit allows."""

CALL, LINE, RETURN, EXCEPTION = "call", "line", "return", "exception"

_ATOMS = frozenset([int, float, complex, bool, str, bytes, type(None)])
_CONTAINERS = {list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})"), dict: "{}"}
_LITERAL = r"""(?<![A-Za-z0-9_])(?:[bB]?'(?:[^'\\\n]|\\.)*'|[bB]?"(?:[^"\\\n]|\\.)*")"""


class _GivenUp(BaseException):
    """Raised by the timer inside a `repr` that takes too long; never leaves `Reprs`."""


class Reprs:
    """Whole reprs of the user's values: bounded in size and time, never raising, the same in every run.

    Addresses are left out, as CWM does (`<list_iterator object>`), and classes of the user's file read as they do in
    `python file.py`, where the file is `__main__`: neither the address nor the file's name is something a prediction
    could know. The text of strings is never touched.
    """

    def __init__(self, module: str) -> None:
        self._own = module + "."
        pattern = r"(?P<own><(?:class ')?){0}(?=\w)|(?P<literal>{1})|(?P<address> at 0x[0-9A-Fa-f]+)(?=[>,:;\s])"
        self._volatile = re.compile(pattern.format(re.escape(self._own), _LITERAL))
        self._slow = set()  # type: set[type]
        self._timed = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._running = False

    def __call__(self, value: object) -> str:
        kind = type(value)
        try:
            if kind is str or kind is bytes:
                return repr(value) if len(value) < MAX_REPR - 3 else _too_long(kind)  # type: ignore[arg-type]
            if kind in _ATOMS:
                return self._bounded(repr(value), kind)
            if kind in self._slow:
                return _too_slow(kind)
            # Every element takes at least three characters, "1, ", so this one need not be built to know its size.
            if kind in _CONTAINERS and len(value) > MAX_REPR // 3 + 2:  # type: ignore[arg-type]
                return _too_long(kind)
            return self._stable(self._bounded(self._repr(value), kind))
        except _GivenUp:
            if kind in _CONTAINERS:
                return self._by_element(value, kind)
            # Only a repr written in Python is slow by itself: a deque is as slow as what it holds.
            if isinstance(getattr(kind, "__repr__", None), FunctionType):
                self._slow.add(kind)
            return _too_slow(kind)
        except BaseException as error:
            if kind in _CONTAINERS:
                return self._by_element(value, kind)
            return "<repr of {0} raised {1}>".format(_name(kind), _name(type(error)))

    def _repr(self, value: object) -> str:
        """`repr(value)` with a time limit; raises what it raises, and `_GivenUp`."""
        if not self._timed:
            return repr(value)
        began = time.monotonic()
        try:
            handler = signal.signal(signal.SIGALRM, self._give_up)
            timer = signal.setitimer(signal.ITIMER_REAL, REPR_SECONDS, REPR_SECONDS / 10)
        except ValueError:  # not the main thread after all
            return repr(value)
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
        # Comes again and again, because the user's `__repr__` may catch it; too late a one is ignored.
        if self._running:
            raise _GivenUp

    def _bounded(self, text: str, kind: type) -> str:
        return text if len(text) <= MAX_REPR else _too_long(kind)

    def _stable(self, text: str) -> str:
        if " at 0x" not in text and self._own not in text:
            return text
        return self._volatile.sub(_without_what_varies, text)

    def _by_element(self, value: object, kind: type) -> str:
        """The repr of a container one of whose elements has none, element by element."""
        try:
            items = list(value.items()) if kind is dict else list(value)  # type: ignore[attr-defined,call-overload]
            if kind is dict:
                parts = [self(key) + ": " + self(item) for key, item in items]
            else:
                parts = [self(item) for item in items]
        except BaseException as error:  # too deep, or no memory
            return "<repr of {0} raised {1}>".format(_name(kind), _name(type(error)))
        left, right = _CONTAINERS[kind]
        comma = "," if kind is tuple and len(parts) == 1 else ""
        return self._bounded(left + ", ".join(parts) + comma + right, kind)


def _without_what_varies(match: re.Match[str]) -> str:
    if match.group("own") is not None:
        return match.group("own") + "__main__."
    return match.group("literal") or ""


def _name(kind: type) -> str:
    return type.__dict__["__name__"].__get__(kind)


def _too_long(kind: type) -> str:
    return "<repr of {0} is longer than {1} characters>".format(_name(kind), MAX_REPR)


def _too_slow(kind: type) -> str:
    return "<repr of {0} took longer than {1} s>".format(_name(kind), REPR_SECONDS)


class Recorder:
    """A trace function that hands each frame of the user's file to `write`.

    `write(event, line, function, depth, locals, before, value)`: `locals` maps names to reprs in order of first
    appearance (call and line), `before` is what the same Python frame's locals were at its last frame (None for a call),
    `value` is the repr of what is returned or raised. Nothing that `write` raises reaches the user's code.
    """

    def __init__(self, filename, module, write):  # type: ignore[no-untyped-def]
        self.filename = filename
        self.write = write
        self.repr = Reprs(module)
        self.depths = {}  # type: dict[object, int]

    def __call__(self, frame, event, arg):  # type: ignore[no-untyped-def]
        if frame.f_code.co_filename != self.filename:
            return None
        activation = frame.f_trace
        if type(activation) is not Activation or activation.recorder is not self:
            activation = Activation(self, frame.f_code.co_name)  # else: a generator goes on
        below = frame.f_back
        depths = self.depths
        while below is not None and below not in depths:
            below = below.f_back
        activation.depth = depths[frame] = 0 if below is None else depths[below] + 1
        self.write(CALL, frame.f_lineno, activation.function, activation.depth, activation.look(frame), None, None)
        return activation


class Activation:
    """The local trace function of one Python frame of the user's code; knows the locals it saw last."""

    __slots__ = ("atoms", "depth", "function", "recorder", "texts")

    def __init__(self, recorder, function):  # type: ignore[no-untyped-def]
        self.recorder = recorder
        self.function = function
        self.depth = 0
        self.texts = {}  # type: dict[str, str]
        self.atoms = {}  # type: dict[str, object]

    def __call__(self, frame, event, arg):  # type: ignore[no-untyped-def]
        recorder = self.recorder
        if event == LINE:
            before = self.texts
            recorder.write(LINE, frame.f_lineno, self.function, self.depth, self.look(frame), before, None)
        else:
            if event == RETURN:
                recorder.depths.pop(frame, None)
            recorder.write(event, frame.f_lineno, self.function, self.depth, None, None, recorder.repr(arg))
        return self

    def look(self, frame):  # type: ignore[no-untyped-def]
        """The frame's locals as reprs. An immutable value that is still the same object is not asked again."""
        values = frame.f_locals
        before, atoms = self.texts, self.atoms
        texts = {name: "" for name in before if name in values}
        for name, value in values.items():
            if name in texts and name in atoms and atoms[name] is value:
                texts[name] = before[name]
                continue
            texts[name] = self.recorder.repr(value)
            if type(value) in _ATOMS:
                atoms[name] = value
            else:
                atoms.pop(name, None)
        self.texts = texts
        return texts


class headroom:  # noqa: N801 - used like a function
    """Give the recorder room on the stack, while the user's code keeps (and sees) its own recursion limit.

    The frames that lie below the user's code are added to the limit, and a margin for the recorder itself: without it,
    the interpreter would raise RecursionError inside the recorder and switch tracing off. An endless recursion therefore
    ends up to `HEADROOM` calls later than without a debugger.
    """

    def __enter__(self) -> None:
        below, frame = 0, sys._getframe(1)
        while frame.f_back is not None:
            below, frame = below + 1, frame.f_back
        extra = below + HEADROOM
        self._get, self._set = sys.getrecursionlimit, sys.setrecursionlimit
        get, set_ = self._get, self._set
        self._limit = get()
        set_(self._limit + extra)

        def getrecursionlimit() -> int:
            return get() - extra

        def setrecursionlimit(limit: int, /) -> None:
            if isinstance(limit, int) and limit > 0:
                limit += extra
            set_(limit)

        sys.getrecursionlimit, sys.setrecursionlimit = getrecursionlimit, setrecursionlimit

    def __exit__(self, *_: object) -> None:
        sys.getrecursionlimit, sys.setrecursionlimit = self._get, self._set
        self._set(self._limit)
