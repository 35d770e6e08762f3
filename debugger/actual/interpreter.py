"""The Python that makes the actual runs."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import dataclass


class InterpreterError(Exception):
    """No interpreter, or one that does not work; the message is a clause that says which, without a full stop."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter that was seen to work."""

    path: str
    version: tuple[int, ...]

    @classmethod
    @functools.cache
    def at(cls, path: str) -> Interpreter:
        """Ask the interpreter for its version. Raises InterpreterError."""
        if path == sys.executable:
            return cls(path, tuple(sys.version_info[:3]))
        question = "import sys; print(*sys.version_info[:3])"
        try:
            answer = subprocess.run([path, "-c", question], capture_output=True, timeout=30, check=True, text=True)
            return cls(path, tuple(int(part) for part in answer.stdout.split()))
        except FileNotFoundError:
            raise InterpreterError(f"There is no Python at {path}") from None
        except (OSError, subprocess.SubprocessError, ValueError):
            raise InterpreterError(f"{path} does not work as a Python interpreter") from None

    @property
    def spelled_version(self) -> str:
        """As in `3.12.1`."""
        return ".".join(map(str, self.version))
