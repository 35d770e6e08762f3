"""Files of what models have made of tokens: found by the tokens, checked before they are used, bounded in size.

Several processes may share the folder. One that cannot be used, or is full, only means that nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

MAX_BYTES = 1 << 30
"""Of all files together; what has not been used for longest goes first."""
_MAGIC = b"foretrace state 1 "
_SUFFIX = ".state"
_LONGEST_HEAD = 1 << 24
"""Bytes; the ids of a million tokens take less."""


def states_folder() -> Path:
    """Where states are kept unless told otherwise."""
    return platformdirs.user_cache_path("foretrace", appauthor=False) / "states"


@dataclass(frozen=True, slots=True)
class Kept:
    """A state in a file."""

    path: Path
    tokens: Sequence[int]
    """Whose state it is."""
    group: str
    size: int
    """Bytes of the state."""
    digest: str
    """SHA-256 of the state."""


class States:
    """The states of one group: of one model, loaded in one way."""

    def __init__(self, folder: Path, group: str, max_bytes: int = MAX_BYTES) -> None:
        """Keep states in a folder, which need not exist; states of other groups in it count for `max_bytes`, too."""
        self._folder = folder
        self._group = group
        self._max_bytes = max_bytes

    def kept(self) -> Iterator[Kept]:
        """All states of the group. Files that are none are deleted."""
        for path in self._files():
            if path.suffix != _SUFFIX:
                continue  # one that is being written
            with contextlib.suppress(OSError), path.open("rb") as file:
                kept = _read_head(path, file)
                if kept is None:
                    path.unlink(missing_ok=True)
                elif kept.group == self._group:
                    yield kept

    def load(self, kept: Kept) -> bytes | None:
        """The state; None where the file is gone, or damaged and now deleted."""
        try:
            with kept.path.open("rb") as file:
                state = file.read() if _read_head(kept.path, file) == kept else b""
            if len(state) == kept.size and hashlib.sha256(state).hexdigest() == kept.digest:
                os.utime(kept.path)  # used last
                return state
        except OSError:
            return None
        self.remove(kept)
        return None

    def remove(self, kept: Kept) -> None:
        """Delete a state that is of no use."""
        with contextlib.suppress(OSError):
            kept.path.unlink()

    def save(self, tokens: Sequence[int], state: bytes) -> Kept | None:
        """Keep the state of these tokens, in a file that is the user's own; None where there is no room for it."""
        name = hashlib.sha256(json.dumps([self._group, list(tokens)]).encode()).hexdigest()[:32]
        path = self._folder / f"{name}{_SUFFIX}"
        kept = Kept(path, list(tokens), self._group, len(state), hashlib.sha256(state).hexdigest())
        head = _head_of(kept)
        temporary: Path | None = None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if len(head) > _LONGEST_HEAD or not self._make_room(len(head) + len(state)):
                return None
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:  # for its owner only
                temporary = Path(file.name)
                file.write(head)
                file.write(state)
            temporary.replace(path)
        except OSError:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            return None
        return kept

    def _make_room(self, size: int) -> bool:
        """Delete what has not been used for longest until so many bytes more are within bounds."""
        if size > self._max_bytes:
            return False
        found: list[tuple[float, int, Path]] = []
        for path in self._files():
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(each for _, each, _ in found) + size
        for _, freed, path in sorted(found):
            if total <= self._max_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= freed
        return total <= self._max_bytes

    def _files(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if path.is_file()]
        except OSError:
            return []


def _head_of(kept: Kept) -> bytes:
    described = {"group": kept.group, "size": kept.size, "digest": kept.digest, "tokens": kept.tokens}
    return _MAGIC + json.dumps(described).encode() + b"\n"


def _read_head(path: Path, file: BinaryIO) -> Kept | None:
    """What a file says that it holds, with the file at the state's beginning; None if it is not one of ours."""
    line = file.readline(_LONGEST_HEAD)
    try:
        described: Any = json.loads(line.removeprefix(_MAGIC))
        kept = Kept(path, described["tokens"], described["group"], described["size"], described["digest"])
    except (ValueError, KeyError, TypeError):
        return None
    return kept if line.startswith(_MAGIC) and all(type(token) is int for token in kept.tokens) else None
