"""Code actions: keep a call, or what a real run has shown, in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from lsprotocol import types

from debugger.pieces import docstring_of, first_line_of
from debugger.report.result import Status
from debugger.trace import Ending
from lsp_server.documents import Document, Function
from lsp_server.server import ForetraceServer

_KINDS = [types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite]
_ASSERTED = 200
"""Characters of a value that is written into the code."""


def register(server: ForetraceServer) -> None:
    """Offer actions for the line the user is at."""

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=_KINDS))
    def code_action(ls: ForetraceServer, params: types.CodeActionParams) -> list[types.CodeAction]:
        found = ls.find(params.text_document.uri)
        if found is None:
            return []
        document, part = found
        line = part.start + params.range.start.line
        ls.work.cursor_at(document, line)
        function = document.function_at(line)
        # Where things are is known for the analysed text only.
        if function is None or document.analysed != document.version:
            return []
        only = params.context.only
        actions: list[types.CodeAction] = []
        for diagnostic in params.context.diagnostics:
            if diagnostic.source == "foretrace" and diagnostic.code in ("divergence", "expected-exception"):
                actions.append(_check_again(document, function, diagnostic))
        actions += _add_call(ls, document, function)
        if function.view is not None and not function.stale and function.whole:
            actions += _add_assertion(ls, document, function, line)
            actions += _add_doctest(ls, document, function)
        return [
            action
            for action in actions
            if only is None or any(f"{action.kind}.".startswith(f"{kind}.") for kind in only)
        ]


def _check_again(document: Document, function: Function, diagnostic: types.Diagnostic) -> types.CodeAction:
    again = diagnostic.code == "divergence"
    title = "Check against a real run again" if again else "Check against a real run"
    return types.CodeAction(
        title,
        types.CodeActionKind.QuickFix,
        [diagnostic],
        command=types.Command(
            title, "foretrace.check", arguments=[{"uri": document.uri, "function": function.qualname}]
        ),
    )


def _add_call(ls: ForetraceServer, document: Document, function: Function) -> Iterator[types.CodeAction]:
    """Write down the call that is shown, or a beginning of one, above the function."""
    node = function.target.node()
    known = function.given or function.call or (function.calls[0].expression if function.calls else None)
    comment = f"# foretrace: {known or _call_template(function, node)}"
    line = first_line_of(node) - 1
    text = document.lines[line]
    if any(comment == each.strip() for each in document.lines[max(0, line - 20) : line]):
        return
    indentation = text[: len(text) - len(text.lstrip())]
    yield _edit(ls, document, f"Add `{comment}`", line, f"{indentation}{comment}\n")


def _call_template(function: Function, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A call with the parameters' names in place of values."""
    owner, _, name = function.qualname.rpartition(".")
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    called = f"{owner}().{name}" if owner else name
    return f"{called}({', '.join(names[1:] if owner else names)})"


def _add_assertion(
    ls: ForetraceServer, document: Document, function: Function, line: int
) -> Iterator[types.CodeAction]:
    """Assert what a line left behind in the real run, where it ran once and the value can be written down."""
    view = function.view
    assert view is not None
    shown = next((own for _, each, own in document.shown_lines(line, line) if each is function), None)
    if view.result.actual is None or shown is None or len(view.visits[shown]) != 1:
        return
    statement = _statement_at(function, shown)
    if statement is None:
        return
    end = (statement.end_lineno or statement.lineno) - 1
    text = document.lines[statement.lineno - 1]
    indentation = text[: len(text) - len(text.lstrip())]
    for value in view.visits[shown][0].values:
        real = value.actual
        if value.name is None or not value.name.isidentifier() or real is None or not _is_literal(real):
            continue
        code = f"assert {value.name} == {real}"
        if end + 1 <= len(document.lines):
            yield _edit(ls, document, f"Assert the real value: `{code}`", end + 1, f"{indentation}{code}\n")


def _statement_at(function: Function, line: int) -> ast.stmt | None:
    """The simple statement, alone on its lines, that a line belongs to."""
    simple = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr)
    found = [
        node
        for node in ast.walk(function.target.node())
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    inner = max(found, key=lambda node: (node.lineno, node.col_offset), default=None)
    return inner if isinstance(inner, simple) else None


def _is_literal(text: str) -> bool:
    """Whether a `repr` is an expression for the same value; NaN equals nothing."""
    if len(text) > _ASSERTED or "nan" in text:
        return False
    try:
        return repr(ast.literal_eval(text)) == text
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False


def _add_doctest(ls: ForetraceServer, document: Document, function: Function) -> Iterator[types.CodeAction]:
    """Write the call and what it really returned into the docstring."""
    result = function.view.result if function.view is not None else None
    actual = result.actual if result is not None else None
    if result is None or actual is None or result.status is Status.FAILED or result.call is None:
        return
    value = actual.outcome.value
    if actual.outcome.ending is not Ending.RETURNED or value is None or "\n" in value or len(value) > _ASSERTED:
        return
    example = [f">>> {result.call}", *([value] if value != "None" else [])]
    title = f"Add a doctest: `{result.call}` gives {value if len(value) <= 40 else 'what it really returned'}"
    node = function.target.node()
    if f">>> {result.call}" in (ast.get_docstring(node) or ""):
        return
    docstring = docstring_of(node)
    first = node.body[0]
    text = document.lines[first.lineno - 1]
    indentation = text[: first.col_offset]
    if indentation.strip():
        return  # all on one line: there is no place for a docstring
    if docstring is None:
        block = "".join(f"{indentation}{line}\n" for line in ('"""', *example, '"""'))
        yield _edit(ls, document, title, first_line_of(first) - 1, block)
        return
    last = (docstring.end_lineno or docstring.lineno) - 1
    ending = document.lines[last]
    match = re.search(r'("""|\'\'\')\s*(?:#.*)?$', ending.rstrip())
    if match is None:
        return  # a docstring in single quotes has one line
    before = ending[: match.start()]
    added = "".join(f"{indentation}{line}\n" for line in example)
    start = "\n\n" if before.strip() else ""
    column = len(before.rstrip()) if before.strip() else 0
    replaced = f"{start}{added}{indentation}"
    where = _place(ls, document, last, column), _place(ls, document, last, match.start())
    part = document.part_at(last)
    if part is not None and where[0] is not None and where[1] is not None:
        edit = types.TextEdit(types.Range(where[0], where[1]), replaced)
        changes = {part.uri: [edit]}
        yield types.CodeAction(title, types.CodeActionKind.RefactorRewrite, edit=types.WorkspaceEdit(changes))


def _edit(ls: ForetraceServer, document: Document, title: str, line: int, text: str) -> types.CodeAction:
    """Insert whole lines before a line of the document, which may be the one behind its last."""
    part = document.part_at(min(line, len(document.lines) - 1))
    assert part is not None
    position = types.Position(line - part.start, 0)
    if line - part.start >= len(part.lines) and not part.lines[-1].endswith(("\n", "\r")):
        # The last line has no end: it gets one.
        position = ls.end_of(document, line - 1) or position
        text = "\n" + text.rstrip("\n")
    edit = types.TextEdit(types.Range(position, position), text)
    return types.CodeAction(title, types.CodeActionKind.RefactorRewrite, edit=types.WorkspaceEdit({part.uri: [edit]}))


def _place(ls: ForetraceServer, document: Document, line: int, index: int) -> types.Position | None:
    part = document.part_at(line)
    if part is None:
        return None
    return types.Position(line - part.start, ls.codec.client_num_units(document.lines[line][:index]))
