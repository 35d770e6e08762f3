"""What the commands that make a file share: the file appears under its name only when it is whole, and a bar."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from foretrace.session import UsageError
from quant.errors import ModelError


@contextmanager
def new_file(out: Path, *, force: bool) -> Generator[Path, None, None]:
    """A path beside `out` to write to; it takes the name `out` once the block ends well, and goes otherwise.

    Raises UsageError where `out` exists and `force` is not set, or its folder does not; ModelError where the disk is
    full or the file cannot be written.
    """
    if not out.parent.is_dir():
        problem = f"{out.parent} is no folder" if out.parent.exists() else f"There is no folder {out.parent}"
        raise UsageError(f"{problem} for {out.name}; make one, or name another file.")
    if out.is_dir():
        raise UsageError(f"{out} is a folder; name a file.")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out} is no ordinary file; name another.")
    if os.path.lexists(out) and not force:
        raise UsageError(f"{out} exists; name another file, or replace it with --force.")
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as folder:
            part = Path(folder, out.name)
            yield part
            part.replace(out)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space or name another place" if full else "name another place"
        raise ModelError(
            f"{out} cannot be written ({error.strerror or error}); {advice}. Nothing was left behind."
        ) from error


@contextmanager
def bytes_bar(what: str) -> Generator[Callable[[int, int], None], None, None]:
    """A progress bar on standard error where a person looks; call it with bytes done and bytes in all.

    What is done at the first call was there before: it does not count for the speed.
    """
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and sys.stderr.isatty()),
    )
    with progress:
        task = progress.add_task(what, total=None)
        begun = False

        def update(done: int, total: int) -> None:
            nonlocal begun
            if begun:
                progress.update(task, completed=done, total=total)
            else:
                progress.reset(task, completed=done, total=total)
                begun = True

        yield update
