"""Functions composed statement by statement from typed parts: where nano meets most of its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field

from nano.chooser import Chooser

INDENT = "    "


@dataclass
class Scope:
    """The variables that a statement may use, by type, and the lines written so far."""

    choose: Chooser
    ints: list[str] = field(default_factory=list[str])
    lists: list[str] = field(default_factory=list[str])
    strings: list[str] = field(default_factory=list[str])
    lines: list[str] = field(default_factory=list[str])
    fixed: set[str] = field(default_factory=set[str])
    """Loop variables and the like, which a statement must not assign to."""

    def emit(self, depth: int, text: str) -> None:
        """Add a line."""
        self.lines.append(INDENT * depth + text)


def integer(scope: Scope, nested: bool = True) -> str:
    """An expression for a number."""
    choose = scope.choose
    left = choose.of(scope.ints) if scope.ints else str(choose.between(1, 12))
    draw = choose.random.random()
    if draw < 0.30:
        return f"{left} {choose.pick('+', '-', '*', '+', '-')} {choose.between(1, 12)}"
    if draw < 0.56:
        return f"{left} {choose.pick('+', '-', '*', '+')} {choose.of(scope.ints) if scope.ints else 2}"
    if draw < 0.64:
        return f"{left} {choose.pick('//', '%')} {choose.between(2, 10)}"
    if draw < 0.70:
        return f"{choose.between(1, 20)} {choose.pick('-', '+', '*')} {left}"
    if draw < 0.76 and scope.lists:
        values = choose.of(scope.lists)
        return choose.pick(f"len({values})", f"{values}[0]", f"{values}[-1]", f"sum({values})", f"{values}[1]",
                           f"max({values})", f"min({values})")  # fmt: skip
    if draw < 0.80 and scope.strings:
        return f"len({choose.of(scope.strings)})"
    if draw < 0.86:
        other = choose.of(scope.ints) if scope.ints and choose.chance(0.6) else str(choose.between(0, 20))
        return choose.pick(f"max({left}, {other})", f"min({left}, {other})", f"abs({left} - {other})")
    if nested:
        inner = integer(scope, nested=False)
        return choose.pick(f"({inner}) {choose.pick('*', '+', '-')} {choose.between(2, 5)}",
                           f"({inner}) % {choose.between(2, 10)}", f"{left} + ({inner})")  # fmt: skip
    return str(choose.between(0, 20))


def condition(scope: Scope) -> str:
    """An expression for a truth value."""
    choose = scope.choose
    left = choose.of(scope.ints) if scope.ints else "1"
    comparison = choose.pick("<", ">", "<=", ">=", "==", "!=", ">", "<")
    draw = choose.random.random()
    if draw < 0.45:
        return f"{left} {comparison} {choose.between(0, 20)}"
    if draw < 0.62 and len(scope.ints) > 1:
        return f"{left} {comparison} {choose.of(scope.ints)}"
    if draw < 0.80:
        return f"{left} % {choose.pick(2, 2, 2, 3, 4, 5)} {choose.pick('==', '==', '!=')} {choose.pick(0, 0, 1)}"
    if draw < 0.88 and scope.lists:
        return choose.pick(
            f"{left} in {choose.of(scope.lists)}", f"len({choose.of(scope.lists)}) > {choose.between(1, 4)}"
        )
    low = choose.between(0, 10)
    return choose.pick(f"{low} < {left} < {low + choose.between(2, 12)}",
                       f"{left} > {low} and {left} < {low + choose.between(2, 12)}",
                       f"{left} < {low} or {left} > {low + choose.between(2, 12)}", f"not {left}")  # fmt: skip


def assignment(scope: Scope, depth: int) -> None:
    """A new number, or an old one changed."""
    choose = scope.choose
    open_names = [name for name in scope.ints if name not in scope.fixed]
    if open_names and choose.chance(0.45):
        name = choose.of(open_names)
        if choose.chance(0.75):
            amount = choose.of(scope.ints) if choose.chance(0.35) else str(choose.between(1, 12))
            operator = choose.pick("+", "+", "-", "-", "*")
            if choose.chance(0.1):
                operator, amount = choose.pick("//", "%"), str(choose.between(2, 9))
            scope.emit(depth, f"{name} {operator}= {amount}")
        else:
            scope.emit(depth, f"{name} = {integer(scope)}")
        return
    value = integer(scope)
    name = choose.name("int", "total")
    scope.emit(depth, f"{name} = {value}")
    if depth == 1:
        scope.ints.append(name)


def change(scope: Scope, depth: int) -> None:
    """A statement that changes a variable which exists already; fits inside loops and branches."""
    choose = scope.choose
    open_names = [name for name in scope.ints if name not in scope.fixed]
    if not open_names:
        scope.emit(depth, f"return {integer(scope)}")
        return
    name = choose.of(open_names)
    others = [other for other in scope.ints if other != name]
    amount = choose.of(others) if others and choose.chance(0.6) else str(choose.between(1, 9))
    if choose.chance(0.8):
        scope.emit(depth, f"{name} {choose.pick('+', '+', '+', '-', '-', '*')}= {amount}")
    else:
        scope.emit(depth, f"{name} = {integer(scope)}")


def branch(scope: Scope, depth: int) -> None:
    """If, often with else, sometimes with elif, sometimes returning."""
    choose = scope.choose
    scope.emit(depth, f"if {condition(scope)}:")
    if choose.chance(0.2):
        scope.emit(depth + 1, f"return {integer(scope)}")
        return
    change(scope, depth + 1)
    if choose.chance(0.2):
        scope.emit(depth, f"elif {condition(scope)}:")
        change(scope, depth + 1)
    if choose.chance(0.55):
        scope.emit(depth, "else:")
        change(scope, depth + 1)


def loop(scope: Scope, depth: int) -> None:
    """A for loop over a range, a list or a string, or a while loop that counts down or grows."""
    choose = scope.choose
    if not [name for name in scope.ints if name not in scope.fixed] or choose.chance(0.4):
        name = choose.name("total", "counter")
        scope.emit(depth, f"{name} = {choose.pick(0, 0, 0, 1, choose.between(0, 9))}")
        scope.ints.append(name)
    draw = choose.random.random()
    if draw < 0.2:
        name = choose.of([name for name in scope.ints if name not in scope.fixed])
        bound = choose.between(0, 12)
        if choose.chance(0.5):
            header, ending = f"while {name} > {bound}:", f"{name} {choose.pick('-', '-', '//')}= {choose.between(2, 7)}"
        else:
            header, ending = (
                f"while {name} < {bound + 8}:",
                f"{name} {choose.pick('+', '+', '*')}= {choose.between(2, 7)}",
            )
        scope.emit(depth, header)
        if choose.chance(0.6):
            scope.fixed.add(name)
            if [other for other in scope.ints if other not in scope.fixed]:
                change(scope, depth + 1)
            scope.fixed.discard(name)
        scope.emit(depth + 1, ending)
        return
    if draw < 0.6 or not (scope.lists or scope.strings):
        variable, over = choose.name("index"), choose.pick(
            f"range({choose.between(2, 5)})", f"range({choose.between(2, 4)})", f"range(1, {choose.between(3, 6)})",
            f"range({choose.between(0, 3)}, {choose.between(4, 12)}, {choose.between(2, 4)})",
            f"range({choose.between(3, 5)}, 0, -1)")  # fmt: skip
        number = True
    elif scope.lists and (draw < 0.9 or not scope.strings):
        variable, over, number = choose.name("item"), choose.of(scope.lists), True
    else:
        variable, over, number = choose.name("char"), choose.of(scope.strings), False
    scope.emit(depth, f"for {variable} in {over}:")
    if number:
        scope.ints.append(variable)
        scope.fixed.add(variable)
    if choose.chance(0.45):
        branch_in_loop(scope, depth + 1)
    else:
        change(scope, depth + 1)
        if choose.chance(0.25):
            change(scope, depth + 1)
    if number:
        scope.ints.remove(variable)


def branch_in_loop(scope: Scope, depth: int) -> None:
    """A branch that may also leave or skip."""
    choose = scope.choose
    scope.emit(depth, f"if {condition(scope)}:")
    if choose.chance(0.2):
        scope.emit(depth + 1, choose.pick("break", "continue"))
        change(scope, depth)
        return
    change(scope, depth + 1)
    if choose.chance(0.4):
        scope.emit(depth, "else:")
        change(scope, depth + 1)


def list_step(scope: Scope, depth: int) -> None:
    """A list made, grown, sliced or changed."""
    choose = scope.choose
    if scope.lists and choose.chance(0.6):
        name = choose.of(scope.lists)
        scope.emit(depth, choose.pick(
            f"{name}.append({integer(scope)})", f"{name}[0] = {integer(scope)}", f"{name}[-1] = {integer(scope)}",
            f"{name} = {name}[1:]", f"{name} = {name}[:-1]", f"{name} = {name} + [{integer(scope)}]",
            f"{name}.reverse()", f"{name}.sort()", f"{name}.insert(0, {integer(scope)})",
            f"{name} = {name}[::-1]"))  # fmt: skip
        return
    name = choose.name("newlist")
    entries = ", ".join(integer(scope, nested=False) if choose.chance(0.5) else str(choose.number())
                        for _ in range(choose.between(0, 4)))  # fmt: skip
    scope.emit(depth, f"{name} = [{entries}]")
    if entries.count(",") >= 1:
        scope.lists.append(name)
    else:
        scope.emit(depth, f"{name}.append({integer(scope)})")


def string_step(scope: Scope, depth: int) -> None:
    """A string made from others."""
    choose = scope.choose
    if not scope.strings:
        name = choose.name("str")
        scope.emit(depth, f"{name} = {choose.word()!r}")
        scope.strings.append(name)
        return
    old = choose.of(scope.strings)
    value = choose.pick(f"{old} + {choose.word(4)!r}", f"{old}[::-1]", f"{old}.upper()", f"{old}[1:]", f"{old}[:2]",
                        f"{old} * 2", f"{old}[0] + {old}",
                        f"{old}.replace({choose.of('aeiot')!r}, {choose.pick('', 'x', '-')!r})",
                        f"{choose.word(4)!r} + {old}", f"{old}.capitalize()", f"{old}[-1]",
                        f"{old} + str({choose.of(scope.ints) if scope.ints else 7})")  # fmt: skip
    if choose.chance(0.5) and old not in scope.fixed:
        scope.emit(depth, f"{old} = {value}")
    else:
        name = choose.name("newstr")
        scope.emit(depth, f"{name} = {value}")
        scope.strings.append(name)


STEPS = {
    "arithmetic": ((assignment, 8), (branch, 1)),
    "branches": ((assignment, 3), (branch, 5)),
    "loops": ((assignment, 2), (branch, 1), (loop, 4)),
    "lists": ((assignment, 2), (loop, 2), (list_step, 5)),
    "strings": ((assignment, 1), (loop, 1), (string_step, 5)),
}


def function(choose: Chooser, kind: str, name: str, steps: int) -> tuple[list[str], list[str]]:
    """A function's lines and the literals of one call's arguments."""
    scope = Scope(choose)
    parameters: list[str] = []
    arguments: list[str] = []

    def parameter(role: str, into: list[str], literal: str) -> None:
        parameter_name = choose.name(role)
        into.append(parameter_name)
        parameters.append(parameter_name)
        arguments.append(literal)

    if kind == "strings":
        parameter("str", scope.strings, repr(choose.word()))
    if kind == "lists" or (kind == "loops" and choose.chance(0.4)):
        parameter("list", scope.lists, repr(choose.numbers(2, 4)))
    for _ in range(choose.between(1, 3) if not arguments else choose.between(0, 1)):
        parameter("int", scope.ints, str(choose.number()))
    options = [step for step, weight in STEPS[kind] for _ in range(weight)]
    for index in range(steps):
        step = loop if kind == "loops" and index == steps - 1 else choose.of(options)
        step(scope, 1)
    scope.emit(1, f"return {result(scope)}")
    annotate = choose.chance(0.15)
    types = {
        **dict.fromkeys(scope.ints, "int"),
        **dict.fromkeys(scope.lists, "list[int]"),
        **dict.fromkeys(scope.strings, "str"),
    }
    signature = ", ".join(f"{p}: {types[p]}" if annotate and p in types else p for p in parameters)
    return [f"def {name}({signature}):", *scope.lines], arguments


def result(scope: Scope) -> str:
    """What a function returns: mostly the newest variable."""
    choose = scope.choose
    names = scope.ints[-2:] + scope.lists[-1:] + scope.strings[-1:]
    draw = choose.random.random()
    if draw < 0.65 and names:
        return choose.of(names)
    if draw < 0.92:
        return integer(scope)
    return condition(scope) if choose.chance(0.6) else f"{names[0] if names else 1}, {integer(scope)}"


def composed(choose: Chooser, kind: str) -> tuple[str, str]:
    """Source and call of one composed function."""
    name = choose.name("function")
    lines, arguments = function(choose, kind, name, choose.between(2, 5 if kind in ("arithmetic", "branches") else 4))
    return "\n".join(lines) + "\n", f"{name}({', '.join(arguments)})"


def with_helper(choose: Chooser) -> tuple[str, str]:
    """Source and call of a function that calls another one, which nano must step into and return from."""
    helper, name = choose.name("helper"), choose.name("function")
    inner = Scope(choose)
    parameters = [choose.name("int") for _ in range(choose.between(1, 2))]
    inner.ints += parameters
    if choose.chance(0.5):
        choose.pick(assignment, branch)(inner, 1)
    inner.emit(1, f"return {integer(inner)}")
    outer = Scope(choose)
    outer_parameters = [choose.name("int") for _ in range(choose.between(1, 2))]
    outer.ints += outer_parameters

    def call() -> str:
        values = [choose.of(outer.ints) if choose.chance(0.75) else str(choose.between(0, 12)) for _ in parameters]
        return f"{helper}({', '.join(values)})"

    if choose.chance(0.35):
        total, index = choose.name("total"), choose.name("index")
        outer.emit(1, f"{total} = {choose.pick(0, 0, 1)}")
        outer.emit(1, f"for {index} in range({choose.between(2, 3)}):")
        outer.ints += [index]
        outer.emit(2, f"{total} += {call()}")
        outer.ints[-1] = total
    else:
        for _ in range(choose.between(1, 2)):
            variable, sign = choose.name("int", "total"), choose.pick("+", "-")
            outer.emit(1, f"{variable} = {choose.pick(call(), call(), f'{call()} {sign} {choose.of(outer.ints)}')}")
            outer.ints.append(variable)
            if choose.chance(0.3):
                choose.pick(assignment, branch)(outer, 1)
    outer.emit(1, f"return {choose.pick(outer.ints[-1], outer.ints[-1], call(), integer(outer))}")
    source = [f"def {helper}({', '.join(parameters)}):", *inner.lines, "", "",
              f"def {name}({', '.join(outer_parameters)}):", *outer.lines]  # fmt: skip
    return "\n".join(source) + "\n", f"{name}({', '.join(str(choose.number()) for _ in outer_parameters)})"
