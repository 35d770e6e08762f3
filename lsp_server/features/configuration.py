"""The start and the end of a session, the client's settings, and what the server wants to hear of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from lsprotocol import types
from pygls.uris import from_fs_path

from lsp_server.documents import Document
from lsp_server.options import SECTION, Options, read_options
from lsp_server.server import ForetraceServer

_ANSWER_SECONDS = 3.0
"""How long to wait for the client's settings before going on with what it said first."""


def register(server: ForetraceServer) -> None:
    """Let the server be configured."""

    @server.feature(types.INITIALIZE)
    def initialize(ls: ForetraceServer, params: types.InitializeParams) -> None:
        given = params.initialization_options
        if not isinstance(given, Mapping):
            return
        start = cast("Mapping[str, Any]", given)
        ls.trusted = start.get("trusted") is True
        interpreter = start.get("interpreter")
        ls.editor_interpreter = interpreter if isinstance(interpreter, str) else ""
        ls.options[""], problems = read_options(start.get("settings"))
        ls.start_problems = problems

    @server.feature(types.INITIALIZED)
    async def initialized(ls: ForetraceServer, params: types.InitializedParams) -> None:
        _say(ls, ls.start_problems)
        ls.tell_status()
        try:
            await _pull(ls)
        finally:
            ls.configured.set()
        await _watch(ls)

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def did_change(ls: ForetraceServer, params: types.DidChangeConfigurationParams) -> None:
        settings = params.settings
        pushed: Any = cast("Mapping[str, Any]", settings).get(SECTION) if isinstance(settings, Mapping) else None
        if pushed is not None:
            before = _options(ls)
            ls.options[""], problems = read_options(pushed)
            for folder in [folder for folder in ls.options if folder]:
                del ls.options[folder]
            _say(ls, problems)
            _apply(ls, before)
        else:
            ls.work.start(_pull_again(ls))

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(ls: ForetraceServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
        ls.work.start(_pull_again(ls))

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(ls: ForetraceServer, params: types.DidChangeWatchedFilesParams) -> None:
        ls.forget_interpreters()
        ls.tell_status()

    @server.feature("foretrace/trust")
    def trust(ls: ForetraceServer, params: Any) -> None:
        ls.trusted = getattr(params, "trusted", None) is True
        ls.tell_status()

    @server.feature("foretrace/interpreter")
    def interpreter(ls: ForetraceServer, params: Any) -> None:
        path = getattr(params, "path", None)
        ls.editor_interpreter = path if isinstance(path, str) else ""
        ls.tell_status()

    @server.feature(types.SHUTDOWN)
    async def shutdown(ls: ForetraceServer, params: None) -> None:
        await ls.close()


async def _pull(ls: ForetraceServer) -> None:
    """Ask the client for the settings of every folder, if it can tell them."""
    if not ls.can("workspace.configuration"):
        return
    folders = ls.folders()
    items = [types.ConfigurationItem(section=SECTION)]
    items += [types.ConfigurationItem(scope_uri=from_fs_path(str(folder)), section=SECTION) for folder in folders]
    try:
        answers = await asyncio.wait_for(
            ls.workspace_configuration_async(types.ConfigurationParams(items)), _ANSWER_SECONDS
        )
    except Exception:  # no answer, or a refusal: what is known stays
        return
    options: dict[str, Options] = {}
    problems: list[str] = []
    for name, answer in zip(("", *map(str, folders)), answers, strict=False):
        options[name], found = read_options(answer) if answer is not None else (ls.options.get("", Options()), [])
        problems += found
    ls.options = options
    _say(ls, problems)


async def _pull_again(ls: ForetraceServer) -> None:
    before = _options(ls)
    await _pull(ls)
    _apply(ls, before)


def _options(ls: ForetraceServer) -> dict[Document, Options]:
    return {document: ls.options_for(document) for document in ls.work.documents.values()}


def _apply(ls: ForetraceServer, before: dict[Document, Options]) -> None:
    ls.forget_said()
    ls.work.reconsider({**_options(ls), **before})  # some may have been opened meanwhile
    ls.tell_status()


def _say(ls: ForetraceServer, problems: list[str]) -> None:
    """What is wrong with the settings; clients let the same ones be pulled more than once."""
    if problems and problems != ls.setting_problems:
        ls.say(" ".join(dict.fromkeys(problems)))
    ls.setting_problems = problems


async def _watch(ls: ForetraceServer) -> None:
    """Ask to be told of changed settings and of environments that come, change and go."""
    registrations: list[types.Registration] = []
    if ls.can("workspace.did_change_configuration.dynamic_registration"):
        registrations.append(
            types.Registration(
                "foretrace-settings",
                types.WORKSPACE_DID_CHANGE_CONFIGURATION,
                types.DidChangeConfigurationRegistrationOptions(section=SECTION),
            )
        )
    if ls.can("workspace.did_change_watched_files.dynamic_registration"):
        registrations.append(
            types.Registration(
                "foretrace-environments",
                types.WORKSPACE_DID_CHANGE_WATCHED_FILES,
                types.DidChangeWatchedFilesRegistrationOptions([types.FileSystemWatcher("**/pyvenv.cfg")]),
            )
        )
    if registrations:
        try:
            params = types.RegistrationParams(registrations)
            await asyncio.wait_for(ls.client_register_capability_async(params), _ANSWER_SECONDS)
        except Exception:  # the client does not want to: then it pushes, or nothing changes
            return
