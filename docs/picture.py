"""Draws the README's picture: what `foretrace diff` prints for an example, in colour.

python docs/picture.py examples/strawberry.py examples/caesar.py docs/images/diff.svg
"""

from __future__ import annotations

import io
import os
import subprocess
import sys

from rich.console import Console
from rich.text import Text

WIDTH = 112


def main(*arguments: str) -> None:
    """Run the command with all arguments but the last, and draw what it prints into the file that this names."""
    command = ["diff", *arguments[:-1]]
    printed = subprocess.run(
        [sys.executable, "-m", "foretrace", *command],
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,  # a divergence is what the picture is about
    ).stdout
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    shown = " ".join(f'"{each}"' if " " in each else each for each in command)
    console.print(Text(f"$ foretrace {shown}", "bold"))
    console.print(Text.from_ansi(printed.rstrip("\n")))
    console.save_svg(arguments[-1], title="foretrace")


if __name__ == "__main__":
    main(*sys.argv[1:])
