"""Functions that do little but decide: many conditions, each true about half of the time.

How a condition turns out is a single token in hundreds (`nano.branches` counts them), and in most code it can be
guessed well enough to hide that it was never worked out (nano/LOG.md). Here it cannot be guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nano.chooser import Chooser
from nano.composed import INDENT

TRIES = 12
"""How often a condition is drawn anew until it turns out as wanted."""
TRUE = 0.58
"""How often a condition is wanted to be true; some cannot be met, so that about half are in the end."""
ROLES = {int: "int", str: "str", list: "list", bool: "bool", dict: "dict"}
WORDS = ("low", "high", "middle", "none", "big", "small", "odd", "even", "left", "right", "yes", "no")
"""What a function may decide for."""
_ALPHABETS = ("abc", "abcde", "aeioust", "aAbB1 ", "01", "xyz-")


@dataclass
class Scope:
    """The variables so far, with the values that they have when the condition in question is met."""

    choose: Chooser
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: list[str] = field(default_factory=list[str])

    def emit(self, depth: int, text: str) -> None:
        """Add a line."""
        self.lines.append(INDENT * depth + text)

    def names(self, kind: type) -> list[str]:
        """The variables of a type."""
        return [name for name, value in self.values.items() if type(value) is kind]

    def add(self, value: Any, role: str = "") -> str:
        """A new variable with a value."""
        name = self.choose.name(role or ROLES[type(value)])
        self.values[name] = value
        return name

    def truth(self, condition: str) -> bool | None:
        """How a condition turns out; None where it raises."""
        try:
            return bool(eval(condition, {}, dict(self.values)))
        except (LookupError, TypeError, ValueError, ZeroDivisionError):
            return None


def literal_near(choose: Chooser, value: int) -> int:
    """A number to compare with: the same, a neighbour, or any."""
    return choose.pick(value, value, value + 1, value - 1, value + choose.between(-9, 9), choose.number())


def of_int(scope: Scope, name: str) -> str:
    """A condition on a number."""
    choose, value = scope.choose, scope.values[name]
    near = literal_near(choose, value)
    others = [other for other in scope.names(int) if other != name]
    if others and choose.chance(0.4):
        other = choose.of(others)
        return choose.pick(*[f"{name} {sign} {other}" for sign in ("<", ">", "==", "!=", "<=", ">=", "==")],
                           f"{name} % {other} == 0", f"{name} + {other} > {near + scope.values[other]}",
                           f"{name} == {other} + 1", f"{name} - {other} < {choose.between(0, 9)}")  # fmt: skip
    low = value - choose.between(-3, 6)
    return choose.pick(
        f"{name} > {near}", f"{name} < {near}", f"{name} > {near}", f"{name} < {near}", f"{name} >= {near}",
        f"{name} <= {near}", f"{name} == {near}", f"{name} == {near}", f"{name} != {near}",
        f"{name} % 2 == 0", f"{name} % 2 == 1", f"{name} % 2",
        f"{name} % {choose.between(2, 10)} == {choose.pick(0, 0, 1)}", f"{name} % {choose.between(2, 10)} == 0",
        f"{low} {choose.pick('<', '<=')} {name} < {low + choose.between(2, 9)}",
        f"{name} in ({near}, {choose.number()})", f"{name} not in [{near}, {choose.number()}, {choose.number()}]",
        f"{name} > 0", f"{name} < 0", f"{name} == 0", name, f"not {name}",
    )  # fmt: skip


def of_str(scope: Scope, name: str) -> str:
    """A condition on a text or a letter."""
    choose, value = scope.choose, scope.values[name]
    letter = choose.of(value) if value and choose.chance(0.6) else choose.of("abceirst 1A")
    others = [other for other in scope.names(str) if other != name]
    if others and choose.chance(0.4):
        other = choose.of(others)
        return choose.pick(f"{name} == {other}", f"{name} == {other}", f"{name} != {other}", f"{name} in {other}",
                           f"{name} not in {other}", f"len({name}) > len({other})", f"{name} < {other}",
                           f"{name}[0] == {other}[0]")  # fmt: skip
    if len(value) == 1:
        return choose.pick(
            f"{name} == {letter!r}", f"{name} == {letter!r}", f"{name} == {letter!r}", f"{name} != {letter!r}",
            f"{name} in {choose.pick('aeiou', letter + 'xz', 'abc', 'AEIOUaeiou', '([{', '0123456789')!r}",
            f"{name} not in {choose.pick('aeiou', 'bc' + letter, ' ,.')!r}", f"{name} in 'aeiou'",
            f"{name}.isdigit()", f"{name}.isalpha()", f"{name}.isupper()", f"{name}.islower()", f"{name} == ' '",
            f"{name} > {letter!r}", f"not {name}.isalnum()", f"{name}.isspace()",
        )  # fmt: skip
    near = literal_near(choose, len(value))
    same = value if choose.chance(0.5) else choose.word()
    return choose.pick(
        f"{name} == {same!r}", f"{name} != {same!r}", f"{letter!r} in {name}", f"{letter!r} not in {name}",
        f"len({name}) > {near}", f"len({name}) == {near}", f"len({name}) < {near}", f"len({name}) % 2 == 0",
        f"{name}.startswith({(letter if choose.chance(0.4) else value[:1])!r})",
        f"{name}.endswith({(letter if choose.chance(0.4) else value[-1:])!r})",
        f"{name}[0] == {letter!r}", f"{name}[-1] == {letter!r}", f"{name}[0] == {name}[-1]", f"{name}.isupper()",
        f"{name}.isdigit()", f"{name}.isalpha()", f"{name}[0].isupper()", f"{name} == {name}[::-1]", name,
        f"not {name}", f"{name} in ({same!r}, {choose.word()!r})",
        f"{name}.count({letter!r}) > {choose.pick(0, 1, 1)}", f"{same[:2]!r} in {name}",
    )  # fmt: skip


def of_list(scope: Scope, name: str) -> str:
    """A condition on a list."""
    choose, value = scope.choose, scope.values[name]
    near = literal_near(choose, len(value))
    item = choose.of(value) if value and choose.chance(0.5) else choose.of([*value, choose.number()])
    number = repr(item if choose.chance(0.6) or type(item) is not int else item + 1)
    ints = scope.names(int) if value and type(value[0]) is int else []
    if ints and choose.chance(0.4):
        other = choose.of(ints)
        return choose.pick(f"{other} in {name}", f"{other} not in {name}", f"{name}[0] == {other}",
                           f"{other} in {name}", f"{name}[-1] > {other}", f"len({name}) > {other}",
                           f"{other} < len({name})")  # fmt: skip
    return choose.pick(
        f"{number} in {name}", f"{number} not in {name}", f"len({name}) > {near}", f"len({name}) == {near}",
        f"len({name}) < {near}", name, f"not {name}", f"{name}[0] == {number}", f"{name}[-1] == {number}",
        f"{name}[0] == {name}[-1]",
        f"{name}[0] < {name}[-1]", f"len({name}) % 2 == 0", f"{name}[0] > {number}", f"{name} == []",
        f"{name}[1] != {number}", f"{name}.count({number}) > {choose.pick(0, 1)}",
    )  # fmt: skip


def of_dict(scope: Scope, name: str) -> str:
    """A condition on a table."""
    choose, value = scope.choose, scope.values[name]
    key = choose.of(list(value)) if value and choose.chance(0.5) else choose.word(5)
    near = literal_near(choose, value.get(key, 0))
    words = scope.names(str)
    asked = choose.of(words) if words and choose.chance(0.5) else repr(key)
    return choose.pick(f"{asked} in {name}", f"{asked} not in {name}", f"{asked} in {name}",
                       f"{name}.get({asked}, 0) > {near}", f"{name}[{asked}] == {near}",
                       f"len({name}) > {literal_near(choose, len(value))}", name)  # fmt: skip


def of_bool(scope: Scope, name: str) -> str:
    """A condition on a truth value."""
    return scope.choose.pick(name, name, f"not {name}", f"not {name}", f"{name} is True")


def of_none(scope: Scope, name: str) -> str:
    """A condition on what may be None."""
    return scope.choose.pick(f"{name} is None", f"{name} is not None", f"not {name}", name)


OF: dict[type, Callable[[Scope, str], str]] = {
    int: of_int, str: of_str, list: of_list, dict: of_dict, bool: of_bool, type(None): of_none,
}  # fmt: skip


def condition(scope: Scope, names: Sequence[str], wanted: bool) -> str:
    """A condition on one of the names, or on two, which turns out as wanted if one is found."""
    choose = scope.choose

    def simple() -> str:
        name = choose.of(names)
        return OF[type(scope.values[name])](scope, name)

    text = ""
    for _ in range(TRIES):
        text = simple()
        if choose.chance(0.12):
            text = f"{text} {choose.pick('and', 'or')} {simple()}"
        if scope.truth(text) is wanted:
            return text
    for _ in range(TRIES):
        if scope.truth(text) is not None:
            return text
        text = simple()
    return f"{names[0]} == {scope.values[names[0]]!r}"


def argument(choose: Chooser) -> Any:
    """A value for a parameter."""
    return choose.random.choices(
        (choose.number, lambda: choose.between(0, 9), lambda: choose.word(7),
         lambda: choose.letters(1, 5, choose.of(_ALPHABETS)), lambda: choose.digits(0, 5), lambda: choose.nums(1, 4),
         lambda: choose.words(1, 3), lambda: choose.chance(0.5), lambda: choose.table(1, 3), lambda: None,
         lambda: choose.between(10, 500)),
        (8, 5, 4, 3, 3, 2, 1, 1, 1, 0.6, 2),
    )[0]()  # fmt: skip


def parameters(scope: Scope, count: int) -> dict[str, Any]:
    """So many parameters with their values."""
    for _ in range(count):
        value = argument(scope.choose)
        texts = isinstance(value, list) and value and isinstance(value[0], str)
        scope.add(value, "int" if value is None else "words" if texts else "")
    return dict(scope.values)


@dataclass
class _Result:
    """What bodies add to: a counter, a text or a list."""

    name: str
    kind: type
    last: str = ""
    """The last statement; the next is another one, so that lines tell which way a run went."""

    def start(self, choose: Chooser) -> str:
        return f"{self.name} = {choose.pick(0, 0, 0, 1, 10) if self.kind is int else repr(self.kind())}"

    def change(self, scope: Scope, about: str = "") -> str:
        """A statement; `about` may be added."""
        text = self.last
        while text == self.last:
            text = self._change(scope, about)
        self.last = text
        return text

    def _change(self, scope: Scope, about: str) -> str:
        choose, value = scope.choose, scope.values.get(about)
        if self.kind is int:
            number = str(choose.pick(1, 1, 1, 1, 2, choose.between(1, 9)))
            amount = about if type(value) is int and choose.chance(0.3) else number
            return f"{self.name} {choose.pick('+', '+', '+', '+', '-')}= {amount}"
        if self.kind is str:
            letter = repr(choose.of("abcxyz+-10"))
            return f"{self.name} += {about if type(value) is str and choose.chance(0.5) else letter}"
        anything = repr(choose.pick(choose.between(0, 9), choose.of("abcxyz"), True))
        return f"{self.name}.append({about if about and choose.chance(0.6) else anything})"


def _result(scope: Scope) -> _Result:
    kind = scope.choose.pick(int, int, int, str, list)
    return _Result(scope.choose.name({int: "counter", str: "newstr", list: "newlist"}[kind]), kind)


def in_a_row(scope: Scope) -> dict[str, Any]:
    """Conditions on the parameters, one after the other; what they change, later ones see."""
    choose = scope.choose
    given = parameters(scope, choose.pick(1, 2, 2, 3))
    names = list(given)
    result = _result(scope)
    scope.emit(1, result.start(choose))
    for _ in range(choose.between(2, 7)):
        text = condition(scope, names, choose.chance(TRUE))
        ints = [name for name in names if type(scope.values[name]) is int]
        changed = choose.of(ints) if ints and choose.chance(0.2) else ""
        happened = scope.truth(text)
        scope.emit(1, f"if {text}:")
        if changed:
            amount = choose.between(1, 9)
            sign = choose.pick("+", "-")
            scope.emit(2, f"{changed} {sign}= {amount}")
            if happened:
                scope.values[changed] += amount if sign == "+" else -amount
        else:
            scope.emit(2, result.change(scope))
            if choose.chance(0.15):
                scope.emit(2, f"if {condition(scope, names, choose.chance(TRUE))}:")
                scope.emit(3, result.change(scope))
        if choose.chance(0.3):
            if choose.chance(0.3):
                scope.emit(1, f"elif {condition(scope, names, choose.chance(TRUE))}:")
                scope.emit(2, result.change(scope))
            scope.emit(1, "else:")
            scope.emit(2, result.change(scope))
    scope.emit(1, f"return {result.name}")
    return given


def in_a_chain(scope: Scope) -> dict[str, Any]:
    """if, elif, elif, else; of which one returns or is kept."""
    choose = scope.choose
    given = parameters(scope, choose.pick(1, 1, 2))
    names = list(given)
    words = choose.sample_of(WORDS, 6)
    values = choose.pick(words, [1, 2, 3, 4, 5, 6], choose.sample(0, 99, 6), [True, False, None, 0, 1, -1], words)
    returns = choose.chance(0.6)
    keep = "" if returns else choose.name("total", "newstr")

    def emit_value(depth: int, value: Any) -> None:
        scope.emit(depth, f"return {value!r}" if returns else f"{keep} = {value!r}")

    rungs = choose.between(1, 4)
    true_one = choose.between(0, rungs)
    for index in range(rungs):
        word = "if" if index == 0 or (returns and choose.chance(0.4)) else "elif"
        scope.emit(1, f"{word} {condition(scope, names, index == true_one)}:")
        emit_value(2, values[index])
    if returns and choose.chance(0.5):
        emit_value(1, values[-1])
    else:
        scope.emit(1, "else:")
        emit_value(2, values[-1])
    if not returns:
        scope.emit(1, f"return {keep}")
    return given


def in_a_loop(scope: Scope) -> dict[str, Any]:
    """Conditions on the items of a list or a text, on two of them, or on neighbours."""
    choose = scope.choose
    items: Any = choose.pick(
        choose.digits(2, 6), choose.nums(2, 6), choose.letters(2, 7, choose.of(_ALPHABETS)), choose.word(8),
        choose.sentence(2, 3)[:12], choose.words(2, 4), choose.digits(2, 6, 4),
    )  # fmt: skip
    many = scope.add(items, "str" if isinstance(items, str) else "list" if type(items[0]) is int else "words")
    names = [many]
    # What items are compared with: often one of them.
    if choose.chance(0.5):
        names.append(scope.add(choose.of(items), "target" if not isinstance(items, str) else "char"))
    result = _result(scope)
    scope.emit(1, result.start(choose))
    role = "char" if isinstance(items, str) else "item" if type(items[0]) is int else "word"
    item = scope.add(choose.of(items), role)
    draw = choose.random.random()
    if draw < 0.7:
        about, seen = item, [item]
        if draw < 0.55:
            scope.emit(1, f"for {item} in {many}:")
        else:
            seen.append(scope.add(choose.between(0, len(items) - 1), "index"))
            scope.emit(1, f"for {seen[1]}, {item} in enumerate({many}):")

        def test(wanted: bool) -> str:
            scope.values[item] = choose.of(items)
            return condition(scope, [choose.of(seen)] if choose.chance(0.8) else seen, wanted)

    else:
        index = scope.add(choose.between(0, len(items) - 1), "index")
        start = choose.pick("", "", "1, ")
        scope.emit(1, f"for {index} in range({start}len({many})):")
        about = f"{many}[{index}]"

        def test(wanted: bool) -> str:
            return of_place(scope, names, index, bool(start))

    for _ in range(choose.pick(1, 1, 1, 2)):
        scope.emit(2, f"if {test(choose.chance(TRUE))}:")
        draw = choose.random.random()
        if draw < 0.1:
            scope.emit(3, choose.pick("continue", "break", f"return {about}"))
            scope.emit(2, result.change(scope, about))
            continue
        scope.emit(3, result.change(scope, about))
        if draw < 0.3:
            scope.emit(2, f"elif {test(choose.chance(TRUE))}:")
            scope.emit(3, result.change(scope, about))
        if draw < 0.5:
            scope.emit(2, "else:")
            scope.emit(3, result.change(scope, about))
    scope.emit(1, f"return {result.name}")
    return {name: scope.values[name] for name in names}


def of_place(scope: Scope, names: list[str], index: str, has_left: bool) -> str:
    """A condition on `names[0][index]`; `names[1]`, if there is one, is what items are compared with."""
    choose, items = scope.choose, scope.values[names[0]]
    item = f"{names[0]}[{index}]"
    other = choose.pick("[0]", "[-1]", f"[-{index} - 1]")
    other = names[0] + (f"[{index} - 1]" if has_left else other)
    near = choose.of(items)
    options = [f"{item} == {near!r}", f"{item} {choose.pick('<', '>', '==', '!=', '<=')} {other}"]
    if len(names) > 1:
        options += [f"{item} == {names[1]}", f"{item} {choose.pick('!=', '<', '>')} {names[1]}"]
    options += [f"{index} % 2 == 0"]
    if type(near) is int:
        options += [f"{item} > {literal_near(choose, near)}", f"{item} % 2 == {choose.pick(0, 1)}"]
    return choose.of(options)


def in_pairs(scope: Scope) -> dict[str, Any]:
    """Conditions on pairs of items."""
    choose = scope.choose
    if choose.chance(0.6):
        left, right = choose.digits(2, 6), choose.digits(2, 6)
        right = [choose.pick(b, a, a + 1) for a, b in zip(left, right, strict=False)]
    else:
        left, right = (list(choose.letters(2, 5, "abc")) for _ in range(2))
        right = [choose.pick(b, a) for a, b in zip(left, right, strict=False)]
    result = _result(scope)
    pairs = choose.chance(0.4)
    first, second = choose.name("item", "key"), choose.name("entry", "other")
    if pairs:
        names = [scope.add(list(zip(left, right, strict=False)), "list")]
        over = names[0]
    else:
        names = [scope.add(left, "list"), scope.add(right, "other")]
        over = f"zip({names[0]}, {names[1]})"
    scope.emit(1, result.start(choose))
    scope.emit(1, f"for {first}, {second} in {over}:")
    scope.emit(2, f"if {first} {choose.pick('==', '!=', '<', '>', '<=', '>=', '==')} {second}:")
    scope.emit(3, result.change(scope))
    if choose.chance(0.5):
        scope.emit(2, "else:")
        scope.emit(3, result.change(scope))
    scope.emit(1, f"return {result.name}")
    return {name: scope.values[name] for name in names}


def in_a_while(scope: Scope) -> dict[str, Any]:
    """A loop that ends by a condition, with another one in it."""
    choose = scope.choose
    name = scope.add(choose.pick(choose.between(1, 12), choose.between(5, 60)))
    result = _result(scope)
    scope.emit(1, result.start(choose))
    low = choose.pick(0, 0, 1, 3, choose.between(0, 10))
    scope.emit(1, f"while {name} > {low}:")
    scope.emit(2, f"if {of_int(scope, name)}:")
    scope.emit(3, result.change(scope, name))
    if choose.chance(0.5):
        scope.emit(2, "else:")
        scope.emit(3, result.change(scope, name))
    scope.emit(2, f"{name} {choose.pick('-= 1', '-= 2', '-= 3', '//= 2', f'-= {choose.between(2, 9)}')}")
    scope.emit(1, f"return {result.name}")
    return dict(scope.values)


def one_variable(scope: Scope) -> dict[str, Any]:
    """Conditions on one variable, or two, and what they change is that variable: hardly anything else to be read."""
    choose = scope.choose
    kind = choose.pick(int, int, int, int, str, list)
    start: Any = {
        int: lambda: choose.pick(choose.between(0, 9), choose.between(1, 30), choose.number()),
        str: lambda: choose.letters(1, 4, choose.of(_ALPHABETS)),
        list: lambda: choose.digits(1, 3),
    }[kind]()
    name = scope.add(start)
    names = [name]
    if choose.chance(0.4):
        names.append(scope.add(choose.between(0, 12) if kind is int else choose.of(start)))
    given = dict(scope.values)
    depth, last = 1, ""
    if kind is int and choose.chance(0.5):
        depth, last = 2, f"{name} += {choose.pick(1, 2, 3, choose.between(1, 9))}"
        scope.emit(1, f"while {name} < {start + choose.between(5, 30)}:")
    elif choose.chance(0.5):
        depth = 2
        counter = scope.add(0, "index")
        names.append(counter)
        scope.emit(1, f"for {counter} in range({choose.between(3, 7)}):")
    for _ in range(choose.between(1, 4) if depth == 2 else choose.between(3, 9)):
        text = condition(scope, names, choose.chance(TRUE))
        happened = scope.truth(text)
        scope.emit(depth, f"if {text}:")
        _change(scope, depth, name, bool(happened), last != "")
        if choose.chance(0.2):
            if choose.chance(0.3):
                scope.emit(depth, f"elif {condition(scope, names, choose.chance(TRUE))}:")
                _change(scope, depth, name, False, last != "")
            scope.emit(depth, "else:")
            _change(scope, depth, name, not happened, last != "")
    if last:
        scope.emit(depth, last)
    scope.emit(1, f"return {name}")
    return given


def _change(scope: Scope, depth: int, name: str, happens: bool, upwards: bool) -> None:
    """The block of a condition: it changes a variable, or ends the run; `upwards`: never to a smaller number."""
    choose, value = scope.choose, scope.values[name]
    if choose.chance(0.04):
        scope.emit(depth + 1, f"return {choose.of(WORDS)!r}")
        return
    amount = choose.pick(1, 1, 2, 3, choose.between(1, 9))
    if isinstance(value, int):
        sign = "+" if upwards else choose.pick("+", "-")
        scope.emit(depth + 1, f"{name} {sign}= {amount}")
        after: Any = value + amount if sign == "+" else value - amount
    elif isinstance(value, str):
        letter = choose.of(f"{value}abx")
        scope.emit(depth + 1, f"{name} += {letter!r}")
        after = value + letter
    else:
        scope.emit(depth + 1, f"{name}.append({amount})")
        after = [*value, amount]
    if happens:
        scope.values[name] = after


WAYS = {in_a_row: 8, in_a_chain: 4, in_a_loop: 9, in_pairs: 2, in_a_while: 2, one_variable: 25}
"""Ways to decide, and how often each comes."""


def decisions(choose: Chooser) -> tuple[str, str]:
    """Source and call of a function that decides."""
    function = choose.name("function")
    scope = Scope(choose)
    arguments = choose.random.choices(list(WAYS), list(WAYS.values()))[0](scope)
    source = [f"def {function}({', '.join(arguments)}):", *scope.lines]
    return "\n".join(source) + "\n", f"{function}({', '.join(map(repr, arguments.values()))})"
