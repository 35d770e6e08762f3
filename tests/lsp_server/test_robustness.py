"""What breaks servers: nothing hangs, nothing is answered for a text that is gone, no process is left."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.editor import CAPABILITIES, ROOT, SECONDS, WHOLE, Editor, editor, server_command
from tests.lsp_server.test_features import TOTAL, predicted, run, write

SLOW = "# slow\n" + TOTAL


def test_edits_that_race_predictions(runtime, model, tmp_path):
    """While somebody types, every hint stands behind the text that it was predicted for."""
    uri = write(tmp_path, SLOW)
    chance = random.Random(5)

    async def work():
        async with editor(model, runtime, settings={"idleDelay": 50}) as client:
            client.open(uri, SLOW)
            lines, version = SLOW.split("\n"), 1
            good = {hint: line for line, hint in enumerate(lines)}
            await predicted(client, uri, "total")
            seen = 0
            for _ in range(60):
                version += 1
                line = chance.randrange(len(lines))
                if chance.random() < 0.5:
                    lines.insert(line, chance.choice(["", "    # a comment", "x = 1", "def g(:"]))
                    client.edit(uri, version, (line, 0), (line, 0), lines[line] + "\n")
                else:
                    text = chance.choice(["", "y", "    pass", "🙂"])
                    client.edit(uri, version, (line, 0), (line, 10_000), text)
                    lines[line] = text
                for hint in await client.hints(uri):
                    assert hint.data["version"] == version
                    assert lines[hint.position.line] in good, "a hint beside a text that was never predicted"
                    seen += 1
            assert seen
            version += 1
            client.edit(uri, version, (0, 0), (100_000, 0), SLOW)
            await predicted(client, uri, "total")
            labels, states = await client.labels(uri), await client.states(uri)
            assert labels[8] == "result = 1 → 3 → 6" and set(states.values()) == {"predicted"}

    run(work())


def test_hints_move_with_their_lines_and_stay_where_nothing_changed(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total", "Greeter.greet", "first")
            asked = len(model.with_suffix(".asked").read_text().splitlines())
            client.edit(uri, 2, (0, 0), (0, 0), "# one\n# two\n")
            labels = await client.labels(uri)  # at once, before anything was analysed
            assert labels[9] == "result = 1 → 3 → 6" and 7 in labels
            client.edit(uri, 3, (8, 4), (8, 7), "for  ")
            states = await client.states(uri)
            assert 8 not in states and states[9] == "stale" and states[18] == "predicted"
            client.edit(uri, 4, (8, 4), (8, 9), "for")
            await predicted(client, uri, "total", "Greeter.greet", "first")
            assert set((await client.states(uri)).values()) == {"predicted"}
            assert (await client.labels(uri))[24] == "raises IndexError('list index out of ra…"
            # Undone and moved, so nothing had to be predicted again, but where it was given up.
            again = len(model.with_suffix(".asked").read_text().splitlines())
            assert again - asked <= 1

    run(work())


def test_a_change_elsewhere_that_matters(runtime, model, tmp_path):
    text = "FACTOR = 2\n\n\n# foretrace: f(1)\ndef f(x):\n    y = x * FACTOR\n    return y\n"
    uri = write(tmp_path, text, "f.py")

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, text)
            await predicted(client, uri, "f")
            client.edit(uri, 2, (0, 9), (0, 10), "3")

            async def anew():
                return (await client.labels(uri)).get(6) == "returns 3"

            await client.until(anew)

    run(work())


def test_a_call_that_is_written_down_is_taken(runtime, model, tmp_path):
    text = "def f(x):\n    return x\n\n\n# foretrace: g(1)\ndef g(x):\n    return x\n"
    uri = write(tmp_path, text, "f.py")

    async def work():
        async with editor(model, runtime, settings={"idleDelay": 50}) as client:
            client.open(uri, text)
            await predicted(client, uri, "g")
            client.edit(uri, 2, (0, 0), (0, 0), "# foretrace: f(7)\n")
            client.edit(uri, 3, (5, 15), (5, 16), "2")
            await predicted(client, uri, "f", "g")

            async def shown():
                labels = await client.labels(uri)
                return labels.get(2) == "returns 7" and labels.get(7) == "returns 2"

            await client.until(shown)

    run(work())


def test_another_model_predicts_anew(runtime, model, tmp_path):
    other = model.with_name("other.gguf")
    other.write_text("another stand-in")
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            client.settings = {"model": str(other)}
            client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
            await client.until(lambda: other.with_suffix(".asked").exists())
            await predicted(client, uri, "total")
            assert (await client.request("status")).model.path == str(other)

    run(work())


def test_a_prediction_that_is_overtaken_says_so(runtime, model, tmp_path):
    text = "# endless\n" + TOTAL
    uri = write(tmp_path, text)

    async def work():
        async with editor(model, runtime, settings={"predict": "manual", "maxFrames": 100_000}) as client:
            client.open(uri, text)
            first = asyncio.create_task(client.run("predict", uri=uri, function="total"))
            await client.until(lambda: client.labels(uri))
            second = asyncio.create_task(client.run("predict", uri=uri, function="total", call="total([1])"))
            with pytest.raises(JsonRpcException, match="was given up"):
                await first
            client.edit(uri, 2, (7, 0), (7, 0), " ")
            with pytest.raises(JsonRpcException, match="was given up"):
                await second

    run(work())


def test_closing_midway(runtime, model, tmp_path):
    text = "# endless\n" + TOTAL
    uri = write(tmp_path, text)

    async def work():
        async with editor(model, runtime, settings={"maxFrames": 100_000}) as client:
            client.open(uri, text)
            await client.until(lambda: client.labels(uri))
            client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
            assert await client.hints(uri) == []
            client.open(uri, TOTAL)  # the same file again, with another text
            await predicted(client, uri, "total")
            assert (await client.labels(uri))[7] == "result = 1 → 3 → 6"

    run(work())


def test_two_clients_share_a_model(runtime, model, tmp_path):
    uri = write(tmp_path, SLOW)

    async def work():
        async with editor(model, runtime) as one, editor(model, runtime) as two:
            one.open(uri, SLOW)
            two.open(uri, SLOW)
            await predicted(one, uri, "total")
            await predicted(two, uri, "total")
            assert await one.labels(uri) == await two.labels(uri)
            assert len(model.with_suffix(".loads").read_text().split()) == 1
            one._server.kill()  # one window dies
            two.edit(uri, 2, (6, 13), (6, 14), "4")
            await predicted(two, uri, "total")
            assert (await two.labels(uri))[11] == "returns 10"

    run(work())


def test_the_host_is_killed_in_a_prediction(runtime, model, tmp_path):
    uri = write(tmp_path, SLOW.replace("[1, 2, 3]", "[1] * 50"))

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, SLOW.replace("[1, 2, 3]", "[1] * 50"))
            await client.until(lambda: client.labels(uri))
            [first] = model.with_suffix(".loads").read_text().split()
            os.kill(int(first), signal.SIGKILL)
            await predicted(client, uri, "total")
            assert (await client.labels(uri))[11] == "returns 50"
            assert len(model.with_suffix(".loads").read_text().split()) == 2

    run(work())


def waiting(pid_file) -> str:
    """A program that waits in a real run, after telling its process; a prediction does not wait."""
    return (
        "import os\nimport sys\nimport time\n\n\n# foretrace: f(0)\ndef f(x):\n    if 'debugpy' in sys.modules:\n"
        f"        with open({str(pid_file)!r}, 'w') as file:\n            file.write(f'{{os.getpid()}}.')\n"
        "        time.sleep(500)\n    return x\n"
    )


def test_the_debuggee_is_killed_in_a_check(runtime, model, tmp_path):
    pid_file = tmp_path / "pid"
    text = waiting(pid_file)
    uri = write(tmp_path, text, "f.py")

    async def work():
        async with editor(model, runtime, settings={"timeout": 200, "predict": "manual"}) as client:
            client.open(uri, text)
            task = asyncio.create_task(client.run("check", uri=uri, function="f"))
            await client.until(lambda: pid_file.exists() and pid_file.read_text().endswith("."))
            with pytest.raises(JsonRpcException, match="being checked already"):
                await client.run("check", uri=uri, function="f")
            os.kill(int(pid_file.read_text()[:-1]), signal.SIGKILL)
            summary = await task
            assert "SIGKILL" in summary["text"] or summary["status"] == "diverged", summary

    run(work())


def test_leaving_in_a_check_ends_the_debuggee(runtime, model, tmp_path):
    pid_file = tmp_path / "pid"
    text = waiting(pid_file)
    uri = write(tmp_path, text, "f.py")

    async def work(end):
        pid_file.unlink(missing_ok=True)
        async with editor(model, runtime, settings={"timeout": 200, "predict": "manual"}) as client:
            client.open(uri, text)
            task = asyncio.create_task(client.run("check", uri=uri, function="f"))
            await client.until(lambda: pid_file.exists() and pid_file.read_text().endswith("."))
            debuggee = psutil.Process(int(pid_file.read_text()[:-1]))
            end(client)
            with pytest.raises((JsonRpcException, RuntimeError, asyncio.CancelledError)):
                await task
            await asyncio.to_thread(psutil.wait_procs, [debuggee], SECONDS)
            assert not debuggee.is_running()
            if client._server.returncode is None and end is not _cancel:
                await asyncio.wait_for(client._server.wait(), SECONDS)

    def _cancel(client):
        request = next(reversed(client.protocol._request_futures))
        client.protocol.notify(types.CANCEL_REQUEST, types.CancelParams(request))

    run(work(_cancel))
    run(work(lambda client: os.kill(client.pid, signal.SIGTERM)))
    run(work(lambda client: client._server.stdin.close()))


def test_a_client_that_never_answers(runtime, model, tmp_path):
    uri = write(tmp_path, TOTAL)

    async def work():
        async with editor(model, runtime) as client:
            client.answers_refresh = False
            client.settings = None
            client.open(uri, TOTAL)
            await predicted(client, uri, "total")
            client.edit(uri, 2, (5, 13), (5, 14), "4")
            await predicted(client, uri, "total")
            assert (await client.labels(uri))[10] == "returns 10"
            # A refresh that is not answered is lost, and the next change asks again.
            await client.until(lambda: len(client.told[types.WORKSPACE_INLAY_HINT_REFRESH]) > 1)

    run(work())


def test_documents_that_are_not_open_or_no_files(runtime, model, tmp_path):
    async def work():
        async with editor(model, runtime) as client:
            for uri in ("file:///no/such.py", "untitled:Untitled-1", "", "no uri at all", "http://[", "git:/a.py?x#y"):
                assert await client.hints(uri) == []
                assert await client.lenses(uri) == []
                assert await client.hover(uri, 0) is None
                assert await client.actions(uri, 0) == []
                client.save(uri)
                client.edit(uri, 2, (0, 0), (0, 0), "x")
                client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))
            for uri in ("untitled:Untitled-1", "git:/a.py?x#y", "file:///no/such%20folder/%C3%A9.py"):
                client.open(uri, TOTAL)
                await predicted(client, uri, "total")
                assert (await client.labels(uri))[7] == "result = 1 → 3 → 6"
            summary = await client.run("check", uri="untitled:Untitled-1", function="total")
            assert summary["status"] == "confirmed"
            with pytest.raises(JsonRpcException, match="No such file"):
                await client.run("check", uri="file:///no/such%20folder/%C3%A9.py", function="total")
            client.open("untitled:page", "<p>", "html")
            assert await client.hints("untitled:page") == []

    run(work())


def test_a_file_of_ten_megabytes(runtime, model, tmp_path):
    text = TOTAL + "x = 1\n" * 1_700_000
    uri = (tmp_path / "large.py").as_uri()

    async def work():
        async with editor(model, runtime) as client:
            client.open(uri, text)
            client.edit(uri, 2, (3, 0), (3, 0), "\n")
            answer = await client.request("functions", uri=uri)
            assert await client.hints(uri, types.Range(types.Position(0, 0), types.Position(50, 0))) == []

            async def said():
                return (await client.request("functions", uri=uri)).problem

            assert "foretrace looks at files of up to 1,000,000" in await client.until(said)
            assert answer.functions == []
            with pytest.raises(JsonRpcException, match="characters"):
                await client.run("predict", uri=uri, function="total")
            # What is small again is looked at again.
            client.edit(uri, 3, (0, 0), (2_000_000, 0), TOTAL)
            await predicted(client, uri, "total")

    run(work())


def test_texts_that_are_hard_to_read(runtime, model, tmp_path):
    texts = {
        "syntax": "def f(:\n",
        "nul": "def f(x):\n    return '\0'\n",
        "surrogate": "# foretrace: f(1)\ndef f(x):\n    return '\ud800'\n",
        "deep": "x = " + "(" * 5000 + ")" * 5000 + "\n",
        "empty": "",
        "returns": "# foretrace: f(1)\rdef f(x):\r    return x\r",
        "feed": "x = '\x0c\u2028'\n\x0c\n# foretrace: f(1)\ndef f(x):\n    return x\n",
    }

    async def work():
        async with editor(model, runtime) as client:
            for name, text in texts.items():
                uri = (tmp_path / f"{name}.py").as_uri()
                client.open(uri, text)
                assert isinstance(await client.hints(uri), list)

                async def looked_at(uri=uri):
                    answer = await client.request("functions", uri=uri)
                    return answer.problem or answer.functions or (answer.version and uri.endswith("empty.py"))

                await client.until(looked_at)
            for name, line in (("returns", 2), ("feed", 4)):
                uri = (tmp_path / f"{name}.py").as_uri()
                await predicted(client, uri, "f")
                assert (await client.labels(uri))[line] == "returns 1"
            uri = (tmp_path / "feed.py").as_uri()
            client.edit(uri, 2, (4, 11), (4, 12), "x + x")  # pygls would change another line
            await predicted(client, uri, "f")
            assert (await client.labels(uri))[4] == "returns 2"

    run(work())


class Raw:
    """A server, spoken to byte by byte."""

    def __init__(self, model, runtime):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(runtime)}
        self.process = subprocess.Popen(
            server_command(model), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._timer = threading.Timer(SECONDS, self.process.kill)
        self._timer.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._timer.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def write(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message: object) -> None:
        body = json.dumps(message).encode()
        self.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def ask(self, number: object, method: str, params: object = None) -> dict:
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return self.answer(number)

    def answer(self, number: object) -> dict:
        while True:
            message = self.read()
            if message.get("id") == number and "method" not in message:
                return message

    def read(self) -> dict:
        length = 0
        while (line := self.process.stdout.readline().strip()) or not length:
            assert line or length, "the server has ended"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def start(self) -> None:
        assert "result" in self.ask(0, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self.send({"jsonrpc": "2.0", "method": "initialized", "params": {}})


HOVER = {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 0, "character": 0}}


def test_requests_before_and_after_their_time(runtime, model):
    with Raw(model, runtime) as server:
        assert server.ask(1, "textDocument/hover", HOVER)["error"]["code"] == -32002
        assert server.ask(2, "workspace/executeCommand", {"command": "foretrace.status"})["error"]["code"] == -32002
        server.send({"jsonrpc": "2.0", "method": "textDocument/didSave", "params": {"textDocument": {"uri": "a"}}})
        server.start()
        assert (
            server.ask(3, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})["error"]["code"]
            == -32600
        )
        assert server.ask(4, "textDocument/hover", HOVER)["result"] is None
        assert "result" in server.ask(5, "shutdown")
        assert server.ask(6, "textDocument/hover", HOVER)["error"]["code"] == -32600
        assert server.ask(7, "shutdown")["error"]["code"] == -32600
        server.send({"jsonrpc": "2.0", "method": "exit"})
        assert server.process.wait(SECONDS) == 0


def test_messages_that_are_none(runtime, model):
    with Raw(model, runtime) as server:
        server.start()
        for body in (b"{", b"[]", b"42", b"null", b'"x"', b"{}", b'{"jsonrpc": "2.0"}', b"\xff\xfe", b"[" * 100_000):
            server.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        server.write(b"X-Header: 1\r\nContent-Length: 2\r\nContent-Type: text\r\n\r\n{}")
        server.send({"jsonrpc": "1.0", "id": 1, "method": "textDocument/hover", "params": HOVER})
        server.send({"jsonrpc": "2.0", "id": "lost", "result": {"no": "request"}})
        server.send({"jsonrpc": "2.0", "id": "lost", "error": {"code": 1, "message": "none"}})
        server.send({"jsonrpc": "2.0", "method": "no/such/notification", "params": {}})
        server.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 99}})
        server.send({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": 5}})
        server.send({"jsonrpc": "2.0", "method": "foretrace/cursor", "params": {"uri": 5}})
        server.send({"jsonrpc": "2.0", "method": "foretrace/trust", "params": None})
        assert server.ask(2, "no/such/request", {})["error"]["code"] == -32601
        assert server.ask(3, "textDocument/hover", {"nothing": 1})["error"]["code"] == -32602
        assert server.ask(4, "textDocument/inlayHint", [])["error"]["code"] == -32602
        assert "error" in server.ask(5, "workspace/executeCommand", {"command": "no.such", "arguments": []})
        for number, arguments in enumerate(([], [5], [{"uri": 5}], [{"uri": "file:///a.py"}], [{}]), 6):
            params = {"command": "foretrace.predict", "arguments": arguments}
            assert "error" in server.ask(number, "workspace/executeCommand", params)
        assert server.ask(20, "textDocument/hover", HOVER)["result"] is None
        settings = {"jsonrpc": {"deep": [{"jsonrpc": "2.0"}]}, "foretrace": {"hints": "yes"}}
        server.send({"jsonrpc": "2.0", "method": "workspace/didChangeConfiguration", "params": {"settings": settings}})
        while server.read().get("method") != "window/showMessage":
            pass
        server.send({"jsonrpc": "2.0", "method": "exit"})
        assert server.process.wait(SECONDS) == 1


def test_the_end_of_input_ends_the_server(runtime, model):
    with Raw(model, runtime) as server:
        server.start()
        server.process.stdin.close()
        assert server.process.wait(SECONDS) == 1
    with Raw(model, runtime) as server:
        server.start()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 128 + signal.SIGTERM
    with Raw(model, runtime) as server:
        server.write(b"Content-Length: 100\r\n\r\n{")
        server.process.stdin.close()
        server.process.wait(SECONDS)
    empty = subprocess.run(
        server_command(model), env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, timeout=SECONDS
    )
    assert empty.returncode == 1


def test_over_a_port(runtime, model):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(runtime)}
    command = [sys.executable, "-m", "foretrace", "lsp", "--tcp", "127.0.0.1:0"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    said = process.stderr.readline().decode()
    port = int(said.rpartition(":")[2])

    async def work():
        client = Editor()
        await client.start_tcp("127.0.0.1", port)
        await client.ask(client.initialize_async(types.InitializeParams(CAPABILITIES)))
        client.initialized(types.InitializedParams())
        assert await client.hints("file:///a.py", WHOLE) == []
        await client.ask(client.shutdown_async(None))
        client.exit(None)
        assert await asyncio.to_thread(process.wait, SECONDS) == 0
        await client.stop()

    try:
        run(work())
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
