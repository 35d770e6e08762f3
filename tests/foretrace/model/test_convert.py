"""`foretrace model convert` as a person uses it: what it says, and that nothing is left where it cannot finish."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from foretrace.cli import app
from foretrace.model import convert as command
from quant.gguf_file import read_gguf
from quant.runtime import Runtime
from tests.checkpoints import as_older_spelling, change_json, change_tensors, hollow_cwm, random_cwm

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_cwm(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture
def checkpoint(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(tiny, tmp_path / "checkpoint")


def convert(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["model", "convert", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_it_says_what_was_made_and_what_to_do_next(checkpoint: Path):
    (checkpoint / "README.md").write_text("---\nlicense: apache-2.0\nmodel_name: a tiny one\n---\n")
    code, said = convert("checkpoint", "tiny.gguf")
    assert code == 0
    assert re.fullmatch(
        r"tiny.gguf [\d.]+ KiB, bf16 a tiny one, licence: apache-2.0 0.2 million parameters, 2 layers of 64, "
        r"vocabulary 566 context 16,384 tokens; 1 of 2 layers see only the last 16 "
        r"[\d,]+ of [\d,]+ weights were rounded to bf16 "
        r"Next: foretrace model quantize tiny.gguf tiny-Q4_K_M.gguf",
        said,
    )
    with Runtime.open("tiny.gguf", context=64) as runtime:
        assert runtime.window == 16


def test_it_says_what_it_assumed(checkpoint: Path):
    as_older_spelling(checkpoint)
    change_json(checkpoint / "config.json", model_type="llama", sliding_window=...)
    code, said = convert("checkpoint", "tiny.gguf", "--dtype", "f32")
    assert code == 0
    assert said.count("assumed:") == 3
    assert "every weight is exactly the checkpoint's" in said and "licence: not stated" in said


def test_a_pulled_checkpoint_is_found_by_its_repository(checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    folder = checkpoint.parent / "pulled"
    folder.mkdir()
    checkpoint.rename(folder / "facebook--cwm")
    monkeypatch.setattr(command, "checkpoints_folder", lambda: folder)
    assert convert("facebook/cwm", "cwm.gguf")[0] == 0
    assert read_gguf(Path("cwm.gguf")).metadata["general.source.repo_url"] == "https://huggingface.co/facebook/cwm"
    assert read_gguf(Path("cwm.gguf")).metadata["general.name"] == "cwm"


def test_a_file_that_exists_is_replaced_only_on_request(checkpoint: Path):
    Path("tiny.gguf").write_text("mine")
    assert convert("checkpoint", "tiny.gguf") == (
        2,
        "foretrace: tiny.gguf exists; name another file, or replace it with --force.",
    )
    assert Path("tiny.gguf").read_text() == "mine"
    assert convert("checkpoint", "tiny.gguf", "--force")[0] == 0
    read_gguf(Path("tiny.gguf"))


@pytest.mark.parametrize(
    ("source", "out", "code", "sentence"),
    [
        ("nothing/here", "m.gguf", 3, "There is no folder nothing/here; give that of a Hugging Face checkpoint"),
        ("checkpoint/config.json", "m.gguf", 3, "checkpoint/config.json is a file; give the folder"),
        ("checkpoint", "no/folder/m.gguf", 2, "There is no folder no/folder for m.gguf"),
        ("checkpoint", "checkpoint", 2, "checkpoint is a folder; name a file"),
    ],
)
def test_bad_arguments_get_one_sentence(checkpoint: Path, source: str, out: str, code: int, sentence: str):
    got, said = convert(source, out)
    assert got == code and sentence in said
    assert os.listdir() == ["checkpoint"]


def test_a_bad_weight_leaves_the_old_file_and_nothing_else(checkpoint: Path):
    change_tensors(checkpoint, lambda found: found["lm_head.weight"].view(-1)[-1:].fill_(torch.nan))
    Path("tiny.gguf").write_text("mine")
    code, said = convert("checkpoint", "tiny.gguf", "--force")
    assert code == 3 and "not finite, in lm_head.weight" in said
    assert Path("tiny.gguf").read_text() == "mine"
    assert sorted(os.listdir()) == ["checkpoint", "tiny.gguf"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_leaves_nothing(checkpoint: Path, number: signal.Signals, code: int):
    hollow_cwm(checkpoint, hidden_size=1024, intermediate_size=2**17)  # 1.6 GB: far from done when the signal comes
    arguments = [sys.executable, "-m", "foretrace", "model", "convert", "checkpoint", "large.gguf"]
    process = subprocess.Popen(
        arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 2**20 for path in Path().glob(".large.gguf.*/large.gguf")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    assert os.listdir() == ["checkpoint"]


FILL = """
import sys
from contextlib import contextmanager
from pathlib import Path
import foretrace.cli
from foretrace.model import convert

@contextmanager
def filling(what):
    def update(done, total):
        # Somebody else fills the disk while the weights are written.
        with Path("other").open("ab", buffering=0) as other:
            try:
                while other.write(bytes(2**16)):
                    pass
            except OSError:
                pass
    yield update

if sys.argv.pop(1) == "fill":
    convert.bytes_bar = filling
sys.argv[0] = "foretrace"
foretrace.cli.main()
"""


def on_a_small_disk(checkpoint: Path, how: str) -> tuple[int, str, list[str]]:
    """Convert on a file system of 4 MB of its own: exit code, what was said, and what lies there afterwards."""
    Path("fill.py").write_text(FILL)
    Path("small").mkdir()
    script = (
        "mount -t tmpfs -o size=4m tmpfs small || exit 99\n"
        'cd small; "$1" ../fill.py "$2" model convert ../checkpoint m.gguf; code=$?; ls -A > ../left; exit $code'
    )
    inner = ["sh", "-c", script, "sh", sys.executable, how]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for mine in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        done = subprocess.run(["unshare", *mine, *inner], capture_output=True, text=True, env=environment, check=False)
        if Path("left").exists():
            return done.returncode, done.stderr, Path("left").read_text().split()
    message = f"no file system can be mounted here, so a full disk is not tried: {done.stderr}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def test_a_disk_without_room_is_said_before_anything_is_written(checkpoint: Path):
    hollow_cwm(checkpoint, hidden_size=1024, intermediate_size=2**12)
    code, said, left = on_a_small_disk(checkpoint, "as it is")
    assert code == 3
    assert re.fullmatch(
        r"foretrace: m.gguf needs 51.7 MiB more, but its disk has [34].\d MiB free; free some .*\n", said
    )
    assert left == []


def test_a_disk_that_fills_half_way_leaves_nothing(checkpoint: Path):
    code, said, left = on_a_small_disk(checkpoint, "fill")
    assert code == 3
    assert said == (
        "foretrace: m.gguf cannot be written (No space left on device); free some space or name another place. "
        "Nothing was left behind.\n"
    )
    assert left == ["other"]
