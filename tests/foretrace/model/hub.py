"""A Hugging Face hub on the loopback interface: as much of its HTTP as pulling needs, and ways to fail."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"
SMALL = ("json", "md", "LICENSE")


@dataclass
class Repository:
    """Files by name. `claims` are sizes and checksums that are not those of the files."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    token: str | None = None
    """Who has it may read the files."""
    private: bool = False
    """Without the token there is no such repository."""
    claims: dict[str, dict[str, object]] = field(default_factory=dict)

    def sibling(self, name: str) -> dict[str, object]:
        data = self.files[name]
        entry: dict[str, object] = {"rfilename": name, "size": len(data)}
        entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        if not name.endswith(SMALL):
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"size": len(data), "sha256": sha256, "pointerSize": 134}
        claims = dict(self.claims.get(name, {}))
        if "sha256" in claims:
            entry["lfs"]["sha256"] = claims.pop("sha256")
        return entry | claims


class Hub:
    """The server. `address` is its HF_ENDPOINT."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers (names in lower case) of everything asked for."""
        self.cut_after: int | None = None
        """Bytes of files in all after which the connection is cut; from then on there is no file to be had."""
        self.then: int | None = None
        """The status that files are answered with after the cut, instead of nothing."""
        self.cuts_once = False
        """After the cut, files are to be had again."""
        self.stalls_after: int | None = None
        """Bytes of a file after which nothing more comes."""
        self.broken: int | None = None
        """A status that everything is answered with."""
        self.ignores_ranges = False
        self.elsewhere: Hub | None = None
        """Where large files lie, as on a content delivery network."""
        self.ending = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def asked_for(self, name: str) -> list[dict[str, str]]:
        """The headers of every request for a file."""
        return [headers for _, path, headers in self.requests if path.endswith(f"/{name}")]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        steps = path.strip("/").split("/")
        is_api = steps[:2] == ["api", "models"]
        if steps[0] == "api" and not is_api:  # what huggingface_hub asks for on its own account
            return self._refuse(request, 404)
        self.requests.append((request.command, path, headers))
        if self.broken is not None:
            return self._refuse(request, self.broken)
        owner, name, what, revision, *file = steps[2:] if is_api else steps
        repository = self.repositories.get(f"{owner}/{name}")
        allowed = repository is not None and headers.get("authorization") in (None, f"Bearer {repository.token}")
        if repository is None or (repository.private and headers.get("authorization") is None):
            return self._refuse(request, 401, "RepoNotFound")
        if not allowed and repository.token is not None:
            return self._refuse(request, 401, message="Invalid credentials in Authorization header")
        if revision not in (*repository.revisions, COMMIT):
            return self._refuse(request, 404, "RevisionNotFound")
        if is_api and what == "revision":
            siblings = [repository.sibling(entry) for entry in repository.files]
            return self._send(request, 200, json.dumps({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings}))
        assert what == "resolve"
        if repository.token is not None and headers.get("authorization") is None and self.elsewhere is not self:
            return self._refuse(request, 401, "GatedRepo")
        data = repository.files.get("/".join(file))
        if data is None:
            return self._refuse(request, 404, "EntryNotFound")
        if self.elsewhere is not None and self.elsewhere is not self:
            self.elsewhere.repositories.setdefault(f"{owner}/{name}", Repository(repository.files))
            return self._send(request, 302, "", {"Location": f"{self.elsewhere.address}{request.path}"})
        return self._send_file(request, data, headers.get("range"))

    def _send_file(self, request: BaseHTTPRequestHandler, data: bytes, wanted: str | None) -> None:
        if self.cut_after == 0:
            request.close_connection = True
            if self.then is not None:
                self._refuse(request, self.then)
            return
        status, start, end = 200, 0, len(data)
        if wanted is not None and not self.ignores_ranges:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            status, start, end = 206, int(first), min(int(last) + 1, len(data))
        request.send_response(status)
        request.send_header("Content-Length", str(end - start))
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        request.end_headers()
        if self.stalls_after is not None:
            request.wfile.write(data[start : start + self.stalls_after])
            request.wfile.flush()
            self.ending.wait(60)
            return
        if self.cut_after is not None:
            if end - start > self.cut_after:
                end = start + self.cut_after
                request.close_connection = True
            self.cut_after = None if self.cuts_once and request.close_connection else self.cut_after - (end - start)
        request.wfile.write(data[start:end])

    def _refuse(self, request: BaseHTTPRequestHandler, status: int, code: str = "", message: str = "") -> None:
        headers = {"X-Error-Code": code} if code else {}
        self._send(request, status, "{}", headers | ({"X-Error-Message": message} if message else {}))

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, text: str, headers: dict[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(text.encode())))
        request.end_headers()
        request.wfile.write(text.encode())


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ending.set()
        hub.server.shutdown()
        hub.server.server_close()
        thread.join()
