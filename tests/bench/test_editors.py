"""The benchmark of editors where what it needs is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_missing_package_is_said_in_one_sentence(tmp_path):
    (tmp_path / "playwright.py").write_text("raise ModuleNotFoundError(name='playwright')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bench.editors"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("playwright is not installed") and "make .venv/installed-dev" in sentence
