"""`foretrace model list` and `foretrace model info`, on files that are right, of others, and broken."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from typer.testing import CliRunner

from foretrace.cli import app
from foretrace.model.show import Description, Kind, describe
from foretrace.models import bundled_path, checkpoints_folder, find_model, models_folder, unfinished_folder
from quant.errors import ModelError
from quant.gguf_file import GgufFile, TensorInfo
from quant.shape import CWM_32B, windowed_layers
from quant.specials import IDS_IN_CWM, Special
from tests.ggufs import entry, file_of, tensor, write_llama


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """An empty folder for models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("FORETRACE_MODEL", raising=False)
    folder = models_folder()
    assert folder.is_relative_to(tmp_path)
    folder.mkdir(parents=True)
    return folder


def run(*arguments) -> str:
    result = CliRunner().invoke(app, ["model", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def rows(text: str) -> dict[str, list[str]]:
    """Of a listing: the words of each line by the model's name."""
    return {words[words[0] == "*"]: words for words in map(str.split, text.splitlines()[1:]) if words}


def test_nano_is_always_there_and_predicts_by_default():
    text = run("list")
    assert rows(text)["nano"][:5] == ["*", "nano", "CWM", "116M,", "Q4_0"]
    assert {"8,192", "2,048", "apache-2.0"} <= set(rows(text)["nano"])
    (nano,) = json.loads(run("list", "--json"))["models"]
    size = bundled_path().stat().st_size
    assert (nano["kind"], nano["size"], nano["window"], nano["default"]) == ("exact", size, 2048, True)


def test_models_of_all_kinds_are_listed_the_default_marked_and_broken_ones_named(models, monkeypatch):
    write_llama(models / "theirs.gguf")
    write_llama(models / "other.gguf", specials="none")
    (models / "broken.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("FORETRACE_MODEL", "theirs")
    text = run("list")
    found = rows(text)
    assert [name for name in found if name in ("nano", "broken", "other", "theirs")] == [
        "nano",
        "broken",
        "other",
        "theirs",
    ]
    assert found["theirs"][0] == "*" and found["nano"][0] == "nano"
    assert "CWM 40K as plain llama, F16" in text and "no CWM but llama 40K, F16" in text
    assert found["broken"][1] == "unreadable" and "cut short in its header" in text
    kinds = {model["name"]: model.get("kind") for model in json.loads(run("list", "--json"))["models"]}
    assert kinds == {"nano": "exact", "broken": None, "other": "no_cwm", "theirs": "plain_llama"}


def test_a_default_that_lies_elsewhere_is_listed_and_one_that_is_not_there_is_said(tmp_path, monkeypatch):
    path = tmp_path / "elsewhere.gguf"
    write_llama(path)
    monkeypatch.setenv("FORETRACE_MODEL", str(path))
    assert rows(run("list"))[str(path)][0] == "*"
    monkeypatch.setenv("FORETRACE_MODEL", "gone")
    text = run("list")
    assert "There is no model called gone" in text and "That is what FORETRACE_MODEL asks for." in text
    assert "*" not in text


def test_checkpoints_and_pulls_that_did_not_end_have_sections_of_their_own():
    for folder, file in (
        (checkpoints_folder() / "meta--cwm", "model.safetensors"),
        (unfinished_folder() / "meta--cwm" / "checkpoint", ".model.safetensors.abc.part"),
    ):
        folder.mkdir(parents=True)
        (folder / file).write_bytes(bytes(2048))
    text = run("list")
    before, _, after = text.partition("Not pulled to the end")
    assert "foretrace model convert" in before
    assert f"meta--cwm  2.0 KiB  {checkpoints_folder() / 'meta--cwm'}" in before
    assert "meta/cwm:checkpoint  2.0 KiB" in after


def test_info_tells_what_nano_is():
    text = run("info")
    for fact in (
        "granite_swa: CWM, exact",
        "115,640,640",
        "30: 8 see everything, 22 the last 2,048 tokens",
        "9 of 64, 3 for keys and values",
        "8,192 pieces, byte-level BPE",
        "Q4_0, 4.67 bits per weight; tensors: 211 Q4_0, 91 F32, 1 Q8_0",
        "found by name: begin 8182",
        "apache-2.0",
        "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    ):
        assert fact in text


def test_info_tells_of_a_cwm_that_others_converted_as_llama(tmp_path):
    path = tmp_path / "theirs.gguf"
    write_llama(path, specials="reserved")
    text = run("info", path)
    assert "llama: CWM as plain llama, exact for the first 8,192 tokens only" in text
    assert "trained for 131,072 tokens, to be used for 8,192 only" in text
    assert "found by CWM's ids" in text and "frame 128100" in text
    document = json.loads(run("info", path, "--json"))
    assert document["kind"] == "plain_llama" and document["context"] == 8192 and not document["specials_by_name"]
    assert document["specials"]["<|begin_of_text|>"] == 128000
    assert document["specials"]["<|frame_sep|>"] == IDS_IN_CWM[Special.FRAME]


def test_info_tells_why_another_network_is_no_cwm(tmp_path):
    path = tmp_path / "other.gguf"
    path.write_bytes(file_of([entry("general.architecture", "qwen2")], [tensor("a", (4,))], bytes(16)))
    text = run("info", path)
    assert "qwen2: not a CWM" in text and "Its architecture is qwen2." in text
    assert json.loads(run("info", path, "--json"))["specials"] == {}


def test_a_build_tells_its_source_licence_format_and_importance_matrix(tmp_path):
    path = tmp_path / "made.gguf"
    entries = {
        "general.architecture": "granite_swa",
        "general.license": "other",
        "general.license.name": "fair-noncommercial-research-license",
        "general.source.repo_url": "https://huggingface.co/facebook/cwm",
        "general.base_model.count": 1,
        "general.base_model.0.name": "Cwm Pretrain",
        "foretrace.format_version": 1,
        "quantize.imatrix.dataset": "traces",
        "quantize.imatrix.entries_count": 448,
        "split.count": 2,
    }
    path.write_bytes(file_of([entry(key, value) for key, value in entries.items()], [], b""))
    document = json.loads(run("info", path, "--json"))
    assert document["licence"] == "fair-noncommercial-research-license"
    assert document["sources"] == ["https://huggingface.co/facebook/cwm", "Cwm Pretrain"]
    assert (document["format_version"], document["parts"]) == (1, 2)
    assert document["importance_matrix"] == {"dataset": "traces", "entries_count": 448}
    text = run("info", path)
    assert "entries count 448" in text and "one of 2 parts" in text


def test_info_of_what_is_no_model_is_a_sentence(tmp_path):
    path = tmp_path / "notes.gguf"
    path.write_bytes(b"notes")
    result = CliRunner().invoke(app, ["model", "info", str(path)])
    assert result.exit_code == 3 and "is not a GGUF file" in result.output


def test_cwms_vocabulary_is_described_in_less_than_a_second(tmp_path):
    path = tmp_path / "large.gguf"
    writer = gguf.GGUFWriter(path, "granite_swa")
    pieces = [f"piece {index}" for index in range(128256)]
    for special, token in {**IDS_IN_CWM, Special.BEGIN: 128000, Special.END: 128001}.items():
        pieces[token] = special.value
    writer.add_token_list(pieces)
    writer.add_token_types([1] * len(pieces))
    writer.add_token_merges([f"a{index} b{index}" for index in range(280_147)])
    writer.add_tensor("output_norm.weight", np.ones(32, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    start = time.process_time()
    found = describe(path)
    assert time.process_time() - start < 1
    assert found.specials[Special.CONTEXT] == 128107 and found.specials_by_name


@pytest.mark.parametrize(
    ("hidden", "feed_forward", "layers", "kind", "label"),
    [(6144, 21504, 64, "granite_swa", "32B"), (4096, 14336, 32, "llama", "8.0B")],
)
def test_large_models_have_the_size_that_people_call_them_by(hidden, feed_forward, layers, kind, label):
    heads = hidden // 128
    shape = replace(
        CWM_32B,
        hidden=hidden,
        feed_forward=feed_forward,
        layers=layers,
        heads=heads,
        windowed=windowed_layers(layers) if kind == "granite_swa" else (False,) * layers,
    )
    tensors = tuple(TensorInfo(name, sizes, "Q4_K", 0, 0) for name, sizes in shape.tensors().items())
    file = GgufFile(Path("model.gguf"), 3, {"general.architecture": kind, "general.file_type": 15}, tensors, 0)
    assert Description(file, Kind.EXACT, shape, {}, True, "").summary == f"CWM {label}, Q4_K_M"


def test_a_near_miss_is_told_what_there_is(models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_llama(models / "cwm-Q4_K_M.gguf")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for wanted, sentence in {
        "cwm-q4_k_m": "did you mean cwm-Q4_K_M? There is nano, cwm-Q4_K_M,",
        "cwm-Q4_KM": "did you mean cwm-Q4_K_M?",
        "whatever": "There is no model called whatever; there is nano, cwm-Q4_K_M,",
        "facebook/cwm": "foretrace model pull facebook/cwm",
        "checkpoint": "foretrace model convert checkpoint OUT.gguf",
        "./empty": "is a folder",
    }.items():
        with pytest.raises(ModelError) as caught:
            find_model(wanted)
        assert sentence in str(caught.value)
    assert find_model("cwm-Q4_K_M.gguf").path == models / "cwm-Q4_K_M.gguf", "a file's name says which is meant"
    (tmp_path / "cwm-Q4_K_M").mkdir()
    assert find_model("cwm-Q4_K_M").path == models / "cwm-Q4_K_M.gguf", "a folder does not hide a model's name"
