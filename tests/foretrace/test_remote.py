"""The command with a model elsewhere, on a real llama-server."""

from __future__ import annotations

import json

import pytest

from foretrace.models import ModelFile, ServedModel, bundled_path, find_predictor
from quant.errors import ModelError
from tests.foretrace.test_cli import TOTAL, invoke
from tests.llama_server import llama_server

NOWHERE = "http://127.0.0.1:9"
"""The port of a service that throws everything away; nobody runs it."""


@pytest.fixture(scope="module")
def served():
    with llama_server(bundled_path()) as server:
        yield server.address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORETRACE_MODEL", raising=False)
    (tmp_path / "total.py").write_text(TOTAL)
    return tmp_path


def test_the_command_predicts_with_a_model_elsewhere(folder, served):
    results = []
    for model in (served + "/v1/", "nano"):
        result = invoke("diff", "total.py::total", "--model", model, "--max-frames", "4", "--format", "json")
        assert result.exit_code in (0, 1, 3), result.output
        results.append(json.loads(result.stdout))
    there, here = results
    assert there["model"]["path"] == served and there["model"]["name"] == "nano"
    assert there["model"]["description"].endswith("on a server elsewhere")

    def values(document):
        frames = document["results"][0]["predicted"]["frames"]
        return [(frame["event"], frame["line"], frame.get("locals"), frame.get("value")) for frame in frames]

    assert values(there) == values(here) and len(values(here)) == 4


def test_the_environment_may_name_it_and_the_doctor_finds_it(folder, served, monkeypatch):
    monkeypatch.setenv("FORETRACE_MODEL", served)
    result = invoke("doctor")
    assert f"nano (Q4_0, 0.12 B parameters) on the server at {served} predicted 2 steps" in result.output


def test_a_context_that_the_server_does_not_have_is_said(folder, served):
    result = invoke("predict", "total.py::total", "--model", served, "--max-frames", "2", "--context", "5000")
    assert "gives each request 4,096 tokens, so there is no context of 5,000; start llama-server with" in result.stderr


@pytest.mark.parametrize("command", ["predict", "diff", "doctor"])
def test_where_no_server_is_is_said(folder, command):
    result = invoke(command, *(["total.py"] if command != "doctor" else []), "--model", NOWHERE)
    assert result.exit_code == 3 and f"No server answers at {NOWHERE} (" in result.output


def test_commands_about_files_want_a_file(folder):
    result = invoke("model", "info", NOWHERE)
    assert result.exit_code == 3 and "is a model elsewhere, which only predicts; give a GGUF on this machine." in (
        result.output
    )


def test_addresses_paths_and_names_are_told_apart(monkeypatch):
    monkeypatch.setenv("FORETRACE_MODEL", "http://gpu.example:8080/v1")
    assert find_predictor() == ServedModel("gpu.example:8080", "http://gpu.example:8080")
    assert isinstance(find_predictor("nano"), ModelFile)
    monkeypatch.setenv("FORETRACE_MODEL", "http://")
    with pytest.raises(ModelError, match=r"is no address; .* That is what FORETRACE_MODEL asks for\."):
        find_predictor()
