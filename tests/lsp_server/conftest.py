"""A stand-in's model, a runtime folder of the test's own, and no host left behind."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import psutil
import pytest

from lsp_server.host.control import find_hosts, stop_hosts


@pytest.fixture
def runtime(monkeypatch):
    """A short path: that of a Unix socket has a limit."""
    folder = Path(tempfile.mkdtemp(prefix="ft-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    assert asyncio.run(_end_hosts()) == []
    shutil.rmtree(folder)


async def _end_hosts():
    return await stop_hosts(await find_hosts())


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model" / "stand-in.gguf"
    path.parent.mkdir()
    path.write_text("a stand-in\n")
    return path


@pytest.fixture(autouse=True)
def no_process_is_left():
    before = set(psutil.Process().children(recursive=True))  # such as what multiprocessing keeps for other tests
    yield
    children = set(psutil.Process().children(recursive=True)) - before
    _, alive = psutil.wait_procs(children, timeout=30)
    for process in alive:
        process.kill()
    assert alive == []
