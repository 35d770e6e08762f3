"""Functions whose lines are nested expressions: calls in calls, comprehensions, slices, methods, conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from nano.chooser import Chooser


def _rules() -> dict[str, list[str]]:
    """Type to the ways to make it: `<int>` is an expression, `<int v>` one that probably holds `v` (`$v`: any name)."""
    text = (Path(__file__).parent / "expressions.txt").read_text(encoding="ascii")
    blocks = (block.splitlines() for block in text.removeprefix("--- ").split("\n--- "))
    return {kind: rules for kind, *rules in blocks}


RULES = _rules()
WEIGHTS = {"int": 8, "ints": 7, "str": 7, "strs": 4, "bool": 4, "float": 2, "dict": 1}
OF_LETTER = {"c": "str", "w": "str", "v": "int"}
NAMES = {"int": "int", "ints": "list", "str": "str", "strs": "words", "bool": "bool", "float": "float", "dict": "dict"}
"""Type to the role of its variables' names."""
_SLOT = re.compile(r"<(\w+)(?: (\w))?>")


@dataclass
class _Scope:
    choose: Chooser
    names: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    """Type to the variables of it."""
    arguments: dict[str, object] = field(default_factory=dict[str, object])
    """Parameter to its value in the call: parameters come as they are needed."""

    def name(self, kind: str) -> str:
        """A variable of a type; if there is none, a new parameter."""
        known = self.names.setdefault(kind, [])
        if not known:
            known.append(self.choose.name(NAMES[kind]))
            self.arguments[known[0]] = self.argument(kind)
        return self.choose.of(known)

    def argument(self, kind: str) -> object:
        """A value for a parameter of a type."""
        choose = self.choose
        return {
            "int": choose.number, "ints": choose.nums, "strs": lambda: choose.words(2, 4), "float": choose.decimal,
            "str": lambda: choose.pick(choose.word(8), choose.sentence(2, 3)), "bool": lambda: choose.chance(0.5),
            "dict": lambda: choose.table(1, 3),
        }[kind]()  # fmt: skip

    def expression(self, kind: str, depth: int, likely: str = "") -> str:
        """An expression of a type; `likely`: a name of a comprehension or a lambda that it probably holds."""
        choose = self.choose
        if kind in ("small", "letter", "sep", "name"):
            return self.leaf(kind)
        if likely and kind == OF_LETTER.get(likely[0], "int") and (depth <= 0 or choose.chance(0.2)):
            return likely
        if depth <= 0 or choose.chance(0.12):
            return self.name(kind) if kind != "bool" else f"{likely or self.name('int')} {self.comparison(likely)}"
        rule = choose.of(RULES[kind])
        inner = choose.pick("x", "v", "n", "i", "num", "k", "e")
        rule = rule.replace("$v", inner)

        def fill(match: re.Match[str]) -> str:
            wanted, letter = match.group(1), match.group(2) or ""
            letter = inner if letter == "v" else letter
            text = self.expression(wanted, depth - 1, letter or likely)
            before, after = rule[: match.start()][-2:], rule[match.end() :][:2]
            one = re.fullmatch(r"[\w.]+(\([^()]*\)|\[[^\[\]]*\])?|'[^']*'", text)
            tight = after[:1] in (".", "[") or before[-1:] == "-" or (" " in (before[-1:], after[:1]) and " " in text)
            apart = re.search(r"(in|if|else|for|,|:) ?$", before) and after[:1] not in (".", "[")
            return f"({text})" if tight and not one and not apart else text

        return _SLOT.sub(fill, rule)

    def comparison(self, likely: str) -> str:
        """What a name is compared with."""
        choose = self.choose
        if likely in ("c", "w"):
            return choose.pick("in 'aeiou'", "!= 'a'", "> 'e'", "not in 'xyz '")
        low, high = choose.between(0, 9), choose.between(3, 15)
        return choose.pick(f"> {low}", "% 2 == 0", f"< {high}", f"!= {low}")

    def leaf(self, kind: str) -> str:
        """A small part that is no expression."""
        choose = self.choose
        if kind == "name":
            return self.name(choose.pick("int", "str"))
        if kind == "small":
            return str(choose.between(1, 4))
        return repr(choose.of("aeilnorst") if kind == "letter" else choose.pick("", " ", "-", ", ", "_"))


def expressions(choose: Chooser) -> tuple[str, str]:
    """Source and call of a function made of nested expressions."""
    scope = _Scope(choose)
    function = choose.name("function")
    lines: list[str] = []
    name = ""

    def some_type() -> str:
        return choose.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    for _ in range(choose.pick(0, 0, 1, 1, 2, 2, 3)):
        kind = some_type()
        text = scope.expression(kind, choose.pick(1, 2, 2, 3))
        open_names = [name for name in scope.names.get(kind, ()) if choose.chance(0.3)]
        name = open_names[0] if open_names else choose.name(NAMES[kind])
        lines.append(f"{name} = {text}")
        if name not in scope.names.setdefault(kind, []):
            scope.names[kind] += [name, name]
        if choose.chance(0.2):
            lines += [f"if {scope.expression('bool', 2)}:", f"    return {scope.expression(some_type(), 1)}"]
    if lines and choose.chance(0.5):
        last = choose.pick(name, name, f"{name}, {scope.expression(some_type(), 1)}")
    else:
        last = scope.expression(some_type(), choose.pick(1, 2, 3) if lines else choose.pick(2, 3))
    lines.append(f"return {last}")
    body = "".join(f"    {line}\n" for line in lines)
    arguments = ", ".join(map(repr, scope.arguments.values()))
    return f"def {function}({', '.join(scope.arguments)}):\n{body}", f"{function}({arguments})"
