"""`foretrace model pull`: a GGUF becomes a model with a name, a checkpoint a folder to convert."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import filelock

from foretrace.model.files import bytes_bar
from foretrace.model.hub import RemoteFile, Repository
from foretrace.model.show import describe
from foretrace.models import BUNDLED, checkpoints_folder, models_folder, unfinished_folder
from foretrace.session import Exit, UsageError
from quant.errors import ModelError
from quant.gguf_file import read_gguf
from quant.sizes import spelled_size

CHECKPOINT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*.safetensors.index.json",
    "README.md",
    "LICENSE*",
    "*.safetensors",
)
"""What of a checkpoint is pulled, from its top folder, in this order: what is small comes first."""
CHECKPOINT_KINDS = ("cwm", "llama")
"""`model_type` of CWM's configuration, and of copies for programs that do not know CWM."""
_SPLIT = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")
"""How llama.cpp names the parts of a model in several files."""


def pull(repository: str, revision: str, name: str | None) -> int:
    """Pull `OWNER/NAME[:FILE]` and say how to use it. Returns the exit code; raises UsageError, ModelError."""
    wanted, _, file = repository.partition(":")
    if wanted.count("/") != 1:
        raise UsageError(f"{repository} names no repository; give one as OWNER/NAME or OWNER/NAME:FILE.")
    if name is not None:
        _check_name(name)
    try:
        source = Repository(wanted, revision)
        chosen = _choose(source, file)
        if chosen is None:
            _pull_checkpoint(source, name or wanted.replace("/", "--"))
        else:
            _pull_gguf(source, chosen, name or chosen.base.removesuffix(".gguf"))
    except KeyboardInterrupt:
        print("foretrace: Interrupted. What has come is kept; the same command goes on from there.", file=sys.stderr)
        return Exit.INTERRUPTED
    except OSError as error:
        raise ModelError(
            f"{models_folder()} cannot be written to ({error.strerror or error}); free some space or its rights, and "
            "run the command again."
        ) from error
    return Exit.CONFIRMED


def _check_name(name: str) -> None:
    if name == BUNDLED:
        raise UsageError(f"{BUNDLED} is the model that comes with foretrace; choose another --name.")
    if not re.fullmatch(r"\w[\w.+-]*", name) or name.endswith(".gguf"):
        raise UsageError(f"{name} cannot be a model's name; choose one of letters, digits, dots and dashes.")


def _choose(source: Repository, wanted: str) -> RemoteFile | None:
    """The GGUF that is meant; None where the repository has a checkpoint instead. Raises UsageError, ModelError."""
    there = [file for file in source.files if file.name.endswith(".gguf")]
    if not there:
        if wanted:
            raise UsageError(f"{source.name} has no GGUF; without :{wanted} its checkpoint is pulled, if it has one.")
        return None
    fitting = [file for file in there if not wanted or wanted in (file.name, file.base)] or [
        file for file in there if _is_of_quantization(file.base, wanted)
    ]
    parts = [_SPLIT.fullmatch(file.name) for file in fitting]
    if fitting and all(parts) and len({part[1] for part in parts if part}) == 1:
        part = parts[0]
        assert part is not None
        raise ModelError(
            f"{part[1]} is split into {int(part[2])} files, and models here are of one; pull another build, or join "
            "the parts with llama.cpp's `llama-gguf-split --merge` and give the result with --model."
        )
    if len(fitting) == 1:
        return fitting[0]
    said = f"{source.name} has {'several GGUFs' if fitting else 'no GGUF'}" + (f" for {wanted}" if wanted else "")
    lines = [f"  {file.name}  {spelled_size(file.size)}" for file in fitting or there]
    example = (fitting or there)[0].name
    listed = "\n".join([f"{said}; name one, as in {source.name}:{example}. There is", *lines])
    raise UsageError(listed)


def _is_of_quantization(base: str, kind: str) -> bool:
    """Whether a file's name holds the name of a quantization as a word of its own: Q4_K is not in Q4_K_M."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(kind)}(?![A-Za-z0-9_])", base, re.IGNORECASE) is not None


def _pull_gguf(source: Repository, file: RemoteFile, name: str) -> None:
    _check_name(name)
    target = models_folder() / f"{name}.gguf"
    if target.exists():
        if not _is_the_same(file, target):
            raise _taken(name)
        print(f"{name} is already here, as {source.name} has it: {target}")
    else:
        with _staging(source, file.base) as folder:
            _say_what_comes(source, [file], folder, target)
            whole = source.fetch(file, folder)
            try:
                read_gguf(whole)
            except ModelError as error:
                whole.unlink()
                raise ModelError(f"What {source.name} has as {file.name} cannot be used: {error}") from error
            whole.replace(target)
        print(f"{name} is here: {target}")
    _say_how_to_use(target, name)


def _pull_checkpoint(source: Repository, name: str) -> None:
    _check_name(name)
    top = [file for file in source.files if "/" not in file.name and "\\" not in file.name]
    files = list({file: None for pattern in CHECKPOINT_FILES for file in top if fnmatchcase(file.name, pattern)})
    for pattern in ("config.json", "tokenizer.json", "*.safetensors"):
        if not any(fnmatchcase(file.name, pattern) for file in files):
            raise ModelError(
                f"{source.name} has no GGUF, and as a checkpoint it lacks {pattern}; give another repository."
            )
    target = checkpoints_folder() / name
    if target.exists():
        if not all(_is_the_same(file, target / file.name) for file in files):
            raise _taken(name)
        print(f"{name} is already here, as {source.name} has it: {target}")
    else:
        with _staging(source, "checkpoint") as folder:
            _say_what_comes(source, files, folder, target)
            for file in files:
                path = source.fetch(file, folder)
                if file.name == "config.json":
                    _refuse_other_networks(source, folder, path)
            known = {file.name for file in files}
            for path in folder.iterdir():
                if path.name not in known:
                    path.unlink()  # of an earlier commit, whose pull was never finished
            target.parent.mkdir(exist_ok=True)
            folder.replace(target)
        print(f"{name} is here: {target}")
    print(f"Make a GGUF of it: foretrace model convert {shlex.quote(str(target))} {source.base}-bf16.gguf")


def _is_the_same(file: RemoteFile, path: Path) -> bool:
    if not path.is_file():
        return False
    with bytes_bar(f"checking {path.name}") as on_bytes:
        return file.is_the_same_as(path, on_bytes)


def _taken(name: str) -> ModelError:
    return ModelError(f"There is another model called {name} already; choose another name for this one with --name.")


@contextmanager
def _staging(source: Repository, what: str) -> Generator[Path, None, None]:
    """A folder where `what` gathers until it is whole; nobody else pulls it meanwhile.

    It goes when the block ends well, or has brought nothing.
    """
    home = unfinished_folder() / source.name.replace("/", "--")
    folder = home / what
    folder.mkdir(parents=True, exist_ok=True)
    lock: Any = filelock.FileLock(home / f".{what}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ModelError(f"{source.name} is being pulled by another foretrace; wait until it is done.") from None
    try:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        with suppress(OSError):  # not empty
            folder.rmdir()
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):
            home.rmdir()
            home.parent.rmdir()


def _say_what_comes(source: Repository, files: Sequence[RemoteFile], folder: Path, target: Path) -> None:
    """Say on standard error what is pulled and where to; raises ModelError where there is no room."""
    source.check_room(files, folder)
    what = files[0].name if len(files) == 1 else f"{len(files)} files"
    here = sum(source.here(file, folder) for file in files)
    size = spelled_size(sum(file.size for file in files))
    so_far = f", of which {spelled_size(here)} are here already" if here else ""
    print(f"Pulling {what} of {source.name} ({size}{so_far}) to {target}", file=sys.stderr)


def _refuse_other_networks(source: Repository, folder: Path, config: Path) -> None:
    """Raise ModelError where the checkpoint cannot be a CWM, before its weights come."""
    try:
        kind = json.loads(config.read_bytes())["model_type"]
    except (ValueError, KeyError, TypeError):
        kind = None
    if kind not in CHECKPOINT_KINDS:
        shutil.rmtree(folder)
        raise ModelError(f"{source.name} holds a model of type {kind!r}, not a Code World Model; it was not pulled.")


def _say_how_to_use(path: Path, name: str) -> None:
    found = describe(path)
    print(f"It is {found.summary}. Use it: foretrace diff FILE.py::NAME --model {name}")
    for warning in found.warnings:
        print(f"foretrace: {warning}", file=sys.stderr)
