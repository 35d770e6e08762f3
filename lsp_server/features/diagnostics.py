"""Diagnostics: where a real run parts from the prediction, what is expected to raise, and what is not reached."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from lsp_server.documents import Document, Function, Part
from lsp_server.server import ForetraceServer
from lsp_server.values import finding

_SOURCE = "foretrace"


def register(server: ForetraceServer) -> None:
    """Answer clients that pull and can be told to pull again; to others diagnostics are pushed."""
    server.push_diagnostics = lambda document: publish(server, document)
    options = types.DiagnosticOptions(inter_file_dependencies=False, workspace_diagnostics=False, identifier=_SOURCE)

    @server.feature(types.TEXT_DOCUMENT_DIAGNOSTIC, options)
    def diagnostic(
        ls: ForetraceServer, params: types.DocumentDiagnosticParams
    ) -> types.RelatedFullDocumentDiagnosticReport:
        # Where they are pushed, nothing, or they would show twice.
        found = ls.find(params.text_document.uri) if ls.client_pulls else None
        items = _by_part(ls, found[0]).get(found[1].uri, []) if found is not None else []
        return types.RelatedFullDocumentDiagnosticReport(items)


def publish(ls: ForetraceServer, document: Document) -> None:
    """Push a document's diagnostics."""
    found = _by_part(ls, document)
    for part in document.parts:
        version = document.version if not document.is_notebook else None
        ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(part.uri, found.get(part.uri, []), version))


def _by_part(ls: ForetraceServer, document: Document) -> dict[str, list[types.Diagnostic]]:
    options = ls.options_for(document)
    found: dict[str, list[types.Diagnostic]] = {}
    for function in document.functions.values():
        if function.view is None or function.stale or not function.whole:
            continue
        if options.diagnostics:
            for part, diagnostic in _finding(ls, document, function):
                found.setdefault(part.uri, []).append(diagnostic)
        if options.dim_unreached:
            for part, diagnostic in _unreached(ls, document, function):
                found.setdefault(part.uri, []).append(diagnostic)
    return found


def _finding(ls: ForetraceServer, document: Document, function: Function) -> Iterator[tuple[Part, types.Diagnostic]]:
    assert function.view is not None
    what = finding(function.view)
    place = function.places.get(what.line) if what is not None else None
    where = ls.range_of(document, place, place) if place is not None else None
    if what is None or place is None or where is None:
        return
    part = document.part_at(place)
    related: list[types.DiagnosticRelatedInformation] = []
    for story in what.more:
        line = function.places.get(story.line, story.line - 1)
        at = ls.range_of(document, line, line)
        if at is not None:
            related.append(types.DiagnosticRelatedInformation(types.Location(*at), story.text))
    severity = types.DiagnosticSeverity.Warning
    if what.code != "divergence":
        severity = types.DiagnosticSeverity.Information
    data = {"uri": document.uri, "function": function.qualname}
    if part is not None:
        yield (
            part,
            types.Diagnostic(where[1], what.text, severity, what.code, None, _SOURCE, None, related or None, data),
        )


def _unreached(ls: ForetraceServer, document: Document, function: Function) -> Iterator[tuple[Part, types.Diagnostic]]:
    assert function.view is not None
    real = function.view.result.actual is not None
    for lines in function.view.unreached:
        first, last = function.places.get(lines.start), function.places.get(lines.stop - 1)
        where = ls.range_of(document, first, last) if first is not None and last is not None else None
        part = document.part_at(first) if first is not None else None
        if where is None or part is None:
            continue
        text = f"{function.call} does not get here" + ("." if real else ", as far as the model expects.")
        yield (
            part,
            types.Diagnostic(
                where[1],
                text,
                types.DiagnosticSeverity.Hint,
                "unreached",
                None,
                _SOURCE,
                [types.DiagnosticTag.Unnecessary],
            ),
        )
