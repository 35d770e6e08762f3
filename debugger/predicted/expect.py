"""What the next frames of a prediction likely are: guesses for drafts, which the model then confirms or not.

Guesses come from the control flow, from the text of the lines (`lines.py`), from what happened at the same place
before, and from a run that is expected: the real one while checking, or an earlier prediction.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, cast

from debugger.flow import CodeFlow
from debugger.predicted.branches import Branches, Turns, Way
from debugger.predicted.codec import UNCHANGED, expand_locals, same_python_frame
from debugger.predicted.expressions import Expressions
from debugger.predicted.lines import COMPREHENSIONS, Comprehension, LineFacts, facts_by_line
from debugger.predicted.literals import UnknownError
from debugger.predicted.position import Position, Step, on_the_way
from debugger.trace import Event, Frame

_LOOK_AHEAD = 64
"""Frames of the expected run among which the prediction may find its way back to it."""
_MOST_ROUNDS = 1000
"""Of a range in a comprehension; more are not looked at."""
_ITERATORS: Mapping[type, str] = {
    list: "list_iterator",
    tuple: "tuple_iterator",
    dict: "dict_keyiterator",
    set: "set_iterator",
    range: "range_iterator",
    str: "str_ascii_iterator",
}
_LONGEST_NUMBER = 1000
"""Digits of a number that is counted on from."""
_NO_FACTS = LineFacts()
_UNWINDING = "None"


@dataclass(frozen=True, slots=True)
class Text:
    """A guessed text and the kind of reasoning behind it, by which guesses are judged."""

    text: str
    kind: str
    whole: bool = True
    """Whether the text is thought to be complete; else only its beginning is."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A frame that may come next."""

    step: Step
    kind: str
    """Of the reasoning behind event and line."""
    written: Mapping[str, Text] = field(default_factory=dict[str, Text])
    """LOCALS as the model would write them; behind one that is not `whole`, nothing more is guessed."""
    value: Text | None = None


_UNKNOWN = Text("", "unknown", whole=False)
_Key: TypeAlias = tuple[object, ...]


@dataclass(slots=True)
class Scene:
    """Where a run stands: what is known when its next frame is guessed."""

    position: Position
    previous: Frame | None = None
    locals_at: dict[int, Mapping[str, str]] = field(default_factory=dict[int, Mapping[str, str]])
    lines: dict[int, int] = field(default_factory=dict[int, int])
    """For each depth the line of the last LINE frame."""
    calls: dict[int, int] = field(default_factory=dict[int, int])
    """For each depth how many calls were made since."""
    turns: dict[int, Turns] = field(default_factory=dict[int, Turns])
    """For each depth where it stands in its loops."""
    count: dict[int, int] = field(default_factory=dict[int, int])
    """For each depth the number of LINE frames."""
    keys: tuple[_Key, ...] = ()
    """The last two places."""
    expected: int = 0
    """The next frame of the expected run."""
    differs: bool = False
    """The last frame shared with the expected run had other values."""

    def copy(self) -> Scene:
        """A scene that can go on by itself."""
        return Scene(
            self.position.copy(),
            self.previous,
            dict(self.locals_at),
            dict(self.lines),
            dict(self.calls),
            dict(self.turns),
            dict(self.count),
            self.keys,
            self.expected,
            self.differs,
        )

    def known(self, event: Event) -> Mapping[str, str]:
        """What `".."` can stand for in the next frame."""
        depth = self.position.depth + (event is Event.CALL)
        here = Frame(event, 0, "", depth=depth)
        return self.locals_at.get(depth, {}) if same_python_frame(self.previous, here) else {}


class Expectation:
    """Guesses frame after frame, and learns from those that came."""

    def __init__(self, tree: ast.Module, expressions: Expressions, expected: Sequence[Frame] = ()) -> None:
        """`tree` is the file's syntax tree; `expected` is a run that may well be the same."""
        self._facts = facts_by_line(tree)
        self._expressions = expressions
        self._branches = Branches(tree, expressions)
        self._expected = expected
        self._next: dict[_Key, tuple[Event, int, str]] = {}
        """After each place, what came next last time."""
        self._changed: dict[tuple[str, int], tuple[str, ...]] = {}
        """For each function and line the names whose values it changed last time."""
        self._values: dict[tuple[str, int, str], list[str]] = {}
        """For each function, line and name the values that it gave it."""
        self._results: dict[tuple[str, int, Event], str] = {}
        """For each function, line and event the value that came out of it last."""
        self._spelled_out: dict[tuple[str, int, str], bool] = {}
        """For each function, line and name whether the model last wrote a value out for which `".."` could stand."""
        self._entered: dict[tuple[str, int], Mapping[str, str]] = {}
        """For each function and its line what it was called with last."""
        self._last: dict[str, Mapping[str, str]] = {}
        """For each function the locals that it showed last."""

    # What came.

    def advance(
        self, scene: Scene, frame: Frame, written: Mapping[str, str] | None = None, *, learn: bool = True
    ) -> None:
        """Take a frame into the scene, whose position has it already; learn from it if it is no guess.

        `written` are its LOCALS in the model's words, if they are the model's.
        """
        depth = frame.depth
        if learn:
            self._learn(scene, frame)
            self._learn_spelling(scene, frame, written or {})
        if frame.event is Event.CALL:
            scene.calls[depth - 1] = scene.calls.get(depth - 1, 0) + 1
            scene.calls[depth] = 0
            scene.lines.pop(depth, None)
            scene.turns[depth] = Turns()
            scene.count[depth] = 0
        elif frame.event is Event.LINE:
            line = frame.line if scene.position.is_certain else None
            scene.turns[depth] = self._branches.follow(scene.turns.get(depth, Turns()), line, frame.locals)
            scene.count[depth] = scene.count.get(depth, 0) + 1
            scene.lines[depth] = frame.line
            scene.calls[depth] = 0
        if frame.event in (Event.CALL, Event.LINE):
            scene.locals_at[depth] = frame.locals
        scene.previous = frame
        scene.keys = (*scene.keys[-1:], self._place(scene))
        self._follow_expected(scene, frame)

    def _learn(self, scene: Scene, frame: Frame) -> None:
        told = (frame.event, frame.line, frame.function)
        for key in self._keys(scene):
            self._next[key] = told
        if frame.event is Event.CALL:
            self._entered[frame.function, frame.line] = frame.locals
        if frame.event in (Event.CALL, Event.LINE):
            self._last[frame.function] = frame.locals
        if frame.value is not None:
            self._results.pop((frame.function, frame.line, frame.event), None)
            self._results[frame.function, frame.line, frame.event] = frame.value
        shown = scene.locals_at.get(frame.depth)
        line = scene.lines.get(frame.depth, 0)
        if frame.event is Event.LINE and shown is not None and line:
            changed = tuple(name for name, text in frame.locals.items() if shown.get(name) != text)
            self._changed[frame.function, line] = changed
            for name in changed:
                self._values.setdefault((frame.function, line, name), []).append(frame.locals[name])

    def _learn_spelling(self, scene: Scene, frame: Frame, written: Mapping[str, str]) -> None:
        if frame.event is not Event.LINE:
            return
        known = scene.known(frame.event)
        for name, text in written.items():
            if known.get(name) == frame.locals[name]:
                self._spelled_out[frame.function, frame.line, name] = text != UNCHANGED

    def _follow_expected(self, scene: Scene, frame: Frame) -> None:
        for index in range(scene.expected, min(scene.expected + _LOOK_AHEAD, len(self._expected))):
            other = self._expected[index]
            if (other.event, other.line, other.function, other.depth) == (
                frame.event,
                frame.line,
                frame.function,
                frame.depth,
            ):
                scene.expected = index + 1
                scene.differs = other.value != frame.value or dict(other.locals) != dict(frame.locals)
                return

    # What may come.

    def steps(self, scene: Scene) -> list[Step]:
        """Every frame that can come next, as far as control flow and the values shown tell."""
        return self.steps_and_way(scene)[0]

    def steps_and_way(self, scene: Scene) -> tuple[list[Step], Way | None]:
        """The same, and the way that they keep to, if there is one."""
        steps = scene.position.steps()
        way = self._certain_way(scene)
        return (steps if way is None else on_the_way(steps, way)), way

    def _certain_way(self, scene: Scene) -> Way | None:
        """The way that control takes now, if the last frame is a line that says so without doubt."""
        return self._way(scene) if self._expressions.are_certain and scene.position.is_certain else None

    def _way(self, scene: Scene) -> Way | None:
        """The same, where objects may be something else than they look like."""
        code, _ = scene.position.here
        if code is None or scene.previous is None or scene.previous.event is not Event.LINE:
            return None
        return self._branches.way(scene.turns.get(scene.position.depth, Turns()), code)

    def guess(self, scene: Scene, steps: Sequence[Step], written: Mapping[str, str] | None = None) -> Guess | None:
        """The likeliest next frame with one of these steps; `written` is what the model has written of LOCALS.

        The last entry of `written` is only the beginning of a value.
        """
        if not steps:
            return None
        expected = self._from_expected(scene, steps)
        if expected is not None:
            step, kind = expected, "expected"
        else:
            step, kind = self._likeliest(scene, steps)
        template = self._expected[scene.expected] if expected is not None else None
        if step.event in (Event.CALL, Event.LINE):
            return Guess(step, kind, self._locals(scene, step, template))
        return Guess(step, kind, value=self._value(scene, step, template))

    def _from_expected(self, scene: Scene, steps: Sequence[Step]) -> Step | None:
        if scene.expected >= len(self._expected):
            return None
        frame = self._expected[scene.expected]
        return next(
            (
                step
                for step in steps
                if (step.event, step.line) == (frame.event, frame.line)
                and step.code is not None
                and step.code.name == frame.function
            ),
            None,
        )

    def _at(self, line: int) -> LineFacts:
        return self._facts.get(line, _NO_FACTS)

    def _place(self, scene: Scene) -> _Key:
        frame = scene.previous
        code, line = scene.position.here
        return (frame and frame.event, frame and frame.line, code and (code.name, code.first_line), line)

    @staticmethod
    def _keys(scene: Scene) -> list[_Key]:
        return [scene.keys[-2:], scene.keys[-1:]]

    def _likeliest(self, scene: Scene, steps: Sequence[Step]) -> tuple[Step, str]:
        """One of the steps, and why."""
        if len(steps) == 1:
            return steps[0], "only step"
        depth = scene.position.depth
        previous = scene.previous
        facts = self._at(scene.position.here[1])
        unwinding = previous is not None and previous.event is Event.RETURN and previous.value == _UNWINDING
        at_line = previous is not None and (
            previous.event is Event.LINE or (previous.event is Event.RETURN and not unwinding)
        )
        made = scene.calls.get(depth, 0)
        ends = self._ends_comprehension(scene, steps)
        if at_line and ends is not None:
            return ends, "loop"
        begins = self._begins_comprehension(facts.comprehensions[made:], steps)
        if at_line and begins is not None:
            return begins, "comprehension"
        if at_line and made < len(facts.calls):
            called = self._called(facts.calls[made:], steps)
            if called is not None:
                return called, "call"
        lines = [step for step in steps if step.event is Event.LINE]
        way = self._way(scene)
        if way is not None:
            return on_the_way(steps, way)[0], "condition" if facts.loop is None else "loop"
        for position, key in enumerate(self._keys(scene)):
            told = self._next.get(key)
            if told is not None:
                for step in steps:
                    name = step.code.name if step.code else ""
                    if (step.event, step.line, name) == told:
                        return step, "again" if position else "again twice"
        for event, applies in ((Event.RETURN, facts.returns), (Event.EXCEPTION, facts.raises)):
            found = [step for step in steps if step.event is event and applies]
            if found:
                return found[0], event.value
        if len(lines) == 1:
            return lines[0], "only line"
        if lines:
            ahead = [step for step in lines if step.line > scene.position.here[1]]
            return (ahead or lines)[0], "branch"
        returns = [step for step in steps if step.event is Event.RETURN]
        return (returns or steps)[0], "other"

    @staticmethod
    def _begins_comprehension(comprehensions: Sequence[Comprehension], steps: Sequence[Step]) -> Step | None:
        """The first of a line's comprehensions that are still to run."""
        for step in steps if comprehensions else ():
            kind = COMPREHENSIONS.get(step.code.name) if step.code is not None else None
            if step.event is Event.CALL and kind is type(comprehensions[0]) and step.line == comprehensions[0].lineno:
                return step
        return None

    def _ends_comprehension(self, scene: Scene, steps: Sequence[Step]) -> Step | None:
        """The return of the comprehension that runs, if it has had all its items."""
        code, _ = scene.position.here
        rounds = self._rounds_of(scene, code)
        # A line comes before each item, and once more when there is none left.
        if rounds is None or scene.count.get(scene.position.depth, 0) <= len(rounds):
            return None
        return next((step for step in steps if step.event is Event.RETURN), None)

    def _rounds_of(self, scene: Scene, code: CodeFlow | None) -> Sequence[Mapping[str, str]] | None:
        """What the names of a comprehension hold in each round, if this code is one of which that can be told."""
        kind = COMPREHENSIONS.get(code.name) if code is not None else None
        if kind is None or code is None:
            return None
        found = next((each for each in self._at(code.first_line).comprehensions if type(each) is kind), None)
        if found is None:
            return None
        first = found.generators[0]
        items = self._items(first, scene.locals_at.get(scene.position.depth - 1, {}), ())
        return [_unpacked(first.target, item) for item in items[:_MOST_ROUNDS]] if items is not None else None

    def _items(
        self, loop: ast.For | ast.comprehension, shown: Mapping[str, str], variables: Sequence[str]
    ) -> Sequence[Any] | None:
        """What a loop goes through, by what its function shows; None where that is unknown."""
        try:
            items = self._branches.iterated(loop.iter, shown, variables)
        except UnknownError:
            return None
        if isinstance(items, (set, frozenset)):
            return None
        return items if isinstance(items, (list, tuple, str, range)) else [*items]

    def _called(self, calls: Sequence[ast.Call], steps: Sequence[Step]) -> Step | None:
        """The function of this file that the first call of one enters."""
        fresh = [step for step in steps if step.event is Event.CALL and step.code is not None and not step.resumes]
        for call in calls:
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", None)
            for step in fresh:
                assert step.code is not None
                if step.code.name == name or step.code.qualname == f"{name}.__init__":
                    return step
        return None

    def _locals(self, scene: Scene, step: Step, template: Frame | None) -> dict[str, Text]:
        known = scene.known(step.event)
        if template is not None and step.code is not None and template.locals.keys() <= set(step.code.variables):
            return self._expected_locals(scene, step, template, known)
        if step.event is Event.CALL:
            return self._arguments(scene, step)
        return self._state(scene, step, known)

    def _expected_locals(self, scene: Scene, step: Step, template: Frame, known: Mapping[str, str]) -> dict[str, Text]:
        """The names of the expected frame; where values differ by now, new ones as the line and its past suggest."""
        before = self._expected_before(scene)
        shown = scene.locals_at.get(scene.position.depth, {})
        line = scene.lines.get(scene.position.depth, 0)
        suggested: Mapping[str, Text] = {}
        if scene.differs and step.event is Event.LINE and step.code is not None and line:
            suggested = self._changes(scene, step.code, line, shown)
        found: dict[str, Text] = {}
        for name, text in template.locals.items():
            same = before.get(name) == text and step.event is Event.LINE
            guess = Text(shown.get(name, text), "expected") if same else Text(text, "expected value")
            if suggested.get(name, _UNKNOWN).kind != "unknown":
                guess = suggested[name]
            is_known = (same and name in known and name not in suggested) or known.get(name) == guess.text
            found[name] = self._unchanged(step, name, guess) if is_known else guess
        return found

    def spells_out(self, function: str, line: int, name: str) -> bool:
        """Whether the model is used to write a value there for which `".."` could stand."""
        return self._spelled_out.get((function, line, name), False)

    def _unchanged(self, step: Step, name: str, guess: Text) -> Text:
        """A value that the frame before showed, as the model likely writes it."""
        if step.code is not None and self.spells_out(step.code.name, step.line, name):
            return replace(guess, kind="spelled out")
        return replace(guess, text=UNCHANGED, whole=True)

    def _expected_before(self, scene: Scene) -> Mapping[str, str]:
        """What the expected run showed last in the Python frame of its next one."""
        depth = self._expected[scene.expected].depth
        for index in range(scene.expected - 1, -1, -1):
            frame = self._expected[index]
            if frame.depth == depth and frame.event in (Event.CALL, Event.LINE):
                return frame.locals
            if frame.depth < depth:
                break
        return {}

    def _state(self, scene: Scene, step: Step, known: Mapping[str, str]) -> dict[str, Text]:
        """LOCALS of a LINE frame."""
        depth = scene.position.depth
        shown = scene.locals_at.get(depth, {})
        line = scene.lines.get(depth, 0)
        code = step.code
        assert code is not None
        changed = self._changes(scene, code, line, shown) if line else {}
        found: dict[str, Text] = {}
        for name, text in shown.items():
            guess = changed.pop(name, None)
            if guess is None:
                found[name] = (
                    self._unchanged(step, name, Text(text, "same")) if name in known else Text(text, "same, whole")
                )
            else:
                found[name] = self._unchanged(step, name, guess) if guess.text == known.get(name) else guess
        new = sorted(changed, key=lambda name: _index(code, name))
        return found | {name: changed[name] for name in new}

    def _changes(self, scene: Scene, code: CodeFlow, line: int, shown: Mapping[str, str]) -> dict[str, Text]:
        """The names whose values a line changes, with the new ones."""
        rounds = self._rounds_of(scene, code)
        if rounds is not None:
            done = scene.count.get(scene.position.depth, 0)
            if not 0 < done <= len(rounds):
                return {}
            return {name: Text(text, "item") for name, text in rounds[done - 1].items()}
        facts = self._at(line)
        if facts.loop is not None:
            turns = scene.turns.get(scene.position.depth, Turns())
            turn, at_first = turns.loops.get(line, (0, shown))
            for values in (shown, at_first):  # what it goes through may have been changed since, or the name
                items = self._items(facts.loop, values, code.variables)
                if items is not None and turn < len(items):
                    return {
                        name: Text(text, "item") for name, text in _unpacked(facts.loop.target, items[turn]).items()
                    }
                if items is not None and values is at_first:
                    return {}
        names = self._changed.get((code.name, line))
        if names is None:
            possible = set(code.variables)
            names = [name for name in facts.binds if name in possible]
            names += [name for name in facts.changes if name in shown]
        elif facts.loop is not None and not names:  # it ended last time
            names = facts.binds
        return {name: self._new_value(facts, code, line, name, shown) for name in dict.fromkeys(names)}

    def _new_value(self, facts: LineFacts, code: CodeFlow, line: int, name: str, shown: Mapping[str, str]) -> Text:
        if name in facts.values:
            text = self._expressions.text(facts.values[name], shown, code.variables)
            if text is not None:
                return Text(text, "copied")
        old = shown.get(name)
        appended = self._appended(facts.calls, code, name, shown)
        if old is not None and appended is not None:
            return appended
        values = self._values.get((code.name, line, name), [])
        numbers = [int(text) for text in (*values[-2:], old) if text is not None and _is_whole_number(text)]
        if len(numbers) == 3:
            return Text(str(numbers[2] + numbers[1] - numbers[0]), "step")
        if old is not None and len(old) > 2 and old[0] in "[({'\"":
            return Text(old[:-1], "beginning", whole=False)
        if values and values[-1] != old:
            return Text(values[-1], "again")
        return _UNKNOWN

    def _arguments(self, scene: Scene, step: Step) -> dict[str, Text]:
        """LOCALS of a CALL frame."""
        code = step.code
        assert code is not None
        shown = scene.locals_at.get(scene.position.depth, {})
        here, line = scene.position.here
        variables = here.variables if here is not None else ()
        facts = self._at(line)
        if step.resumes:
            return self._resumed(code, step.line)
        if ".0" in code.variables:
            before = self._entered.get((code.name, code.first_line), {})
            kind = COMPREHENSIONS.get(code.name)
            text = next(
                (
                    self._iterator(each.generators[0].iter, shown, variables)
                    for each in facts.comprehensions
                    if type(each) is kind
                ),
                None,
            ) or before.get(".0")
            iterated = Text(text, "argument") if text else Text("<", "unknown", whole=False)
            free = {variable: shown[variable] for variable in code.variables if variable in shown}
            return {".0": iterated, **{variable: Text(text, "argument") for variable, text in free.items()}}
        for call in facts.calls[scene.calls.get(scene.position.depth, 0) :]:
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", None)
            if name != code.name and code.qualname != f"{name}.__init__":
                continue
            text_of = partial(self._expressions.text, shown=shown, variables=variables)
            values = [text_of(argument) for argument in call.args]
            if isinstance(call.func, ast.Attribute) and code.variables[:1] == ("self",):
                values.insert(0, text_of(call.func.value))
            given: dict[str, str | None] = dict(zip(code.variables, values, strict=False))
            given |= {word.arg: text_of(word.value) for word in call.keywords if word.arg}
            found: dict[str, Text] = {}
            for variable in code.variables:
                if variable in given:
                    text = given[variable]
                    found[variable] = Text(text, "argument") if text else _UNKNOWN
            return found
        entered = self._entered.get((code.name, code.first_line), {})
        names = [*entered] or [*(code.variables if code.name == "<lambda>" else ())]
        return {names[0]: _UNKNOWN} if names else {}

    def _resumed(self, code: CodeFlow, line: int) -> dict[str, Text]:
        """What a generator shows when it goes on: what it showed last; an expression has its next item since."""
        shown = {name: Text(text, "same, whole") for name, text in self._last.get(code.name, {}).items()}
        if code.name == "<genexpr>":
            given = self._entered.get((code.name, code.first_line), {})
            handed = self._results.get((code.name, line, Event.RETURN))
            target = next((name for name in code.variables if name not in given or name not in shown), "")
            if target:
                shown[target] = Text(handed, "handed out") if handed else _UNKNOWN
        return {name: shown[name] for name in code.variables if name in shown}

    def _value(self, scene: Scene, step: Step, template: Frame | None) -> Text:
        """VALUE of a RETURN or EXCEPTION frame."""
        if template is not None and template.value is not None and not scene.differs:
            return Text(template.value, "expected value")
        previous = scene.previous
        depth = scene.position.depth
        name = step.code.name if step.code else ""
        if step.event is Event.EXCEPTION:
            if previous is not None and previous.event is Event.RETURN:
                for (_, _, event), value in reversed(self._results.items()):
                    if event is Event.EXCEPTION:
                        return Text(value, "same exception")
            known = self._results.get((name, step.line, step.event))
            return Text(known, "exception again") if known else Text("(<class '", "exception", whole=False)
        if previous is not None and previous.event is Event.EXCEPTION and previous.depth == depth:
            return Text(_UNWINDING, "unwinding")
        facts = self._at(step.line)
        if not facts.returns and not step.suspends and step.code is not None and not step.code.name.startswith("<"):
            return Text(_UNWINDING, "no result")
        if step.code is not None and not step.code.name.startswith("<"):
            text = self._expressions.text(facts.result, scene.locals_at.get(depth, {}), step.code.variables)
            if text is not None:
                return Text(text, "copied")
        return _UNKNOWN

    def _appended(self, calls: Sequence[ast.Call], code: CodeFlow, name: str, shown: Mapping[str, str]) -> Text | None:
        """The value of a list that the line appends to."""
        for call in calls:
            match call.func:
                case ast.Attribute(value=ast.Name(id=receiver), attr="append") if (
                    receiver == name and len(call.args) == 1
                ):
                    old, item = shown.get(name, ""), self._expressions.text(call.args[0], shown, code.variables)
                    if not old.startswith("["):
                        return None
                    beginning = old[:-1] + (", " if len(old) > 2 else "")
                    return (
                        Text(f"{beginning}{item}]", "appended") if item else Text(beginning, "beginning", whole=False)
                    )
                case _:
                    pass
        return None

    def _iterator(self, iterated: ast.expr, shown: Mapping[str, str], variables: Sequence[str]) -> str | None:
        """The `repr` of the iterator that a comprehension is given, without its address."""
        match iterated:
            case ast.Call(func=ast.Name(id="enumerate" | "zip" as name)):
                return f"<{name} object>"
            case ast.Call(func=ast.Attribute(attr="items"), args=[]):
                return "<dict_itemiterator object>"
            case ast.Call(func=ast.Name(id="range")):
                return "<range_iterator object>"
            case _:
                try:
                    value: object = self._expressions.value(iterated, shown, variables)
                except UnknownError:
                    return None
                return f"<{_ITERATORS[type(value)]} object>" if type(value) in _ITERATORS else None

    def whole_value(self, scene: Scene, beginning: str) -> str | None:
        """A value seen before that begins so, the latest first."""
        for values in (*reversed(scene.locals_at.values()), *reversed(self._results.items())):
            texts = values.values() if isinstance(values, Mapping) else values[1:]
            for text in texts:
                if text.startswith(beginning) and text != beginning:
                    return text
        return None


def advance_by_guess(expectation: Expectation, scene: Scene, guess: Guess, steps: Sequence[Step]) -> bool:
    """Take a guessed frame into the scene as if it had come; False where it leaves the function that was called."""
    step = guess.step
    if step.code is None:
        return False
    source = scene.position.text(step)
    written = {name: text.text for name, text in guess.written.items()}
    known = scene.known(step.event)
    taken = [each for each in steps if each.event is step.event and each.code and scene.position.text(each) == source]
    scene.position.take(taken)
    place = scene.position.place
    assert place is not None
    value = guess.value.text if guess.value else None
    frame = Frame(
        step.event, place.step.line, source, expand_locals(written, known), value, step.code.name, place.depth
    )
    expectation.advance(scene, frame, learn=False)
    return place.depth >= 0 and not (step.event is Event.RETURN and place.depth == 0 and not step.suspends)


def _unpacked(target: ast.expr, item: Any) -> dict[str, str]:
    """The `repr` that each name of a loop's target gets, as far as that is known."""
    match target:
        case ast.Name(id=name):
            return {name: repr(item)}
        case ast.Tuple(elts=targets) if isinstance(item, (tuple, list)):
            found: dict[str, str] = {}
            for part, value in zip(targets, cast("Sequence[object]", item), strict=False):
                found |= _unpacked(part, value)
            return found
        case _:
            return {}


def _is_whole_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= _LONGEST_NUMBER


def _index(code: CodeFlow, name: str) -> int:
    return code.variables.index(name) if name in code.variables else len(code.variables)
