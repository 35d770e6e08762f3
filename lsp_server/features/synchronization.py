"""Documents and notebooks as the editor opens, changes, saves and closes them."""

from __future__ import annotations

from lsprotocol import types

from lsp_server.documents import Document
from lsp_server.server import ForetraceServer


def register(server: ForetraceServer) -> None:
    """Let the server follow its documents."""
    # None of these may wait: what comes next is about the text as it is then.

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: ForetraceServer, params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        if item.language_id not in ("python", ""):
            return
        document = ls.new_document(item.uri)
        document.update(item.version, ls.text_parts(item.uri))
        _open(ls, document)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(ls: ForetraceServer, params: types.DidChangeTextDocumentParams) -> None:
        document = ls.work.documents.get(params.text_document.uri)
        if document is not None:
            edit = document.update(params.text_document.version, ls.text_parts(document.uri))
            if edit is not None:
                ls.work.changed(document)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def did_save(ls: ForetraceServer, params: types.DidSaveTextDocumentParams) -> None:
        document = ls.work.documents.get(params.text_document.uri)
        if document is not None:
            ls.work.saved(document)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: ForetraceServer, params: types.DidCloseTextDocumentParams) -> None:
        _close(ls, params.text_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def notebook_opened(ls: ForetraceServer, params: types.DidOpenNotebookDocumentParams) -> None:
        notebook = ls.workspace.get_notebook_document(notebook_uri=params.notebook_document.uri)
        if notebook is not None:
            document = ls.new_document(notebook.uri, is_notebook=True)
            document.update(notebook.version, ls.cell_parts(notebook))
            _open(ls, document)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def notebook_changed(ls: ForetraceServer, params: types.DidChangeNotebookDocumentParams) -> None:
        notebook = ls.workspace.get_notebook_document(notebook_uri=params.notebook_document.uri)
        document = ls.work.documents.get(params.notebook_document.uri)
        if notebook is not None and document is not None:
            edit = document.update(notebook.version, ls.cell_parts(notebook))
            if edit is not None:
                ls.work.changed(document)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_SAVE)
    def notebook_saved(ls: ForetraceServer, params: types.DidSaveNotebookDocumentParams) -> None:
        document = ls.work.documents.get(params.notebook_document.uri)
        if document is not None:
            ls.work.saved(document)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def notebook_closed(ls: ForetraceServer, params: types.DidCloseNotebookDocumentParams) -> None:
        _close(ls, params.notebook_document.uri)


def _open(ls: ForetraceServer, document: Document) -> None:
    before = ls.work.documents.get(document.uri)
    if before is not None:
        ls.work.closed(before)
    ls.work.documents[document.uri] = document
    document.cursor = None  # the first text is no edit

    async def begin() -> None:
        await ls.configured.wait()
        if not document.closed:
            ls.work.open(document)

    ls.work.start(begin())


def _close(ls: ForetraceServer, uri: str) -> None:
    document = ls.work.documents.get(uri)
    if document is None:
        return
    ls.work.closed(document)
    if not ls.client_pulls:
        for part in document.parts:
            ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(part.uri, []))
