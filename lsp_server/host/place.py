"""Where a model host can be found: a private folder with one small file per host that tells its address.

Every path is built from what the host serves, so that all who want the same GGUF look at the same place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import stat
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from quant.address import KEY_VARIABLE, is_address
from quant.errors import ModelError

WIRE_VERSION = 1
"""Raised with every change of the messages: hosts of other versions are never spoken to."""
_MAX_SOCKET_PATH = 100
"""Bytes; `sun_path` has room for 104 on macOS and 108 on Linux."""
HAS_UNIX_SOCKETS = hasattr(socket, "AF_UNIX") and os.name == "posix"
"""Elsewhere hosts listen on the loopback interface, and the token in the private folder is the key."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a running host writes down for those who want to talk to it."""

    pid: int
    model: str
    """The GGUF's path, or the address of the server that has the model."""
    token: str
    """To be shown first; only who may read the private folder knows it."""
    socket: str | None
    """The path of a Unix socket; None where there are none."""
    port: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """The files of the host of one GGUF."""

    folder: Path
    key: str

    @property
    def address(self) -> Path:
        """Holds the Address while the host listens."""
        return self.folder / f"{self.key}.json"

    @property
    def lock(self) -> Path:
        """Locked as long as the host lives."""
        return self.folder / f"{self.key}.lock"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / f"{self.key}.sock"

    @property
    def log(self) -> Path:
        """What the host has to say; each host starts it anew."""
        return self.folder / f"{self.key}.log"


def place_of(model: Path | str, context: int | None = None) -> Place:
    """Where the host of a GGUF, or for the address of a server, is. Raises ModelError.

    Another file under the same name has another host, and so has the same address with another key.
    """
    if is_address(str(model)):
        key = hashlib.sha256(os.environ.get(KEY_VARIABLE, "").encode()).hexdigest()
        return _place([WIRE_VERSION, str(model), key, context])
    try:
        path = Path(model).resolve(strict=True)
        status = path.stat()
    except OSError as error:
        raise ModelError(f"{model} cannot be read ({error.strerror}); give the path of a GGUF.") from error
    return _place([WIRE_VERSION, str(path), status.st_size, status.st_mtime_ns, context])


def _place(identity: Sequence[object]) -> Place:
    return Place(private_folder(), hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16])


def private_folder() -> Path:
    """The user's own folder for sockets, readable by nobody else. Raises ModelError where there can be none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no XDG_RUNTIME_DIR
        wanted = platformdirs.user_runtime_path("foretrace", appauthor=False)
    for folder in (wanted, Path(tempfile.gettempdir(), f"foretrace-{_user()}"), Path("/tmp", f"foretrace-{_user()}")):
        if HAS_UNIX_SOCKETS and len(os.fsencode(folder)) + len("/0123456789abcdef.sock") > _MAX_SOCKET_PATH:
            continue
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_private(folder):
                return folder
    raise ModelError(
        f"There is no private folder for the model's socket; make {wanted} a folder that only you can read."
    )


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _is_private(folder: Path) -> bool:
    """Whether a folder is a real one of ours, made closed to others, where nobody else can put another in its place."""
    status, parent = folder.lstat(), folder.parent.stat()
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    others_write = parent.st_mode & 0o022 and not parent.st_mode & stat.S_ISVTX
    if status.st_uid != os.getuid() or parent.st_uid not in (0, os.getuid()) or others_write:
        return False
    if stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)
    return True


def write_address(place: Place, port: int | None, model: Path | str) -> Address:
    """Tell where this process listens."""
    address = Address(
        os.getpid(), str(model), secrets.token_hex(32), None if port is not None else str(place.socket), port
    )
    temporary = place.address.with_suffix(f".{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(address), file)
    temporary.replace(place.address)
    return address


def read_address(place: Place) -> Address | None:
    """Where the host listens, if one says so."""
    try:
        return Address(**json.loads(place.address.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def known_places() -> Iterator[Place]:
    """The places of all hosts that may run now."""
    folder = private_folder()
    for path in sorted(folder.glob("*.json")):
        yield Place(folder, path.stem)
