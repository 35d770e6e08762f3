"""Where results go: the terminal as they come, or a file that appears only when it is whole."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import foretrace
from debugger.report import Report, Result, print_result, print_summary, to_cwm, to_json, to_junit, to_sarif
from debugger.report.text import print_sources
from debugger.trace import Ending, steps_text
from foretrace.options import Format
from foretrace.session import UsageError

PLAIN_WIDTH = 110
"""Columns where the output is no terminal."""


class Writer:
    """Writes one report. Text for the terminal is printed result by result, everything else at the end."""

    def __init__(self, spelling: Format, output: Path | None, *, full: bool, quiet: bool) -> None:
        """Write to `output`, or to standard output. Raises UsageError where that cannot be."""
        if output is not None:
            _refuse_unwritable(output)
        self._format = spelling
        self._output = output
        self._full = full
        self._quiet = quiet
        self._text = io.StringIO() if output is not None else None
        self._console = report_console(self._text)
        self._started = False

    def add(self, report: Report, result: Result) -> None:
        """Take the next result; `report` tells what is known besides."""
        if self._format is not Format.TEXT:
            return
        if not self._started and not self._quiet:
            print_sources(self._console, report)
        self._started = True
        print_result(self._console, result, full=self._full, brief=self._quiet)

    def finish(self, report: Report) -> None:
        """Write what is left. Raises UsageError where the file cannot be written."""
        match self._format:
            case Format.TEXT:
                print_summary(self._console, report, full=self._full, brief=self._quiet)
                text = self._text.getvalue() if self._text is not None else ""
            case Format.JSON:
                text = json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n"
            case Format.SARIF:
                text = json.dumps(to_sarif(report, foretrace.__version__), indent=1, ensure_ascii=False) + "\n"
            case Format.JUNIT:
                text = to_junit(report)
            case Format.CWM:
                text, left_out = to_cwm(report)
                for sentence in left_out:
                    print(f"foretrace: {sentence}", file=sys.stderr)
                if not self._quiet:
                    print(_traces_written(report, text.count("\n")), file=sys.stderr)
        if self._output is not None:
            write_atomically(self._output, text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()


def _refuse_unwritable(output: Path) -> None:
    """Raise UsageError where a file cannot be written, before a prediction of minutes is lost by it."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file for --output, as in {output / 'report.txt'}.")
    if not output.parent.is_dir():
        raise UsageError(f"There is no folder {output.parent} for {output.name}; make it, or name another --output.")
    try:
        if output.exists() and not output.is_file():  # /dev/stdout, a pipe: opening it would show to its reader
            return
        with tempfile.TemporaryFile(dir=output.parent, prefix=f".{output.name}."):
            pass
    except OSError as error:
        raise _unwritable(output, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be written: {error.strerror}; give another file to --output.")


def _traces_written(report: Report, count: int) -> str:
    ended = (Ending.RETURNED, Ending.RAISED)
    stopped = [result.call for result in report.results if result.actual and result.actual.outcome.ending not in ended]
    names = ", ".join(call for call in stopped[:5] if call) + (", ..." if len(stopped) > 5 else "")
    early = f"; stopped early, and written as far as they went: {names}" if stopped else ""
    return f"{count} {'trace' if count == 1 else 'traces'} written{early}."


class _Console(Console):
    """A console that leaves it to the command what a reader's going away means."""

    def on_broken_pipe(self) -> None:
        raise  # what is being handled: a BrokenPipeError


def report_console(file: io.StringIO | None = None) -> Console:
    """A console for what a person reads, on standard output or into `file`; as wide as a terminal, or PLAIN_WIDTH."""
    console = _Console(file=file, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = _Console(file=file, highlight=False, width=PLAIN_WIDTH)
    return console


def write_atomically(path: Path, text: str) -> None:
    """Replace the file by the text in one step: a reader finds the old file or the new one. Raises UsageError."""
    data = text.encode("utf-8", errors="backslashreplace")
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to replace
            path.write_bytes(data)
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


class Bar:
    """A progress bar on standard error, for people only; it steps aside while results are printed."""

    def __init__(self, total: int, *, shown: bool) -> None:
        """Count `total` calls; without a terminal nothing is ever drawn."""
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._progress.add_task("starting", total=total)
        self._what = ""
        self._frames = 0

    def __enter__(self) -> Bar:
        """Draw it."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._progress.stop()

    def begin(self, what: str) -> None:
        """Start on the next call."""
        self._what, self._frames = what[:60], 0
        self._progress.update(self._task, description=self._what)

    def count_frame(self) -> None:
        """One more frame of this call is predicted."""
        self._frames += 1
        self._progress.update(self._task, description=f"{self._what}: {steps_text(self._frames)} predicted")

    def end(self) -> None:
        """This call is done."""
        self._progress.advance(self._task)

    @contextmanager
    def aside(self) -> Generator[None, None, None]:
        """Leave the terminal to others for a moment."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()
