"""Which Python the user's code runs with; nothing is run to find out."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r"^version(?:_info)?\s*=\s*(?P<version>\d+(?:\.\d+)*)", re.MULTILINE)
_FOLDERS = (".venv", "venv", "env")


@dataclass(frozen=True, slots=True)
class Choice:
    """An interpreter and who chose it."""

    path: str
    source: str
    """`settings`, `editor`, `VIRTUAL_ENV`, `.venv` and the like, `PATH`, or `foretrace` for our own."""
    version: str = ""
    """As its environment says; empty where it says nothing."""


def choose_interpreter(
    setting: str, editor: str, folder: Path | None, environment: Mapping[str, str] = os.environ
) -> Choice:
    """The first of: what the settings name, what the editor was told, the active environment, the folder's own."""
    if setting:
        path = Path(setting).expanduser()
        if not path.is_absolute() and folder is not None and len(path.parts) > 1:
            path = folder / path
        return _choice(str(path), "settings")
    if editor:
        return _choice(editor, "editor")
    active = environment.get("VIRTUAL_ENV")
    if active and (python := _python_in(Path(active))):
        return _choice(python, "VIRTUAL_ENV")
    for name in _FOLDERS if folder is not None else ():
        python = _python_in(Path(folder, name)) if folder is not None else None
        if python:
            return _choice(python, name)
    found = shutil.which("python3") or shutil.which("python")
    return _choice(found, "PATH") if found else _choice(sys.executable, "foretrace")


def _python_in(environment: Path) -> str | None:
    names = ("Scripts/python.exe",) if os.name == "nt" else ("bin/python", "bin/python3")
    return next((str(environment / name) for name in names if (environment / name).is_file()), None)


def _choice(path: str, source: str) -> Choice:
    configuration = Path(path).parent.parent / "pyvenv.cfg"
    try:
        match = _VERSION.search(configuration.read_text("utf-8", "replace"))
    except OSError:
        match = None
    return Choice(path, source, match["version"] if match else "")
