"""`foretrace model pull`, as a process of its own, from a hub on the loopback interface."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest
from typer.testing import CliRunner

from foretrace.cli import app
from tests.foretrace.model.hub import COMMIT, Repository, running_hub
from tests.ggufs import write_llama

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = random.Random(0).randbytes(3 * 2**20)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory) -> bytes:
    """A small CWM, as others make them, of more than one chunk."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_llama(path, vocabulary=20_000)
    return path.read_bytes()


@pytest.fixture
def hub():
    with running_hub() as running:
        yield running


@pytest.fixture
def command(tmp_path, hub):
    return Command(tmp_path, hub.address)


class Command:
    def __init__(self, folder: Path, endpoint: str) -> None:
        self.models = folder / "data" / "foretrace" / "models"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "FORETRACE_"))}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf"),
            "XDG_DATA_HOME": str(folder / "data"),
            "NO_PROXY": "127.0.0.1",
        }

    def start(
        self, *arguments: str, preexec_fn: Callable[[], None] | None = None, **environment: str
    ) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "foretrace", "model", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **environment},
            preexec_fn=preexec_fn,
        )

    def __call__(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err
        return process.returncode, out, err

    def pull(self, *arguments: str, **options: Any) -> tuple[int, str, str]:
        return self("pull", *arguments, **options)

    def left(self) -> set[str]:
        """Every file in the models' folder."""
        return {str(path.relative_to(self.models)) for path in self.models.rglob("*") if path.is_file()}


def test_the_one_gguf_of_a_repository_becomes_a_model_with_its_name(hub, command, gguf):
    hub.repositories["someone/cwm-GGUF"] = Repository({"sub/cwm-F16.gguf": gguf, "README.md": b"hello"})
    code, out, err = command.pull("someone/cwm-GGUF")
    assert (code, command.left()) == (0, {"cwm-F16.gguf"})
    assert (command.models / "cwm-F16.gguf").read_bytes() == gguf
    assert "CWM 1.3M as plain llama, F16" in out and "--model cwm-F16" in out
    assert "8,192 tokens only" in err
    assert not (command.models / ".unfinished").exists()
    code, out, err = command("list")
    assert code == 0 and "cwm-F16" in out
    asked = len(hub.requests)
    code, out, err = command.pull("someone/cwm-GGUF")
    assert code == 0 and "is already here" in out
    assert len(hub.requests) == asked + 1, "the file itself is not asked for again"


def test_another_file_under_the_name_of_a_model_is_refused_and_may_have_another_name(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    hub.repositories["other/cwm"] = Repository({"cwm.gguf": gguf[:-1] + bytes([gguf[-1] ^ 1])})
    assert command.pull("someone/cwm")[0] == 0
    code, _, err = command.pull("other/cwm")
    assert code == 3 and "another model called cwm" in err and "--name" in err
    assert (command.models / "cwm.gguf").read_bytes() == gguf
    assert command.pull("other/cwm", "--name", "theirs")[0] == 0
    assert command.left() == {"cwm.gguf", "theirs.gguf"}


@pytest.mark.parametrize(
    ("wanted", "pulled"),
    [("q4_k_m", "cwm.Q4_K_M"), ("F16", "cwm-F16"), ("BF16", "cwm-BF16"), ("cwm-F16.gguf", "cwm-F16")],
)
def test_a_file_or_a_quantization_chooses_among_several(hub, command, gguf, wanted, pulled):
    names = ("cwm.Q4_K_M.gguf", "cwm.Q4_K_S.gguf", "cwm-F16.gguf", "cwm-BF16.gguf")
    hub.repositories["someone/cwm"] = Repository({name: gguf for name in names})
    code, _, _ = command.pull(f"someone/cwm:{wanted}")
    assert (code, command.left()) == (0, {f"{pulled}.gguf"})


@pytest.mark.parametrize(
    ("wanted", "said", "listed"),
    [
        ("", "has several GGUFs; name one", {"cwm-Q4_K_M.gguf", "cwm-i1-Q4_K_M.gguf", "cwm-Q8_0.gguf"}),
        (":Q4_K_M", "has several GGUFs for Q4_K_M", {"cwm-Q4_K_M.gguf", "cwm-i1-Q4_K_M.gguf"}),
        (":Q4_K", "has no GGUF for Q4_K", {"cwm-Q4_K_M.gguf", "cwm-i1-Q4_K_M.gguf", "cwm-Q8_0.gguf"}),
    ],
)
def test_where_it_is_not_clear_which_is_meant_they_are_listed_with_their_sizes(hub, command, wanted, said, listed):
    files = {name: b"GGUF" * 512 for name in ("cwm-Q4_K_M.gguf", "cwm-i1-Q4_K_M.gguf", "cwm-Q8_0.gguf")}
    hub.repositories["someone/cwm"] = Repository(files)
    code, out, err = command.pull(f"someone/cwm{wanted}")
    assert code == 2 and said in err and out == ""
    assert {line.split()[0] for line in err.splitlines()[1:]} == listed
    assert all(line.endswith("2.0 KiB") for line in err.splitlines()[1:])
    assert command.left() == set()


def test_a_model_in_several_files_is_refused_before_anything_comes(hub, command):
    files = {f"cwm-BF16-0000{part}-of-00002.gguf": b"GGUF" for part in (1, 2)}
    hub.repositories["someone/cwm"] = Repository(files)
    code, _, err = command.pull("someone/cwm:BF16")
    assert code == 3 and "split into 2 files" in err and "llama-gguf-split --merge" in err
    assert not hub.asked_for("cwm-BF16-00001-of-00002.gguf")


def test_after_a_broken_connection_the_next_pull_goes_on_where_it_broke(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    half = len(gguf) // 2
    hub.cut_after = half
    code, _, err = command.pull("someone/cwm")
    assert code == 3 and "running the command again goes on from there" in err
    (part,) = command.left()
    assert part.startswith(".unfinished/someone--cwm/cwm.gguf/.cwm.gguf.")
    kept = (command.models / part).stat().st_size
    assert 0 < kept <= half
    _, out, _ = command("list")
    assert "Not pulled to the end" in out and "someone/cwm:cwm.gguf" in out

    hub.cut_after = None
    before = len(hub.asked_for("cwm.gguf"))
    code, _, err = command.pull("someone/cwm")
    assert code == 0 and "are here already" in err
    (request,) = hub.asked_for("cwm.gguf")[before:]
    assert request["range"] == f"bytes={kept}-{len(gguf) - 1}"
    assert (command.models / "cwm.gguf").read_bytes() == gguf
    assert command.left() == {"cwm.gguf"}


def test_a_short_break_is_bridged_at_once(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    hub.cut_after, hub.cuts_once = len(gguf) // 2, True
    code, _, _ = command.pull("someone/cwm")
    assert (code, (command.models / "cwm.gguf").read_bytes()) == (0, gguf)
    assert [request["range"].startswith("bytes=0-") for request in hub.asked_for("cwm.gguf")] == [True, False]


def test_a_server_without_ranges_sends_all_again(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    hub.cut_after, hub.cuts_once, hub.ignores_ranges = len(gguf) // 2, True, True
    assert command.pull("someone/cwm")[0] == 0
    assert len(hub.asked_for("cwm.gguf")) == 2
    assert (command.models / "cwm.gguf").read_bytes() == gguf


def test_after_ctrl_c_the_next_pull_goes_on(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    hub.stalls_after = len(gguf) // 2
    process = command.start("pull", "someone/cwm")
    deadline = time.monotonic() + 60
    while not any((command.models / name).stat().st_size for name in command.left() if name.endswith(".part")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on from there" in err and "Traceback" not in err
    assert not (command.models / "cwm.gguf").exists()
    hub.stalls_after = None
    assert command.pull("someone/cwm")[0] == 0
    assert not hub.asked_for("cwm.gguf")[-1]["range"].startswith("bytes=0-")
    assert (command.models / "cwm.gguf").read_bytes() == gguf


@pytest.mark.parametrize("claim", [{"sha256": "0" * 64}, {"size": 100}], ids=["checksum", "size"])
def test_a_file_that_is_not_what_the_hub_says_is_removed(hub, command, gguf, claim):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf}, claims={"cwm.gguf": claim})
    code, _, err = command.pull("someone/cwm")
    assert code == 3 and "arrived damaged" in err and "It was removed" in err
    assert command.left() == set() and not (command.models / ".unfinished").exists()


def test_what_is_called_gguf_and_is_none_does_not_become_a_model(hub, command):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": b"<html>"})
    code, _, err = command.pull("someone/cwm")
    assert code == 3 and "is not a GGUF file" in err
    assert command.left() == set()


def test_a_gguf_that_is_no_cwm_is_pulled_and_said_to_be_none(hub, command, tmp_path):
    write_llama(tmp_path / "other.gguf", specials="none")
    hub.repositories["someone/other"] = Repository({"other.gguf": (tmp_path / "other.gguf").read_bytes()})
    code, out, err = command.pull("someone/other")
    assert code == 0 and "no CWM but llama" in out and "does not have CWM's token" in err


def checkpoint(kind: str = "cwm") -> dict[str, bytes]:
    return {
        "config.json": json.dumps({"model_type": kind}).encode(),
        "tokenizer.json": b"{}",
        "README.md": b"card",
        "LICENSE": b"terms",
        "model.safetensors.index.json": b"{}",
        "model-00001-of-00002.safetensors": WEIGHTS,
        "model-00002-of-00002.safetensors": WEIGHTS[::-1],
        "original/consolidated.safetensors": b"not needed",
        "pytorch_model.bin": b"not needed",
    }


def test_a_checkpoint_comes_whole_into_a_folder_to_convert(hub, command):
    files = checkpoint()
    hub.repositories["meta/cwm"] = Repository(files)
    hub.cut_after, hub.then = len(WEIGHTS) + 1000, 418
    assert command.pull("meta/cwm")[0] == 3
    target = command.models / "checkpoints" / "meta--cwm"
    assert not target.exists(), "half a checkpoint is not to be converted"
    hub.cut_after = None
    code, out, _ = command.pull("meta/cwm")
    assert code == 0
    assert f"foretrace model convert {target} cwm-bf16.gguf" in out
    wanted = {name: data for name, data in files.items() if "not needed" not in data.decode("latin-1")}
    assert {path.name: path.read_bytes() for path in target.iterdir()} == wanted
    assert len(hub.asked_for("model-00001-of-00002.safetensors")) == 1
    assert not (command.models / ".unfinished").exists()
    assert "meta--cwm" in command("list")[1]

    assert "is already here" in command.pull("meta/cwm")[1]
    hub.repositories["meta/cwm"].files["LICENSE"] = b"other"
    code, _, err = command.pull("meta/cwm")
    assert code == 3 and "--name" in err


def test_a_checkpoint_of_another_network_is_refused_before_its_weights_come(hub, command):
    hub.repositories["someone/other"] = Repository(checkpoint("qwen2"))
    code, _, err = command.pull("someone/other")
    assert code == 3 and "'qwen2', not a Code World Model" in err
    assert not hub.asked_for("model-00001-of-00002.safetensors")
    assert command.left() == set() and not (command.models / ".unfinished").exists()


def test_a_repository_without_models_is_refused(hub, command):
    hub.repositories["someone/notes"] = Repository({"README.md": b"hello"})
    code, _, err = command.pull("someone/notes")
    assert code == 3 and "no GGUF, and as a checkpoint it lacks config.json" in err


def test_a_gated_repository_says_what_to_accept_and_opens_with_the_token(hub, command, gguf):
    with running_hub() as elsewhere:
        hub.elsewhere = elsewhere
        hub.repositories["meta/cwm"] = Repository({"cwm.gguf": gguf}, token="hf_secret")
        code, _, err = command.pull("meta/cwm")
        assert code == 3 and command.left() == set()
        assert "accept its licence at https://huggingface.co/meta/cwm" in err
        assert "`hf auth login`" in err and "HF_TOKEN" in err
        code, _, err = command.pull("meta/cwm", HF_TOKEN="hf_wrong")
        assert code == 3 and "does not accept your token" in err
        code, _, err = command.pull("meta/cwm", HF_TOKEN="hf_secret")
        assert code == 0, err
        assert hub.asked_for("cwm.gguf")[-1]["authorization"] == "Bearer hf_secret"
        assert elsewhere.asked_for("cwm.gguf") and "authorization" not in elsewhere.asked_for("cwm.gguf")[-1]
        assert (command.models / "cwm.gguf").read_bytes() == gguf


def test_a_revision_is_pulled_as_it_was_at_its_commit(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf}, revisions=("main", "v2"))
    code, _, err = command.pull("someone/cwm", "--revision", "v3")
    assert code == 3 and "no revision v3" in err
    assert command.pull("someone/cwm", "--revision", "v2")[0] == 0
    paths = [path for _, path, _ in hub.requests]
    assert "/api/models/someone/cwm/revision/v2" in paths
    assert f"/someone/cwm/resolve/{COMMIT}/cwm.gguf" in paths


def test_what_is_not_there_or_private_is_said(hub, command):
    code, _, err = command.pull("nobody/nothing")
    assert code == 3 and f"no model nobody/nothing at {hub.address}, or it is private" in err


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(500, "answers 500"), (429, "asks for a pause"), (403, "may not read"), (418, "answers 418")],
)
def test_other_refusals_are_said(hub, command, status, sentence):
    hub.broken = status
    code, _, err = command.pull("someone/cwm")
    assert code == 3 and sentence in err


def test_without_network_or_hub_it_is_said(hub, command):
    code, _, err = command.pull("someone/cwm", HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 3 and "The connection to http://127.0.0.1:9 does not work" in err
    code, _, err = command.pull("someone/cwm", HF_HUB_OFFLINE="1")
    assert code == 3 and "HF_HUB_OFFLINE is set" in err
    assert not hub.requests
    hub.broken = 200
    code, _, err = command.pull("someone/cwm")
    assert code == 3 and "does not answer like the Hugging Face hub" in err


def test_a_full_disk_is_said_before_anything_comes(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf}, claims={"cwm.gguf": {"size": 2**60}})
    code, _, err = command.pull("someone/cwm")
    assert code == 3 and "needs 1048576.0 TiB more, and the disk of" in err
    assert not hub.asked_for("cwm.gguf")
    assert command.left() == set() and not (command.models / ".unfinished").exists()


def test_a_disk_that_fills_half_way_is_said_and_what_has_come_is_kept(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    room = len(gguf) // 2

    def fill() -> None:  # no file of this process may become larger
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    code, _, err = command.pull("someone/cwm", preexec_fn=fill)
    assert code == 3 and "File too large" in err and "what has come of it is kept" in err
    (part,) = command.left()
    assert part.endswith(".part") and (command.models / part).stat().st_size <= room
    assert command.pull("someone/cwm")[0] == 0


def test_two_pulls_of_the_same_do_not_get_into_each_others_way(hub, command, gguf):
    hub.repositories["someone/cwm"] = Repository({"cwm.gguf": gguf})
    home = command.models / ".unfinished" / "someone--cwm"
    home.mkdir(parents=True)
    with filelock.FileLock(home / ".cwm.gguf.lock"):
        code, _, err = command.pull("someone/cwm")
    assert code == 3 and "being pulled by another foretrace" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cwm"], "names no repository"),
        (["https://huggingface.co/facebook/cwm"], "names no repository"),
        (["a b/c"], "cannot be a repository's name"),
        (["someone/cwm", "--name", "nano"], "comes with foretrace"),
        (["someone/cwm", "--name", "../up"], "cannot be a model's name"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments, sentence):
    result = CliRunner().invoke(app, ["model", "pull", *arguments])
    assert result.exit_code == 2 and sentence in result.output
