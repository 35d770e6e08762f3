"""Programs from templates: code as people write it, with slots that are filled anew for each program.

A file of `nano/idioms/` holds templates, cut apart by lines of `---`; its name is their kind. In a template:

    $f: count count_if        a line at the top: the names that slot `$f` may have
    $w = word(8)              a line at the top: a value for slot `$w`, any expression over `Chooser` and earlier values
    $n, $xs, $total           a name of that role (`ROLES`); the same slot is the same name, `$n2` another one
    ${between(1, 9)}          the literal of an expression's value; `${k = between(1, 9)}` also keeps it as `$k`
    «a¦b¦c»                   one of these texts; `«@op:+¦-»` keeps it as `$op`; `«#op:add¦subtract»` chooses alike
    «?text»                   the text or nothing
    >>> $f($w)                the call, last; of several one is chosen

`«`, `¦` and `»` (and their `@op:`) may stand on lines of their own around lines of code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any, TypeAlias

from nano.chooser import ROLES, Chooser

IDIOMS = Path(__file__).parent / "idioms"

_HEAD = re.compile(r"\$(\w+)(?:: ([\w ]+)| = (.+))")
_ALONE = re.compile(r"^ *((?:«\?|«[@#]\w+:|«|¦|»)+)\n", re.MULTILINE)
_TOKEN = re.compile(r"«\?|«(?:[@#]\w+:)?|¦|»|\$\{(?:(\w+) = )?((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})+)\}|\$(\w+)")


@dataclass(frozen=True, slots=True)
class Slot:
    """A name, or something that was kept under one."""

    key: str


@dataclass(frozen=True, slots=True)
class Value:
    """An expression whose literal is written, and perhaps kept."""

    key: str | None
    code: CodeType


@dataclass(frozen=True, slots=True)
class Choice:
    """Texts to choose from. `keep` keeps the chosen one; `like` takes the number of an earlier choice."""

    options: tuple[tuple[Part, ...], ...]
    keep: str | None = None
    like: str | None = None


Part: TypeAlias = "str | Slot | Value | Choice"


@dataclass(frozen=True, slots=True)
class Template:
    """One idiom."""

    kind: str
    names: Mapping[str, tuple[str, ...]]
    values: Mapping[str, CodeType]
    code: tuple[Part, ...]
    calls: tuple[tuple[Part, ...], ...]
    words: frozenset[str]
    """What stands in the code itself; no slot gets such a name."""

    def fill(self, choose: Chooser) -> tuple[str, str]:
        """Source and call with slots filled."""
        choose.reserve(self.words)
        filling = Filling(choose, self.names, self.values)
        source = filling.text(self.code)
        return source, filling.text(choose.of(self.calls))


class Filling:
    """The slots of one program."""

    def __init__(
        self,
        choose: Chooser,
        names: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        values: Mapping[str, CodeType] = MappingProxyType({}),
    ) -> None:
        """Start with `values`; slots may have `names`."""
        self.choose, self.names = choose, names
        self.kept: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self.scope: dict[str, Any] = {name: getattr(choose, name) for name in dir(choose) if not name.startswith("_")}
        for key, code in values.items():
            self.keep(key, eval(code, self.scope))

    def keep(self, key: str, value: object) -> str:
        """Keep a value under a name; returns its literal."""
        self.scope[key] = value
        self.kept[key] = repr(value)
        return self.kept[key]

    def text(self, parts: tuple[Part, ...]) -> str:
        """The parts with slots filled."""
        return "".join(map(self._part, parts))

    def _part(self, part: Part) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, Slot):
            if part.key not in self.kept:
                self.kept[part.key] = self._name(part.key)
            return self.kept[part.key]
        if isinstance(part, Value):
            value = eval(part.code, self.scope)
            return repr(value) if part.key is None else self.keep(part.key, value)
        if part.like is not None:
            return self.text(part.options[self.numbers[part.like]])
        number = self.choose.random.randrange(len(part.options))
        text = self.text(part.options[number])
        if part.keep is not None:
            self.numbers[part.keep], self.kept[part.keep] = number, text
        return text

    def _name(self, key: str) -> str:
        if key in self.names:
            return self.choose.fresh(*self.names[key])
        return self.choose.name(*ROLES[key.rstrip("0123456789")])


def parse(kind: str, text: str) -> Template:
    """The template written as `text`. Raises ValueError, which says what is wrong."""
    names: dict[str, tuple[str, ...]] = {}
    values: dict[str, CodeType] = {}
    lines = text.strip("\n").split("\n")
    while match := _HEAD.fullmatch(lines[0]):
        key, options, expression = match.groups()
        if options:
            names[key] = tuple(options.split())
        else:
            values[key] = compile(expression, "<template>", "eval")
        del lines[0]
    calls = [line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")]
    code = "".join(f"{line}\n" for line in lines if not line.startswith(">>> "))
    if not calls:
        raise ValueError(f"{kind}: a template without a call:\n{text}")
    words = frozenset(re.findall(r"(?<![\w$])[A-Za-z_]\w*", code))
    return Template(kind, names, values, parts_of(_ALONE.sub(r"\1", code)), tuple(map(parts_of, calls)), words)


def parts_of(text: str) -> tuple[Part, ...]:
    """The parts of a text with slots and choices. Raises ValueError."""
    position = 0

    def sequence(inside: bool) -> tuple[tuple[Part, ...], str]:
        nonlocal position
        parts: list[Part] = []
        while match := _TOKEN.search(text, position):
            parts.append(text[position : match.start()])
            position = match.end()
            token = match.group()
            if token in "¦»":
                if not inside:
                    raise ValueError(f"{token} without « in a template:\n{text}")
                return tuple(filter(None, parts)), token
            if token.startswith("«"):
                parts.append(choice(token))
            elif token.startswith("${"):
                parts.append(Value(match.group(1), compile(match.group(2).strip(), "<template>", "eval")))
            else:
                parts.append(Slot(match.group(3)))
        if inside:
            raise ValueError(f"« without » in a template:\n{text}")
        parts.append(text[position:])
        return tuple(filter(None, parts)), ""

    def choice(opening: str) -> Choice:
        options: list[tuple[Part, ...]] = [()] if opening == "«?" else []
        end = "¦"
        while end == "¦":
            option, end = sequence(True)
            options.append(option)
        key = opening[2:-1] or None
        return Choice(tuple(options), key if opening[1:2] == "@" else None, key if opening[1:2] == "#" else None)

    return sequence(False)[0]


@cache
def templates() -> Mapping[str, tuple[Template, ...]]:
    """Kind to its templates."""
    return {
        path.stem.replace("_", " "): tuple(
            parse(path.stem, text) for text in re.split(r"^---\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        )
        for path in sorted(IDIOMS.glob("*.txt"))
    }
