"""The VS Code extension in a real workbench with a real server and real runs; the model is mostly a stand-in."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.editors.test_neovim import TOTAL, WRONG
from tests.editors.vscode import ROOT, SECONDS, CodeServer, start_browser, unload_models, until_there, window
from tests.lsp_server.conftest import model

__all__ = ["model"]

COMMAND = "foretrace.serverCommand"
THEMES = {
    "Dark High Contrast": "vscode-high-contrast",
    "Light High Contrast": "vscode-high-contrast-light",
    "Dark 2026": "vscode-dark",
    "Light 2026": "vscode-light",
}
PREDICTED = [
    [2, "numbers = [1, 2, 3]", "predicted"],
    [3, "result = 0", "predicted"],
    [4, "number = 1 → 2 → 3", "predicted"],
    [5, "result = 1 → 3 → 6", "predicted"],
    [6, "returns 6", "predicted"],
]


def write_program(path: Path, *commands: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/bin/sh", *commands, "")))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Its python3 on the path has nothing installed."""
    folder = tmp_path_factory.mktemp("code-server")
    runtime = tempfile.mkdtemp(prefix="ft-")  # short: the path of a Unix socket has a limit
    venv.create(folder / "bare", with_pip=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        (folder / ".profile").write_text(f"PATH={folder / 'bare' / 'bin'}:/usr/local/bin:/usr/bin:/bin\n")
        for name in ("VIRTUAL_ENV", "FORETRACE_MODEL", "PYTHONPATH", "PYTHONHOME"):
            patch.delenv(name, raising=False)
        environment = {
            "SHELL": "/bin/bash",  # extensions have the path of a login shell
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder / "wheels"),
        }
        server = CodeServer(folder, environment)
        try:
            yield server
        finally:
            server.close()
            shutil.rmtree(runtime, ignore_errors=True)


@pytest.fixture(scope="module")
def browser(server):
    with sync_playwright() as playwright, start_browser(playwright) as browser:
        yield browser


@pytest.fixture(autouse=True)
def no_host_is_left(server):
    yield
    unload_models()


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "total.py").write_text(TOTAL)
    (folder / "wrong.py").write_text(WRONG)
    return folder


@pytest.fixture
def stand_in(model, tmp_path) -> dict[str, Any]:
    """Settings that start a server with the stand-in."""
    command = shlex.join([sys.executable, "-m", "tests.lsp_server.fake_server", str(model)])
    program = write_program(tmp_path / "stand-in", f"export PYTHONPATH={shlex.quote(str(ROOT))}", f"exec {command}")
    return {COMMAND: [str(program)]}


def test_values_come_by_themselves_and_follow_the_text(server, browser, project, stand_in):
    with window(server, browser, project / "total.py", {**stand_in, "foretrace.idleDelay": 60000}) as editor:
        editor.until_value(6, "returns 6", "predicted")
        assert editor.values() == PREDICTED
        editor.lens("Predict total([1, 2, 3])")
        # An edit of the function makes its values stale, and removes that of the line, until it is predicted again.
        editor.replace_line(3, "result = 10")
        editor.until_value(6, "returns 6 ~", "stale")
        assert editor.values() == [[line, f"{text} ~", "stale"] for line, text, _ in PREDICTED if line != 3]
        editor.save_picture("stale")
        editor.page.keyboard.press("Control+s")
        editor.until_value(6, "returns 16", "predicted")
        # A pause is enough, and settings count at once.
        server.write_settings({**stand_in, "foretrace.idleDelay": 50, "foretrace.confidence": 1})
        editor.until_value(3, "result = 10 ?", "unsure")
        editor.replace_line(3, "result = 20")
        editor.until_value(3, "result = 20 ?", "unsure")
        editor.run("Hide or show values")
        editor.until_no_values()
        editor.run("Hide or show values")
        editor.until_value(3, "result = 20 ?", "unsure")


def test_a_check_confirms(server, browser, project, stand_in):
    with window(server, browser, project / "total.py", stand_in) as editor:
        editor.lens("Check against a real run").click()
        editor.until_value(6, "returns 6 ✓", "confirmed")
        assert editor.values() == [[line, f"{text} ✓", "confirmed"] for line, text, _ in PREDICTED]
        editor.until_idle()
        editor.save_picture("confirmed")
        editor.page.locator(".view-line", has_text="result").nth(1).locator("span").last.hover()
        hover = editor.visible(editor.page.locator(".monaco-hover", has_text="confirmed by a real run"))
        assert "6 ✓" in hover.inner_text()


def test_a_check_finds_a_divergence(server, browser, project, stand_in):
    with window(server, browser, project / "wrong.py", stand_in) as editor:
        editor.until_value(7, "returns 12", "predicted")
        editor.put_cursor(6)
        editor.run("Check this function against a real run")
        editor.until_value(6, "result = 2 ≠ 1 …", "diverged")
        editor.until_value(7, "returns 12 ≠ 6", "diverged")
        editor.until_value(3, "numbers = [1, 2, 3] ✓", "confirmed")
        editor.visible(editor.page.locator(".squiggly-warning"))
        editor.until_idle()
        editor.page.keyboard.press("Control+Shift+m")
        problem = editor.visible(editor.page.locator(".markers-panel .monaco-list-row", has_text="foretrace"))
        assert "result" in problem.inner_text() and "Ln 6" in problem.inner_text()
        editor.run("Notifications: Clear All Notifications")
        editor.save_picture("problem")


def test_the_view_and_the_editor_follow_each_other(server, browser, project, stand_in):
    with window(server, browser, project / "wrong.py", stand_in) as editor:
        editor.until_value(7, "returns 12", "predicted")
        editor.put_cursor(6)
        editor.run("Show predicted and actual side by side")
        view = editor.view()
        rows = view.locator("[role=row][data-row]")
        editor.visible(rows.filter(has_text="returns 12"))
        view.locator("#check").click()
        first = editor.visible(view.locator("[role=row][data-first]"))
        cells = [first.locator(f".{name}").inner_text() for name in ("line", "source", "predicted", "actual")]
        assert cells[:2] == ["6", "result += number"]
        assert "result = 2" in cells[2] and "result = 1" in cells[3]
        assert rows.first.get_attribute("data-state") == "same" and first.get_attribute("data-state") == "differs"
        outcomes = view.locator("#outcomes").inner_text()
        assert "returned 12" in outcomes and "returned 6" in outcomes
        for theme, kind in THEMES.items():
            editor.page.keyboard.press("Control+k")
            editor.page.keyboard.press("Control+t")
            editor.answer(theme)
            editor.visible(view.locator(f"body.{kind}"))
            assert editor.barriers() == [], theme

        def follow(line: int, row: int) -> None:
            """Wait until the selected row is `row`, and the editor shows `line` (from 1)."""
            editor.visible(view.locator(f"[data-row='{row}'][aria-selected=true]"))
            assert view.locator("[aria-selected=true]").count() == 1
            editor.until_followed(line)

        # A click on a row, and the keys; the focus stays in the view.
        rows.nth(0).click()
        follow(3, 0)
        editor.page.keyboard.press("ArrowDown")
        follow(4, 1)
        editor.page.keyboard.press("End")
        follow(7, rows.count() - 1)
        # One turn of the loop after the other.
        view.locator("#next").click()
        turn = view.locator("#turn")
        expect(turn).to_contain_text("1 of 3", timeout=SECONDS * 1000)
        editor.until_value(5, "number = 1 ✓", "confirmed")
        view.locator("#next").click()
        expect(turn).to_contain_text("2 of 3", timeout=SECONDS * 1000)
        editor.until_value(5, "number = 2 ✓", "confirmed")
        view.locator("#previous").click()
        editor.until_value(5, "number = 1 ✓", "confirmed")
        view.locator("#all").click()
        editor.until_value(5, "number = 1 → 2 → 3 ✓", "confirmed")
        # The view follows the editor.
        editor.page.locator(".monaco-editor .view-line", has_text="result = 0").click()
        editor.visible(view.locator("[aria-selected=true]", has_text="result = 0"))
        # Enter goes to the line.
        rows.nth(0).click()
        editor.page.keyboard.press("Enter")
        editor.until_cursor(3)


def test_another_call_through_the_prompt(server, browser, project, stand_in):
    with window(server, browser, project / "total.py", stand_in) as editor:
        editor.until_value(6, "returns 6", "predicted")
        editor.lens("Other call…").click()
        offered = editor.page.locator(".quick-input-list .monaco-list-row")
        editor.visible(offered.filter(has_text="total([1, 2, 3])"))
        editor.answer("Another call")
        box = editor.visible(editor.page.locator(".quick-input-widget .quick-input-box input"))
        expect(box).to_have_value("total([1, 2, 3])", timeout=SECONDS * 1000)
        box.fill("total([")
        editor.visible(editor.page.locator(".quick-input-message", has_text="A ] is missing"))
        box.fill("total([20])")
        editor.page.keyboard.press("Enter")
        editor.until_value(6, "returns 20", "predicted")
        # It is one of those that are offered from now on.
        editor.put_cursor(3)
        editor.run("Predict another call of this function")
        editor.visible(offered.filter(has_text="total([20])"))
        editor.page.keyboard.press("Escape")


def test_host_and_server_are_killed(server, browser, project, stand_in, model):
    with window(server, browser, project / "total.py", stand_in) as editor:
        editor.until_value(6, "returns 6", "predicted")
        host = int(model.with_suffix(".loads").read_text().split()[-1])
        psutil.Process(host).kill()
        editor.replace_line(3, "result = 10")
        editor.until_value(6, "returns 16", "predicted")
        assert int(model.with_suffix(".loads").read_text().split()[-1]) != host
        (language_server,) = server.language_servers()
        language_server.kill()
        editor.replace_line(3, "result = 20")
        editor.until_value(6, "returns 26", "predicted")


def test_an_untrusted_workspace_runs_nothing(server, browser, project, stand_in, tmp_path):
    ran = tmp_path / "ran"
    own = write_program(project / ".venv" / "bin" / "python", f"echo $0 $@ >> {ran}", "exit 1")
    for name in ("python3", "foretrace"):
        shutil.copy(own, own.with_name(name))
    (project / ".venv" / "pyvenv.cfg").write_text("version = 3.11.0\n")
    (project / "broken.gguf").write_text("broken\n")
    (project / ".vscode").mkdir()
    (project / ".vscode" / "settings.json").write_text(
        f"""{{
            "foretrace.check": "save",
            "foretrace.interpreter": "{own}",
            "foretrace.model": "{project / "broken.gguf"}",
            "foretrace.serverCommand": ["{own.with_name("foretrace")}", "lsp"]
        }}"""
    )
    settings = {
        **stand_in,
        "security.workspace.trust.enabled": True,
        "security.workspace.trust.startupPrompt": "never",
    }
    with window(server, browser, project / "total.py", settings) as editor:
        editor.until_value(6, "returns 6", "predicted")
        editor.replace_line(3, "result = 10")
        editor.page.keyboard.press("Control+s")
        editor.until_value(6, "returns 16", "predicted")
        editor.run("Check this function against a real run")
        editor.notification("A check runs your code, and this workspace is not trusted.")
        assert not ran.exists()
        editor.save_picture("untrusted")
        # That it could have been seen: with the user's trust all of it counts.
        editor.page.keyboard.press("Escape")
        editor.run("Workspaces: Manage Workspace Trust")
        editor.visible(editor.page.get_by_role("button", name="Trust", exact=True)).click()
        editor.visible(editor.page.get_by_text("You trust this folder"))
        until_there(ran)


def test_no_model(server, browser, project):
    settings = {"foretrace.interpreter": sys.executable, "foretrace.model": "cwm-32b"}
    with window(server, browser, project / "total.py", settings) as editor:
        said = editor.notification("There is no model called cwm-32b")
        assert "a path to a GGUF may be given" in said.inner_text()
        editor.save_picture("no-model")
        assert editor.values() == []


def test_no_foretrace(server, browser, project, stand_in, tmp_path):
    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / "bin" / "python"
    write_wheel(server.folder / "wheels", f"import os; os.execv({stand_in[COMMAND][0]!r}, ['stand-in'])\n")
    with window(server, browser, project / "total.py", {"foretrace.interpreter": str(python)}) as editor:
        said = editor.notification("foretrace is not installed for Python yet")
        assert editor.values() == []
        editor.save_picture("install")
        said.get_by_role("button", name="Install").click()
        editor.until_value(6, "returns 6", "predicted")


def write_wheel(folder: Path, main: str) -> None:
    """A package that is called foretrace, for pip."""
    folder.mkdir()
    information = "foretrace-9.0.dist-info"
    files = {
        "foretrace/__init__.py": "",
        "foretrace/__main__.py": main,
        f"{information}/METADATA": "Metadata-Version: 2.1\nName: foretrace\nVersion: 9.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{information}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{information}/RECORD"))
    with zipfile.ZipFile(folder / "foretrace-9.0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


def test_the_whole_path_with_the_bundled_model(server, browser, tmp_path):
    file = tmp_path / "examples" / "strawberry.py"
    file.parent.mkdir()
    shutil.copy(ROOT / "examples" / file.name, file)
    with window(server, browser, file, {"foretrace.interpreter": sys.executable}) as editor:
        editor.page.keyboard.press("Control+b")  # the pictures are of the editor alone
        editor.page.set_viewport_size({"width": 1100, "height": 480})
        editor.until_any_value()
        editor.lens("Predict count_letter('strawberry', 'r')")
        editor.save_picture("values")
        editor.page.locator("#status\\.languageStatus").hover()
        status = editor.visible(editor.page.locator(".hover-language-status", has_text="ready"))
        assert "nano on" in status.inner_text() and "Python 3" in status.inner_text()
        editor.save_picture("status", still=False)
        editor.put_cursor(9)
        editor.run("Predict another call of this function")
        editor.answer("Another call")
        box = editor.visible(editor.page.locator(".quick-input-widget .quick-input-box input"))
        expect(box).to_have_value("count_letter('strawberry', 'r')", timeout=SECONDS * 1000)
        editor.save_picture("call")
        editor.page.keyboard.press("Escape")
        editor.lens("Check against a real run").click()
        check = """(file) => foretraceValues(file).some(([, , state]) => ['confirmed', 'diverged'].includes(state))"""
        editor.until("an outcome", check, file.name)
        editor.until_idle()
        editor.save_picture("check")
        editor.run("Notifications: Clear All Notifications")
        editor.page.set_viewport_size({"width": 1200, "height": 640})
        editor.run("Show predicted and actual side by side")
        editor.visible(editor.view().locator("[role=row][data-row]"))
        editor.visible(editor.view().get_by_text("Real run in Python"))
        editor.save_picture("view")
