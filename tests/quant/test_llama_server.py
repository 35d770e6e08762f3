"""What goes wrong between here and a server, said in one sentence; a small stand-in breaks what a real one keeps."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quant.address import is_address, is_on_this_machine, spelled_address
from quant.errors import CancelledError, ContextFullError, ModelError
from quant.llama_server import LlamaServer
from quant.remote import RemoteModel

SECONDS = 30


@contextmanager
def stand_in(answer, *, hangs_up=False) -> Iterator[tuple[str, list[tuple[str, dict]]]]:
    """A server whose `answer` gives status and body for a path and a body, and the requests that it got."""
    asked: list[tuple[str, dict]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            asked.append((self.path, {"key": self.headers.get("Authorization"), "body": body}))
            answered = answer(self.path, body)
            if answered is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, content = answered
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = hangs_up

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(SECONDS)


def error(message: str, kind: str = "server_error") -> dict:
    return {"error": {"message": message, "type": kind}}


@pytest.mark.parametrize(
    ("wanted", "spelled"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("HTTP://GPU.example:8080/v1/", "http://gpu.example:8080"),
        ("https://gpu.example/cwm/", "https://gpu.example/cwm"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_an_address_is_spelled_one_way(wanted, spelled):
    assert is_address(wanted) and spelled_address(wanted) == spelled


@pytest.mark.parametrize("wanted", ["http://", "http://:80", "http://a:b", "http://a:99999", "http://a:0"])
def test_what_is_no_address_is_said(wanted):
    with pytest.raises(ModelError, match=r"is no address; give one as in http://127\.0\.0\.1:8080\.$"):
        LlamaServer(wanted)


def test_a_key_does_not_belong_into_an_address():
    with pytest.raises(ModelError, match="a key in LLAMA_API_KEY"):
        LlamaServer("http://me:secret@gpu.example")


def test_paths_and_names_are_no_addresses():
    assert not any(map(is_address, ("nano", "models/cwm.gguf", "http.gguf", "")))


def test_only_this_machine_is_this_machine():
    here = ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "http://127.9.9.9"]
    assert all(map(is_on_this_machine, here))
    assert not any(map(is_on_this_machine, ["http://192.168.1.2", "http://localhost.example", "http://127.example"]))


@pytest.mark.parametrize(
    ("answered", "kind", "sentence"),
    [
        ((503, error("Loading model", "unavailable_error")), ModelError, "is still loading its model; try again"),
        ((401, error("Invalid API Key")), ModelError, "wants a key; give the one .* in LLAMA_API_KEY"),
        ((400, error("600 tokens.", "exceed_context_size_error")), ContextFullError, "no room for that: 600 tokens"),
        ((500, error("Out of luck.")), ModelError, r"does not answer \(status 500\): Out of luck\."),
        ((200, b"<html>"), ModelError, r"is no llama-server \(status 200\)"),
        ((404, b""), ModelError, r"is no llama-server \(status 404\)"),
        (None, ModelError, "broke off while it was asked"),
    ],
)
def test_a_server_that_does_not_answer_is_said(answered, kind, sentence):
    with stand_in(lambda path, body: answered) as (address, _):
        with pytest.raises(kind, match=sentence) as raised:
            LlamaServer(address).ask("/props")
        assert ". " not in str(raised.value) and address in str(raised.value)


def test_a_key_is_sent_and_one_that_is_refused_is_said():
    with (
        stand_in(lambda path, body: (401, error("Invalid API Key"))) as (address, asked),
        pytest.raises(ModelError, match="refuses the key in LLAMA_API_KEY"),
    ):
        LlamaServer(address, "secret").ask("/props")
    assert asked[0][1]["key"] == "Bearer secret"


def test_where_nobody_listens_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ModelError, match=r"No server answers at http://127\.0\.0\.1:\d+ \(.*start llama-server"):
            LlamaServer(f"http://127.0.0.1:{taken.getsockname()[1]}").ask("/props")


def test_a_server_that_hung_up_meanwhile_is_asked_again():
    with stand_in(lambda path, body: (200, {"n": 1}), hangs_up=True) as (address, asked):
        server = LlamaServer(address)
        assert [server.ask("/props") for _ in range(3)] == [{"n": 1}] * 3
        assert len(asked) == 3
        server.close()


def test_a_request_that_waits_is_broken_off_and_others_are_refused_until_told():
    waits, goes_on = threading.Event(), threading.Event()

    def answer(path, body):
        if path == "/slow":
            waits.set()
            goes_on.wait(SECONDS)
        return 200, {}

    with stand_in(answer) as (address, _):
        server = LlamaServer(address)
        raised: list[BaseException] = []

        def ask():
            try:
                server.ask("/slow", {})
            except CancelledError as cancelled:
                raised.append(cancelled)

        thread = threading.Thread(target=ask)
        thread.start()
        assert waits.wait(SECONDS)
        server.interrupt()
        thread.join(SECONDS)
        assert len(raised) == 1
        goes_on.set()
        with pytest.raises(CancelledError):
            server.ask("/props")
        server.resume()
        assert server.ask("/props") == {}
        server.close()


def test_a_server_of_several_models_is_refused():
    answers = {"/props": {"role": "router"}, "/v1/models": {"data": [{"id": "a"}, {"id": "b"}]}}
    with (
        stand_in(lambda path, body: (200, answers[path])) as (address, _),
        pytest.raises(ModelError, match="which one model it has loaded; give the address of a llama-server with"),
    ):
        RemoteModel.open(address)
