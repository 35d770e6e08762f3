"""How programs are written down: hints, docstrings, comments, quotes and blank lines, as people use or leave them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable

from nano.chooser import Chooser
from nano.mutate import with_other_arguments

_DOCSTRINGS = (
    "Return the result.", "Compute the answer.", "Do the work.", "A small example.", "Return what is asked for.",
    "Work it out step by step.", "Check the input.", "Helper.", "Find it.", "Count them.", "Calculate the value.",
    "Return the answer for the given input.", "Simple version.", "See the tests.", "Used by the report.",
)  # fmt: skip
_COMMENTS = (
    "start", "keep going", "check", "update", "done", "next", "base case", "edge case", "add it", "TODO", "here",
    "not sure about this", "should be right", "step by step", "see above", "fix me", "the usual way",
)  # fmt: skip


def styled(choose: Chooser, source: str, call: str, result: Callable[[str], str | None]) -> str:
    """The source, written in somebody's style. `result(call)`: the repr of what a call returns, or None."""
    if choose.chance(0.2):
        source = _with_hints(choose, source, call, result)
    if choose.chance(0.25):
        source = _with_docstring(choose, source, call, result)
    if choose.chance(0.1):
        source = _with_double_quotes(source)
    lines = source.rstrip("\n").split("\n")
    if choose.chance(0.1):
        index = choose.between(0, len(lines) - 1)
        if lines[index] and '"""' not in source:
            lines[index] += f"  # {choose.of(_COMMENTS)}"
    if choose.chance(0.04):
        index = choose.between(1, len(lines) - 1) if len(lines) > 1 else 0
        indent = re.match(r" *", lines[index])
        if lines[index].strip() and indent and '"""' not in source:
            lines.insert(index, f"{indent.group()}# {choose.of(_COMMENTS)}")
    if choose.chance(0.06):
        returns = [i for i, line in enumerate(lines) if line.startswith("    return") and i > 1]
        if returns and lines[returns[-1] - 1].startswith("    "):
            lines.insert(returns[-1], "")
    if choose.chance(0.06):
        comment, docstring = f"# {choose.of(_COMMENTS)}", f'"""{choose.of(_DOCSTRINGS)}"""'
        lines.insert(0, choose.pick(f"# foretrace: {call}", comment, docstring))
    if choose.chance(0.03) and '"""' not in source:
        lines = [re.sub(r"^( +)", lambda match: match.group()[: len(match.group()) // 2], line) for line in lines]
    if choose.chance(0.05):
        lines = [line for line in lines if line.strip()]
    return "\n".join(lines) + "\n"


def _entry(source: str, call: str) -> tuple[ast.FunctionDef, ast.Call] | None:
    """The definition that a call calls, if it is a plain function whose head is one line, and the call."""
    expression = ast.parse(call, mode="eval").body
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Name):
        return None
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == expression.func.id:
            plain = not (node.args.vararg or node.args.kwarg or node.args.kwonlyargs or node.returns)
            return (node, expression) if plain and node.body[0].lineno > node.lineno else None
    return None


def _hint(value: object, old: bool) -> str:
    """The type hint for a value; `old`: as before Python 3.9."""
    if value is None:
        return "None"
    name = type(value).__name__
    if isinstance(value, list | tuple | set | dict):
        outer = name.capitalize() if old else name
        if isinstance(value, dict):
            parts = [_hint(part, old) for pair in list(value.items())[:1] for part in pair]
        elif isinstance(value, tuple):
            parts = [_hint(part, old) for part in value]
        else:
            parts = sorted({_hint(part, old) for part in value})[:1]
        return f"{outer}[{', '.join(parts)}]" if parts else outer
    return name


def _literal(text: str | None) -> object:
    """The value of a literal; raises ValueError or SyntaxError where it is none."""
    if text is None:
        raise ValueError("nothing was returned")
    return ast.literal_eval(text)


def _with_hints(choose: Chooser, source: str, call: str, result: Callable[[str], str | None]) -> str:
    """The source with type hints in the head of the function that is called."""
    entry = _entry(source, call)
    if entry is None:
        return source
    definition, expression = entry
    old = choose.chance(0.3)
    parameters: list[str] = []
    defaults: list[ast.expr | None] = [None] * (len(definition.args.args) - len(definition.args.defaults))
    defaults += definition.args.defaults
    try:
        for index, (argument, default) in enumerate(zip(definition.args.args, defaults, strict=True)):
            value = expression.args[index] if index < len(expression.args) else default
            hint = "" if value is None else f": {_hint(ast.literal_eval(value), old)}"
            end = "" if default is None else f" = {ast.unparse(default)}"
            parameters.append(argument.arg + hint + end)
        returns = f" -> {_hint(_literal(result(call)), old)}" if choose.chance(0.7) else ""
    except (ValueError, SyntaxError):
        return source
    head = f"def {definition.name}({', '.join(parameters)}){returns}:"
    lines = source.split("\n")
    if not re.fullmatch(r"def .*:", lines[definition.lineno - 1].split("  #")[0].rstrip()):
        return source
    lines[definition.lineno - 1] = head
    names = sorted(set(re.findall(r"\b(List|Dict|Tuple|Set)\b", head)))
    typing = [f"from typing import {', '.join(names)}", "", ""] if names else []
    return "\n".join(typing + lines)


def _with_docstring(choose: Chooser, source: str, call: str, result: Callable[[str], str | None]) -> str:
    """The source with a docstring, sometimes with an example."""
    entry = _entry(source, call)
    lines = source.split("\n")
    if entry is None:
        at = next((i for i, line in enumerate(lines) if re.match(r" *def .*:$", line)), None)
        if at is None:
            return source
        indent = " " * (len(lines[at]) - len(lines[at].lstrip()) + 4)
        return "\n".join([*lines[: at + 1], f'{indent}"""{choose.of(_DOCSTRINGS)}"""', *lines[at + 1 :]])
    definition, _ = entry
    first = definition.body[0]
    indent = re.match(r"[ \t]*", lines[first.lineno - 1])
    if ast.get_docstring(definition) is not None or indent is None:
        return source
    space = indent.group()
    text = choose.of(_DOCSTRINGS)
    mark = choose.pick('"""', '"""', "'''")
    if choose.chance(0.6):
        written = [f"{space}{mark}{text}{mark}"]
    else:
        written = [f"{space}{mark}{choose.pick(text, ' ' + text)}"]
        if choose.chance(0.7):
            example = with_other_arguments(choose, call)
            value = result(example)
            if value is not None and "\\" not in example + value and mark not in example + value:
                written += [f"{space}>>> {example}", f"{space}{value}"]
        elif choose.chance(0.5):
            names = ", ".join(argument.arg for argument in definition.args.args)
            written += ["", f"{space}{choose.pick('Args:', 'Arguments:', 'Takes')} {names}"]
        written.append(f"{space}{mark}")
    at = definition.lineno
    return "\n".join([*lines[:at], *written, *lines[at:]])


def _with_double_quotes(source: str) -> str:
    """Texts in double quotes, where that changes nothing else."""
    lines = source.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type == tokenize.STRING and re.fullmatch(r"f?'[^'\"\\{]*'", token.string):
            row, start, end = token.start[0] - 1, token.start[1], token.end[1]
            lines[row] = lines[row][:start] + token.string.replace("'", '"') + lines[row][end:]
    return "\n".join(lines)
