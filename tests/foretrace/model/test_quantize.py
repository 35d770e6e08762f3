"""`foretrace model quantize` and the traces that it is given, as a person uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretrace.cli import app
from quant.convert import convert
from quant.gguf_file import read_gguf
from tests.checkpoints import random_cwm
from tests.traces import SOURCE, write_traces


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CWM whose rows hold 256 numbers, but 128 in attn_output and 96 in ffn_down."""
    folder = random_cwm(tmp_path_factory.mktemp("model") / "checkpoint", hidden_size=256)
    convert(folder, folder / "m.gguf", dtype="f16")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.gguf").symlink_to(checkpoint / "m.gguf")
    write_traces(tmp_path / "traces.jsonl", 6)
    return tmp_path


def invoke(*arguments: str | Path):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def quantize(*arguments: str | Path):
    return invoke("model", "quantize", "m.gguf", *arguments, "--threads", "1")


def test_runs_become_traces_and_traces_a_calibrated_and_measured_build(folder: Path):
    calls = "".join(f"# foretrace: total({n})\n" for n in range(1, 7))
    (folder / "q.py").write_text(f"{calls}{SOURCE}")
    ran = invoke("run", "q.py", "--format", "cwm", "--output", "runs.jsonl")
    assert ran.exit_code == 0 and ran.stdout == "" and ran.stderr == "6 traces written.\n"
    assert len((folder / "runs.jsonl").read_text().splitlines()) == 6
    made = quantize("out.gguf", "--calibrate", "runs.jsonl", "--json")
    assert made.exit_code == 0 and made.stderr == ""
    report = json.loads(made.stdout)
    build = read_gguf(folder / "out.gguf")
    assert build.quantization == report["type"] == "Q4_K_M"
    assert build.metadata["quantize.imatrix.chunks_count"] == 5
    assert report["size"] == build.size and report["bits_per_weight"] == pytest.approx(build.bits_per_weight, abs=1e-4)
    assert report["source_size"] == (folder / "m.gguf").stat().st_size
    assert report["unfitting"] == 4 and report["tensors"]["Q4_K"] > 5 and report["notes"] == []
    assert report["calibration"]["traces"] == 5 and report["calibration"]["tokens"] > 1000
    measured = report["measurement"]
    assert measured["traces"] == 1 and measured["frames"] > 10 and measured["tokens"] > 100
    assert 0 < measured["kl"] < 1 and 0.5 < measured["agreement"] <= 1


def test_the_report_for_people(folder: Path):
    result = quantize("out.gguf", "--measure", "traces.jsonl", "--type", "Q8_0")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "out.gguf Q8_0"
    assert any(line.startswith("size ") and " of m.gguf; 8." in line for line in lines)
    assert "calibrated no; --calibrate TRACES makes a better build of about the same size" in lines
    assert any(line.startswith("measured on ") and line.endswith("; traces: 6") for line in lines)
    assert any(line.startswith("same first choice as m.gguf: ") for line in lines)
    assert any(line.startswith("KL divergence from it: 0.0") for line in lines)


def test_without_traces_it_says_what_was_not_measured(folder: Path):
    result = quantize("out.gguf", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["measurement"] is report["calibration"] is None
    assert "--measure TRACES does that" in report["notes"][0] and "--format cwm" in report["notes"][0]


def test_too_few_traces_to_keep_any_are_all_calibrated_on(folder: Path):
    write_traces(folder / "few.jsonl", 4)
    report = json.loads(quantize("out.gguf", "--calibrate", "few.jsonl", "--json").stdout)
    assert report["calibration"]["traces"] == 4 and report["measurement"] is None
    assert "4 traces are too few to keep any" in report["notes"][0]


def test_all_are_calibrated_on_where_others_are_measured_on(folder: Path):
    write_traces(folder / "others.jsonl", 2)
    arguments = ("out.gguf", "--calibrate", "traces.jsonl", "--measure", "others.jsonl", "--json")
    report = json.loads(quantize(*arguments).stdout)
    assert report["calibration"]["traces"] == 6 and report["measurement"]["traces"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["out.gguf", "--calibrate", "none.jsonl"], 3, "There is no trace file none.jsonl"),
        (["out.gguf", "--measure", "bad.jsonl"], 3, "bad.jsonl, line 2 is not JSON"),
        (["m.gguf", "--force"], 3, "m.gguf is the source itself"),
        (["there.gguf"], 2, "there.gguf exists; name another file, or replace it with --force."),
        (["no/folder/out.gguf"], 2, "There is no folder no/folder"),
        (["out.gguf", "--type", "Q4_2"], 2, "Q4_2"),
        (["out.gguf", "--measure", "unspecial.jsonl"], 3, "is not a trace in CWM's words"),
    ],
)
def test_bad_input_is_said_in_one_sentence_and_nothing_is_left(
    folder: Path, arguments: list[str], code: int, sentence: str
):
    (folder / "bad.jsonl").write_text((folder / "traces.jsonl").read_text().splitlines()[0] + "\n{\n")
    (folder / "unspecial.jsonl").write_text('{"text": "def f(): pass"}')
    (folder / "there.gguf").write_text("mine")
    before = sorted(os.listdir(folder))
    result = quantize(*arguments)
    assert result.exit_code == code and sentence in " ".join(result.stderr.split())
    assert sorted(os.listdir(folder)) == before and (folder / "there.gguf").read_text() == "mine"


def test_a_source_that_cannot_be_quantized_is_refused(folder: Path):
    assert quantize("q.gguf", "--type", "Q8_0").exit_code == 0
    again = invoke("model", "quantize", "q.gguf", "out.gguf")
    assert again.exit_code == 3 and "q.gguf is quantized already (Q8_0)" in again.stderr
    missing = invoke("model", "quantize", "no/such.gguf", "out.gguf")
    assert missing.exit_code == 3 and "There is no model file no/such.gguf" in missing.stderr
    assert not (folder / "out.gguf").exists()


@pytest.mark.parametrize("command", ["diff", "predict"])
def test_only_real_runs_are_written_as_traces(folder: Path, command: str):
    (folder / "q.py").write_text(f"# foretrace: total(2)\n{SOURCE}")
    result = invoke(command, "q.py", "--format", "cwm")
    assert result.exit_code == 2 and "--format cwm writes real runs only: use it with `foretrace run`." in result.stderr


def test_calls_that_could_not_be_run_are_left_out_with_a_note(folder: Path):
    (folder / "q.py").write_text(f"# foretrace: total(2)\n{SOURCE}\n\ndef lonely(x):\n    return x\n")
    result = invoke("run", "q.py", "--format", "cwm")
    assert len(result.stdout.splitlines()) == 1 and json.loads(result.stdout)["call"] == "total(2)"
    assert "q.py::lonely is left out: No call of lonely is known" in result.stderr
