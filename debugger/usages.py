"""Calls of one function in code that uses it, as expressions that can be evaluated in the function's own module.

Values that are plain to see are put in place of local names: literals, instances of the method's class, the rows of a
loop over a literal or of `pytest.mark.parametrize`. What was done to such a value before the call comes with it, as in
`(s := Stack(), s.push(1), s)[-1].pop()`. A call that needs anything else is left out.
"""

from __future__ import annotations

import ast
import builtins
import copy
import dis
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType

from debugger.pieces import Definition, is_main_block
from debugger.target import SourceFile, Target, TargetError

_Values = Mapping[str, "ast.expr | None"]
"""What local names stand for; None for a value that is not plain to see."""

_INTERACTIVE = frozenset({"input", "open", "breakpoint", "exit", "quit", "argv", "stdin"})
_MOST_ROWS = 20
_ROOT_MARKS = (".git", "pyproject.toml", "setup.py", "setup.cfg")
_MOST_STEPS = 8
"""What is done to a value before a call; behind more, a call is hardly an example."""
_PROPERTIES = frozenset({"property", "cached_property", "functools.cached_property"})


class Usages:
    """Finds calls of one target. The module's names are read once."""

    def __init__(self, target: Target, tree: ast.Module) -> None:
        """`tree` is the target's file, parsed."""
        path = target.file.path.absolute()
        self._module = path.parent.name if path.stem == "__init__" else path.stem
        self.owner, _, self.method = target.qualname.rpartition(".")
        self._qualname = target.qualname
        self._node = target.node()
        self.decorators = {dotted(decorator) for decorator in self._node.decorator_list}
        pieces = target.file.pieces()
        self.module_names = frozenset(name for piece in pieces if not piece.is_main for name in piece.binds)

    @property
    def is_property(self) -> bool:
        """Whether the target is called by reading an attribute."""
        return bool(self.decorators & _PROPERTIES)

    @property
    def is_generator(self) -> bool:
        """Whether calling the target only makes a generator."""
        return _yields(self._node) and isinstance(self._node, ast.FunctionDef)

    @property
    def is_coroutine(self) -> bool:
        """Whether calling the target only makes a coroutine."""
        return isinstance(self._node, ast.AsyncFunctionDef) and not _yields(self._node)

    def running(self, call: ast.expr) -> str:
        """The text of an expression that makes the call and runs its body, which a generator's call alone does not."""
        text = ast.unparse(call)
        if self.is_generator:
            return f"list({text})"
        if not self.is_coroutine:
            return text
        return f"asyncio.run({text})" if "asyncio" in self.module_names else f"__import__('asyncio').run({text})"

    def is_call(self, node: ast.AST) -> bool:
        """Whether an expression calls the target, as far as its text tells."""
        if self.owner and self.is_property:
            return isinstance(node, ast.Attribute) and node.attr == self.method and self._is_instance(node.value)
        if not isinstance(node, ast.Call):
            return False
        if not self.owner:
            return dotted(node.func) == self._qualname
        if self.method in ("__init__", "__new__", "__post_init__"):
            return dotted(node.func) == self.owner
        if self.method == "__call__":
            return self._is_instance(node.func)
        if not isinstance(node.func, ast.Attribute) or node.func.attr != self.method:
            return False
        return dotted(node.func.value) == self.owner or self._is_instance(node.func.value)

    def in_block(
        self, block: Iterable[ast.stmt], values: _Values, *, is_module: bool = False
    ) -> Iterator[tuple[ast.expr, int]]:
        """Calls in statements that run in order, with the line of each; functions among them are left out.

        `is_module`: the block is the target's own module, so its names can be used as they are.
        """
        known = dict(values)
        for statement in block:
            if isinstance(statement, (Definition, ast.ClassDef)):
                continue
            yield from self._in_statement(statement, known, is_module=is_module)
            self._assign(statement, known, is_module=is_module)

    def in_test(self, path: Path) -> Iterator[tuple[ast.expr, int]]:
        """Calls in a test file that imports the target's module, in terms of that module."""
        try:
            file = SourceFile.read(path)
            if self._module not in file.text:
                return  # cannot import it; far cheaper to see than by parsing
            tree = ast.parse(file.text)  # anew: names in it are replaced
        except (TargetError, SyntaxError, ValueError, RecursionError, MemoryError):
            return  # a test file that cannot be used is no fault of the target
        renames = _Renames.of(tree, self._module)
        if not renames.names and not renames.modules:
            return
        tree = renames.visit(tree)
        values: dict[str, ast.expr | None] = {}
        for statement in tree.body:
            if isinstance(statement, (Definition, ast.ClassDef)):
                values[statement.name] = None
        imported = {*renames.names.values(), *_imported(tree)}
        self._assign_all(tree.body, values)
        values = {name: value for name, value in values.items() if name not in imported}
        yield from self.in_block(tree.body, {})
        for node in ast.walk(tree):
            if isinstance(node, Definition):
                for row in _parametrized(node):
                    parameters = {
                        argument.arg: None for argument in ast.walk(node.args) if isinstance(argument, ast.arg)
                    }
                    yield from self.in_block(node.body, {**values, **parameters, **row})

    def instances(self, tree: ast.Module) -> _Values:
        """Names of the target's module that stand for instances of the target's class."""
        known: dict[str, ast.expr | None] = {}
        for statement in tree.body:
            self._assign(statement, known, is_module=True)
        return known

    def can_be_evaluated(self, expression: ast.expr) -> bool:
        """Whether an expression needs nothing but names that the module has after its import, and no input."""
        try:
            code = compile(ast.Expression(expression), "<call>", "eval", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        attributes = {node.attr for node in ast.walk(expression) if isinstance(node, ast.Attribute)}
        bound = {node.target.id for node in ast.walk(expression) if isinstance(node, ast.NamedExpr)}
        names = set(_free_names(code)) - bound
        return not (names | attributes) & _INTERACTIVE and names <= self.module_names | set(dir(builtins))

    def _is_instance(self, node: ast.expr) -> bool:
        """Whether an expression starts out from an instance of the target's class."""
        current: ast.expr = node
        while isinstance(current, (ast.Call, ast.Attribute, ast.Subscript)):
            if isinstance(current, ast.Call):
                name = dotted(current.func)
                if name == self.owner or name.startswith(self.owner + "."):
                    return True
                current = current.func
            elif (value := _made(current)) is not None:
                current = value
            else:
                current = current.value
        return False

    def _in_statement(
        self, statement: ast.stmt, known: dict[str, ast.expr | None], *, is_module: bool
    ) -> Iterator[tuple[ast.expr, int]]:
        for node in ast.iter_child_nodes(statement):
            expression = node.context_expr if isinstance(node, ast.withitem) else node
            if isinstance(expression, ast.expr):
                yield from self._in_expression(expression, known)
        if is_main_block(statement):
            return
        if isinstance(statement, (ast.For, ast.AsyncFor)):
            for row in _rows(statement.target, statement.iter):
                plain = {name: value for name, value in row.items() if value is not None or not is_module}
                yield from self.in_block(statement.body, {**known, **plain}, is_module=is_module)
            return
        for name in ("body", "orelse", "finalbody"):
            yield from self.in_block(getattr(statement, name, []), known, is_module=is_module)
        for part in (*getattr(statement, "handlers", []), *getattr(statement, "cases", [])):
            yield from self.in_block(part.body, known, is_module=is_module)

    def _in_expression(self, expression: ast.expr, known: _Values) -> Iterator[tuple[ast.expr, int]]:
        stored = {n.id for n in ast.walk(expression) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        hidden = {name for name in stored if name not in self.module_names}
        replaced = _Substitution({name: value for name, value in known.items() if name not in stored})
        todo: list[ast.AST] = [expression]
        while todo:
            node = todo.pop(0)
            if isinstance(node, (ast.Call, ast.Attribute)):
                call = replaced.visit(copy.deepcopy(node))
                if self.is_call(call):
                    unknown = {name.id for name in ast.walk(call) if isinstance(name, ast.Name)} & replaced.unknown
                    if not unknown and not hidden & set(_names(call)) and self.can_be_evaluated(call):
                        yield call, node.lineno
                        continue
            todo.extend(ast.iter_child_nodes(node))

    def _assign_all(self, block: Iterable[ast.stmt], known: dict[str, ast.expr | None]) -> None:
        for statement in block:
            self._assign(statement, known, is_module=False)

    def _assign(self, statement: ast.stmt, known: dict[str, ast.expr | None], *, is_module: bool) -> None:
        """Note what a statement's names stand for after it."""
        stored = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        value: ast.expr | None = None
        name = ""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
            name = target.id if isinstance(target, ast.Name) else ""
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name, value = statement.target.id, statement.value
        if value is not None:
            value = _Substitution(known).visit(copy.deepcopy(value))
        for each in {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)} - stored:
            if known.get(each) is not None and not is_module:
                self._change(statement, each, known)
        for each in stored:
            is_instance = bool(self.owner) and value is not None and self._is_instance(value)
            if each == name and value is not None and (is_instance or (_is_literal(value) and not is_module)):
                known[each] = value
            elif is_module:
                known.pop(each, None)
            else:
                known[each] = None

    def _change(self, statement: ast.stmt, name: str, known: dict[str, ast.expr | None]) -> None:
        """Note what a statement does to the value of a name."""
        steps = _steps(statement, name)
        if steps == []:
            return
        others = _Substitution({other: value for other, value in known.items() if other != name})
        value = known[name]
        assert value is not None
        for step in steps or ():
            value = _after(name, value, others.visit(copy.deepcopy(step)))
        # The name is given to it in the module, where it must not hide what the program means by it.
        is_free = name not in self.module_names and not hasattr(builtins, name)
        is_short = steps is not None and len(_parts(value)) <= _MOST_STEPS + 2
        known[name] = value if is_free and is_short and self.can_be_evaluated(value) else None


def _steps(statement: ast.stmt, name: str) -> list[ast.expr] | None:
    """The calls of a statement that may change the value of a name, in order; None where it is changed otherwise."""
    if not isinstance(statement, (ast.Expr, ast.Assert, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)):
        return None if any(_may_change(node, name) for node in ast.walk(statement)) else []
    found: list[ast.expr] = []
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.expr) and _is_call_on(node, name):
            found.append(node)
        elif _may_change(node, name):
            return None
        else:
            todo.extend(ast.iter_child_nodes(node))
    return found


def _is_call_on(node: ast.AST, name: str) -> bool:
    """Whether an expression is a call of a method of what a name stands for."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node.func) == name


def _may_change(node: ast.AST, name: str) -> bool:
    """Whether this very node calls a method of a name's value, or stores or deletes a part of it."""
    is_store = isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load)
    return _is_call_on(node, name) or (is_store and _root(node) == name)


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _after(name: str, value: ast.expr, step: ast.expr) -> ast.expr:
    """The value of a name after a step, as one expression: `(name := value, step, name)[-1]`."""
    parts = _parts(value) if _made(value) is not None else []
    if not parts or ast.unparse(parts[-1]) != name:
        parts = [ast.NamedExpr(ast.Name(name, ast.Store()), value), ast.Name(name, ast.Load())]
    done = ast.Tuple([*parts[:-1], step, parts[-1]], ast.Load())
    return ast.copy_location(ast.fix_missing_locations(ast.Subscript(done, ast.Constant(-1), ast.Load())), value)


def _parts(value: ast.expr) -> list[ast.expr]:
    """The parts of what `_after` makes; none of anything else."""
    return value.value.elts if isinstance(value, ast.Subscript) and isinstance(value.value, ast.Tuple) else []


def _made(value: ast.expr) -> ast.expr | None:
    """The value at the beginning of what `_after` makes; None of anything else."""
    first = next(iter(_parts(value)), None)
    return first.value if isinstance(first, ast.NamedExpr) else None


def dotted(node: ast.expr) -> str:
    """`a.b.c` for such an expression, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def find_test_files(path: Path) -> list[Path]:
    """Test files beside a file and in `tests` or `test` folders from there up to the project's root, in order."""
    folder = path.absolute().parent
    found = [file for file in sorted(folder.glob("*.py")) if _is_test(file.name)]
    around = [folder, *folder.parents]
    root = next((each for each in around if any((each / mark).exists() for mark in _ROOT_MARKS)), folder)
    for each in around[: around.index(root) + 1]:
        for name in ("tests", "test"):
            for here, folders, files in os.walk(each / name):
                folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
                found.extend(Path(here, file) for file in sorted(files) if _is_test(file))
    return [file for file in dict.fromkeys(found) if file != path.absolute()]


def _is_test(name: str) -> bool:
    return (name.startswith("test_") and name.endswith(".py")) or name.endswith("_test.py")


def _yields(function: Definition) -> bool:
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (Definition, ast.Lambda, ast.ClassDef)):
            todo.extend(ast.iter_child_nodes(node))
    return False


def _free_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_NAME", "LOAD_GLOBAL"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _free_names(constant)


def _names(node: ast.AST) -> Iterator[str]:
    return (each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load))


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _rows(target: ast.expr, values: ast.expr) -> Iterator[_Values]:
    """What the names of a loop's header stand for in each turn over a literal; unknown for any other loop."""
    if isinstance(values, (ast.List, ast.Tuple)) and values.elts:
        for value in values.elts[:_MOST_ROWS]:
            yield dict(_unpacked(target, value))
    else:
        yield {name.id: None for name in ast.walk(target) if isinstance(name, ast.Name)}


def _unpacked(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr | None]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif (
        isinstance(target, (ast.Tuple, ast.List))
        and isinstance(value, (ast.Tuple, ast.List))
        and len(target.elts) == len(value.elts)
    ):
        for left, right in zip(target.elts, value.elts, strict=True):
            yield from _unpacked(left, right)
    else:
        yield from ((name.id, None) for name in ast.walk(target) if isinstance(name, ast.Name))


def _parametrized(function: Definition) -> Iterator[_Values]:
    """The rows of a test's `pytest.mark.parametrize`; one empty row where it has none."""
    tables: list[list[_Values]] = []
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or not dotted(decorator.func).endswith("mark.parametrize"):
            continue
        if len(decorator.args) < 2 or not isinstance(decorator.args[1], (ast.List, ast.Tuple)):
            continue
        try:
            names = ast.literal_eval(decorator.args[0])
        except ValueError:
            continue
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        target = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
        rows: list[_Values] = []
        for row in decorator.args[1].elts[:_MOST_ROWS]:
            cells: list[ast.expr] = [row]
            if isinstance(row, ast.Call) and dotted(row.func).endswith("param"):
                cells = row.args
            elif len(names) > 1 and isinstance(row, (ast.Tuple, ast.List)):
                cells = row.elts
            rows.append(dict(_unpacked(target, ast.Tuple(cells, ast.Load()))))
        tables.append(rows)
    for combination in itertools.islice(itertools.product(*tables), _MOST_ROWS):
        yield {name: value for row in combination for name, value in row.items()}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield (alias.asname or alias.name).partition(".")[0]


class _Substitution(ast.NodeTransformer):
    """Puts what is known in place of names that are read."""

    def __init__(self, values: _Values) -> None:
        self._values = values
        self.unknown = {name for name, value in values.items() if value is None}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._values.get(node.id) if isinstance(node.ctx, ast.Load) else None
        return node if value is None else ast.copy_location(copy.deepcopy(value), node)


class _Renames(ast.NodeTransformer):
    """Rewrites what a test calls things into what they are called in the module that it imports them from."""

    def __init__(self, names: dict[str, str], modules: set[str]) -> None:
        self.names = names
        self.modules = modules

    @classmethod
    def of(cls, tree: ast.Module, module: str) -> _Renames:
        names: dict[str, str] = {}
        modules: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                if (node.module or "").rpartition(".")[2] == module:
                    names.update({alias.asname or alias.name: alias.name for alias in node.names})
                modules.update(alias.asname or alias.name for alias in node.names if alias.name == module)
            elif isinstance(node, ast.Import):
                modules.update(
                    alias.asname or alias.name for alias in node.names if alias.name.rpartition(".")[2] == module
                )
        return cls(names, modules)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Name(self.names.get(node.id, node.id), node.ctx), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if dotted(node.value) in self.modules:
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        self.generic_visit(node)
        return node
