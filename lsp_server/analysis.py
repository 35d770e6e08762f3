"""What can be predicted in a text: its functions, their calls, and what a prediction of each depends on."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from debugger.judge import judge
from debugger.report.result import Result
from debugger.target import SourceFile, Target, TargetError, build_context
from debugger.trace import Trace

MAX_TEXT = 1_000_000
"""Characters; parsing more takes seconds and gigabytes, and nobody writes it by hand."""
_MAGIC = re.compile(r"^[ \t]*[%!]", re.MULTILINE)
"""Lines of a notebook that are for IPython, not Python."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Everything that a prediction of one call is made from."""

    digest: str
    """The same wherever the function stands in its file, as long as nothing that it needs has changed."""
    lines: tuple[int, ...]
    """The lines of the file, from 1, that the model is given."""


def read_text(path: Path, text: str) -> SourceFile:
    """A text as a source file. Raises TargetError where it is too long to be looked at."""
    if len(text) > MAX_TEXT:
        raise TargetError(f"{path.name} has {len(text):,} characters; foretrace looks at files of up to {MAX_TEXT:,}.")
    return SourceFile.from_text(path, text)


def without_magics(cell: str) -> str:
    """A notebook's cell as Python of the same lines."""
    if cell.lstrip().startswith("%%"):
        return "\n" * cell.count("\n")
    return _MAGIC.sub(lambda match: "pass #" + match[0].strip(), cell)


def basis_of(target: Target, call: str) -> Basis:
    """What a prediction of the call depends on. Raises TargetError."""
    context = build_context(target, call, sys.maxsize, len)
    digest = hashlib.sha256("\0".join((target.qualname, call, context.source)).encode(errors="surrogatepass"))
    return Basis(digest.hexdigest(), context.lines)


def moved(result: Result, target: Target, before: Basis, after: Basis, python: tuple[int, ...] | None) -> Result:
    """A result for the same program in other lines of the file."""
    lines = dict(zip(before.lines, after.lines, strict=True))
    return judge(
        target,
        result.call or "",
        _moved_trace(result.predicted, lines),
        _moved_trace(result.actual, lines),
        python,
    )


def _moved_trace(trace: Trace | None, lines: Mapping[int, int]) -> Trace | None:
    if trace is None:
        return None
    frames = tuple(replace(frame, line=lines.get(frame.line, frame.line)) for frame in trace.frames)
    return replace(trace, frames=frames)


def function_at(targets: Sequence[Target], line: int) -> Target | None:
    """The function that line `line`, from 1, belongs to; the innermost one."""
    around = [target for target in targets if target.first_line <= line <= target.last_line]
    return min(around, key=lambda target: target.last_line - target.first_line, default=None)
