"""Predictions made elsewhere: frames from a file, read as if the model had just predicted them.

Two spellings are understood, also mixed: the frames of the command's own JSON, and CWM's words, where `".."` stands for
an unchanged value, lines have no numbers, depths and functions are left out, the frames of the synthetic `main()` come
first, and, in traces published without special tokens, a return cannot be told from an exception by its event.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from debugger.flow import CodeFlow, ModuleFlow
from debugger.predicted.codec import UNCHANGED, expand_locals, same_python_frame
from debugger.predicted.prompt import MAIN_DEF
from debugger.trace import Ending, Event, Frame, Outcome, Trace

RETURN_OR_EXCEPTION = "return_or_exception"
"""The event of a frame with a value whose special token was lost."""

_LOOK_AHEAD = 32
"""Frames read ahead to tell lines apart that read the same."""

_START_MARK = "# << START_OF_TRACE"
_EVENTS = frozenset(event.value for event in Event) | {RETURN_OR_EXCEPTION}


class ReplayError(ValueError):
    """The file holds no frames that can be replayed; `str()` is one sentence that says why."""


def read_prediction(document: str, source: str, filename: str, *, target: str, call: str) -> Trace:
    """The predicted trace of `call` that the text of a file holds.

    `document` is a results document of this command, a list of frames, or an object with `frames`; `source` is the text
    of the user's file, `target` the function's qualified name. Raises ReplayError.
    """
    try:
        data: object = json.loads(document)
    except ValueError as error:
        raise ReplayError(f"The predicted frames are not JSON ({error}).") from error
    written, outcome = _frames_of(data, target, call)
    for position, frame in enumerate(written):
        problem = _problem_of(frame)
        if problem:
            raise ReplayError(f"The predicted frame {position} {problem}.")
    frames = _Replay(source, filename, written, synthetic_main=target != "main").frames()
    return Trace(tuple(frames), outcome or _outcome_of(frames))


def _is_object(data: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(data, dict)


def _is_list(data: object) -> TypeGuard[list[Any]]:
    return isinstance(data, list)


def _frames_of(data: object, target: str, call: str) -> tuple[list[Any], Outcome | None]:
    """The frames as written, and the outcome where the document tells it."""
    if _is_object(data) and _is_list(data.get("results")):
        predicted = [entry for entry in data["results"] if _is_object(entry) and _is_object(entry.get("predicted"))]
        same_call = [
            entry
            for entry in predicted
            if entry.get("call") == call and str(entry.get("target", "")).rpartition("::")[2] == target
        ]
        chosen = same_call or [entry for entry in predicted if "call" not in entry]
        if len(chosen) != 1:
            raise ReplayError(f"The file holds {len(predicted)} predictions, and not exactly one of {target} · {call}.")
        data = chosen[0]["predicted"]
    if _is_object(data) and _is_list(data.get("frames")):
        return data["frames"], _outcome_from(data.get("outcome"))
    if _is_list(data):
        return data, None
    raise ReplayError("The file holds neither results of foretrace nor a list of frames.")


def _outcome_from(data: object) -> Outcome | None:
    if not _is_object(data):
        return None
    try:
        ending = Ending(data.get("ending"))
    except ValueError:
        return None
    value = data.get("value")
    return Outcome(ending, value if isinstance(value, str) else None, str(data.get("detail", "")))


def _problem_of(frame: object) -> str:
    """What is wrong with a frame as written; empty where nothing is."""
    if not _is_object(frame):
        return "is not an object"
    if frame.get("event") not in _EVENTS:
        return f"has the event {frame.get('event')!r}, which is none of {', '.join(sorted(_EVENTS))}"
    if not isinstance(frame.get("source"), str) and not isinstance(frame.get("line"), int):
        return "has neither a source nor a line"
    values: object = frame.get("locals") or {}
    if not _is_object(values) or not all(isinstance(value, str) for value in values.values()):
        return "has locals that are not an object of strings"
    if frame["event"] in ("return", "exception", RETURN_OR_EXCEPTION) and not isinstance(frame.get("value"), str):
        return "has no value"
    return ""


def _outcome_of(frames: Sequence[Frame]) -> Outcome:
    """How the run ended, as the last frames tell it."""
    if not frames:
        return Outcome(Ending.OUT_OF_FRAMES, detail="The file has no steps of the call.")
    if frames[-1].event is not Event.RETURN or frames[-1].depth:
        return Outcome(Ending.OUT_OF_FRAMES, detail="The file has no more steps, though the call has not ended.")
    if len(frames) > 1 and frames[-2].event is Event.EXCEPTION and frames[-2].depth == 0:
        return Outcome(Ending.RAISED, frames[-2].value)
    return Outcome(Ending.RETURNED, frames[-1].value)


@dataclass(frozen=True, slots=True)
class _Code:
    """Something in the file that makes Python frames of its own."""

    name: str
    line: int
    names: frozenset[str]
    """Every name used in it."""


def _codes_of(tree: ast.Module) -> list[_Code]:
    kinds: dict[type[ast.AST], str] = {
        ast.Lambda: "<lambda>",
        ast.ListComp: "<listcomp>",
        ast.SetComp: "<setcomp>",
        ast.DictComp: "<dictcomp>",
        ast.GeneratorExp: "<genexpr>",
    }
    codes: list[_Code] = []
    for node in ast.walk(tree):
        name = kinds.get(type(node))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            codes.append(_Code(node.name, line, frozenset()))
        elif name is not None and isinstance(node, ast.expr):
            used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            arguments = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
            codes.append(_Code(name, node.lineno, frozenset(used | arguments | {".0"})))
    return codes


@dataclass(slots=True)
class _Activation:
    """A Python frame on the replay's stack."""

    function: str
    first_line: int
    line: int
    names: frozenset[str] = field(default_factory=frozenset[str])
    is_main: bool = False


class _Replay:
    """Finds the line, the function, the depth and the whole values of frames as written."""

    def __init__(self, source: str, filename: str, written: Sequence[dict[str, Any]], *, synthetic_main: bool) -> None:
        self._lines: list[str] = [""] + [line + "\n" for line in source.split("\n")]
        tree = ast.parse(source, filename)
        self._codes = _codes_of(tree)
        self._flow = ModuleFlow.from_source(source, filename)
        self._written = written
        self._synthetic_main = synthetic_main
        self._events_lost = any(frame["event"] == RETURN_OR_EXCEPTION for frame in written)
        self._numbers: dict[str, list[int]] = {}
        for number, line in enumerate(self._lines[1:], 1):
            self._numbers.setdefault(_without_mark(line), []).append(number)
        self._stack: list[_Activation] = []

    def frames(self) -> list[Frame]:
        """The frames of the call itself; those of the synthetic `main()` are left out, and so is a last one cut short.

        What a model writes after `main()` has returned is not part of the run.
        """
        found: list[Frame] = []
        previous: Frame | None = None
        known: Mapping[str, str] = {}
        for position, written in enumerate(self._written):
            if self._is_cut(position):
                break
            event = self._event_of(written, previous)
            if event is Event.CALL:
                self._enter(written, position)
            if not self._stack:
                self._stack.append(_Activation("", 0, 0))
            top = self._stack[-1]
            top.line = self._line_of(position, top, event)
            depth = written.get("depth")
            frame = Frame(
                event=event,
                line=top.line,
                source=self._source_of(written, top.line),
                value=written.get("value") if event in (Event.RETURN, Event.EXCEPTION) else None,
                function=written.get("function") or top.function,
                depth=depth if isinstance(depth, int) else len(self._stack) - 1 - self._stack[0].is_main,
            )
            if not same_python_frame(previous, frame):
                known = {}
            if event in (Event.CALL, Event.LINE):
                frame = replace(frame, locals=expand_locals(written.get("locals") or {}, known))
                known = frame.locals
                top.names = frozenset(known)
            previous = frame
            if not top.is_main:
                found.append(frame)
            if event is Event.RETURN:
                self._stack.pop()
                if top.is_main:
                    break
        return found

    def _is_cut(self, position: int) -> bool:
        """Whether the frame is the last one and, unlike the one before, ends within its line: the words stop there."""
        if position == 0 or position < len(self._written) - 1 or isinstance(self._written[position].get("line"), int):
            return False
        before, last = (str(frame.get("source") or "") for frame in self._written[-2:])
        return before.endswith("\n") and not last.endswith("\n")

    def _event_of(self, written: Mapping[str, Any], previous: Frame | None) -> Event:
        name: str = written["event"]
        if name == RETURN_OR_EXCEPTION:
            value: str = written["value"]
            return Event.EXCEPTION if value.startswith("(<class '") and "<traceback object" in value else Event.RETURN
        if self._events_lost and name == "line" and self._must_be_call(written, previous):
            return Event.CALL
        return Event(name)

    def _must_be_call(self, written: Mapping[str, Any], previous: Frame | None) -> bool:
        """Whether what reads as a LINE frame enters a lambda or a comprehension, or resumes a generator.

        Their lines or their variables cannot be those of the Python frame on top.
        """
        values: dict[str, str] = written.get("locals") or {}
        if not self._stack or UNCHANGED in values.values():
            return False
        top = self._stack[-1]
        code = self._flow.code_at(top.first_line, top.function)
        own = code.line_numbers if code is not None else frozenset[int]()
        if self._resumed_on(written) and own.isdisjoint(self._numbers_of(written)):
            return True
        if not any(code.name.startswith("<") for code in self._codes_on(written)):
            return False
        if ".0" in values and ".0" not in top.names:
            return True
        inside = previous is not None and previous.event in (Event.CALL, Event.LINE) and ".0" in top.names
        return not top.names <= values.keys() or (".0" in values and inside)

    def _codes_on(self, written: Mapping[str, Any]) -> list[_Code]:
        numbers = self._numbers_of(written)
        return [code for code in self._codes if code.line in numbers]

    def _resumed_on(self, written: Mapping[str, Any]) -> list[_Code]:
        """The generators that hold the frame's line, the innermost first: a CALL there resumes one."""
        around = [
            code
            for code in self._flow.codes
            if code.is_generator
            and any(code.first_line <= line <= code.last_line for line in self._numbers_of(written))
        ]
        return [_Code(code.name, code.first_line, frozenset(code.variables)) for code in reversed(around)]

    def _enter(self, written: Mapping[str, Any], position: int) -> None:
        source = written.get("source") or ""
        if position == 0 and self._synthetic_main and source.split("#")[0].rstrip() == MAIN_DEF.rstrip():
            self._stack.append(_Activation("main", 0, 0, is_main=True))
            return
        names = set(written.get("locals") or {})
        codes = [*self._codes_on(written), *self._resumed_on(written)]
        lambdas = [code for code in codes if code.name.startswith("<")]
        defined = [code for code in codes if not code.name.startswith("<")]
        fitting = [code for code in lambdas if (".0" in names) is (code.name != "<lambda>")]
        fitting = [code for code in fitting if names <= code.names] or fitting
        chosen = next(iter(fitting if ".0" in names else [*defined, *fitting]), None)
        if chosen is None:
            self._stack.append(_Activation("", 0, 0))
        else:
            self._stack.append(_Activation(chosen.name, chosen.line, chosen.line))

    def _numbers_of(self, written: Mapping[str, Any]) -> list[int]:
        line = written.get("line")
        if isinstance(line, int):
            return [line]
        source: str = written["source"]
        return self._numbers.get(_without_mark(source), [])

    def _line_of(self, position: int, top: _Activation, event: Event) -> int:
        """The frame's line; 0 where the file has no such line.

        Of several lines that read the same: one that control flow allows next, and from where it allows most of the
        lines that were written after it; else the next one further down.
        """
        numbers = self._numbers_of(self._written[position])
        if len(numbers) < 2:
            return numbers[0] if numbers else 0
        if event is Event.CALL:
            return top.line if top.line in numbers else numbers[0]
        if event in (Event.RETURN, Event.EXCEPTION) and top.line in numbers:
            return top.line
        code = self._flow.code_at(top.first_line, top.function)
        if code is not None:
            entered = top.line == top.first_line
            possible = code.entry_lines if entered else code.after_line(top.line) | code.after_exception(top.line)
            numbers = [number for number in numbers if number in possible] or numbers
        return min(
            numbers,
            key=lambda number: (
                -self._steps_possible_after(number, code, position),
                number < top.line,
                abs(number - top.line),
            ),
        )

    def _steps_possible_after(self, line: int, code: CodeFlow | None, position: int) -> int:
        """How many of the LINE frames written right behind this one can follow it, if it is this line."""
        lines = frozenset([line])
        count = 0
        for written in self._written[position + 1 : position + 1 + _LOOK_AHEAD]:
            if code is None or written["event"] != "line":
                break
            lines = frozenset[int]().union(*map(code.after_line, lines)) & frozenset(self._numbers_of(written))
            if not lines:
                break
            count += 1
        return count

    def _source_of(self, written: Mapping[str, Any], line: int) -> str:
        if 0 < line < len(self._lines):
            return self._lines[line]
        source = written.get("source")
        return source if isinstance(source, str) else ""


def _without_mark(line: str) -> str:
    return line.rstrip("\n").removesuffix(_START_MARK).rstrip()
