"""Files of states: found by their tokens, checked, bounded, and nobody else's."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from quant import states
from quant.states import States

TOKENS = [5, 6, 7]


def only(kept):
    (found,) = kept
    return found


def sizes(folder):
    return sorted(path.stat().st_size for path in folder.iterdir())


def test_what_is_kept_comes_back_for_its_group_only(tmp_path):
    store = States(tmp_path / "new" / "states", "group")
    assert list(store.kept()) == []
    assert store.save(TOKENS, b"state\nof bytes")
    assert list(States(tmp_path / "new" / "states", "other").kept()) == []
    kept = only(store.kept())
    assert kept.tokens == TOKENS
    assert store.load(kept) == b"state\nof bytes"
    assert store.save(TOKENS, b"another")
    assert store.load(only(store.kept())) == b"another"
    assert store.load(kept) is None, "what was listed before is no longer what the file holds"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_folder_and_files_are_for_their_owner_only(tmp_path):
    store = States(tmp_path / "states", "group")
    before = os.umask(0)
    try:
        store.save(TOKENS, b"state")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "states").stat().st_mode) == 0o700
    assert stat.S_IMODE(only(store.kept()).path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-3] + b"xyz",
        lambda data: data.replace(b"[5, 6, 7]", b"[5, 6, 8]"),
        lambda data: data.replace(b"[5, 6, 7]", b'[5, 6, "7"]'),
        lambda data: data.replace(b"state 1 ", b"state 2 "),
        lambda data: data.partition(b"\n")[0],
        lambda data: b"",
        lambda data: b"something else",
        lambda data: b"foretrace state 1 [1]\n",
        lambda data: b"\xff" * 100,
    ],
)
def test_a_file_that_is_damaged_or_none_of_ours_is_never_loaded_and_deleted(tmp_path, damage):
    store = States(tmp_path, "group")
    store.save(TOKENS, b"the whole state")
    kept = only(store.kept())
    kept.path.write_bytes(damage(kept.path.read_bytes()))
    listed = list(store.kept())
    assert [store.load(each) for each in listed if each == kept] in ([], [None])
    assert store.load(kept) is None
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    store = States(tmp_path, "group")
    for index in range(3):
        store.save([index], bytes(1000))
        os.utime(next(each.path for each in store.kept() if each.tokens == [index]), (index, index))
    used = next(each for each in store.kept() if each.tokens == [0])
    assert store.load(used) == bytes(1000)
    bounded = States(tmp_path, "other", max_bytes=sum(sizes(tmp_path)))
    assert bounded.save([3], bytes(1000))
    assert sorted(each.tokens for each in store.kept()) == [[0], [2]]
    assert len(sizes(tmp_path)) == 3
    assert not bounded.save([4], bytes(10_000)), "larger than all there may be"
    assert sorted(each.tokens for each in store.kept()) == [[0], [2]]


def test_files_left_by_a_process_that_was_killed_count_and_go(tmp_path):
    (tmp_path / "tmpabc").write_bytes(bytes(5000))
    os.utime(tmp_path / "tmpabc", (1, 1))
    store = States(tmp_path, "group", max_bytes=5100)
    assert store.save(TOKENS, bytes(500))
    assert [path.suffix for path in tmp_path.iterdir()] == [".state"]


def test_a_full_disk_or_no_folder_keeps_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    blocked = States(tmp_path / "file", "group")
    assert not blocked.save(TOKENS, b"state")
    assert list(blocked.kept()) == []

    def full(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    store = States(tmp_path / "states", "group")
    assert not store.save(TOKENS, b"state")
    assert list((tmp_path / "states").iterdir()) == []


def test_tokens_whose_ids_do_not_fit_into_a_head_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "_LONGEST_HEAD", 100)
    assert not States(tmp_path, "group").save(TOKENS, b"state")
    assert list(tmp_path.iterdir()) == []
