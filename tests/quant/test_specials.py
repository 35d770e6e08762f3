"""CWM's special tokens in vocabularies that spell them, hide them, or lack them."""

from __future__ import annotations

import pytest

from quant.errors import ModelError
from quant.specials import IDS_IN_CWM, Special, special_ids


class Vocabulary:
    def __init__(self, pieces: dict[int, str]) -> None:
        self._pieces = pieces

    def spelling(self, token: int) -> str:
        return self._pieces.get(token, "")

    def id_of_piece(self, piece: str) -> int | None:
        return next((token for token, spelled in self._pieces.items() if spelled == piece), None)


NAMED = {100 + index: special.value for index, special in enumerate(Special)}
ENDS = {128000: Special.BEGIN.value, 128001: Special.END.value}
RESERVED = {**ENDS, **{token: f"<|reserved_special_token_{token}|>" for token in IDS_IN_CWM.values()}}


def test_they_are_found_by_name_wherever_they_are():
    assert special_ids(Vocabulary(NAMED), "model") == {special: 100 + index for index, special in enumerate(Special)}


def test_reserved_entries_at_cwms_ids_are_them():
    ids = special_ids(Vocabulary(RESERVED), "model")
    assert ids == {**IDS_IN_CWM, Special.BEGIN: 128000, Special.END: 128001}


def test_a_name_counts_more_than_an_id():
    assert special_ids(Vocabulary({**RESERVED, 7: "<|frame_sep|>"}), "model")[Special.FRAME] == 7


@pytest.mark.parametrize("missing", Special)
def test_without_one_of_them_a_model_cannot_trace(missing):
    pieces = {token: piece for token, piece in NAMED.items() if piece != missing.value}
    with pytest.raises(ModelError, match="does not have CWM's token") as caught:
        special_ids(Vocabulary(pieces), "model.gguf")
    assert "model.gguf" in str(caught.value) and missing.value in str(caught.value)


def test_another_entry_at_cwms_id_is_not_taken_for_it():
    with pytest.raises(ModelError, match="frame_sep"):
        special_ids(Vocabulary({**RESERVED, 128100: "ordinary"}), "model.gguf")
