"""`foretrace model plan`: options, what is printed, and what is said where nothing fits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.memory import write_empty_gguf
from foretrace.cli import app
from foretrace.model import plan as module
from foretrace.model.plan import parse_bandwidth, parse_size, plan_model
from foretrace.session import UsageError
from quant.device import Device, Devices
from quant.plan import GIB, build_of_shape
from quant.shape import CWM_32B

HOST = Device("the CPU", "cpu", 32 * GIB, 30 * GIB, 50e9)
RTX = Device("NVIDIA GeForce RTX 4090", "cuda", 24 * GIB, 23 * GIB, 1008e9)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine without a GPU, or as a test wants it."""

    def install(devices):
        monkeypatch.setattr(module, "find_devices", lambda *, measure: devices)

    install(Devices((), (), HOST))
    return install


def plan(*options):
    return CliRunner().invoke(app, ["model", "plan", *options])


def plan_json(*options):
    result = plan(*options, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * 2**30),
        ("24GB", 24 * 10**9),
        ("24G", 24 * 2**30),
        ("24564MiB", 24564 * 2**20),
        ("1.5 TiB", 3 * 2**39),
        ("0.1GB", 10**8),
        ("8gb", 8 * 10**9),
    ],
)
def test_sizes_are_exact(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("24", "--vram 24 has no unit; write --vram 24GiB"), ("much", "--vram much is no size"), ("0GiB", "is nothing")],
)
def test_a_size_that_says_nothing_is_refused(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_size(text)
    result = plan("--vram", text)
    assert result.exit_code == 2 and sentence in result.stderr


def test_a_bandwidth_has_its_unit():
    assert parse_bandwidth("1008GB/s") == 1008e9
    assert parse_bandwidth("1.8 TB/s") == 1.8e12
    for text in ("1008", "1008GB", "GB/s"):
        with pytest.raises(UsageError, match="--bandwidth"):
            parse_bandwidth(text)


def test_the_32b_on_24_gib_is_planned_with_builds_parts_and_commands():
    document = plan_json("--vram", "24GiB", "--bandwidth", "1008GB/s")
    best = document["recommended"]
    assert (best["build"], best["context"], best["kv_type"], best["whole"]) == ("Q4_K_M", 32_768, "f16", True)
    assert 21 * GIB < best["memory"]["device"]["total"] < document["device"]["room"] < 24 * GIB
    assert 40 < best["tokens_per_s"]["full"] < best["tokens_per_s"]["empty"] < 60
    assert document["contexts"] == [8192, 32_768, 131_072]
    sizes = [build["size"] for build in document["builds"]]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == 8
    assert document["model"]["full_layers"] == 16
    assert [command.split()[:3][-1] for command in document["commands"]] == ["pull", "convert", "quantize", "TARGET"]
    assert "--type Q4_K_M" in document["commands"][2]


def test_the_text_fits_its_width_and_says_what_is_assumed():
    result = plan("--vram", "24GiB", "--bandwidth", "1008GB/s")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 110
    text = " ".join(result.stdout.split())
    assert "Recommended: Q4_K_M, a context of 32,768 tokens, keys and values in f16, all layers on the GPU." in text
    assert "are an assumption" in text and "upper limits" in text
    assert "take 3.6 GiB, since 48 of 64 layers keep only their window" in text and "would take 8.0 GiB" in text


def test_without_a_bandwidth_no_speed_is_made_up():
    document = plan_json("--vram", "24GiB")
    assert document["recommended"]["tokens_per_s"] is None
    assert any("--bandwidth" in note for note in document["notes"])
    assert "tokens/s" not in plan("--vram", "24GiB").stdout


def test_the_gpu_that_is_here_is_planned_for(machine):
    machine(Devices((RTX,), (), HOST))
    document = plan_json()
    assert document["device"]["name"] == RTX.name and not document["device"]["given"]
    assert document["recommended"]["whole"]


def test_a_gpu_that_llama_cpp_cannot_use_is_planned_for_with_the_remedy(machine):
    machine(Devices((), (RTX,), HOST, "It is here, but llama.cpp was built without CUDA."))
    document = plan_json()
    assert document["device"]["name"] == RTX.name
    assert "It is here, but llama.cpp was built without CUDA." in document["notes"]


def test_without_a_gpu_the_plan_is_for_the_cpu_and_says_so():
    document = plan_json("nano")
    assert document["device"] is None
    best = document["recommended"]
    assert (best["build"], best["context"], best["layers_on_gpu"]) == ("Q4_0", 8192, 0)
    assert any("There is no GPU here" in note for note in document["notes"])
    assert document["commands"] == ["foretrace diff TARGET --model nano"]


def test_a_context_that_is_asked_for_is_the_only_one():
    document = plan_json("--vram", "24GiB", "--context", "131072")
    assert document["contexts"] == [131_072]
    assert (document["recommended"]["build"], document["recommended"]["kv_type"]) == ("IQ4_XS", "q8_0")
    result = plan("--vram", "24GiB", "--context", "131073")
    assert result.exit_code == 2 and "at most 131,072 tokens" in result.stderr


def test_too_little_memory_is_one_sentence_with_what_is_needed(machine):
    machine(Devices((), (), replace(HOST, memory_total=8 * GIB)))
    result = plan("--vram", "4GiB")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1 and result.stdout == ""
    assert "CWM 32B needs at least 16." in result.stderr and "6.0 GiB of RAM" in result.stderr


def test_a_float_gguf_is_planned_with_the_builds_that_can_be_made_of_it(tmp_path):
    path = tmp_path / "cwm BF16.gguf"
    write_empty_gguf(path, build_of_shape(CWM_32B, "BF16"))
    document = plan_json(str(path), "--vram", "24GiB")
    assert [build["build"] for build in document["builds"]][:2] == ["BF16", "Q8_0"]
    assert document["commands"][0] == (f"foretrace model quantize '{path}' 'cwm BF16-Q4_K_M.gguf' --type Q4_K_M")


def test_a_plain_llama_is_planned_for_what_it_is_right_for(tmp_path):
    path = tmp_path / "plain.gguf"
    shape = replace(CWM_32B, layers=4, window=0, windowed=(False,) * 4)
    write_empty_gguf(path, build_of_shape(shape, "Q4_0"), "llama")
    document = plan_json(str(path))
    assert document["contexts"] == [8192]
    assert any("without CWM's windows" in note for note in document["notes"])


def test_a_model_that_is_none_is_said(tmp_path):
    (tmp_path / "text.gguf").write_text("nothing")
    for model in ("missing.gguf", "nosuchname", str(tmp_path / "text.gguf"), str(tmp_path)):
        result = plan(model)
        assert result.exit_code == 3
        assert len(result.stderr.splitlines()) == 1 and result.stdout == ""


def test_a_bandwidth_without_a_gpu_is_refused(machine):
    machine(Devices((), (), HOST))
    with pytest.raises(UsageError, match="give its memory too: --vram"):
        plan_model("nano", None, "1008GB/s", None, True)
