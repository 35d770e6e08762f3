"""The model host as processes: shared, found again, asked in the right order, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from debugger.actual.record import record_in_process
from debugger.target import SourceFile, targets_in
from foretrace.cli import app
from lsp_server.host.client import HostClient, open_peer, say_hello
from lsp_server.host.control import find_hosts, stop_hosts
from lsp_server.host.place import place_of, private_folder, read_address
from lsp_server.host.queue import Queue
from lsp_server.host.wire import Request
from quant.errors import ModelError
from tests.lsp_server.editor import ROOT, SECONDS

HOST = [sys.executable, "-m", "tests.lsp_server.fake_host"]
ADD = "def add(a, b):\n    c = a + b\n    return c\n"
ENDLESS = "# endless\n" + ADD


def request(text: str = ADD, call: str = "add(1, 2)", max_frames: int = 1000) -> Request:
    return Request.of(targets_in(SourceFile.from_text("add.py", text))[0], call, max_frames)


def client(model: Path, **options) -> HostClient:
    return HostClient(model, command=options.pop("command", HOST), **options)


def run(work):
    async def limited():
        return await asyncio.wait_for(work, 2 * SECONDS)

    return asyncio.run(limited())


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_a_prediction_comes_frame_by_frame_and_whole(runtime, model):
    async def work():
        host = client(model)
        frames = []
        trace = await host.predict(request(), interactive=True, on_frame=frames.append)
        expected = record_in_process(ADD, "add(1, 2)")
        assert trace.frames == expected.frames and trace.outcome == expected.outcome
        assert tuple(frames) == trace.frames
        assert host.status.state in ("ready", "busy") and host.status.description == "a stand-in"
        await host.close()

    run(work())


def test_two_windows_that_start_at_once_load_the_model_once(runtime, model):
    async def work():
        hosts = [client(model) for _ in range(3)]
        traces = await asyncio.gather(*(host.predict(request(), interactive=True) for host in hosts))
        assert len({trace.outcome.value for trace in traces}) == 1
        assert len(lines(model.with_suffix(".loads"))) == 1
        running = await find_hosts()
        assert [host.status.clients for host in running] == [4]  # this visit is one
        for host in hosts:
            await host.close()

    run(work())


def test_two_starters_load_the_model_once(runtime, model):
    """Both processes are started; the lock decides."""
    command = [*HOST, "--model", str(model), "--idle", "600"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True) for _ in range(2)]
    assert [process.stdout.readline() for process in started if process.stdout] == [b"ready\n"] * 2

    async def work():
        host = client(model)
        await host.predict(request(), interactive=True)
        await host.close()
        assert len(lines(model.with_suffix(".loads"))) == 1
        assert await stop_hosts(await find_hosts()) == []

    run(work())
    assert sorted(process.wait(SECONDS) for process in started) == [0, 0]
    for process in started:
        process.stdout.close()


def test_only_the_owner_can_reach_it(runtime, model):
    async def work():
        host = client(model)
        await host.connect()
        address = read_address(host.place)
        assert address is not None
        assert stat.S_IMODE(host.place.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(host.place.address.stat().st_mode) == 0o600
        assert stat.S_IMODE(host.place.socket.stat().st_mode) == 0o600
        peer = await open_peer(address)
        reading = asyncio.create_task(peer.run())
        for method in ("status", "stop", "predict"):
            with pytest.raises(Exception, match="first message has to be hello"):
                await peer.ask(method, {"job": "1"})
        from dataclasses import replace

        assert await say_hello(peer, replace(address, token="wrong")) is None
        await reading
        await host.close()

    run(work())


def test_without_unix_sockets_it_listens_on_the_loopback_interface(runtime, model):
    async def work():
        host = client(model, command=[*HOST, "--loopback"])
        trace = await host.predict(request(), interactive=True)
        assert trace.outcome.value == "3"
        assert read_address(host.place).port and not host.place.socket.exists()
        await host.close()

    run(work())


def test_a_folder_of_somebody_else_is_not_used(runtime, monkeypatch):
    (runtime / "foretrace").mkdir(mode=0o755)
    assert private_folder() == runtime / "foretrace"
    assert stat.S_IMODE((runtime / "foretrace").stat().st_mode) == 0o700
    (runtime / "foretrace").rmdir()
    elsewhere = runtime / "elsewhere"
    elsewhere.mkdir()
    (runtime / "foretrace").symlink_to(elsewhere)
    assert private_folder() != runtime / "foretrace"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / ("long" * 30)))
    assert len(os.fsencode(private_folder())) < 80


def test_cancelling_is_silent_at_once_and_stops_the_work(runtime, model):
    async def work():
        host = client(model)
        first = asyncio.Event()
        frames = []

        def on_frame(frame):
            frames.append(frame)
            first.set()

        endless = request(ENDLESS, max_frames=10**6)
        task = asyncio.create_task(host.predict(endless, interactive=True, on_frame=on_frame))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        count = len(frames)
        # The next one is predicted although the last one was endless.
        assert (await host.predict(request(), interactive=False)).outcome.value == "3"
        assert len(frames) == count
        await host.close()

    run(work())


def test_the_freshest_interactive_request_comes_first_and_batch_work_last(runtime, model):
    async def work():
        host = client(model)
        begun = asyncio.Event()
        slow = asyncio.create_task(
            host.predict(request(ENDLESS, "add(0, 0)", 10**6), interactive=False, on_frame=lambda frame: begun.set())
        )
        await begun.wait()
        order = []

        async def ask(call, interactive):
            await host.predict(request(call=call), interactive=interactive)
            order.append(call)

        batch = [asyncio.create_task(ask(f"add({n}, 1)", False)) for n in (1, 2)]
        await asyncio.sleep(0)
        fresh = asyncio.create_task(ask("add(5, 5)", True))
        await fresh
        assert order == ["add(5, 5)"]
        # The endless one was interrupted, came back, and is still before the other batch work.
        assert not slow.done() and not any(task.done() for task in batch)
        slow.cancel()
        await asyncio.gather(*batch)
        assert order == ["add(5, 5)", "add(1, 1)", "add(2, 1)"]
        await asyncio.wait([slow])
        await host.close()

    run(work())


def test_the_queue_knows_who_comes_next():
    queue = Queue()

    def add(call: str, who: str, *, interactive: bool):
        return queue.add(request(call=call), who, lambda index, frame: None, interactive=interactive)

    add("add(1, 1)", "a", interactive=False)
    add("add(2, 2)", "b", interactive=False)
    assert queue.take() is not None and queue.running.request.call == "add(1, 1)"
    add("add(3, 3)", "c", interactive=True)
    assert queue.running.stop.is_set()
    queue.put_back()
    add("add(4, 4)", "d", interactive=True)
    twin = add("add(2, 2)", "e", interactive=True)
    assert set(twin.listeners) == {"b", "e"} and len(queue) == 4
    taken = []
    while (job := queue.take()) is not None:
        taken.append(job.request.call)
        queue.finish()
    assert taken == ["add(2, 2)", "add(4, 4)", "add(3, 3)", "add(1, 1)"]
    add("add(1, 1)", "a", interactive=False)
    add("add(2, 2)", "b", interactive=False)
    queue.prioritize("b")
    queue.drop("a")
    assert queue.take().request.call == "add(2, 2)" and len(queue) == 0


def test_the_same_request_is_predicted_once(runtime, model):
    async def work():
        hosts = [client(model), client(model)]
        slow = request("# slow\ndef count(n):\n    for i in range(n):\n        pass\n    return i\n", "count(99)")
        begun = asyncio.Event()
        frames: list[list] = [[], []]

        def on_frame(frame):
            frames[0].append(frame)
            begun.set()

        first = asyncio.create_task(hosts[0].predict(slow, interactive=False, on_frame=on_frame))
        await begun.wait()
        second = await hosts[1].predict(slow, interactive=True, on_frame=frames[1].append)
        again = await hosts[1].predict(slow, interactive=False)
        assert await first == second == again and frames[0] == frames[1] == list(again.frames)
        assert lines(model.with_suffix(".asked")) == ["count(99)"]
        for host in hosts:
            await host.close()

    run(work())


def test_a_crash_costs_a_restart_and_the_answer_comes(runtime, model):
    async def work():
        host = client(model)
        trace = await host.predict(request("# deadly\n" + ADD), interactive=True)
        assert trace.outcome.value == "3"
        assert len(lines(model.with_suffix(".loads"))) == 2
        await host.close()

    run(work())


def test_kill_9_while_frames_come(runtime, model):
    async def work():
        host = client(model)
        text = "# slow\ndef count(n):\n    i = 0\n    while i < n:\n        i += 1\n    return i\n"
        frames = []

        def on_frame(frame):
            frames.append(frame)
            if len(frames) == 3:
                os.kill(host.status.pid, signal.SIGKILL)

        trace = await host.predict(request(text, "count(20)"), interactive=True, on_frame=on_frame)
        assert trace.outcome.value == "20"
        assert tuple(frames) == trace.frames  # none twice
        await host.close()

    run(work())


def test_what_cannot_be_predicted_is_said(runtime, model, tmp_path):
    async def work():
        host = client(model)
        with pytest.raises(ModelError, match="does not predict this"):
            await host.predict(request("# broken\n" + ADD), interactive=True)
        await host.close()
        bad = tmp_path / "bad.gguf"
        bad.write_text("broken")
        host = client(bad)
        with pytest.raises(ModelError, match="is broken"):
            await host.predict(request(), interactive=True)
        await host.close()
        with pytest.raises(ModelError, match="cannot be read"):
            client(tmp_path / "none.gguf")
        other = tmp_path / "other.gguf"
        other.write_text("another stand-in")
        host = client(other, command=[sys.executable, "-c", "raise SystemExit('no such thing')"])
        with pytest.raises(ModelError, match="does not start: no such thing"):
            await host.predict(request(), interactive=True)

    run(work())


def test_it_leaves_when_nobody_asks(runtime, model):
    async def work():
        host = client(model, idle_seconds=0.5)
        await host.predict(request(), interactive=True)
        pid = host.status.pid
        await asyncio.to_thread(_wait_for_end, pid)
        assert not host.place.address.exists() and not host.place.socket.exists()
        # And is started again when somebody does.
        assert (await host.predict(request(call="add(2, 2)"), interactive=True)).outcome.value == "4"
        await asyncio.to_thread(_wait_for_end, host.status.pid)
        await host.close()

    run(work())


def _wait_for_end(pid: int) -> None:
    try:
        psutil.Process(pid).wait(SECONDS)
    except psutil.NoSuchProcess:
        return


def test_it_survives_its_clients(runtime, model):
    """A window that is killed leaves the host to the others, and what it had asked for is given up."""
    code = (
        "import asyncio, sys; from tests.lsp_server.test_host import *\n"
        "async def work():\n"
        "    host = client(Path(sys.argv[1]))\n"
        "    def on_frame(frame): print('begun', flush=True)\n"
        "    await host.predict(request(ENDLESS, max_frames=10**6), interactive=True, on_frame=on_frame)\n"
        "asyncio.run(work())"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(model)], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == b"begun\n"
    process.kill()
    process.wait()
    process.stdout.close()

    async def work():
        host = client(model)
        assert (await host.predict(request(), interactive=False)).outcome.value == "3"
        assert len(lines(model.with_suffix(".loads"))) == 1
        await host.close()

    run(work())


def test_what_a_killed_host_left_behind_is_no_obstacle(runtime, model):
    async def work():
        host = client(model)
        await host.connect()
        os.kill(host.status.pid, signal.SIGKILL)
        await asyncio.to_thread(_wait_for_end, host.status.pid)
        assert host.place.socket.exists()
        assert await find_hosts() == []
        assert not host.place.socket.exists() and not host.place.address.exists()
        assert (await host.predict(request(), interactive=True)).outcome.value == "3"
        await host.close()

    run(work())


def test_names_and_values_of_any_kind_pass(runtime, model):
    text = 'def add(jsonrpc, method):\n    id = {"jsonrpc": "2.0", "é\\ud800": jsonrpc}\n    return id\n'

    async def work():
        host = client(model)
        call = "add('😀' * 10000, 1)"
        trace = await host.predict(request(text, call), interactive=True)
        assert trace.frames == record_in_process(text, call).frames
        await host.close()

    run(work())


def test_the_place_is_that_of_the_file(runtime, model):
    here = place_of(model)
    assert place_of(model.parent / ".." / "model" / model.name) == here
    assert place_of(model, 512) != here
    model.write_text("another one")
    assert place_of(model) != here


def test_the_command_shows_and_stops_hosts(runtime, model):
    def foretrace(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["host", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "No model is loaded" in foretrace("status")
    assert json.loads(foretrace("status", "--json")) == {"hosts": []}

    async def work():
        host = client(model)
        await host.predict(request(), interactive=True)
        await host.close()

    run(work())
    assert "a stand-in, 1,000 tokens" in foretrace("status")
    [shown] = json.loads(foretrace("status", "--json"))["hosts"]
    assert shown["state"] == "ready" and shown["served"] == 1 and shown["clients"] == 0
    assert f"process {shown['pid']} stopped" in foretrace("stop")
    assert "No model is loaded" in foretrace("stop")
