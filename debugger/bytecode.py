"""One code object as a graph: what can run after each instruction, and which steps make `sys.settrace` report a line.

CPython's rules, 3.10 to 3.13, as far as line events go:

- a `line` event comes when an instruction's line differs from that of the instruction executed right before it, and on
  every jump backwards; instructions without a line report nothing, and neither do RESUME and its like;
- `RERAISE`, a bare `raise` and their like pass an exception on without a new `exception` event;
- a `RERAISE` that carries the place of the first raise moves the frame's line back there.

Nothing is imported or executed: a code object in, plain data out.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import CodeType

_VERSION = sys.version_info[:2]

_LEAVES = frozenset({"RETURN_VALUE", "RETURN_CONST", "RERAISE", "RAISE_VARARGS"})
_JUMPS_ALWAYS = frozenset({"JUMP_ABSOLUTE", "JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"})
_SETS_UP_BLOCK = frozenset({"SETUP_FINALLY", "SETUP_WITH", "SETUP_ASYNC_WITH"})
_LOADS = frozenset({"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF"})
_DELETES = frozenset({"DELETE_FAST", "DELETE_DEREF", "LOAD_FAST_AND_CLEAR"})
_NEVER_STARTS_LINE = frozenset(
    {"RESUME", "END_FOR", "END_SEND", "END_ASYNC_FOR"} if _VERSION >= (3, 12) else {"RESUME"}
)
_FORGETS_LINE = ("CALL", "FOR_ITER", "SEND", "BINARY_SUBSCR", "LOAD_ATTR") if _VERSION == (3, 12) else ()
"""Prefixes of instructions whose line 3.12 has forgotten when the Python function that they called comes back."""
_EXHAUSTED_SKIPS = {(3, 12): 1, (3, 13): 2}.get(_VERSION, 0)
"""How many instructions at its target FOR_ITER steps over when it is exhausted (END_FOR, then POP_TOP)."""


class Step(Enum):
    """How control goes from one instruction to another."""

    NEXT = "next"
    """Falls through or jumps, forwards or backwards."""
    RAISE = "raise"
    """Into a handler, with an `exception` event first."""
    RERAISE = "reraise"
    """Into a handler, silently."""


class Reports(Enum):
    """Whether a step ends in a `line` event."""

    NO = 0
    PERHAPS = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; other instructions are named by their position in the code object's list."""

    name: str
    argument: int
    line: int | None
    successors: tuple[int, ...]
    handlers: tuple[int, ...]
    """Where an exception raised here is caught; empty where it leaves the frame."""
    uncaught: bool
    """An exception raised here can leave the frame."""
    is_target: bool
    """A jump or an exception can lead here."""
    loads: str | None
    """The one of the function's locals, cells among them, whose value it takes, if that is all it does."""
    stores: tuple[str, ...]
    """The function's locals, cells among them, that it gives a value."""
    deletes: tuple[str, ...]
    """Those that have none after it."""

    @property
    def reraises(self) -> bool:
        """Whether it can pass an exception on without an `exception` event."""
        bare_raise = self.name == "RAISE_VARARGS" and self.argument == 0
        return bare_raise or self.name in ("RERAISE", "END_ASYNC_FOR", "CLEANUP_THROW")

    @property
    def restores_line(self) -> bool:
        """Whether passing an exception on moves the frame's line back to where it was first raised."""
        return self.name == "RERAISE" and self.argument > 0

    @property
    def swallows_stop(self) -> bool:
        """Whether a StopIteration, after its `exception` event, ends here as normal control flow."""
        return self.name in ("FOR_ITER", "SEND", "YIELD_FROM", "END_ASYNC_FOR")


@dataclass(frozen=True, slots=True)
class Graph:
    """The instructions of a code object in order."""

    instructions: tuple[Instruction, ...]
    start: int
    """Where tracing starts: the position of the first instruction that is executed after the `call` event."""
    call_line: int
    """The line that the `call` event of a fresh frame carries."""

    @classmethod
    def of(cls, code: CodeType) -> Graph:
        """The graph of `code`, without the code objects inside it."""
        raw = [instruction for instruction in dis.get_instructions(code) if instruction.opname != "CACHE"]
        position = {instruction.offset: index for index, instruction in enumerate(raw)}
        lines = _lines_by_offset(code)
        successors = [_successors(raw, index, position) for index in range(len(raw))]
        caught = _handlers(code, raw, position, successors)
        targets = {target for index, after in enumerate(successors) for target in after if target != index + 1}.union(
            *caught
        )
        start = 0
        call_line: int | None = code.co_firstlineno
        for index, instruction in enumerate(raw):
            if instruction.opname == "RESUME":
                start = index
                call_line = lines.get(instruction.offset)
                break
        return cls(
            tuple(
                Instruction(
                    name=instruction.opname,
                    argument=instruction.arg or 0,
                    line=lines.get(instruction.offset),
                    successors=successors[index],
                    handlers=tuple(sorted(handler for handler in caught[index] if handler is not None)),
                    uncaught=None in caught[index],
                    is_target=index in targets,
                    loads=instruction.argval if instruction.opname in _LOADS else None,
                    stores=_stored(instruction),
                    deletes=(instruction.argval,) if instruction.opname in _DELETES else (),
                )
                for index, instruction in enumerate(raw)
            ),
            start,
            code.co_firstlineno if call_line is None else call_line,
        )

    def reports(self, before: int, after: int, step: Step = Step.NEXT) -> Reports:
        """Whether going from instruction `before` to instruction `after` causes a `line` event."""
        source, target = self.instructions[before], self.instructions[after]
        if target.line is None or target.name in _NEVER_STARTS_LINE:
            return Reports.NO
        if step is Step.RERAISE and source.restores_line:
            return Reports.PERHAPS  # compared with the line where the exception was first raised
        if target.line != source.line or (source.name == "RESUME" and before == self.start):
            return Reports.YES
        if _VERSION >= (3, 12):
            if step is Step.NEXT and source.name == "JUMP_BACKWARD":
                return Reports.YES
            forgets = source.name in ("RESUME", "YIELD_VALUE") or source.name.startswith(_FORGETS_LINE)
            return Reports.PERHAPS if forgets and target.is_target else Reports.NO
        jumps_back = after < before and target.name not in ("SEND", "YIELD_FROM")
        return Reports.YES if jumps_back else Reports.NO

    def reports_twice(self, before: int, after: int) -> bool:
        """Whether a step can cause two `line` events: one for the jump back, one for the line it starts."""
        source, target = self.instructions[before], self.instructions[after]
        return _VERSION >= (3, 12) and after <= before and source.line is None and target.line is not None


def _lines_by_offset(code: CodeType) -> dict[int, int]:
    return {offset: line for start, end, line in code.co_lines() if line is not None for offset in range(start, end, 2)}


def _stored(instruction: dis.Instruction) -> tuple[str, ...]:
    match instruction.opname:
        case "STORE_FAST" | "STORE_DEREF":
            return (instruction.argval,)
        case "STORE_FAST_STORE_FAST":
            return instruction.argval
        case "STORE_FAST_LOAD_FAST":
            return instruction.argval[:1]
        case _:
            return ()


def _successors(raw: list[dis.Instruction], index: int, position: dict[int, int]) -> tuple[int, ...]:
    instruction = raw[index]
    name = instruction.opname
    found: list[int] = []
    if name not in _LEAVES and name not in _JUMPS_ALWAYS:
        found.append(index + 1)
    is_jump = instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs
    if is_jump and name not in _SETS_UP_BLOCK:
        target = position[instruction.argval]
        found.append(target + _EXHAUSTED_SKIPS if name == "FOR_ITER" else target)
    if name == "YIELD_FROM":
        found.append(index)  # each resumption runs it again
    return tuple(dict.fromkeys(found))


def _handlers(
    code: CodeType, raw: list[dis.Instruction], position: dict[int, int], successors: list[tuple[int, ...]]
) -> list[set[int | None]]:
    """For each instruction the handlers that catch what it raises; None stands for leaving the frame."""
    if sys.version_info >= (3, 11):
        table = list(_exception_table(code.co_exceptiontable))
        caught: list[set[int | None]] = []
        for instruction in raw:
            targets = [target for start, end, target in table if start <= instruction.offset < end]
            caught.append({position[targets[0]] if targets else None})
        for index, instruction in enumerate(raw[:-1]):  # what is thrown in at a yield may be looked up on either side
            if instruction.opname == "YIELD_VALUE":
                both = caught[index] | caught[index + 1]
                caught[index], caught[index + 1] = both, both
        return caught
    return _handlers_from_blocks(raw, position, successors)


def _exception_table(table: bytes) -> Iterator[tuple[int, int, int]]:
    """Start, end and handler of each entry in bytes (CPython's Objects/exception_handling_notes.txt)."""
    data = iter(table)

    def number() -> int:
        byte = next(data)
        value = byte & 63
        while byte & 64:
            byte = next(data)
            value = (value << 6) | (byte & 63)
        return value

    while True:
        try:
            start = number()
        except StopIteration:
            return
        length, target, _depth_and_lasti = number(), number(), number()
        yield start * 2, (start + length) * 2, target * 2


def _handlers_from_blocks(
    raw: list[dis.Instruction], position: dict[int, int], successors: list[tuple[int, ...]]
) -> list[set[int | None]]:
    """Python 3.10: follow every path with its stack of blocks; None on that stack is a handler being executed."""
    caught: list[set[int | None]] = [set() for _ in raw]
    seen: set[tuple[int, tuple[int | None, ...]]] = set()
    todo: list[tuple[int, tuple[int | None, ...]]] = [(0, ())]
    while todo:
        index, blocks = todo.pop()
        if (index, blocks) in seen:
            continue
        seen.add((index, blocks))
        instruction = raw[index]
        depth = len(blocks)
        while depth and blocks[depth - 1] is None:
            depth -= 1
        handler = blocks[depth - 1] if depth else None
        caught[index].add(handler)
        if handler is not None:
            todo.append((handler, (*blocks[: depth - 1], None)))
        after = blocks
        if instruction.opname in _SETS_UP_BLOCK:
            after = (*blocks, position[instruction.argval])
        elif instruction.opname in ("POP_BLOCK", "POP_EXCEPT", "END_ASYNC_FOR"):
            after = blocks[:-1]
        todo.extend((successor, after) for successor in successors[index])
    return caught
