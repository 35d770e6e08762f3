"""The server itself: its documents and settings, and what it tells the client. Features are in `features/`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.capabilities import get_capability
from pygls.exceptions import JsonRpcRequestCancelled
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import PositionCodec

from debugger.actual.interpreter import Interpreter
from lsp_server.analysis import without_magics
from lsp_server.documents import Document, Part
from lsp_server.interpreter import Choice, choose_interpreter
from lsp_server.models import FindModel, Models
from lsp_server.options import Options
from lsp_server.positions import Text, end_of_line, split_lines
from lsp_server.protocol import Protocol
from lsp_server.work import Work

_Answer = TypeVar("_Answer")
NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[
        types.NotebookDocumentFilterWithCells(notebook="*", cells=[types.NotebookCellLanguage(language="python")])
    ],
    save=True,
)
_FLUSH_SECONDS = 0.05
"""Changes within this time are told together; the first one at once."""
_REFRESH_SECONDS = 2.0
"""A refresh that the client has not answered by then counts as lost."""
_PROGRESS_SECONDS = 5.0
"""How long to wait for the client's leave to show progress; the work itself does not wait."""
log = logging.getLogger(__name__)


class ForetraceServer(LanguageServer):
    """One client's server. All of it runs on the event loop."""

    protocol: Protocol  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, find_model: FindModel, version: str, host_command: Sequence[str] | None = None) -> None:
        """`host_command` starts another model host than the real one, for tests."""
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "foretrace", version, notebook_document_sync=NOTEBOOKS, protocol_cls=Protocol, max_workers=2
        )
        self.options: dict[str, Options] = {}
        """By the path of a workspace folder; what is set for none of them under ''."""
        self.trusted = False
        """Whether the client said that the workspace is trusted."""
        self.editor_interpreter = ""
        """What the editor's own Python support has chosen."""
        self.hints_shown = True
        """Toggled by a command, on top of the setting."""
        self.configured = asyncio.Event()
        """Set once the client's settings are known, or it does not tell them."""
        self.models = Models(find_model, self.tell_status, lambda: self.trusted, host_command)
        self.work = Work(
            self.models,
            options_for=self.options_for,
            interpreter_for=self.interpreter_for,
            folder_for=lambda document: self.folder_of(document.path) or _parent(document),
            is_trusted=lambda: self.trusted,
            on_change=self.document_changed,
            on_problem=self.say_once,
        )
        self._said: set[str] = set()
        self._changed: dict[Document, None] = {}
        self._flush_timer: asyncio.TimerHandle | None = None
        self._flushed = 0.0
        self._refresh_hints = _Refresh(self.workspace_inlay_hint_refresh)
        self._refresh_lenses = _Refresh(self.workspace_code_lens_refresh)
        self._refresh_diagnostics = _Refresh(self.workspace_diagnostic_refresh)
        self._told_status: dict[str, Any] = {}
        self._leaving: asyncio.Future[None] | None = None
        self.start_problems: list[str] = []
        """What was wrong with the first settings, to be said once the client listens."""
        self.setting_problems: list[str] = []
        """What was wrong with the settings when they last came; the user knows."""
        self.push_diagnostics: Callable[[Document], None] = lambda document: None
        """For clients that do not pull them."""

    # Documents.

    def find(self, uri: str) -> tuple[Document, Part] | None:
        """The open document that a URI is, or is a cell of, and its part."""
        document = self.work.documents.get(uri)
        if document is None:
            notebook = self.workspace.get_notebook_document(cell_uri=uri) if self._has_workspace else None
            document = self.work.documents.get(notebook.uri) if notebook is not None else None
        part = document.part_of(uri) if document is not None else None
        return (document, part) if document is not None and part is not None else None

    @property
    def _has_workspace(self) -> bool:
        return self.protocol._workspace is not None  # pyright: ignore[reportPrivateUsage]

    @property
    def codec(self) -> PositionCodec:
        """Counts columns as the client does."""
        return self.workspace.position_codec

    def adopt(self, uri: str) -> Text:
        """Let a text document that pygls has opened have the protocol's lines."""
        documents = self.workspace.text_documents
        document = documents[unquote(uri)]
        if not isinstance(document, Text):
            document = documents[unquote(uri)] = Text.of(document)
        return document

    def text_parts(self, uri: str) -> list[tuple[str, Sequence[str]]]:
        """A text document as the only part of a document."""
        return [(uri, self.adopt(uri).lines)]

    def cell_parts(self, notebook: types.NotebookDocument) -> list[tuple[str, Sequence[str]]]:
        """The Python cells of a notebook, in order."""
        parts: list[tuple[str, Sequence[str]]] = []
        for cell in notebook.cells:
            if cell.kind == types.NotebookCellKind.Code and unquote(cell.document) in self.workspace.text_documents:
                text = self.adopt(cell.document)
                if text.language_id in (None, "python"):
                    parts.append((cell.document, split_lines(without_magics(text.source))))
        return parts

    def new_document(self, uri: str, *, is_notebook: bool = False) -> Document:
        """A document for a URI of any scheme."""
        path = to_fs_path(uri)
        is_file = urlsplit(uri).scheme == "file" and bool(path)
        name = Path(urlsplit(uri).path).name or "untitled"
        # A document that is no file stands in no folder: there are no tests beside it.
        place = Path(path) if is_file and path else Path("/nowhere") / name
        return Document(uri, place, is_file=is_file, is_notebook=is_notebook)

    def end_of(self, document: Document, line: int) -> types.Position | None:
        """Behind the last character of a document's line, in the part that it belongs to."""
        part = document.part_at(line)
        if part is None or line - part.start >= len(part.lines):
            return None
        inside = line - part.start
        return types.Position(inside, end_of_line(self.codec, part.lines[inside]))

    def range_of(self, document: Document, first: int, last: int) -> tuple[str, types.Range] | None:
        """The text of whole lines of one part, without the indentation of the first: its URI and its range."""
        part = document.part_at(first)
        end = self.end_of(document, last)
        if part is None or end is None or first - part.start >= len(part.lines) or document.part_at(last) is not part:
            return None
        line = part.lines[first - part.start]
        indentation = len(line) - len(line.lstrip())
        return part.uri, types.Range(
            types.Position(first - part.start, min(indentation, len(line.rstrip("\r\n")))), end
        )

    # Settings.

    def options_for(self, document: Document | None) -> Options:
        """The settings that hold for a document."""
        folder = self.folder_of(document.path) if document is not None and document.is_file else None
        return self.options.get(str(folder) if folder else "", self.options.get("", Options()))

    def folder_of(self, path: Path) -> Path | None:
        """The innermost folder of the workspace that a path is in."""
        folders = [folder for folder in self.folders() if folder == path or folder in path.parents]
        return max(folders, key=lambda folder: len(folder.parts), default=None)

    def folders(self) -> list[Path]:
        """The folders of the workspace, also that of clients that know only one."""
        if not self._has_workspace:
            return []
        found = [to_fs_path(folder.uri) for folder in self.workspace.folders.values()]
        if not found and self.workspace.root_path:
            found = [self.workspace.root_path]
        return [Path(path) for path in found if path]

    def interpreter_for(self, document: Document | None) -> Choice:
        """The Python of a document's real runs."""
        folder = self.folder_of(document.path) if document is not None else next(iter(self.folders()), None)
        return choose_interpreter(self.options_for(document).interpreter, self.editor_interpreter, folder)

    # What the client is told.

    def can(self, capability: str) -> bool:
        """Whether the client has a capability, as `workspace.inlay_hint.refresh_support`."""
        return bool(get_capability(self.client_capabilities, capability, False))

    @property
    def client_pulls(self) -> bool:
        """Whether the client asks for diagnostics, and again when told to; Neovim 0.11 asks after edits only."""
        return self.can("text_document.diagnostic") and self.can("workspace.diagnostics.refresh_support")

    def say(self, sentence: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Show a sentence to the user."""
        self.window_show_message(types.ShowMessageParams(kind, sentence))

    def say_once(self, sentence: str) -> None:
        """Show what went wrong unasked, once; the log has it every time."""
        self.window_log_message(types.LogMessageParams(types.MessageType.Warning, sentence))
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(sentence)

    def forget_said(self) -> None:
        """Say everything again: something was done about it."""
        self._said.clear()
        for document in self.work.documents.values():
            for function in document.functions.values():
                function.problem = ""

    def document_changed(self, document: Document) -> None:
        """Have the client ask again for what it shows of a document, soon."""
        self._changed[document] = None
        if self._flush_timer is None:
            wait = max(0.0, self._flushed + _FLUSH_SECONDS - time.monotonic())
            self._flush_timer = asyncio.get_running_loop().call_later(wait, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self._flushed = time.monotonic()
        changed = [document for document in self._changed if not document.closed]
        self._changed.clear()
        if self.protocol.was_shut_down:
            return
        for document in changed:
            params = {"uri": document.uri, "version": document.version}
            self.protocol.notify("foretrace/didUpdate", params)
            if not self.client_pulls:
                self.push_diagnostics(document)
        if self.can("workspace.inlay_hint.refresh_support"):
            self._refresh_hints()
        if self.can("workspace.code_lens.refresh_support"):
            self._refresh_lenses()
        if self.client_pulls:
            self._refresh_diagnostics()
        self.tell_status()

    def tell_status(self) -> None:
        """Tell the client what its status item shows, if that is news."""
        if not self._has_workspace or self.protocol.was_shut_down:
            return
        status = self.status()
        if status != self._told_status:
            self._told_status = status
            self.protocol.notify("foretrace/status", status)

    def status(self) -> dict[str, Any]:
        """What a status item shows."""
        host = self.models.status
        documents = self.work.documents.values()
        functions = [function for document in documents for function in document.functions.values()]
        document = next(iter(documents), None)
        interpreter = self.interpreter_for(document)
        return {
            "state": host.state,
            "detail": host.detail,
            "model": {
                "name": self.models.name,
                "path": host.model,
                "description": host.description,
                "context": host.context,
            },
            "device": host.device,
            "interpreter": {
                "path": interpreter.path,
                "version": interpreter.version,
                "source": interpreter.source,
            },
            "predicting": sum(function.task is not None for function in functions),
            "checking": self.work.checks,
            "trusted": self.trusted,
            "hints": self.hints_shown,
        }

    async def with_progress(self, title: str, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        """Do what takes long, with a progress that the user can cancel where the client shows one."""
        task = asyncio.ensure_future(work)
        if self.can("window.work_done_progress"):
            self.work.start(self._report(title, task))
        self.protocol.commands[self.protocol.msg_id] = task
        try:
            return await task
        except asyncio.CancelledError:
            # As an error like any other: pygls would leave the request unanswered.
            raise JsonRpcRequestCancelled(f"{title} was cancelled.") from None
        finally:
            self.protocol.commands.pop(self.protocol.msg_id, None)

    async def _report(self, title: str, task: asyncio.Future[Any]) -> None:
        token = f"foretrace-{id(task)}-{time.monotonic_ns()}"
        progress: Any = self.work_done_progress  # its futures have no type
        try:
            await asyncio.wait_for(progress.create_async(token), _PROGRESS_SECONDS)
        except Exception:
            return  # the client does not want it, or does not answer
        if task.done():
            return
        progress.begin(token, types.WorkDoneProgressBegin(title=title, cancellable=True))
        stop: Future[None] = progress.tokens[token]
        stop.add_done_callback(lambda stop: task.cancel() if stop.cancelled() else None)
        await asyncio.wait([task])
        if not self.protocol.was_shut_down:
            progress.end(token, types.WorkDoneProgressEnd())
        progress.tokens.pop(token, None)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Nothing that goes wrong between client and server is a matter for the user: it goes to the log."""
        log.error("%s: %s", getattr(source, "__name__", source), error)
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, RecursionError)):
            self.protocol.answer_unreadable(error)

    def forget_interpreters(self) -> None:
        """An environment has changed: ask its Python again for its version."""
        Interpreter.at.__func__.cache_clear()  # pyright: ignore

    def leave(self, code: int) -> None:
        """End the process from a signal's handler. The thread that reads standard input cannot be ended otherwise."""

        async def end() -> None:
            try:
                await self.close()
            finally:
                os._exit(code)

        def begin() -> None:
            self._leaving = asyncio.ensure_future(end())

        try:
            # Threadsafe, since the loop may sleep: it has to be woken.
            asyncio.get_running_loop().call_soon_threadsafe(begin)
        except RuntimeError:  # before the loop runs, or behind it
            os._exit(code)

    async def close(self) -> None:
        """End what is under way and hang up."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        await self.work.close()
        await self.models.close()


def json_object(value: object) -> dict[str, Any]:
    """What came back from the client as `data`, if it is an object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class _Refresh:
    """One kind of refresh: one request at a time, and one more for all that changes before it is answered."""

    def __init__(self, ask: Callable[[None], Future[Any]]) -> None:
        """`ask` sends the request."""
        self._ask = ask
        self._waiting: Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._again = False

    def __call__(self) -> None:
        """Ask now, or when the request under way is answered or lost."""
        if self._waiting is not None:
            self._again = True
            return
        self._waiting = future = self._ask(None)
        self._timer = asyncio.get_running_loop().call_later(_REFRESH_SECONDS, self._ended, future)
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[Any]) -> None:
        if self._waiting is not future:
            return
        self._waiting = None
        if self._timer is not None:
            self._timer.cancel()
        if self._again:
            self._again = False
            self()


def _parent(document: Document) -> Path | None:
    parent = document.path.parent
    return parent if parent.is_dir() else None
