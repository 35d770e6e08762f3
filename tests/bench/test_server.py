"""The benchmark of the language server gives every number, whatever they are on a busy machine."""

from __future__ import annotations

import json
import subprocess
import sys

from bench.server import AIMS
from tests.lsp_server.editor import ROOT


def test_the_quick_run_ends_with_one_line_of_json():
    done = subprocess.run(
        [sys.executable, "-m", "bench.server", "--quick"], capture_output=True, text=True, cwd=ROOT, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {
        "hover_p99_ms",
        "hint_p99_ms",
        "lens_p99_ms",
        "first_hint_ms",
        "typing_cpu",
        "stale_answers",
        "cancel_ms",
        "server_rss_mb",
        "host_idle_cpu",
    }
    assert set(found) == set(AIMS) and all(isinstance(value, (int, float)) for value in found.values())
    assert found["stale_answers"] == 0
    assert found["server_rss_mb"] < 120
