"""What LOCALS and VALUE may look like, character by character, so that a token which cannot go on is never chosen."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from debugger.predicted.codec import UNCHANGED

_SIMPLE_ESCAPES = frozenset('"\\nrtbf')
_HEX = frozenset("0123456789abcdef")
_UNICODE_DIGITS = 4
_PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""Printable ASCII but quotes and backslashes."""


class _In(Enum):
    START = auto()
    KEY_OR_END = auto()
    KEY_QUOTE = auto()
    KEY = auto()
    COLON = auto()
    VALUE_SPACE = auto()
    VALUE_QUOTE = auto()
    VALUE = auto()
    NEXT_OR_END = auto()
    NEXT_SPACE = auto()
    DONE = auto()


class _Value(Enum):
    """What a value holds so far; nothing else about it matters."""

    EMPTY = auto()
    ONE_DOT = auto()
    UNCHANGED = auto()
    """The two dots: only the closing quote can follow."""
    TEXT = auto()


@dataclass(frozen=True, slots=True)
class State:
    """How far an acceptable text has come."""

    inside: _In
    names: tuple[str, ...] = ()
    """Names written so far; while a value is being written, the last one is its name."""
    key: str = ""
    """The name that is being written, or what is written of a value's beginning."""
    value: _Value = _Value.EMPTY
    escape: int = 0
    """Characters that the current escape still needs; -1 right after a backslash."""

    @property
    def done(self) -> bool:
        """Whether the text is complete: nothing more can follow."""
        return self.inside is _In.DONE

    @property
    def within_text(self) -> bool:
        """Whether a value is being written, and any plain character goes on and changes nothing."""
        return self.inside is _In.VALUE and self.value is _Value.TEXT and not self.escape

    @property
    def in_value(self) -> bool:
        """Whether a value is being written."""
        return self.inside is _In.VALUE


class LocalsGrammar:
    """JSON objects as `json.dumps` writes them, from names that the code has to strings that hold a `repr`.

    `required` are the names that were there before, in their order; each comes back unless it is in `removable`. Names
    in `unchanged` may have the value `".."`. New names come from `variables`, and all in `needed` do. Those in `fixed`
    have this `repr`, or `".."` where they may.
    """

    def __init__(
        self,
        variables: Collection[str],
        required: Sequence[str] = (),
        removable: Collection[str] = (),
        unchanged: Collection[str] = (),
        needed: Collection[str] = (),
        fixed: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare to follow one LOCALS from `start`."""
        self._variables = [_escaped(name) for name in variables]
        self._required = [_escaped(name) for name in required]
        self._removable = {_escaped(name) for name in removable}
        self._unchanged = {_escaped(name) for name in unchanged}
        self._needed = {_escaped(name) for name in needed}
        self._fixed = {
            _escaped(name): [_escaped(text), *([UNCHANGED] if name in unchanged else [])]
            for name, text in (fixed or {}).items()
        }

    start = State(_In.START)

    def advance(self, state: State, text: str) -> State | None:
        """The state after some more characters, or None if no LOCALS goes on like that."""
        if state.within_text and _PLAIN.fullmatch(text):
            return state
        current: State | None = state
        for character in text:
            if current is None:
                return None
            current = self._step(current, character)
        return current

    def _step(self, state: State, character: str) -> State | None:
        match state.inside, character:
            case _In.START, "{":
                return replace(state, inside=_In.KEY_OR_END)
            case ((_In.KEY_OR_END | _In.KEY_QUOTE), '"') if self._next_names(state.names):
                return replace(state, inside=_In.KEY, key="")
            case ((_In.KEY_OR_END | _In.NEXT_OR_END), "}") if self._complete(state.names):
                return replace(state, inside=_In.DONE)
            case _In.KEY, '"':
                if state.key not in self._next_names(state.names):
                    return None
                return replace(state, inside=_In.COLON, names=(*state.names, state.key))
            case _In.KEY, _:
                key = state.key + character
                allowed = any(name.startswith(key) for name in self._next_names(state.names))
                return replace(state, key=key) if allowed else None
            case _In.COLON, ":":
                return replace(state, inside=_In.VALUE_SPACE)
            case _In.VALUE_SPACE, " ":
                return replace(state, inside=_In.VALUE_QUOTE)
            case _In.VALUE_QUOTE, '"':
                return replace(state, inside=_In.VALUE, value=_Value.EMPTY, key="")
            case _In.VALUE, _ if state.names[-1] in self._fixed:
                return self._step_in_fixed(state, character)
            case _In.VALUE, _:
                return step_in_string(state, character, state.names[-1] in self._unchanged, _In.NEXT_OR_END)
            case _In.NEXT_OR_END, "," if self._next_names(state.names):
                return replace(state, inside=_In.NEXT_SPACE)
            case _In.NEXT_SPACE, " ":
                return replace(state, inside=_In.KEY_QUOTE)
            case _:
                return None

    def leaves_no_choice(self, state: State) -> bool:
        """Whether the value that is being written is known."""
        return state.names[-1] in self._fixed

    def _step_in_fixed(self, state: State, character: str) -> State | None:
        texts = self._fixed[state.names[-1]]
        if character == '"' and state.key in texts:
            return replace(state, inside=_In.NEXT_OR_END)
        written = state.key + character
        return replace(state, key=written) if any(text.startswith(written) for text in texts) else None

    def _next_names(self, names: tuple[str, ...]) -> list[str]:
        """Names that can be written next: the next required one (or ones behind removable ones), then new ones."""
        waiting = self._waiting(names)
        possible: list[str] = []
        for name in waiting:
            possible.append(name)
            if name not in self._removable:
                return possible
        taken = {*names, *waiting}
        return possible + [name for name in self._variables if name not in taken]

    def _complete(self, names: tuple[str, ...]) -> bool:
        return self._needed.issubset(names) and all(name in self._removable for name in self._waiting(names))

    def _waiting(self, names: tuple[str, ...]) -> list[str]:
        """Required names behind the last one written; all are behind a new name that was written."""
        position = 0
        for name in names:
            if name not in self._required:
                return []
            position = self._required.index(name) + 1
        return self._required[position:]


class EntryGrammar(LocalsGrammar):
    """The LOCALS of a function that is entered afresh: its parameters, and what it has captured."""

    def __init__(self, entries: Collection[tuple[Sequence[str], Collection[str]]]) -> None:
        """One of `entries`: names in their order, and those of them that may be left out."""
        super().__init__(())
        self._entries = [
            ([_escaped(name) for name in names], {_escaped(name) for name in captured}) for names, captured in entries
        ]

    def _next_names(self, names: tuple[str, ...]) -> list[str]:
        possible: dict[str, None] = {}
        for rest, captured in self._rests(names):
            for name in rest:
                possible[name] = None
                if name not in captured:
                    break
        return list(possible)

    def _complete(self, names: tuple[str, ...]) -> bool:
        return any(captured.issuperset(rest) for rest, captured in self._rests(names))

    def _rests(self, names: tuple[str, ...]) -> Iterator[tuple[list[str], set[str]]]:
        """What the entries that begin with `names` have left."""
        for whole, captured in self._entries:
            rest = whole
            for name in names:
                if name not in rest:
                    break
                position = rest.index(name)
                if not captured.issuperset(rest[:position]):
                    break
                rest = rest[position + 1 :]
            else:
                yield rest, captured


class ValueGrammar:
    """One JSON string that holds a `repr`; only returned and raised values are written so."""

    start = State(_In.VALUE_QUOTE)

    def __init__(self, beginning: str = "", *, whole: bool = False) -> None:
        """Follow a VALUE whose `repr` starts with `beginning`, as that of an exception does, or is it as a `whole`."""
        self._beginning = _escaped(beginning)
        self._whole = whole

    def advance(self, state: State, text: str) -> State | None:
        """The state after some more characters, or None if no VALUE goes on like that."""
        if state.within_text and self._begun(state) and not self._whole and _PLAIN.fullmatch(text):
            return state
        current: State | None = state
        for character in text:
            if current is None or current.done:
                return None
            if current.inside is _In.VALUE_QUOTE:
                current = replace(current, inside=_In.VALUE) if character == '"' else None
            elif not self._begun(current):
                fits = character == self._beginning[len(current.key)]
                current = replace(current, key=current.key + character, value=_Value.TEXT) if fits else None
            elif self._whole and character != '"':
                return None
            else:
                current = step_in_string(current, character, False, _In.DONE)
        return current

    def leaves_no_choice(self, state: State) -> bool:
        """Whether the value that is being written is known."""
        return self._whole

    def _begun(self, state: State) -> bool:
        return len(state.key) >= len(self._beginning)


def step_in_string(state: State, character: str, may_be_unchanged: bool, after: _In) -> State | None:
    """Follow one character of a value; its closing quote leads to `after`."""
    if state.escape:
        return _step_in_escape(state, character)
    if character == '"':
        closes = state.value is _Value.TEXT or state.value is _Value.UNCHANGED
        return replace(state, inside=after) if closes else None
    if state.value is _Value.UNCHANGED or not " " <= character <= "~":
        return None
    if state.value is _Value.ONE_DOT:
        return replace(state, value=_Value.UNCHANGED) if character == "." else None
    if state.value is _Value.EMPTY and character == ".":
        # No `repr` of a builtin starts with a dot.
        return replace(state, value=_Value.ONE_DOT) if may_be_unchanged else None
    return replace(state, value=_Value.TEXT, escape=-1 if character == "\\" else 0)


def _step_in_escape(state: State, character: str) -> State | None:
    if state.escape > 0:
        return replace(state, escape=state.escape - 1) if character in _HEX else None
    if character == "u":
        return replace(state, escape=_UNICODE_DIGITS)
    return replace(state, escape=0) if character in _SIMPLE_ESCAPES else None


def _escaped(text: str) -> str:
    """A text as JSON writes it between its quotes."""
    return json.dumps(text)[1:-1]
