"""Measuring without the data that is not in the repository."""

from __future__ import annotations

import sys

import pytest

import bench.predict.__main__
import nano.evaluate


@pytest.mark.parametrize(
    ("main", "words", "missing"),
    [
        (nano.evaluate.main, ["--set", "mbpp", "--programs", "1"], "mbpp_calls.jsonl"),
        (nano.evaluate.main, ["--set", "humaneval", "--programs", "1"], "humaneval_calls.jsonl"),
        (bench.predict.__main__.main, ["--quick"], "mbpp_calls.jsonl"),
    ],
)
def test_missing_data_is_said_before_a_model_is_loaded(main, words, missing, tmp_path, monkeypatch, capsys):
    places = tmp_path / "shared", tmp_path / "work"
    monkeypatch.setattr("nano.real.FOLDERS", places)
    monkeypatch.setattr("quant.runtime.Runtime.open", lambda *_, **__: pytest.fail("a model was loaded"))
    monkeypatch.setattr(sys, "argv", ["measure", *words])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert left.value.code == 2 and said.out == ""
    [sentence] = said.err.splitlines()
    assert sentence.startswith(f"{missing} is missing")
    assert all(str(place) in sentence for place in places)
