"""A repository on the Hugging Face hub: what files it has, and how they get here whole.

huggingface_hub finds the files, logs in and tells its errors apart. The bytes come through its HTTP client, but are
kept here: its own downloads begin anew after an interruption, and without Xet they refuse more than 50 GB.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foretrace
from foretrace.model.files import bytes_bar
from foretrace.session import UsageError
from quant.errors import ModelError
from quant.sizes import spelled_size

PIECE_BYTES = 8 * 2**30
"""Asked for in one request; the hub's servers do not give more than 50 GB at once."""
CHUNK_BYTES = 2**20
PAUSES = (1, 2, 4)
"""Seconds to wait before asking again where a connection broke and nothing came since."""
_HOME = "https://huggingface.co"
"""Where people log in and accept licences, whatever server the files come from."""


_OURSELVES = {"library_name": "foretrace", "library_version": foretrace.__version__}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a repository."""

    name: str
    """Its path in there, with slashes."""
    size: int
    """Bytes."""
    sha256: str | None
    """Of a large file; of a small one the hub knows git's own hash only."""
    git_hash: str

    @property
    def base(self) -> str:
        """The name without its folders."""
        return self.name.rpartition("/")[2]

    def is_the_same_as(self, path: Path, on_bytes: Callable[[int, int], None] = lambda done, total: None) -> bool:
        """Whether the file at `path` has the same bytes."""
        if path.stat().st_size != self.size:
            return False
        # git hashes a file behind a line that says what and how long it is.
        known = hashlib.sha256() if self.sha256 else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        done = 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                known.update(chunk)
                done += len(chunk)
                on_bytes(done, self.size)
        return known.hexdigest() == (self.sha256 or self.git_hash)


class Repository:
    """A repository as it was at one commit. Every method raises ModelError with a sentence that says what to do."""

    def __init__(self, name: str, revision: str) -> None:
        """Ask the hub for `OWNER/NAME` at a branch, tag or commit. Raises UsageError for a name that cannot be one."""
        self.name = name
        self.revision = revision
        # HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are read when the package is imported.
        self._hub: Any = importlib.import_module("huggingface_hub")
        self._errors: Any = importlib.import_module("huggingface_hub.errors")
        self._utils: Any = importlib.import_module("huggingface_hub.utils")
        self._constants: Any = importlib.import_module("huggingface_hub.constants")
        self._utils.logging.set_verbosity_error()
        try:
            self._utils.validate_repo_id(name)
        except self._errors.HFValidationError:
            raise UsageError(f"{name} cannot be a repository's name; give one as OWNER/NAME.") from None
        timeout = self._constants.HF_HUB_ETAG_TIMEOUT
        with self._explained():
            try:
                info: Any = self._hub.HfApi(**_OURSELVES).model_info(
                    name, revision=revision, files_metadata=True, timeout=timeout
                )
                self.commit: str = info.sha
                self.files = tuple(
                    RemoteFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None, file.blob_id)
                    for file in info.siblings
                )
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ModelError(
                    f"{self._constants.ENDPOINT} does not answer like the Hugging Face hub; check HF_ENDPOINT."
                ) from error

    @property
    def base(self) -> str:
        """The name without its owner."""
        return self.name.rpartition("/")[2]

    def fetch(self, file: RemoteFile, folder: Path) -> Path:
        """The file, whole and checked, under its own name in `folder`.

        What came of it before an interruption stays there as a hidden half file, and the next call goes on from it.
        """
        whole, part = folder / file.base, self.half_file(file, folder)
        if whole.exists():
            if self._is_intact(file, whole):
                return whole
            whole.unlink()
        with bytes_bar(f"pulling {file.base}") as on_bytes:
            self._download(file, part, on_bytes)
        if not self._is_intact(file, part):
            part.unlink()
            raise ModelError(
                f"{file.base} arrived damaged: its checksum is not the one that {self._constants.ENDPOINT} gives. "
                "It was removed; run the command again."
            )
        part.replace(whole)
        return whole

    def half_file(self, file: RemoteFile, folder: Path) -> Path:
        """Where what has come of a file is kept; the name says of which content."""
        return folder / f".{file.base}.{(file.sha256 or file.git_hash)[:16]}.part"

    def here(self, file: RemoteFile, folder: Path) -> int:
        """Bytes of a file that have come before."""
        return max(_size(folder / file.base), _size(self.half_file(file, folder)))

    def check_room(self, files: Iterable[RemoteFile], folder: Path) -> None:
        """Raise ModelError where the disk of `folder` has no room for what is still to come."""
        needed = 0
        for file in files:
            needed += max(0, file.size - self.here(file, folder))
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise ModelError(
                f"{self.name} needs {spelled_size(needed)} more, and the disk of {folder} has {spelled_size(free)} "
                "free; free some space there, or make that folder a link to a larger disk."
            )

    def _is_intact(self, file: RemoteFile, path: Path) -> bool:
        with bytes_bar(f"checking {file.base}") as on_bytes:
            return file.is_the_same_as(path, on_bytes)

    def _download(self, file: RemoteFile, part: Path, on_bytes: Callable[[int, int], None]) -> None:
        done = _size(part)
        if done > file.size or file.size == 0:
            part.write_bytes(b"")
            done = 0
        on_bytes(done, file.size)
        pauses = iter(PAUSES)
        while done < file.size:
            before, trouble = done, ModelError(f"{self._constants.ENDPOINT} sends nothing of {file.base}.")
            try:
                with self._explained(f"{spelled_size(done)} of {file.base} are here"):
                    self._append(file, part, on_bytes)
            except _BrokenConnectionError as error:
                trouble = error
            done = _size(part)
            if done > before:
                pauses = iter(PAUSES)
                continue
            pause = next(pauses, None)
            if pause is None:
                raise trouble
            time.sleep(pause)

    def _append(self, file: RemoteFile, part: Path, on_bytes: Callable[[int, int], None]) -> None:
        """One request for the next piece of a file, which is written as it comes."""
        done = _size(part)
        headers = self._utils.build_hf_headers(**_OURSELVES)
        headers["Accept-Encoding"] = "identity"
        headers["Range"] = f"bytes={done}-{min(done + PIECE_BYTES, file.size) - 1}"
        request: Any = self._utils.http_stream_backoff(
            "GET",
            self._hub.hf_hub_url(self.name, file.name, revision=self.commit),
            headers=headers,
            timeout=self._constants.HF_HUB_DOWNLOAD_TIMEOUT,
            retry_on_exceptions=(),
            retry_on_status_codes=(),
        )
        with request as response:
            self._utils.hf_raise_for_status(response)
            goes_on = response.status_code == 206
            done = done if goes_on else 0
            with part.open("ab" if goes_on else "wb") as out:
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    out.write(chunk)
                    done += len(chunk)
                    on_bytes(done, file.size)
                    if done > file.size:
                        break

    @contextmanager
    def _explained(self, so_far: str = "") -> Generator[None, None, None]:
        """Turn what huggingface_hub raises into sentences; `so_far` says what an interruption leaves."""
        errors, where = self._errors, self._constants.ENDPOINT
        try:
            yield
        except errors.GatedRepoError:
            raise ModelError(
                f"{self.name} is gated: accept its licence at {_HOME}/{self.name}, and log in with `hf auth login` "
                "or by setting HF_TOKEN."
            ) from None
        except errors.RevisionNotFoundError:
            raise ModelError(
                f"{self.name} has no revision {self.revision}; give a branch, tag or commit of it to --revision."
            ) from None
        except errors.RepositoryNotFoundError:
            raise ModelError(
                f"There is no model {self.name} at {where}, or it is private; check the name, or log in with "
                "`hf auth login` or by setting HF_TOKEN."
            ) from None
        except errors.OfflineModeIsEnabled:
            raise ModelError("HF_HUB_OFFLINE is set, so nothing can be pulled; unset it.") from None
        except errors.HfHubHTTPError as error:
            raise self._refused(error.response, so_far) from error
        except OSError as error:
            raise ModelError(
                f"{self.name} cannot be written here ({error.strerror or error}); what has come of it is kept: free "
                "some space and run the command again."
            ) from error
        except errors.HTTPError as error:
            end = f" {so_far}, and running the command again goes on from there." if so_far else " Try again."
            raise _BrokenConnectionError(
                f"The connection to {where} does not work ({_reason(error)}); check the network, the proxy and "
                f"HF_ENDPOINT.{end}"
            ) from error

    def _refused(self, response: Any, so_far: str) -> ModelError:
        """What a status that huggingface_hub has no name for means."""
        status, where = response.status_code, self._constants.ENDPOINT
        if status == 401:
            return ModelError(
                f"{where} does not accept your token; log in anew with `hf auth login`, or set or unset HF_TOKEN."
            )
        if status == 403:
            return ModelError(
                f"You may not read {self.name}: its owner or your token's rights do not allow it. "
                f"See {_HOME}/{self.name}."
            )
        if status == 429:
            wait = response.headers.get("Retry-After")
            return ModelError(
                f"{where} asks for a pause{f' of {wait} seconds' if wait else ''}; run the command again later, or "
                "log in with `hf auth login` for more."
            )
        sentence = f"{where} answers {status} for {self.name}"
        if status >= 500:
            end = f" {so_far}, and that goes on from there." if so_far else ""
            return _BrokenConnectionError(f"{sentence}; run the command again later.{end}")
        return ModelError(f"{sentence}, which is not understood here; check HF_ENDPOINT.")


class _BrokenConnectionError(ModelError):
    """What may go away by itself."""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
