"""Programs changed a little: other arguments, other names, and the bugs that people make.

Everything works on the text by the positions of the syntax tree, so that what is not changed stays as it was written.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import keyword
from collections.abc import Iterator

from nano.chooser import WORDS, Chooser

Edit = tuple[int, int, str]
"""Where a text starts and ends, and what stands there afterwards."""

_OPERATORS: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">", "<=")), ast.LtE: ("<=", ("<", "<", ">=")), ast.Gt: (">", (">=", "<", ">=")),
    ast.GtE: (">=", (">", ">", "<=")), ast.Eq: ("==", ("!=", ">=", "is")), ast.NotEq: ("!=", ("==", "<")),
    ast.Add: ("+", ("-", "*")), ast.Sub: ("-", ("+",)), ast.Mult: ("*", ("+",)), ast.FloorDiv: ("//", ("/", "%")),
    ast.Div: ("/", ("//",)), ast.Mod: ("%", ("//",)), ast.And: ("and", ("or",)), ast.Or: ("or", ("and",)),
    ast.In: ("in", ("not in",)),
}  # fmt: skip
_NEVER_RENAMED = frozenset(dir(builtins)) | frozenset(keyword.kwlist) | {"self", "cls"}


def shapes(source: str) -> dict[str, bytes]:
    """Each function of a module, by name: a digest that names, docstrings, hints and layout do not change."""
    return {node.name: _shape(node) for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def _shape(function: ast.FunctionDef) -> bytes:
    numbers: dict[str, int] = {}

    def walk(node: ast.AST) -> str:
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            return f"${numbers.setdefault(name, len(numbers))}"
        fields: list[str] = []
        for field, value in ast.iter_fields(node):
            if field in ("ctx", "returns", "annotation", "type_comment", "name", "kind", "type_params"):
                continue
            if field == "body" and isinstance(value, list):
                value = [part for part in value if not _is_text(part)]
            if isinstance(value, list):
                fields.append("[" + ",".join(walk(p) if isinstance(p, ast.AST) else repr(p) for p in value) + "]")
            else:
                fields.append(walk(value) if isinstance(value, ast.AST) else repr(value))
        return f"{type(node).__name__}({','.join(fields)})"

    return hashlib.blake2b(walk(function).encode(), digest_size=8).digest()


def _is_text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


class Text:
    """A module's text with its syntax tree and offsets."""

    def __init__(self, source: str) -> None:
        """Parse; raises SyntaxError. The text must be ASCII, where columns are characters."""
        self.source = source
        self.tree = ast.parse(source)
        self._starts = [0]
        for line in source.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    def nodes(self) -> Iterator[ast.AST]:
        """All nodes but those inside f-strings, whose positions Python 3.11 does not know, and docstrings."""
        todo: list[ast.AST] = [self.tree]
        while todo:
            node = todo.pop()
            yield node
            if not isinstance(node, ast.JoinedStr):
                todo.extend(child for child in ast.iter_child_nodes(node) if not _is_text(child))

    def start(self, node: ast.expr | ast.stmt | ast.arg) -> int:
        """Where a node starts."""
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.arg) -> int:
        """Where a node ends."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.expr | ast.stmt) -> str:
        """A node's text."""
        return self.source[self.start(node) : self.end(node)]

    def changed(self, edits: list[Edit]) -> str:
        """The text after edits, which must not overlap."""
        text = self.source
        for start, end, new in sorted(edits, reverse=True):
            text = text[:start] + new + text[end:]
        return text


def with_bug(choose: Chooser, source: str) -> str | None:
    """The module with one small change of the kind that people make by mistake; None where there is none to make."""
    if not source.isascii():
        return None
    text = Text(source)
    edits = [edit for node in text.nodes() for edit in _bugs(choose, text, node)]
    return text.changed([choose.of(edits)]) if edits else None


def _bugs(choose: Chooser, text: Text, node: ast.AST) -> Iterator[Edit]:
    """Ways to get this node wrong."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _operator(choose, text, node.left, node.ops[0], node.comparators[0])
    elif isinstance(node, ast.BinOp):
        yield from _operator(choose, text, node.left, node.op, node.right)
    elif isinstance(node, ast.BoolOp):
        yield from _operator(choose, text, node.values[0], node.op, node.values[1])
    elif isinstance(node, ast.AugAssign):
        yield from _operator(choose, text, node.target, node.op, node.value)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield text.start(node), text.end(node), str(node.value + (choose.pick(-1, 1) if node.value else 1))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield text.start(node), text.end(node), str(not node.value)
    elif isinstance(node, ast.Return) and node.value is not None:
        start = text.start(node)
        rest = text.source[start + len("return") :]
        yield start, start + len("return") + len(rest) - len(rest.lstrip(" ")), ""
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Dict) and choose.chance(0.3):
        yield text.start(node.value), text.end(node.value), "None"
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name):
        yield text.end(node.slice), text.end(node.slice), choose.pick(" + 1", " - 1")
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1 and not node.keywords:
        argument = text.of(node.args[0])
        if node.func.id == "range":
            start = text.start(node.args[0])
            yield start, text.end(node.args[0]), choose.pick(f"1, {argument}", f"{argument} - 1", f"{argument} + 1")
        elif node.func.id in ("str", "int", "list", "sorted", "abs", "set"):
            yield text.start(node), text.end(node), argument
        if node.func.id == "sorted" and isinstance(node.args[0], ast.Name):
            yield text.start(node), text.end(node), f"{argument}.sort()"
    elif isinstance(node, ast.FunctionDef):
        names = [arg.arg for arg in node.args.args if arg.arg != "self"]
        uses = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in names]
        if len(names) > 1 and uses and not any(isinstance(n, ast.JoinedStr) for n in ast.walk(node)):
            use = choose.of(uses)
            yield text.start(use), text.end(use), choose.of([name for name in names if name != use.id])


def _operator(choose: Chooser, text: Text, left: ast.expr, operator: ast.AST, right: ast.expr) -> Iterator[Edit]:
    if type(operator) in _OPERATORS:
        sign, others = _OPERATORS[type(operator)]
        start, end = text.end(left), text.start(right)
        between = text.source[start:end]
        if between.count(sign) == 1:
            yield start, end, between.replace(sign, choose.of(others))


def renamed(choose: Chooser, source: str) -> str:
    """The module with some parameters and local variables called otherwise, the same everywhere."""
    if not source.isascii():
        return source
    text = Text(source)
    uses: dict[str, list[tuple[int, int]]] = {}
    local: set[str] = set()
    taken: set[str] = set(_NEVER_RENAMED)
    for node in ast.walk(text.tree):
        if isinstance(node, ast.JoinedStr | ast.Global | ast.Nonlocal):
            taken.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
            taken.update(getattr(node, "names", ()))
        elif isinstance(node, ast.keyword | ast.alias | ast.ExceptHandler | ast.FunctionDef | ast.ClassDef):
            name = node.arg if isinstance(node, ast.keyword) else node.name
            taken.update((name or "", getattr(node, "asname", None) or ""))
    for node in text.tree.body:  # names of the module and of its classes stay
        taken.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(node, ast.FunctionDef))
    for node in text.nodes():
        if isinstance(node, ast.Name | ast.arg):
            name = node.id if isinstance(node, ast.Name) else node.arg
            start = text.start(node)
            uses.setdefault(name, []).append((start, start + len(name)))
            if isinstance(node, ast.arg) or isinstance(node.ctx, ast.Store):
                local.add(name)
    edits: list[Edit] = []
    free = [word for word in WORDS if word not in uses and word not in taken]
    for name in sorted(local - taken):
        if choose.chance(0.4):
            role = choose.pick("int", "item", "list", "str", "total", "index", "newlist", "dict", "word", "best")
            choose.reserve([*uses, *taken])
            new = choose.name(role) if choose.chance(0.85) or not free else free.pop(choose.between(0, len(free) - 1))
            choose.reserve([new])
            free = [word for word in free if word != new]
            edits += [(start, end, new) for start, end in uses[name]]
    return text.changed(edits)


def with_other_arguments(choose: Chooser, call: str, share: float = 0.7) -> str:
    """The call with arguments of the same types: numbers, lengths and texts changed."""
    tree = ast.parse(call, mode="eval").body
    if not isinstance(tree, ast.Call):
        return call

    def other(argument: ast.expr) -> ast.expr:
        try:
            return ast.parse(repr(_other(choose, ast.literal_eval(argument), share)), mode="eval").body
        except ValueError:
            return argument

    tree.args = [other(argument) for argument in tree.args]
    for argument in tree.keywords:
        argument.value = other(argument.value)
    return ast.unparse(tree)


def _other(choose: Chooser, value: object, share: float) -> object:
    """Another value of the same type and about the same size."""
    if isinstance(value, bool):
        return choose.chance(0.5)
    if isinstance(value, list | tuple):
        parts = [_other(choose, part, share) for part in value]
        if parts and len({type(part) for part in value}) == 1 and isinstance(value, list) and choose.chance(0.3):
            if choose.chance(0.55) and len(parts) > 1:
                del parts[choose.between(0, len(parts) - 1)]
            else:
                parts.insert(choose.between(0, len(parts)), _other(choose, choose.of(value), 1.0))
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, set):
        return {_other(choose, part, share) for part in sorted(value, key=repr)}
    if isinstance(value, dict):
        return {_other(choose, key, share / 2): _other(choose, part, share) for key, part in value.items()}
    if not choose.chance(share):
        return value
    if isinstance(value, int):
        if abs(value) < 3:
            return choose.pick(value, value + 1, abs(value), choose.between(0, 5))
        return value + choose.between(-min(abs(value), 30) // 2, min(abs(value), 30) // 2)
    if isinstance(value, float):
        return round(value + choose.between(-20, 20) / 10, 2)
    if isinstance(value, str) and value:
        return _other_text(choose, value)
    return value


def _other_text(choose: Chooser, value: str) -> str:
    """A text with letters, digits or words exchanged, left out or put in."""
    if " " in value.strip() and choose.chance(0.5):
        words = value.split(" ")
        words[choose.between(0, len(words) - 1)] = choose.word()
        return " ".join(words)
    letters = list(value)
    for _ in range(choose.between(1, 3)):
        index = choose.between(0, len(letters) - 1)
        old = letters[index]
        draw = choose.random.random()
        if draw < 0.2 and len(letters) > 1:
            del letters[index]
        elif draw < 0.4:
            letters.insert(index, choose.of(letters))
        elif old.isdigit():
            letters[index] = str(choose.between(0, 9))
        elif old.isalpha() and old.isascii():
            letters[index] = choose.of("abcdeilmnorst") if old.islower() else choose.of("ABCEHRST")
    return "".join(letters)
