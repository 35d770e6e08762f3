"""Where in the program a run stands: the call stack that its frames imply, and the frames that can come next.

CWM writes no line numbers, only the text of lines. What can follow in the control flow tells equal lines apart; where
two equal lines can both follow, all explanations are kept until a later frame rules some out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

from debugger.bindings import RUN_AT_ONCE, Binding
from debugger.flow import CodeFlow, ModuleFlow, Next
from debugger.predicted.branches import Way
from debugger.predicted.prompt import MAIN_DEPTH
from debugger.trace import Event

MAX_EXPLANATIONS = 16
"""Explanations kept at once; more than a handful never lasts beyond a few frames."""
UNKNOWN_LINE = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A frame that can come next, as far as control flow tells."""

    event: Event
    line: int
    code: CodeFlow | None
    """None: the `main` that makes the call."""
    suspends: bool = False
    """A RETURN that is a yield: the generator can be resumed."""
    resumes: bool = False
    """A CALL that resumes a generator."""
    binding: Binding | None = None
    """Of a LINE, what has become of the locals that its Python frame showed last; None where that cannot be told."""
    returns: str | None = None
    """Of a RETURN, the local whose value it gives back, where that is certain."""
    is_inside: bool = False
    """A CALL of a comprehension by the very Python frame that is around it."""


def with_names(steps: Sequence[Step], names: Collection[str], shown: Collection[str]) -> list[Step]:
    """Those of `steps` whose locals can have these names, or all of them where none can.

    `shown` are the names that the Python frame that runs has shown last.
    """
    return [step for step in steps if step.code and _can_have(step, step.code, names, shown)] or [*steps]


def on_the_way(steps: Sequence[Step], way: Way) -> list[Step]:
    """Those of `steps` that keep to the way, or all of them where none does."""
    return [step for step in steps if _keeps_to(step, way)] or [*steps]


def _keeps_to(step: Step, way: Way) -> bool:
    match step.event:
        case Event.LINE:
            return way.has_line(step.line)
        case Event.RETURN:
            return way.returns and not step.suspends
        case _:
            return way.does_more


def _can_have(step: Step, code: CodeFlow, names: Collection[str], shown: Collection[str]) -> bool:
    if step.event is Event.CALL and not step.resumes:
        return code.enters_with(names)
    if step.binding is None:
        return code.has(names)
    return step.binding.certain.issubset(names) and step.binding.possible.issuperset({*names}.difference(shown))


@dataclass(frozen=True, slots=True)
class _Activation:
    """A Python frame on the stack: its code, the last line it showed, and the event it showed it with."""

    code: CodeFlow | None
    line: int
    event: Event

    def next(self) -> Next:
        if self.code is None:
            return Next(return_lines=frozenset({UNKNOWN_LINE}), calls=True, raises=True)
        if self.event is Event.CALL:
            return self.code.entry
        if self.event is Event.EXCEPTION:
            return self.code.next_after_exception(self.line)
        return self.code.next(self.line)


@dataclass(frozen=True, slots=True)
class Place:
    """A step that was taken, with its depth; `previous` leads back to the first."""

    step: Step
    depth: int
    previous: Place | None


@dataclass(frozen=True, slots=True)
class _Explanation:
    """One way to read the frames so far: the stack they lead to and the generators that wait."""

    stack: tuple[_Activation, ...]
    suspended: tuple[tuple[CodeFlow, int], ...] = ()
    place: Place | None = None

    def after(self, step: Step) -> _Explanation:
        """The explanation one step on; the step need not be a possible one."""
        stack, suspended = self.stack, self.suspended
        depth = MAIN_DEPTH + len(stack) - (step.event is not Event.CALL)
        if step.event is Event.CALL:
            event = Event.LINE if step.resumes else Event.CALL
            stack = (*stack, _Activation(step.code, step.line, event))
            if step.resumes and step.code is not None:
                waiting = (step.code, step.line)
                index = suspended.index(waiting)
                suspended = suspended[:index] + suspended[index + 1 :]
        elif step.event is Event.RETURN:
            stack = stack[:-1]
            if step.suspends and step.code is not None:
                suspended = (*suspended, (step.code, step.line))
        else:
            stack = (*stack[:-1], _Activation(step.code, step.line, step.event))
        return _Explanation(stack, suspended, Place(step, depth, self.place))


def _is_inside(code: CodeFlow, stack: Sequence[_Activation]) -> bool:
    """Whether the frame on top must be the one that this code object, entered now, has its variables from."""
    if code.parent is None or stack[-1].code is not code.parent:
        return False
    once = sum(activation.code is code.parent for activation in stack) == 1
    return code.name in RUN_AT_ONCE or (code.name == "<genexpr>" and once)


class Position:
    """Follows a run frame by frame and says which frames can come next. Starts inside `main`, before the call."""

    def __init__(
        self, flow: ModuleFlow, lines: Sequence[str], known_lines: Iterable[int], first: CodeFlow | None = None
    ) -> None:
        """Follow runs of the file with these physical `lines`.

        Only code whose first line is in `known_lines` can be called: the model has not seen the rest. `first` is the
        function that the call certainly enters first, if that is known.
        """
        known = frozenset(known_lines)
        self._flow = flow
        self._lines = lines
        self._callable = [code for code in flow.codes if code.first_line in known]
        self._first = first
        self._explanations = [_Explanation((_Activation(None, UNKNOWN_LINE, Event.LINE),))]

    @property
    def depth(self) -> int:
        """The depth of the Python frame that runs now; MAIN_DEPTH in `main`."""
        return MAIN_DEPTH + len(self._explanations[0].stack) - 1

    @property
    def here(self) -> tuple[CodeFlow | None, int]:
        """The code that runs now, and the last line that it showed."""
        stack = self._explanations[0].stack
        return (stack[-1].code, stack[-1].line) if stack else (None, UNKNOWN_LINE)

    @property
    def is_certain(self) -> bool:
        """Whether equal lines leave no doubt about that."""
        return len(self._explanations) == 1

    def copy(self) -> Position:
        """A position that can go on by itself."""
        other = copy(self)
        other._explanations = list(self._explanations)
        return other

    @property
    def generators_wait(self) -> bool:
        """Whether generators are suspended; one that is left open is closed when its owner is gone."""
        return bool(self._explanations[0].suspended)

    @property
    def place(self) -> Place | None:
        """The last step taken, by the likeliest explanation."""
        return self._explanations[0].place

    def places(self) -> list[Place]:
        """All steps taken so far, first to last, by the likeliest explanation."""
        places: list[Place] = []
        place = self.place
        while place is not None:
            places.append(place)
            place = place.previous
        return places[::-1]

    def text(self, step: Step) -> str:
        """The source line of a step in the user's file."""
        return self._lines[step.line - 1]

    def steps(self) -> list[Step]:
        """Every frame that can come next, without repetition; `main`'s own return and exception have `code` None."""
        return list(dict.fromkeys(step for each in self._explanations for step in self._steps(each)))

    def take(self, steps: Sequence[Step]) -> None:
        """Go on with those of `steps()` that the next frame's event and text agree with."""
        chosen = frozenset(steps)
        self._explanations = [
            each.after(step) for each in self._explanations for step in self._steps(each) if step in chosen
        ][:MAX_EXPLANATIONS]
        if not self._explanations:
            raise ValueError("none of these steps can come next")

    def find(self, event: Event, source: str, line: int | None = None) -> list[Step]:
        """The possible steps with this event and text, and this line if one is given."""
        return [
            step
            for step in self.steps()
            if step.event is event and step.code is not None and self.text(step) == source and line in (None, step.line)
        ]

    def leap(self, event: Event, source: str, line: int | None = None) -> None:
        """Go on with a frame that control flow does not allow, as close to where the run stands as its text allows."""
        here = self._explanations[0]
        if len(here.stack) == 1 and event is not Event.CALL:
            # `main` shows no frame of the user's file: read it as belonging to the function that was left too early.
            code = here.place.step.code if here.place else self._first
            here = _Explanation((*here.stack, _Activation(code, UNKNOWN_LINE, Event.LINE)), here.suspended, here.place)
        if event is Event.CALL:
            found = [Step(event, code.first_line, code) for code in self._callable]
        else:
            code = here.stack[-1].code
            numbers = sorted(code.line_numbers) if code else []
            found = [Step(event, number, code) for number in numbers]
        found = [step for step in found if self.text(step) == source and line in (None, step.line)]
        unknown = Step(event, line or UNKNOWN_LINE, None if event is Event.CALL else here.stack[-1].code)
        self._explanations = [here.after(step) for step in found[:MAX_EXPLANATIONS] or [unknown]]

    def _steps(self, explanation: _Explanation) -> Iterator[Step]:
        if not explanation.stack:
            return
        top = explanation.stack[-1]
        if explanation.place is None and self._first is not None:
            yield Step(Event.CALL, self._first.first_line, self._first)
            return
        following = top.next()
        for line in sorted(following.lines):
            yield Step(Event.LINE, line, top.code, binding=following.bindings.get(line))
        # On a fresh line a yield comes before a return; a resumed generator has its yield behind it.
        for line in sorted(following.yield_lines):
            yield Step(Event.RETURN, line, top.code, suspends=True)
        for line in sorted(following.return_lines):
            yield Step(Event.RETURN, line, top.code, returns=following.returns)
        if following.raises:
            yield Step(Event.EXCEPTION, top.line, top.code)
        if following.calls:
            for code, line in dict.fromkeys(explanation.suspended):
                yield Step(Event.CALL, line, code, resumes=True)
            if top.code is None and self._first is not None:
                return  # back in `main`, nothing is called anew: generators left open are closed
            for code in self._callable:
                if self._can_be_called(code, top):
                    yield Step(Event.CALL, code.first_line, code, is_inside=_is_inside(code, explanation.stack))

    @staticmethod
    def _can_be_called(code: CodeFlow, caller: _Activation) -> bool:
        """Comprehensions and class bodies run where they are written; else a function may have been passed around."""
        if code.name in RUN_AT_ONCE or code.entering is None:
            return code.parent is caller.code
        return code.called_from is None or caller.code is None or caller.line in code.called_from
