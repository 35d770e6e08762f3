"""How long a user of VS Code waits for the first value: seconds from opening a file until it is on the screen.

    python -m bench.editors [--times N]

The packaged extension in code-server and Chromium, as in tests/editors, with nano and no settings besides where Python
is. Table, then JSON. It holds for this machine with all that runs on it besides.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from foretrace.models import bundled_path
from lsp_server.host.place import place_of

try:
    import pytest
    from playwright.sync_api import Browser, sync_playwright

    from tests.editors.vscode import ROOT, CodeServer, start_browser, unload_models, window
except ModuleNotFoundError as error:
    print(
        f"{error.name} is not installed: `make .venv/installed-dev` installs all that this needs of Python's packages, "
        "and .venv/bin/python runs it.",
        file=sys.stderr,
    )
    sys.exit(2)

EXAMPLE = ROOT / "examples" / "strawberry.py"
WHAT = {
    "first_value_s": "from opening the file until its first value, the model not loaded",
    "server_s": "of these: until the server's process starts (the extension is loaded and has found Python)",
    "host_s": "then: until the model host's process starts",
    "listening_s": "then: until it listens (Python and llama.cpp are imported)",
    "value_s": "then: the model is loaded, reads the program and writes a step; the value is drawn",
    "loaded_first_value_s": "from opening the file until its first value, the model loaded already",
    "window_first_value_s": "from opening a window with the file until its first value, the model not loaded",
}


def first_value(server: CodeServer, browser: Browser, folder: Path) -> dict[str, float]:
    """Open the example in a window that has never been one of Python, and take the time."""
    with window(server, browser, folder / "README.md", {"foretrace.interpreter": sys.executable}) as editor:
        editor.page.keyboard.press("Control+p")
        editor.page.keyboard.type(EXAMPLE.name)
        editor.visible(editor.page.locator(".quick-input-list .monaco-list-row.focused", has_text=EXAMPLE.name))
        editor.show(EXAMPLE)
        start = time.time()
        editor.page.keyboard.press("Enter")
        editor.until_any_value()
        end = time.time()
        return {"total": end - start, **_stages(server, start, end)}


def _stages(server: CodeServer, start: float, end: float) -> dict[str, float]:
    """When processes were made, from what the system and their files tell."""
    [language_server] = server.language_servers()
    place = place_of(bundled_path())
    host = psutil.Process(json.loads(place.address.read_text())["pid"])
    times = [start, language_server.create_time(), host.create_time(), place.address.stat().st_mtime, end]
    names = ("server_s", "host_s", "listening_s", "value_s")
    return {name: after - before for name, before, after in zip(names, times, times[1:], strict=False)}


def window_first_value(server: CodeServer, browser: Browser, folder: Path) -> float:
    """The same from nothing but a running code-server and a running browser."""
    start = time.time()
    with window(server, browser, folder / EXAMPLE.name, {"foretrace.interpreter": sys.executable}) as editor:
        editor.until_any_value()
        return time.time() - start


def measure(folder: Path, times: int) -> dict[str, float]:
    """Medians of so many times."""
    project = folder / "project"
    project.mkdir()
    shutil.copy(EXAMPLE, project)
    (project / "README.md").write_text("An example.\n")
    taken: dict[str, list[float]] = {name: [] for name in WHAT}
    server = CodeServer(folder, {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]})
    try:
        with sync_playwright() as playwright, start_browser(playwright) as browser:
            for _ in range(times):
                cold = first_value(server, browser, project)
                taken["first_value_s"].append(cold.pop("total"))
                for name, seconds in cold.items():
                    taken[name].append(seconds)
                taken["loaded_first_value_s"].append(first_value(server, browser, project)["total"])
                unload_models()
                taken["window_first_value_s"].append(window_first_value(server, browser, project))
                unload_models()
    finally:
        server.close()
    return {name: round(statistics.median(each), 2) for name, each in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="medians of so many (3)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ft-") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder  # a host of our own; a short path, since that of a socket has a limit
        try:
            found = measure(Path(folder), options.times)
        except (pytest.skip.Exception, pytest.fail.Exception) as problem:  # the extension, code-server or Chromium
            parser.exit(2, f"{str(problem)[:1].upper()}{str(problem)[1:].rstrip('.')}.\n")
    table = Table("", "seconds", title="the first value in VS Code")
    for name, what in WHAT.items():
        table.add_row(what, f"{found[name]:g}")
    Console().print(table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
