"""What the text of a call says for certain: which function it enters, and with which arguments."""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from debugger.flow import CodeFlow, ModuleFlow
from debugger.predicted.expressions import bound_names


@dataclass(frozen=True, slots=True)
class Entry:
    """The function whose CALL must be the first frame of the run, and whose return ends it."""

    code: CodeFlow
    locals: Mapping[str, str] | None
    """The locals of that frame, where all arguments and the defaults that are used are literals."""


def certain_entry(tree: ast.Module, call: str, flow: ModuleFlow) -> Entry | None:
    """The entry of `call`, or None where its text does not tell.

    It does for a plain function of the file, called by name with arguments that run no code of the file.
    """
    expression = ast.parse(call.strip(), mode="eval").body
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
        return None
    name = expression.func.id
    given = [*expression.args, *(keyword.value for keyword in expression.keywords)]
    if not all(_runs_nothing(node) for argument in given for node in ast.walk(argument)):
        return None
    definitions = [node for node in tree.body if _binds(node, name)]
    if len(definitions) != 1 or not isinstance(definitions[0], ast.FunctionDef) or definitions[0].decorator_list:
        return None
    code = flow.code_at(definitions[0].lineno, name)
    if code is None or code.is_generator:
        return None
    bound = _bind(definitions[0].args, expression)
    texts = None if bound is None else {name: _literal(value) for name, value in bound.items()}
    if texts is None or not all(texts.values()):
        return Entry(code, None)
    return Entry(code, {name: text for name in code.variables if (text := texts.get(name)) is not None})


def misfit(tree: ast.Module, call: str) -> str | None:
    """Why the call of a name cannot be made, by the text of the module alone; None where nothing is wrong for certain.

    Real runs need none of this: they raise.
    """
    expression = ast.parse(call.strip(), mode="eval").body
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
        return None
    name = expression.func.id
    definitions = [node for node in tree.body if _binds(node, name)]
    if any(_gives_names(node) for node in ast.walk(tree)):
        return None
    if not definitions:
        return None if hasattr(builtins, name) else f"nothing in the file is named {name}"
    function = definitions[0]
    if len(definitions) > 1 or not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return None
    starred = any(isinstance(argument, ast.Starred) for argument in expression.args)
    if starred or any(keyword.arg is None for keyword in expression.keywords):
        return None
    given = dict.fromkeys(keyword.arg for keyword in expression.keywords if keyword.arg)
    try:
        _signature(function.args).bind(*expression.args, **given)
    except TypeError as error:
        return f"{error} in {name}({ast.unparse(function.args)})"
    return None


def _gives_names(node: ast.AST) -> bool:
    """Whether it can give the module's names other values than its top level does."""
    if isinstance(node, ast.ImportFrom):
        return node.names[0].name == "*"
    makers = ("exec", "globals", "vars", "setattr")
    return isinstance(node, ast.Global) or (isinstance(node, ast.Name) and node.id in makers)


def _signature(arguments: ast.arguments) -> inspect.Signature:
    """What can be given to a function with these parameters; the defaults are stand-ins."""
    kinds = inspect.Parameter
    first = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    found: list[inspect.Parameter] = []

    def add(argument: ast.arg, kind: Any, has_default: bool = False) -> None:
        found.append(kinds(argument.arg, kind, default=None if has_default else kinds.empty))

    for place, argument in enumerate((*arguments.posonlyargs, *arguments.args)):
        only = place < len(arguments.posonlyargs)
        add(argument, kinds.POSITIONAL_ONLY if only else kinds.POSITIONAL_OR_KEYWORD, place >= first)
    if arguments.vararg:
        add(arguments.vararg, kinds.VAR_POSITIONAL)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        add(argument, kinds.KEYWORD_ONLY, default is not None)
    if arguments.kwarg:
        add(arguments.kwarg, kinds.VAR_KEYWORD)
    return inspect.Signature(found)


def _runs_nothing(node: ast.AST) -> bool:
    return isinstance(
        node,
        (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Name, ast.expr_context, ast.UnaryOp, ast.unaryop),
    )


def _binds(node: ast.stmt, name: str) -> bool:
    """Whether a statement of the module's top level can give the name a value."""
    return name in bound_names(node)


def _bind(parameters: ast.arguments, call: ast.Call) -> dict[str, ast.expr] | None:
    """Each parameter's expression; None where the call does not fit or one takes several (`*args`, `**kwargs`)."""
    if parameters.vararg or parameters.kwarg or any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    positional = [argument.arg for argument in (*parameters.posonlyargs, *parameters.args)]
    by_keyword = {argument.arg for argument in (*parameters.args, *parameters.kwonlyargs)}
    if len(call.args) > len(positional):
        return None
    bound: dict[str, ast.expr] = dict(zip(positional, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in bound or keyword.arg not in by_keyword:
            return None
        bound[keyword.arg] = keyword.value
    defaults = dict(zip(reversed(positional), reversed(parameters.defaults), strict=False))
    names = [argument.arg for argument in parameters.kwonlyargs]
    defaults |= {name: value for name, value in zip(names, parameters.kw_defaults, strict=True) if value is not None}
    for name in [*positional, *names]:
        if name not in bound:
            # What a list or a dict made once as a default holds by now, only the model can guess.
            if name not in defaults or isinstance(defaults[name], (ast.List, ast.Dict)):
                return None
            bound[name] = defaults[name]
    return bound


def _literal(node: ast.expr) -> str | None:
    """The `repr` of a literal; None for anything else, and for sets, whose order is unknown."""
    if any(isinstance(each, ast.Set) for each in ast.walk(node)):
        return None
    try:
        return repr(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
