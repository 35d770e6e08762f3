"""Where example calls of a function come from: comments, doctests, tests, the module's own calls, its defaults.

Every call found is an expression that can be evaluated in the module's namespace once it has been imported. Nothing is
run to find them.
"""

from __future__ import annotations

import ast
import doctest
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import chain

from debugger.pieces import Definition, first_line_of, is_main_block
from debugger.target import SourceFile, Target, TargetError
from debugger.usages import Usages, dotted, find_test_files

_COMMENT = re.compile(r"#\s*foretrace:\s*(?P<call>.*)")


class Origin(str, Enum):
    """Where a call comes from, best first after GIVEN."""

    GIVEN = "given"
    """By the user, as with `--call`."""
    COMMENT = "comment"
    """`# foretrace: f(3)` in the function, right above it, or anywhere in the file if it names the function."""
    DOCTEST = "doctest"
    TEST = "test"
    """In a test file that imports the function."""
    MAIN = "main"
    """In the `if __name__ == "__main__"` block or in a function `main`."""
    MODULE = "module"
    DEFAULTS = "defaults"
    """No argument is needed."""


@dataclass(frozen=True, slots=True)
class Call:
    """An expression whose evaluation in the module's namespace runs the target."""

    expression: str
    origin: Origin
    line: int | None = None
    """Where it stands in the target's file; None if it stands elsewhere or nowhere."""


def find_calls(target: Target) -> list[Call]:
    """All example calls of a target, best first, each once. Raises TargetError for a comment that does not parse."""
    first: dict[str, Call] = {}
    for call in _each_call(target):
        first.setdefault(call.expression, call)
    return list(first.values())


def best_call(target: Target) -> Call | None:
    """The first of `find_calls`; where comments or doctests have one, no test is read. Raises TargetError."""
    return next(_each_call(target), None)


def noted_call(target: Target) -> Call | None:
    """The best call that the target's own file notes in a comment or doctest. Raises TargetError."""
    tree = target.file.parse()
    usages = Usages(target, tree)
    return next(chain(_in_comments(target, usages), _in_doctests(target, tree, usages)), None)


def _each_call(target: Target) -> Iterator[Call]:
    tree = target.file.parse()
    usages = Usages(target, tree)
    yield from _in_comments(target, usages)
    yield from _in_doctests(target, tree, usages)
    yield from _in_tests(target, usages)
    yield from _in_module(tree, usages)
    yield from _by_defaults(target, tree, usages)


def parse_call(text: str) -> str:
    """A call given by the user, checked to be one Python expression, on one line. Raises TargetError."""
    text = text.strip()
    if not text:
        raise TargetError("The call is empty; write an expression such as f(3, 'a').")
    try:
        compile(text, "<call>", "eval", dont_inherit=True)
    except SyntaxError as error:
        if _is_statement(text):
            raise TargetError(f"The call {text!r} is a statement; write one expression such as f(3, 'a').") from None
        column = max(1, min(error.offset or 1, len(text) + 1))
        raise TargetError(f"The call {text!r} does not parse: {error.msg}, at column {column}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise TargetError(f"The call {text[:80]!r} does not parse: {error or 'it is nested too deeply'}.") from None
    return ast.unparse(ast.parse(text, mode="eval")) if "\n" in text else text


def running_call(target: Target, call: str) -> str:
    """A call given by the user as one that runs the target, which that of a generator or coroutine alone does not."""
    expression = ast.parse(call, mode="eval").body
    usages = Usages(target, target.file.parse())
    return usages.running(expression) if usages.is_call(expression) else call


def _is_statement(text: str) -> bool:
    try:
        compile(text, "<call>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _in_comments(target: Target, usages: Usages) -> Iterator[Call]:
    node = target.node()
    own_lines = range(_first_comment_above(target.file, first_line_of(node)), target.last_line + 1)
    for line, expression in _comments(target.file):
        if isinstance(expression, TargetError):
            if _belongs_to_another(target, line):
                continue
            raise TargetError(f"{target.file.path}, line {line}: {expression}")
        if line in own_lines or any(usages.is_call(each) for each in ast.walk(expression)):
            text = usages.running(expression) if usages.is_call(expression) else ast.unparse(expression)
            yield Call(text, Origin.COMMENT, line)


@lru_cache(maxsize=2)
def _comments(file: SourceFile) -> tuple[tuple[int, ast.expr | TargetError], ...]:
    """The lines of a file's `# foretrace:` comments, and the call of each or why it is none."""
    found: list[tuple[int, ast.expr | TargetError]] = []
    for token in tokenize.generate_tokens(io.StringIO(file.text).readline):
        match = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if match is None:
            continue
        try:
            found.append((token.start[0], ast.parse(parse_call(match["call"]), mode="eval").body))
        except TargetError as problem:
            found.append((token.start[0], problem))
    return tuple(found)


def _belongs_to_another(target: Target, line: int) -> bool:
    """Whether a line stands in a function, or in the comments above one, that the target is not a part of."""
    file = target.file
    spans = [
        range(_first_comment_above(file, first_line_of(node)), (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(file.parse())
        if isinstance(node, Definition)
    ]
    around = [span for span in spans if line in span]
    return bool(around) and not any(target.first_line in span for span in around)


def _first_comment_above(file: SourceFile, line: int) -> int:
    while line > 1 and file.lines[line - 2].lstrip().startswith("#"):
        line -= 1
    return line


def _in_doctests(target: Target, tree: ast.Module, usages: Usages) -> Iterator[Call]:
    node = target.node()
    for holder in (node, *_classes_around(tree, target), tree):
        docstring = ast.get_docstring(holder, clean=False)
        if docstring is None:
            continue
        first_line = holder.body[0].lineno
        try:
            examples = doctest.DocTestParser().get_examples(docstring)
        except ValueError:
            continue  # indented in a way that doctest itself refuses: not a doctest
        block: list[ast.stmt] = []
        for example in examples:
            try:
                statements = ast.parse(example.source).body
            except SyntaxError:
                continue  # an example of what is wrong
            for statement in statements:
                block.append(ast.increment_lineno(statement, first_line + example.lineno - 1))
        for call, line in usages.in_block(block, {}):
            yield Call(usages.running(call), Origin.DOCTEST, line)


def _in_tests(target: Target, usages: Usages) -> Iterator[Call]:
    for path in find_test_files(target.file.path):
        for call, _ in usages.in_test(path):
            yield Call(usages.running(call), Origin.TEST)


def _in_module(tree: ast.Module, usages: Usages) -> Iterator[Call]:
    instances = usages.instances(tree)
    for statement in tree.body:
        is_main = isinstance(statement, Definition) and statement.name == "main"
        block = getattr(statement, "body", []) if is_main or is_main_block(statement) else []
        for call, line in usages.in_block(block, instances):
            yield Call(usages.running(call), Origin.MAIN, line)
    for call, line in usages.in_block(tree.body, {}, is_module=True):
        yield Call(usages.running(call), Origin.MODULE, line)


def _by_defaults(target: Target, tree: ast.Module, usages: Usages) -> Iterator[Call]:
    node = target.node()
    if not usages.owner:
        if _needed(node) == 0:
            yield Call(usages.running(ast.parse(f"{target.qualname}()", mode="eval").body), Origin.DEFAULTS)
        return
    static, bound = "staticmethod" in usages.decorators, "classmethod" in usages.decorators
    missing = _needed(node) - (0 if static else 1)
    if missing > 0 or usages.method in ("__new__", "__post_init__"):
        return
    if static or bound:
        text = f"{target.qualname}()"
    elif not _can_be_made(_classes_around(tree, target)[0], tree):
        return
    elif usages.method == "__init__":
        text = f"{usages.owner}()"
    else:
        text = f"{usages.owner}().{usages.method}" + ("" if usages.is_property else "()")
    yield Call(usages.running(ast.parse(text, mode="eval").body), Origin.DEFAULTS)


def _needed(function: Definition) -> int:
    """How many parameters have no default."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional + sum(default is None for default in arguments.kw_defaults)


def _classes_around(tree: ast.Module, target: Target) -> list[ast.ClassDef]:
    """The classes that the target is a method of, innermost first."""
    names = target.qualname.split(".")[:-1]
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.lineno <= target.first_line <= (node.end_lineno or 0)
    ]
    return sorted(around, key=lambda node: -node.lineno)[: len(names)]


def _can_be_made(cls: ast.ClassDef, tree: ast.Module) -> bool:
    """Whether a class can be instantiated without arguments, as far as this file tells."""
    for node in cls.body:
        if isinstance(node, Definition) and node.name in ("__init__", "__new__"):
            return _needed(node) <= 1
    if any("dataclass" in ast.unparse(decorator) for decorator in cls.decorator_list):
        return all(node.value is not None for node in cls.body if isinstance(node, ast.AnnAssign))
    known = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    bases = [dotted(base) for base in cls.bases]
    if cls.keywords or cls.decorator_list:
        return False
    return all(base == "object" or (base in known and _can_be_made(known[base], tree)) for base in bases)
