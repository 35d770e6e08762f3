"""What can happen next, after any line of a file: control flow from its bytecode, without importing or running it.

`ModuleFlow.from_source(text, filename).code_at(line, name).after_line(12)` are the lines that the next `line` event of
that Python frame can carry when its last one was line 12 and no exception came in between. Every step that a real
`sys.settrace` run of this interpreter can make is allowed; what is allowed beyond that is kept small.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType

from debugger.bindings import UNBOUND, Binding, Cells
from debugger.bytecode import Graph, Instruction, Reports, Step
from debugger.callers import calling_lines, lines_that_call, words

_QUIET = words(
    """
    BUILD_LIST BUILD_SLICE BUILD_STRING BUILD_TUPLE CACHE COPY COPY_FREE_VARS DUP_TOP DUP_TOP_TWO EXTENDED_ARG GEN_START
    IS_OP JUMP_ABSOLUTE JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_FORWARD KW_NAMES LIST_APPEND LIST_TO_TUPLE
    LOAD_ASSERTION_ERROR LOAD_CLOSURE LOAD_COMMON_CONSTANT LOAD_CONST LOAD_FAST_AND_CLEAR LOAD_LOCALS LOAD_METHOD_NULL
    MAKE_CELL MAKE_FUNCTION MATCH_MAPPING MATCH_SEQUENCE NOP POP_BLOCK POP_JUMP_BACKWARD_IF_NONE
    POP_JUMP_BACKWARD_IF_NOT_NONE POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE POP_JUMP_IF_NONE
    POP_JUMP_IF_NOT_NONE PUSH_EXC_INFO PUSH_NULL RESUME RETURN_GENERATOR ROT_FOUR ROT_N ROT_THREE ROT_TWO
    SET_FUNCTION_ATTRIBUTE SETUP_FINALLY SWAP
    """
)
"""Neither run user code nor raise."""

_DROPPING = words(
    """
    DELETE_DEREF DELETE_FAST DELETE_GLOBAL END_FOR END_SEND POP_EXCEPT POP_TOP RETURN_CONST RETURN_VALUE STORE_DEREF
    STORE_FAST STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST STORE_GLOBAL
    """
)
"""Release a value: user code runs only if that closes a generator or calls `__del__`."""

_TIDYING = words("NOP POP_BLOCK POP_TOP ROT_TWO SWAP")
"""What is between the value of a `return` in a loop and its end: the loop's iterator goes."""

_LOADING = words(
    """
    CHECK_EXC_MATCH DELETE_DEREF DELETE_FAST DELETE_GLOBAL JUMP_IF_NOT_EXC_MATCH LOAD_BUILD_CLASS LOAD_CLASSDEREF
    LOAD_DEREF LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_LOAD_FAST LOAD_GLOBAL YIELD_VALUE
    """
)
"""Run no user code but can raise: unbound names, a class that is no exception, what is thrown in at a yield."""

_CALLING = ("CALL", "PRECALL", "IMPORT", "RAISE_VARARGS", "SETUP_WITH", "BEFORE_", "SETUP_ASYNC_WITH", "WITH_EXCEPT")
"""Prefixes of instructions that call; all that remain call only implicitly, as operators and attributes do."""


@dataclass(frozen=True, slots=True)
class Next:
    """What a Python frame can do before its next `line` event, and which line that can be."""

    lines: frozenset[int] = frozenset()
    """Lines of the next `line` event."""
    return_lines: frozenset[int] = frozenset()
    """Lines that a `return` event before it can carry: a result, or the unwinding of an exception."""
    yield_lines: frozenset[int] = frozenset()
    """Lines that the `return` event of a `yield` or `await` before it can carry."""
    calls: bool = False
    """User code can be called before it."""
    raises: bool = False
    """An `exception` event can come before it."""
    bindings: Mapping[int, Binding] = field(default_factory=dict[int, Binding], hash=False)
    """For each of `lines` what happens to locals on the way; none where that cannot be told."""
    returns: str | None = None
    """The local whose value a `return` event gives back, as it stands: nothing else comes before it."""


_NOTHING = Next()


@dataclass(frozen=True, slots=True, eq=False)
class CodeFlow:
    """The possible steps of the Python frames of one code object: a function, lambda, comprehension or class body."""

    name: str
    """`co_name`, as in `Frame.function`."""
    qualname: str
    first_line: int
    """The line of its `call` event when it is entered afresh; a resumed generator is called at its yield's line."""
    last_line: int
    variables: tuple[str, ...]
    """All names that can be in its locals, in the order in which `f_locals` lists them at first."""
    entering: tuple[str, ...] | None
    """The names that can be in its locals when it is entered afresh, in their order; None where that is a namespace."""
    captured: frozenset[str]
    """Those of them that surround it: they are there if they had a value."""
    called_from: frozenset[int] | None
    """The only lines of the file that can call it; None: any."""
    is_generator: bool
    """Generators, coroutines and asynchronous generators."""
    parent: CodeFlow | None = field(repr=False)
    """The code object that this one is written in; None at the top level of the module."""
    entry: Next = field(repr=False)
    """What can follow a fresh `call` event."""
    after_lines: dict[int, Next] = field(repr=False)
    """For each line that can be the last `line` event: what can follow with no exception in between."""
    after_exceptions: dict[int, Next] = field(repr=False)
    """For each line that an `exception` event can carry: what can follow it."""

    @property
    def entry_lines(self) -> frozenset[int]:
        """Lines of the first `line` event after a fresh `call`; empty only where none can come."""
        return self.entry.lines

    @property
    def line_numbers(self) -> frozenset[int]:
        """All lines that a `line` event of this code can carry."""
        return frozenset(self.after_lines)

    def has(self, names: Collection[str]) -> bool:
        """Whether all of these can be in its locals."""
        return set(names).issubset(self.variables)

    def enters_with(self, names: Collection[str]) -> bool:
        """Whether these can be the names of its locals when it is entered afresh."""
        if self.entering is None:
            return self.has(names)
        return set(self.entering) - self.captured <= set(names) <= set(self.entering)

    def next(self, line: int) -> Next:
        """What can follow a `line` event at `line`, a callee's return to it, or a generator's resumption there."""
        return self.after_lines.get(line, _NOTHING)

    def next_after_exception(self, line: int) -> Next:
        """What can follow an `exception` event at `line`."""
        return self.after_exceptions.get(line, _NOTHING)

    def after_line(self, line: int) -> frozenset[int]:
        """Lines of the next `line` event after one at `line` with no exception in between."""
        return self.next(line).lines

    def after_exception(self, line: int) -> frozenset[int]:
        """Lines of the next `line` event after an `exception` event at `line`, if the frame goes on."""
        return self.next_after_exception(line).lines

    def may_return(self, line: int) -> bool:
        """Whether the frame can end, by a result or silent unwinding, before the next `line` event."""
        return bool(self.next(line).return_lines)

    def may_yield(self, line: int) -> bool:
        """Whether the frame can be suspended before the next `line` event."""
        return bool(self.next(line).yield_lines)

    def may_call(self, line: int) -> bool:
        """Whether user code can be called before the next `line` event."""
        return self.next(line).calls

    def may_raise(self, line: int) -> bool:
        """Whether an `exception` event can come before the next `line` event."""
        return self.next(line).raises

    def may_unwind(self, line: int) -> bool:
        """Whether an `exception` event at `line` can be followed by the frame's end before any `line` event."""
        return bool(self.next_after_exception(line).return_lines)


@dataclass(frozen=True, slots=True)
class ModuleFlow:
    """The flow of every code object in a file that can make a Python frame once the module is imported."""

    codes: tuple[CodeFlow, ...]
    """Ordered by first line, an enclosing one before those inside it."""

    @classmethod
    def from_source(cls, text: str, filename: str, calls: Iterable[str] = ()) -> ModuleFlow:
        """Compile `text` and follow its bytecode.

        `calls` are the expressions that the file's functions are entered with: a function passed around as a value can
        be called by an operator or a loop, and these may be where that happens. Raises SyntaxError.
        """
        tree = ast.parse(text, filename)
        module = compile(tree, filename, "exec", dont_inherit=True)
        effects = _Effects.of(tree, calls)
        cells = Cells.of(module)
        found = list(_flows(module, None, "", effects, cells))
        return cls(tuple(sorted(found, key=lambda flow: flow.first_line)))

    def code_at(self, first_line: int, name: str) -> CodeFlow | None:
        """The code whose fresh `call` event has this line and `co_name`; the outermost where several do."""
        return next((flow for flow in self.codes if (flow.first_line, flow.name) == (first_line, name)), None)

    def codes_at(self, first_line: int, name: str) -> tuple[CodeFlow, ...]:
        """All codes whose fresh `call` event has this line and `co_name`: several lambdas can share a line."""
        return tuple(flow for flow in self.codes if (flow.first_line, flow.name) == (first_line, name))


@dataclass(frozen=True, slots=True)
class _Effects:
    """What instructions of a file can do besides their own work."""

    operators_call: bool
    """Operators, attributes and loops can reach functions of this file."""
    releases_call: bool
    """Releasing a value can run code of this file: a generator is closed, or there is a `__del__`."""
    calling_lines: frozenset[int] | None
    """The only lines from which calls can reach functions of this file; None: any."""
    called_from: Mapping[str, frozenset[int]]
    """The only lines from which a function of the module can be called, for those of which that is known."""
    binds_otherwise: bool
    """Locals can get values by other means than instructions, as a frame's own `f_locals`."""

    @classmethod
    def of(cls, tree: ast.Module, calls: Iterable[str]) -> _Effects:
        nodes = list(ast.walk(tree))
        functions = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        suspends = any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.AsyncFunctionDef, ast.GeneratorExp)) for n in nodes)
        hides = any(
            isinstance(node, (ast.ClassDef, ast.Lambda))
            or (isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.decorator_list)
            or (isinstance(node, ast.Name) and node.id in _REFLECTION)
            for node in nodes
        )
        entering = [ast.parse(call, mode="eval") for call in calls]
        escapes = any(isinstance(n, ast.Lambda) for other in entering for n in ast.walk(other))
        escapes = escapes or any(
            name in functions for other in (tree, *entering) for name in _names_used_as_values(other)
        )
        operators_call = suspends or hides or escapes
        lines = None if operators_call else calling_lines(tree)
        binds_otherwise = any(isinstance(node, ast.Attribute) and node.attr == "f_locals" for node in nodes)
        closes = suspends or "__del__" in functions
        return cls(operators_call, closes, lines, lines_that_call(tree, entering), binds_otherwise)

    def of_instruction(self, instruction: Instruction, *, in_class_body: bool) -> tuple[bool, bool]:
        """Whether it can call user code, and whether it can raise."""
        name = instruction.name
        if name in _QUIET or (name == "CALL_INTRINSIC_1" and instruction.argument == _STOPITERATION_ERROR):
            return False, False
        if name in _DROPPING or name in _LOADING:
            return name in _DROPPING and self.releases_call, name in _LOADING
        if name == "RERAISE":
            return self.releases_call, False
        if name.startswith(_CALLING):
            return self._may_call_from(instruction.line), True
        if name.endswith("_NAME") and not in_class_body:
            return False, True
        return self.operators_call, True

    def _may_call_from(self, line: int | None) -> bool:
        return self.calling_lines is None or line is None or line in self.calling_lines


_STOPITERATION_ERROR = 3  # turns a StopIteration that leaves a generator into a RuntimeError
_REFLECTION = frozenset({"eval", "exec", "getattr", "globals", "locals", "vars", "setattr", "__import__"})


def _names_used_as_values(tree: ast.AST) -> Iterator[str]:
    """Names and attributes that are read for anything but being called on the spot."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if id(node) in called:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _entering(code: CodeType, variables: tuple[str, ...]) -> tuple[str, ...] | None:
    if not code.co_flags & inspect.CO_OPTIMIZED:
        return None
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    names = {*code.co_varnames[:count], *code.co_freevars}
    return tuple(name for name in variables if name in names)


def _flows(code: CodeType, parent: CodeFlow | None, prefix: str, effects: _Effects, cells: Cells) -> Iterator[CodeFlow]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            qualname = prefix + constant.co_name
            flow = _Analysis(constant, effects, cells.changed_elsewhere(constant)).flow(parent, qualname)
            yield flow
            is_function = constant.co_flags & inspect.CO_NEWLOCALS
            inside = f"{qualname}.<locals>." if is_function else f"{qualname}."
            yield from _flows(constant, flow, inside, effects, cells)


def _variables(code: CodeType, graph: Graph) -> tuple[str, ...]:
    if code.co_flags & inspect.CO_OPTIMIZED:
        plain = code.co_varnames
        if sys.version_info < (3, 11):  # a parameter that an inner function uses is listed with the other cells
            plain = tuple(name for name in plain if name not in code.co_cellvars)
        return tuple(dict.fromkeys(plain + code.co_cellvars + code.co_freevars))
    stored = [
        code.co_names[instruction.argument]
        for instruction in graph.instructions
        if instruction.name in ("STORE_NAME", "DELETE_NAME")
    ]
    return tuple(dict.fromkeys([*stored, "__annotations__", *code.co_varnames, *code.co_cellvars]))


_State = tuple[int, "int | None"]
"""An instruction, and the line where the exception being handled was raised, if that was on the way here."""


@dataclass(slots=True)
class _Collected:
    """A `Next` in the making."""

    lines: set[int] = field(default_factory=set[int])
    return_lines: set[int] = field(default_factory=set[int])
    yield_lines: set[int] = field(default_factory=set[int])
    calls: bool = False
    raises: bool = False
    bindings: dict[int, Binding] = field(default_factory=dict[int, Binding])
    returns: str | None = None

    def reach(self, line: int, binding: Binding) -> None:
        self.lines.add(line)
        self.bindings[line] = binding.either(self.bindings.get(line))

    def as_next(self) -> Next:
        return Next(
            frozenset(self.lines),
            frozenset(self.return_lines),
            frozenset(self.yield_lines),
            self.calls,
            self.raises,
            self.bindings,
            self.returns,
        )


class _Analysis:
    """Follows one code object's graph from every place where a `line` event can come to the next such places."""

    def __init__(self, code: CodeType, effects: _Effects, changed_elsewhere: Collection[str]) -> None:
        self._code = code
        self._graph = Graph.of(code)
        self._instructions = self._graph.instructions
        in_class_body = not code.co_flags & inspect.CO_OPTIMIZED
        effect = [effects.of_instruction(each, in_class_body=in_class_body) for each in self._instructions]
        self._is_generator = bool(
            code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
        )
        self._calls = [calls for calls, _ in effect]
        self._raises = [calls or raises for calls, raises in effect]
        self._calls_on_release = effects.releases_call
        self._binds = not in_class_body and not effects.binds_otherwise
        # A comprehension that is a part of its function, from 3.12 on, puts back what it found: a value, or none.
        put_back = {n for each in self._instructions if each.name == "LOAD_FAST_AND_CLEAR" for n in each.deletes}
        self._free = frozenset(put_back.union(changed_elsewhere))
        self._called_from = effects.called_from
        self._reached = self._reach()
        self._reported_twice = self._lines_reported_twice()
        self._handled = self._lines_by_handler()

    def flow(self, parent: CodeFlow | None, qualname: str) -> CodeFlow:
        code, graph = self._code, self._graph
        after_lines = {line: self._after_line(line, starts) for line, starts in self._starts().items()}
        return CodeFlow(
            name=code.co_name,
            qualname=qualname,
            first_line=graph.call_line,
            last_line=max([graph.call_line, *after_lines]),
            variables=(variables := _variables(code, graph)),
            entering=_entering(code, variables),
            captured=frozenset(code.co_freevars),
            called_from=None if parent or self._is_generator else self._called_from.get(code.co_name),
            is_generator=self._is_generator,
            parent=parent,
            entry=self._entry(),
            after_lines=after_lines,
            after_exceptions=self._after_exceptions(),
        )

    def _entry(self) -> Next:
        start = self._instructions[self._graph.start]
        found = _Collected(raises=self._is_generator)
        if start.name != "RESUME" and start.line is not None:  # Python 3.10 reports the first instruction itself
            found.reach(start.line, UNBOUND)
        else:
            self._explore([(self._graph.start, None)], found)
        return self._with_bindings(found)

    def _after_line(self, line: int, starts: Collection[int]) -> Next:
        found = _Collected()
        if line in self._reported_twice:
            found.reach(line, UNBOUND)
        self._explore([(start, None) for start in starts], found)
        found.returns = self._returned(starts)
        return self._with_bindings(found)

    def _returned(self, starts: Collection[int]) -> str | None:
        """The name that a line returns which does nothing else, as `return total`."""
        names = {self._returned_from(start) for start in starts}
        return names.pop() if len(names) == 1 and not self._is_generator else None

    def _returned_from(self, start: int) -> str | None:
        for instruction in self._instructions[start + 1 :]:
            if instruction.name == "RETURN_VALUE":
                return self._instructions[start].loads
            if instruction.name not in _TIDYING or self._calls_on_release:
                return None
        return None

    def _with_bindings(self, found: _Collected) -> Next:
        if not self._binds:
            found.bindings.clear()
        for line, binding in found.bindings.items():
            certain, gone = binding.certain - self._free, binding.gone - self._free
            found.bindings[line] = Binding(certain, binding.possible | self._free, gone)
        return found.as_next()

    def _starts(self) -> dict[int, set[int]]:
        """For each line the instructions at which a `line` event can report it."""
        starts: dict[int, set[int]] = {}
        first = self._instructions[self._graph.start]
        if first.name != "RESUME" and first.line is not None:
            starts.setdefault(first.line, set()).add(self._graph.start)
        for before, after, step in self._steps():
            line = self._instructions[after].line
            if line is not None and self._graph.reports(before, after, step) is not Reports.NO:
                starts.setdefault(line, set()).add(after)
        return starts

    def _steps(self) -> Iterator[tuple[int, int, Step]]:
        for before in self._reached:
            instruction = self._instructions[before]
            for after in instruction.successors:
                yield before, after, Step.NEXT
            for after in instruction.handlers:
                if self._raises[before]:
                    yield before, after, Step.RAISE
                if instruction.reraises:
                    yield before, after, Step.RERAISE

    def _reach(self) -> list[int]:
        """All instructions that can be executed, in order."""
        return sorted(
            self._closure(
                {self._graph.start},
                lambda index: (
                    *self._instructions[index].successors,
                    *(self._instructions[index].handlers if self._raises_or_reraises(index) else ()),
                ),
            )
        )

    def _raises_or_reraises(self, index: int) -> bool:
        return self._raises[index] or self._instructions[index].reraises

    @staticmethod
    def _closure(starts: Iterable[int], after: Callable[[int], Iterable[int]]) -> set[int]:
        seen: set[int] = set()
        todo = list(starts)
        while todo:
            index = todo.pop()
            if index not in seen:
                seen.add(index)
                todo.extend(after(index))
        return seen

    def _lines_by_handler(self) -> dict[int, set[int]]:
        """For each handler the instructions that can lead into it."""
        handled: dict[int, set[int]] = {}
        for index in self._reached:
            if self._raises_or_reraises(index):
                for handler in self._instructions[index].handlers:
                    handled.setdefault(handler, set()).add(index)
        return handled

    def _unwinding_lines(self, index: int) -> set[int]:
        """Lines that the `return` event can carry when the exception leaves the frame at a silent reraise."""
        lines: set[int] = set()
        seen: set[int] = set()
        todo = [index]
        while todo:
            current = todo.pop()
            if current in seen:
                continue
            seen.add(current)
            instruction = self._instructions[current]
            if instruction.restores_line:
                for handler, sources in self._handled.items():
                    if current in self._closure({handler}, lambda each: self._instructions[each].successors):
                        todo.extend(sources)
            elif instruction.line is not None:
                lines.add(instruction.line)
        return lines

    def _explore(self, starts: Iterable[_State], found: _Collected) -> None:
        """Find what can happen from right before the states `starts` up to the next `line` event."""
        seen: dict[_State, Binding] = {}
        todo = [(state, UNBOUND) for state in starts]
        while todo:
            state, binding = todo.pop()
            known = seen.get(state)
            binding = binding.either(known)
            if binding == known:
                continue
            seen[state] = binding
            index, origin = state
            instruction = self._instructions[index]
            binding = binding.after(instruction)
            found.calls = found.calls or self._calls[index]
            found.raises = found.raises or self._raises[index]
            if instruction.line is not None:
                if instruction.name in ("RETURN_VALUE", "RETURN_CONST"):
                    found.return_lines.add(instruction.line)
                elif instruction.name in ("YIELD_VALUE", "YIELD_FROM"):
                    found.yield_lines.add(instruction.line)
            if instruction.name == "POP_EXCEPT" and self._instructions[index + 1].name != "RERAISE":
                origin = None
            on = self._steps_on(index, origin, instruction.successors, Step.NEXT, found, binding)
            todo.extend((state, binding) for state in on)
            if instruction.reraises:
                raised = origin if instruction.restores_line else instruction.line
                on = self._steps_on(index, raised, instruction.handlers, Step.RERAISE, found, binding)
                todo.extend((state, binding) for state in on)
                if instruction.uncaught:
                    found.return_lines |= self._unwinding_lines(index) if raised is None else {raised}

    def _steps_on(
        self,
        before: int,
        origin: int | None,
        targets: Iterable[int],
        step: Step,
        found: _Collected,
        binding: Binding = UNBOUND,
    ) -> Iterator[_State]:
        """Note the lines that steps can report; the states to go on from where a report is not certain."""
        for after in targets:
            reports = self._graph.reports(before, after, step)
            line = self._instructions[after].line
            if reports is not Reports.NO and line is not None:
                found.reach(line, binding)
            if reports is not Reports.YES:
                yield after, origin

    def _lines_reported_twice(self) -> set[int]:
        return {
            line
            for before, after, step in self._steps()
            if step is Step.NEXT and self._graph.reports_twice(before, after)
            if (line := self._instructions[after].line) is not None
        }

    def _after_exceptions(self) -> dict[int, Next]:
        sources: dict[int, list[int]] = {}
        if self._is_generator:  # an exception can be thrown in before its start
            sources[self._graph.call_line] = []
        for index in self._reached:
            line = self._instructions[index].line
            if self._raises[index] and line is not None:
                sources.setdefault(line, []).append(index)
        return {line: self._after_exception(line, indices) for line, indices in sources.items()}

    def _after_exception(self, line: int, indices: list[int]) -> Next:
        found = _Collected(calls=self._calls_on_release)
        if self._is_generator and line == self._graph.call_line:
            found.return_lines.add(line)
        starts: list[_State] = []
        for index in indices:
            instruction = self._instructions[index]
            if instruction.uncaught:
                found.return_lines.add(line)
            starts.extend(self._steps_on(index, line, instruction.handlers, Step.RAISE, found))
            if instruction.swallows_stop:
                starts.extend(self._steps_on(index, None, instruction.successors, Step.NEXT, found))
        self._explore(starts, found)
        found.bindings.clear()  # what the line did before it raised is not told
        return found.as_next()
