"""Which of its locals a Python frame gives a value between two of its lines, from its bytecode."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import CodeType

from debugger.bytecode import Graph, Instruction

RUN_AT_ONCE = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
"""Comprehensions: who writes one waits until it is done."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Which locals have got a value between two `line` events of a Python frame, or between its `call` and the first.

    What is in none of them is as it was: there or not, and of the same value, as far as that cannot change by itself.
    """

    certain: frozenset[str]
    """These have one now, however control went."""
    possible: frozenset[str]
    """These may have got one, or lost it; the certain ones among them."""
    gone: frozenset[str] = frozenset()
    """These have none now, however control went: deleted, as Python itself deletes the name in `except … as name`."""

    def after(self, instruction: Instruction) -> Binding:
        """The same when one more instruction has been executed."""
        if not (instruction.stores or instruction.deletes):
            return self
        certain = self.certain.difference(instruction.deletes).union(instruction.stores)
        gone = self.gone.difference(instruction.stores).union(instruction.deletes)
        return Binding(certain, self.possible.union(instruction.deletes, instruction.stores), gone)

    def either(self, other: Binding | None) -> Binding:
        """What both ways to go have in common."""
        if other is None or other == self:
            return self
        return Binding(self.certain & other.certain, self.possible | other.possible, self.gone & other.gone)


UNBOUND = Binding(frozenset(), frozenset())
"""Nothing has been executed yet."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Which code objects of a file give a value to variables that functions share."""

    writers: Mapping[str, Collection[CodeType]]
    """By the variable's name."""
    ancestors: Mapping[CodeType, Collection[CodeType]]
    """For each code object those that it is written in."""

    @classmethod
    def of(cls, module: CodeType) -> Cells:
        """Those of a module's code."""
        writers: dict[str, list[CodeType]] = {}
        ancestors: dict[CodeType, tuple[CodeType, ...]] = {module: ()}
        todo = [module]
        while todo:
            code = todo.pop()
            shared = {*code.co_cellvars, *code.co_freevars}
            for instruction in Graph.of(code).instructions if shared else ():
                for name in shared.intersection((*instruction.stores, *instruction.deletes)):
                    writers.setdefault(name, []).append(code)
            for inner in code.co_consts:
                if isinstance(inner, CodeType):
                    ancestors[inner] = (*ancestors[code], code)
                    todo.append(inner)
        return cls(writers, ancestors)

    def changed_elsewhere(self, code: CodeType) -> set[str]:
        """Variables of `code` that others may give a value while it runs."""
        return {name for name in (*code.co_cellvars, *code.co_freevars) if self._may_be_changed(name, code)}

    def _may_be_changed(self, name: str, code: CodeType) -> bool:
        waits = code.co_name in RUN_AT_ONCE
        others = [each for each in self.writers.get(name, ()) if each is not code]
        return any(not (waits and each in self.ancestors[code]) for each in others)
