"""An editor for tests: pygls' own client over real standard input and output, and waits with a limit."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 90.0
"""No single wait may take longer."""
WHOLE = types.Range(types.Position(0, 0), types.Position(1_000_000, 0))


class Editor(LanguageClient):
    def __init__(self) -> None:
        super().__init__("tests", "1")
        self.told: dict[str, list[Any]] = {}
        self.messages: list[str] = []
        self.settings: dict[str, Any] | None = {}
        self.answers_refresh = True
        self.picks: Callable[[types.ShowMessageRequestParams], Any] = lambda params: None
        self.progress: list[Any] = []
        self.cancel_progress = False
        self._news = asyncio.Event()
        self.leaving = asyncio.Event()
        for method in (
            "foretrace/status",
            "foretrace/didUpdate",
            types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS,
            types.WINDOW_LOG_MESSAGE,
        ):
            self._collect(method)

        @self.feature(types.WINDOW_SHOW_MESSAGE)
        def show(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)
            self.notify()

        @self.feature(types.WORKSPACE_CONFIGURATION)
        async def configuration(params: types.ConfigurationParams) -> list[Any]:
            if self.settings is None:
                await self.leaving.wait()
            return [self.settings for _ in params.items]

        for method in (
            types.WORKSPACE_INLAY_HINT_REFRESH,
            types.WORKSPACE_CODE_LENS_REFRESH,
            types.WORKSPACE_DIAGNOSTIC_REFRESH,
            types.CLIENT_REGISTER_CAPABILITY,
        ):
            self._answer(method)

        @self.feature(types.WINDOW_SHOW_MESSAGE_REQUEST)
        def pick(params: types.ShowMessageRequestParams) -> Any:
            return self.picks(params)

        @self.feature(types.WINDOW_WORK_DONE_PROGRESS_CREATE)
        def create(params: types.WorkDoneProgressCreateParams) -> None:
            return None

        @self.feature(types.PROGRESS)
        def progress(params: types.ProgressParams) -> None:
            self.progress.append(params.value)
            if self.cancel_progress:
                self.cancel_progress = False
                self.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(params.token))
            self.notify()

    def _collect(self, method: str) -> None:
        @self.feature(method)
        def collect(params: Any) -> None:
            self.told.setdefault(method, []).append(params)
            self.notify()

    def _answer(self, method: str) -> None:
        @self.feature(method)
        async def answer(params: Any = None) -> None:
            self.told.setdefault(method, []).append(params)
            self.notify()
            if not self.answers_refresh:
                await self.leaving.wait()

    def notify(self) -> None:
        self._news.set()

    async def until(self, check: Callable[[], Any], what: str = "") -> Any:
        """Wait until `check`, which may be a coroutine function, gives something true; look after each message."""

        async def wait() -> Any:
            while True:
                self._news.clear()
                found = check()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 2)

        try:
            return await asyncio.wait_for(wait(), SECONDS)
        except asyncio.TimeoutError:
            raise AssertionError(f"{what or check} did not come; told: {self.told}, {self.messages}") from None

    # What an editor does.

    def open(self, uri: str, text: str, language: str = "python") -> None:
        self.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, language, 1, text)))

    def edit(self, uri: str, version: int, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        change = types.TextDocumentContentChangePartial(types.Range(types.Position(*start), types.Position(*end)), text)
        self.text_document_did_change(
            types.DidChangeTextDocumentParams(types.VersionedTextDocumentIdentifier(version, uri), [change])
        )

    def save(self, uri: str) -> None:
        self.text_document_did_save(types.DidSaveTextDocumentParams(types.TextDocumentIdentifier(uri)))

    async def hints(self, uri: str, where: types.Range = WHOLE) -> list[types.InlayHint]:
        found = await self.ask(
            self.text_document_inlay_hint_async(types.InlayHintParams(types.TextDocumentIdentifier(uri), where))
        )
        return list(found or [])

    async def labels(self, uri: str, where: types.Range = WHOLE) -> dict[int, str]:
        return {hint.position.line: hint.label for hint in await self.hints(uri, where)}

    async def states(self, uri: str) -> dict[int, str]:
        return {hint.position.line: hint.data["state"] for hint in await self.hints(uri)}

    async def lenses(self, uri: str) -> list[types.CodeLens]:
        found = await self.ask(
            self.text_document_code_lens_async(types.CodeLensParams(types.TextDocumentIdentifier(uri)))
        )
        return [lens if lens.command else await self.ask(self.code_lens_resolve_async(lens)) for lens in found or []]

    async def titles(self, uri: str) -> list[str]:
        return [lens.command.title for lens in await self.lenses(uri)]

    async def hover(self, uri: str, line: int, character: int = 4) -> str | None:
        found = await self.ask(
            self.text_document_hover_async(
                types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(line, character))
            )
        )
        return found.contents.value if found else None

    async def actions(self, uri: str, line: int, diagnostics: Sequence[types.Diagnostic] = ()) -> list[Any]:
        where = types.Range(types.Position(line, 0), types.Position(line, 0))
        found = await self.ask(
            self.text_document_code_action_async(
                types.CodeActionParams(
                    types.TextDocumentIdentifier(uri), where, types.CodeActionContext(list(diagnostics))
                )
            )
        )
        return list(found or [])

    async def run(self, command: str, **argument: Any) -> Any:
        params = types.ExecuteCommandParams(f"foretrace.{command}", [argument])
        return await self.ask(self.workspace_execute_command_async(params))

    async def request(self, method: str, **params: Any) -> Any:
        return await self.ask(self.protocol.send_request_async(f"foretrace/{method}", params))

    async def ask(self, answer: Any) -> Any:
        return await asyncio.wait_for(answer, SECONDS)

    def diagnostics(self, uri: str) -> list[types.Diagnostic]:
        found = [
            each.diagnostics for each in self.told.get(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, []) if each.uri == uri
        ]
        return list(found[-1]) if found else []

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid


CAPABILITIES = types.ClientCapabilities(
    workspace=types.WorkspaceClientCapabilities(
        configuration=True,
        inlay_hint=types.InlayHintWorkspaceClientCapabilities(refresh_support=True),
        code_lens=types.CodeLensWorkspaceClientCapabilities(refresh_support=True),
        diagnostics=types.DiagnosticWorkspaceClientCapabilities(refresh_support=True),
        did_change_watched_files=types.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True),
    ),
    window=types.WindowClientCapabilities(work_done_progress=True),
    notebook_document=types.NotebookDocumentClientCapabilities(types.NotebookDocumentSyncClientCapabilities()),
)


def server_command(model: Path | None) -> list[str]:
    if model is None:
        return [sys.executable, "-m", "foretrace", "lsp"]
    return [sys.executable, "-m", "tests.lsp_server.fake_server", str(model)]


@asynccontextmanager
async def editor(
    model: Path | None,
    runtime: Path,
    *,
    capabilities: types.ClientCapabilities = CAPABILITIES,
    settings: dict[str, Any] | None = None,
    folders: Sequence[Path] = (),
    **start: Any,
):
    """An editor with a running server; `model` None takes the real one, else a stand-in's file."""
    client = Editor()
    client.settings = settings if settings is not None else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(runtime)}
    environment.pop("VIRTUAL_ENV", None)
    environment.pop("FORETRACE_MODEL", None)
    await client.start_io(*server_command(model), env=environment, limit=1 << 26)
    client.server_capabilities = (
        await client.ask(
            client.initialize_async(
                types.InitializeParams(
                    capabilities=capabilities,
                    workspace_folders=[types.WorkspaceFolder(path.as_uri(), path.name) for path in folders],
                    initialization_options=start,
                )
            )
        )
    ).capabilities
    client.initialized(types.InitializedParams())
    try:
        yield client
    finally:
        client.leaving.set()
        if client._server is not None and client._server.returncode is None:
            try:
                await asyncio.wait_for(client.shutdown_async(None), SECONDS)
                client.exit(None)
                await asyncio.wait_for(client._server.wait(), SECONDS)
            except Exception:
                client._server.kill()
                raise
        await client.stop()
