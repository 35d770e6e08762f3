"""Draws the README's picture of Neovim: the screen of a real one, with the bundled model, after a check. Needs tmux.

python docs/neovim_picture.py examples/binary_search.py 7 docs/images/neovim.svg
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pynvim
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.editors.neovim import PLUGIN, Neovim, find_neovim

UNDERLINE = re.compile(r"\x1b\[58[:;]2[:;]{1,2}\d+[:;]\d+[:;]\d+m")
"""A line's own colour, which rich takes for something else."""
WIDTH, HEIGHT = 116, 38
THEME = TerminalTheme((20, 22, 27), (224, 226, 234), [(0, 0, 0)] * 8)  # Neovim's own; it says all other colours itself
TMUX = ["tmux", "-L", "foretrace-picture"]


def main(file: str, line: str, picture: str) -> None:
    """Open `file`, check the function at `line`, open the view, and draw the screen into `picture`."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "nvim"
        settings = ["--clean", "--listen", str(socket), "--cmd", f"set rtp^={PLUGIN} termguicolors number noswapfile"]
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        subprocess.run([*TMUX, "new-session", "-d", *size, find_neovim(), *settings], check=True)
        try:
            console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
            console.print(Text.from_ansi(screen(socket, file, int(line))))
            console.save_svg(picture, title="Neovim", theme=THEME)
        finally:
            subprocess.run([*TMUX, "kill-server"], check=False)


def screen(socket: Path, file: str, line: int) -> str:
    """What the screen shows in the end, with its colours."""
    deadline = time.monotonic() + 60
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    nvim = pynvim.attach("socket", path=str(socket))
    editor = Neovim(nvim)
    editor.enable(None)
    editor.open(Path(file))
    editor.until("the first value", "return #hints() > 0")
    editor.put_cursor(line)
    editor.command("Foretrace check")
    editor.until(
        "the outcome, also in the lenses",
        """
        local said = table.concat(_G.said, " ")
        return (said:find("Confirmed", 1, true) or said:find(", the real run", 1, true))
          and vim.iter(vim.lsp.codelens.get(0)):all(function(lens)
            return lens.command and not lens.command.title:find("…", -3, true) or lens.command.title == "Other call…"
          end)
        """,
    )
    editor.command("Foretrace view")
    editor.until("the view", "return vim.bo.filetype == 'foretrace' and vim.fn.search('actual', 'n') > 0")
    editor.lua("vim.fn.winrestview({ topline = 1 }); vim.fn.search('^▶'); vim.cmd.redraw({ bang = true })")
    editor.lua("vim.api.nvim_echo({ { _G.said[#_G.said] } }, false, {})")  # tests' helper keeps messages to itself
    editor.lua("vim.cmd.redraw()")
    shown = subprocess.run([*TMUX, "capture-pane", "-p", "-e"], stdout=subprocess.PIPE, text=True, check=True).stdout
    nvim.command("qall!", async_=True)
    nvim.close()
    return UNDERLINE.sub("", shown.rstrip("\n"))


if __name__ == "__main__":
    main(*sys.argv[1:])
