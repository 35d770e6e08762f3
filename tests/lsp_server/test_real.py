"""The whole path with the real model: a file is opened, predicted, checked, and its host killed."""

from __future__ import annotations

import os
import signal

from tests.lsp_server.editor import editor
from tests.lsp_server.test_features import predicted, run, write

PROGRAM = """\
# foretrace: product(987654321)
def product(n):
    m = n
    result = n * 123456789
    return result
"""
"""No small model multiplies such numbers; what an argument and its copy are it is given or copies."""


def test_from_opening_a_file_to_a_divergence(runtime, tmp_path):
    uri = write(tmp_path, PROGRAM, "product.py")

    async def work():
        async with editor(None, runtime) as client:
            client.open(uri, PROGRAM)
            await client.until(lambda: client.labels(uri), "the first hint")
            status = await client.until(
                lambda: [each for each in client.told["foretrace/status"] if each.state == "busy"]
            )
            assert status[-1].model.name == "nano" and status[-1].device == "CPU"
            [host] = await running()
            os.kill(host, signal.SIGKILL)
            await predicted(client, uri, "product")
            labels = await client.labels(uri)
            assert labels[1] == "n = 987654321" and labels[3].startswith("result = ")
            assert set((await client.states(uri)).values()) <= {"predicted", "unsure"}
            assert await running() != [host]

            summary = await client.run("check", uri=uri, function="product")
            assert summary["status"] == "diverged", summary
            states, labels = await client.states(uri), await client.labels(uri)
            assert states[1] == "confirmed" and labels[1] == "n = 987654321 ✓"
            assert states[3] == "diverged" and "≠" in labels[3]
            found = await client.until(lambda: [e for e in client.diagnostics(uri) if e.code == "divergence"])
            assert found[0].range.start.line in (1, 2, 3)
            frames = await client.request("frames", uri=uri, function="product")
            assert frames.actual == f"returned {987654321 * 123456789}" and frames.model == "nano"
            assert not client.messages

    run(work())


async def running() -> list[int]:
    from lsp_server.host.control import find_hosts

    return [host.status.pid for host in await find_hosts()]
