"""Files appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from foretrace.model.files import bytes_bar, new_file
from foretrace.session import UsageError
from quant.errors import ModelError
from quant.sizes import spelled_size


def test_a_file_appears_when_its_block_ends_well_and_only_then(tmp_path):
    out = tmp_path / "out.gguf"
    with new_file(out, force=False) as part:
        part.write_bytes(b"whole")
        assert not out.exists()
    assert out.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("error", [ModelError("no"), KeyboardInterrupt(), SystemExit(143)])
def test_nothing_is_left_of_a_block_that_failed(tmp_path, error):
    with pytest.raises(type(error)), new_file(tmp_path / "out.gguf", force=False) as part:
        part.write_bytes(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path):
    out = tmp_path / "out.gguf"
    out.write_bytes(b"old")
    with pytest.raises(UsageError, match="replace it with --force"), new_file(out, force=False):
        pass
    with pytest.raises(ModelError, match="no"), new_file(out, force=True):
        raise ModelError("no")
    assert out.read_bytes() == b"old"
    with new_file(out, force=True) as part:
        part.write_bytes(b"changed")
    assert out.read_bytes() == b"changed"


def test_where_no_file_can_be_is_said(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"), new_file(tmp_path / "none" / "out.gguf", force=False):
        pass
    with pytest.raises(UsageError, match="is a folder"), new_file(tmp_path, force=False):
        pass
    with pytest.raises(ModelError, match="No space left"), new_file(tmp_path / "a", force=False):
        raise OSError(28, "No space left on device")


def test_a_bar_draws_nothing_where_nobody_looks(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bytes_bar("pulling") as on_bytes:
        on_bytes(10, 100)
        on_bytes(100, 100)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (19_851_336_576, "18.5 GiB"), (2**52, "4096.0 TiB")],
)
def test_sizes_are_spelled_for_people(size, words):
    assert spelled_size(size) == words


def test_what_is_no_ordinary_file_is_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is no ordinary file"), new_file(pipe, force=True):
        pass
    assert pipe.is_fifo()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists"), new_file(tmp_path / "link", force=False):
        pass
