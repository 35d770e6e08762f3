"""The models that predict: one connection to a model host for each GGUF that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from lsp_server.host.client import HostClient
from lsp_server.host.wire import Status
from lsp_server.options import Options
from quant.address import is_address, is_on_this_machine
from quant.errors import ModelError


class ModelFile(Protocol):
    """A model as `foretrace.models` finds it."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def path(self) -> Path | str:
        """Where it is: the path of a GGUF, or the address of a server."""
        ...


FindModel = Callable[[str | None], ModelFile]
"""The model for a path, a name or an address; raises ModelError."""


class Models:
    """Finds the host for some options. Nothing is started before it is needed."""

    def __init__(
        self,
        find_model: FindModel,
        on_status: Callable[[], None],
        is_trusted: Callable[[], bool],
        host_command: Sequence[str] | None = None,
    ) -> None:
        """`on_status` hears of every change; `is_trusted` tells of the workspace; `host_command` is for tests."""
        self._find_model = find_model
        self._is_trusted = is_trusted
        self._on_status = on_status
        self._host_command = host_command
        self._clients: dict[tuple[Path | str, int | None], HostClient] = {}
        self._current: HostClient | None = None
        self.name = ""
        """What a person calls the model that was asked for last."""
        self.problem = ""
        """Why there is no model, in one sentence."""

    def client(self, options: Options) -> HostClient:
        """The connection to the model that options name. Raises ModelError."""
        try:
            file = self._find_model(options.model or None)
            self._check_may_know(options)
            key = (file.path, options.context)
            client = self._clients.get(key)
            if client is None:
                client = self._open(file, options)
                self._clients[key] = client
        except ModelError as error:
            self.problem = str(error)
            self._current = None
            self._on_status()
            raise
        self.problem = ""
        self.name = file.name
        self._current = client
        return client

    def _check_may_know(self, options: Options) -> None:
        """A workspace that nobody trusts must not name the machine that its user's code is sent to."""
        address = options.model
        if is_address(address) and not is_on_this_machine(address) and not self._is_trusted():
            raise ModelError(
                f"The setting foretrace.model would send your code to {address}; trust the workspace to allow it, or "
                "name the server in FORETRACE_MODEL instead."
            )

    def _open(self, file: ModelFile, options: Options) -> HostClient:
        extra = {"command": self._host_command} if self._host_command is not None else {}
        return HostClient(
            file.path,
            context=options.context,
            idle_seconds=options.host_idle_minutes * 60,
            on_status=lambda _: self._on_status(),
            **extra,
        )

    @property
    def status(self) -> Status:
        """Of the model that was asked for last."""
        if self._current is None:
            return Status(state="failed" if self.problem else "stopped", detail=self.problem)
        return self._current.status

    def prioritize(self, job: str) -> None:
        """Make a prediction under way the freshest interactive one."""
        for client in self._clients.values():
            client.prioritize(job)

    async def restart(self) -> None:
        """Stop the hosts that are connected; the next prediction starts them anew."""
        for client in self._clients.values():
            await client.stop()

    async def close(self) -> None:
        """Hang up."""
        for client in self._clients.values():
            await client.close()
