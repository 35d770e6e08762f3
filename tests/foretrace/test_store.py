"""Predictions that are kept: taken again only where everything they depend on is the same."""

from __future__ import annotations

import dataclasses
import multiprocessing
from pathlib import Path

import pytest

from debugger.target import find_targets
from debugger.trace import Ending, Event, Frame, Outcome, Trace
from foretrace.store import Store, input_of
from quant.identity import identity

TRACE = Trace(
    (
        Frame(Event.CALL, 1, "def f(n):\n", {"n": "'é\\n'"}, function="f"),
        Frame(Event.RETURN, 2, "    return n\n", value="3", function="f", depth=0, confidence={"<value>": 0.123456789}),
    ),
    Outcome(Ending.RETURNED, "3"),
)


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("def f(n):\n    return n\n", encoding="utf-8")
    return find_targets(f"{path}::f")[0]


@pytest.fixture
def gguf(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    return path


def asked(target, gguf, **changes):
    options = {"mode": "predict", "max_frames": 10, "constrained": True, "actual": None}
    return input_of(
        {**identity(gguf), "loaded": "f16"}, 1000, target, changes.pop("call", "f(3)"), **{**options, **changes}
    )


def test_what_is_kept_comes_back_whole(tmp_path, target, gguf):
    with Store(tmp_path / "store") as store:
        assert store.get(asked(target, gguf)) is None
        store.put(asked(target, gguf), TRACE, [{"n": 0.5}, {}])
    with Store(tmp_path / "store") as store:
        predicted, surprise = store.get(asked(target, gguf))
    assert predicted == TRACE
    assert [frame.confidence for frame in predicted.frames] == [frame.confidence for frame in TRACE.frames]
    assert surprise == ({"n": 0.5}, {})


def test_a_change_of_anything_misses(tmp_path, target, gguf):
    with Store(tmp_path / "store") as store:
        store.put(asked(target, gguf), TRACE, [])
        for changes in (
            {"call": "f(4)"},
            {"mode": "free"},
            {"max_frames": 11},
            {"constrained": False},
            {"actual": TRACE},
        ):
            assert store.get(asked(target, gguf, **changes)) is None
        edited = target.file.path
        edited.write_text("def f(n):\n    return n + 1\n", encoding="utf-8")
        assert store.get(asked(find_targets(f"{edited}::f")[0], gguf)) is None
        gguf.write_bytes(b"GGUF" + bytes(99) + b"x")
        assert store.get(asked(target, gguf)) is None


def test_an_entry_of_another_input_under_the_same_key_is_no_hit(tmp_path, target, gguf, monkeypatch):
    monkeypatch.setattr("foretrace.store._key", lambda asked: "one")
    with Store(tmp_path / "store") as store:
        store.put(asked(target, gguf), TRACE, [])
        assert store.get(asked(target, gguf)) is not None
        assert store.get(asked(target, gguf, call="f(4)")) is None


def test_a_cancelled_prediction_is_not_kept(tmp_path, target, gguf):
    with Store(tmp_path / "store") as store:
        store.put(asked(target, gguf), dataclasses.replace(TRACE, outcome=Outcome(Ending.CANCELLED)), [])
        assert store.get(asked(target, gguf)) is None


def test_a_folder_that_is_none_or_damaged_keeps_nothing_and_says_nothing(tmp_path, target, gguf):
    (tmp_path / "file").write_text("not a folder")
    with Store(tmp_path / "file") as store:
        store.put(asked(target, gguf), TRACE, [])
        assert store.get(asked(target, gguf)) is None
    with Store(tmp_path / "store") as store:
        store.put(asked(target, gguf), TRACE, [])
    for path in (tmp_path / "store").iterdir():
        path.write_bytes(b"damaged")
    with Store(tmp_path / "store") as store:
        assert store.get(asked(target, gguf)) is None


def _fill(folder: Path, asked: dict, number: int) -> None:
    with Store(folder) as store:
        for index in range(20):
            store.put({**asked, "call": f"f({number}, {index})"}, TRACE, [])


def test_several_processes_share_it(tmp_path, target, gguf):
    folder = tmp_path / "store"
    processes = [
        multiprocessing.get_context("spawn").Process(target=_fill, args=(folder, asked(target, gguf), number))
        for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    with Store(folder) as store:
        for number in range(3):
            for index in range(20):
                assert store.get({**asked(target, gguf), "call": f"f({number}, {index})"}) is not None


def test_an_edited_file_and_another_limit_find_what_was_predicted_before(tmp_path, target, gguf):
    path = target.file.path
    edited = dataclasses.replace(target, file=dataclasses.replace(target.file, text="def f(n):\n    return -n\n"))
    with Store(tmp_path / "store") as store:
        before, after = asked(target, gguf), asked(edited, gguf)
        assert store.latest(after, path) is None
        store.put(before, TRACE, [])
        store.note_latest(before, path)
        assert store.get(after) is None
        assert store.latest(after, path) == (target.file.text, TRACE)
        assert store.latest(asked(target, gguf, max_frames=11), path) == (target.file.text, TRACE)
        assert store.latest(asked(edited, gguf, call="f(4)"), path) is None
        assert store.latest(after, tmp_path / "other.py") is None
