"""The language server and the model host with a model elsewhere, on a real llama-server."""

from __future__ import annotations

import asyncio

import pytest

from debugger.trace import Ending
from foretrace.models import bundled_path
from lsp_server.host.client import HostClient
from lsp_server.host.place import place_of
from lsp_server.models import Models
from lsp_server.options import Options
from quant.errors import ModelError
from tests.llama_server import llama_server
from tests.lsp_server.editor import editor
from tests.lsp_server.test_features import run, write
from tests.lsp_server.test_host import request

ENDLESS = "def f(run):\n    while True:\n        odd = True\n        odd = False\n"


@pytest.fixture(scope="module")
def served():
    with llama_server(bundled_path()) as server:
        yield server.address


def test_hints_come_from_a_model_elsewhere_and_the_status_says_so(runtime, served, tmp_path):
    program = "# foretrace: same(987)\ndef same(n):\n    m = n\n    return m\n"
    uri = write(tmp_path, program, "same.py")

    async def work():
        async with editor(None, runtime, settings={"model": served}) as client:
            client.open(uri, program)
            await client.until(lambda: client.labels(uri), "the first hint")
            labels = await client.labels(uri)
            assert labels[1] == "n = 987"
            status = client.told["foretrace/status"][-1]
            assert status.device == f"remote {served}" and status.model.path == served
            assert status.model.name == served.partition("//")[2] and status.model.description.startswith("nano, Q4_0")

    run(work())


def test_a_cancelled_prediction_frees_the_server_for_the_next(runtime, served):
    async def work():
        host = HostClient(served)
        seen = asyncio.Event()
        task = asyncio.create_task(
            host.predict(request(ENDLESS, "f(1)"), interactive=True, on_frame=lambda frame: seen.set())
        )
        await asyncio.wait_for(seen.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        trace = await host.predict(request(ENDLESS, "f(2)", max_frames=3), interactive=True)
        assert trace.outcome.ending is Ending.OUT_OF_FRAMES and trace.frames[0].locals == {"run": "2"}
        await host.close()

    run(work())


def test_where_no_server_is_is_said(runtime):
    async def work():
        host = HostClient("http://127.0.0.1:9")
        with pytest.raises(ModelError, match=r"No server answers at http://127\.0\.0\.1:9 \("):
            await host.predict(request(), interactive=True)
        await host.close()

    run(work())


def test_another_key_is_another_host(runtime, monkeypatch):
    places = set()
    for key in ("", "one", "two"):
        monkeypatch.setenv("LLAMA_API_KEY", key)
        places |= {place_of("http://gpu.example:8080"), place_of("http://gpu.example:8081")}
    assert len(places) == 6


def test_a_workspace_that_nobody_trusts_does_not_send_code_away(runtime):
    trusted = False
    asked = []

    class Elsewhere:
        name = "elsewhere"

        def __init__(self, path):
            self.path = path

    def find(wanted):
        asked.append(wanted)
        return Elsewhere(wanted or "http://gpu.example:8080")

    models = Models(find, lambda: None, lambda: trusted)
    far, near = Options(model="http://gpu.example:8080"), Options(model="http://127.0.0.1:8080")
    with pytest.raises(ModelError, match=r"would send your code to http://gpu\.example:8080; trust the workspace"):
        models.client(far)
    assert models.status.state == "failed" and "trust" in models.status.detail
    assert models.client(near).model == near.model
    assert models.client(Options()).model == "http://gpu.example:8080"  # the user's own environment
    trusted = True
    assert models.client(far).model == far.model
