from __future__ import annotations

from functools import partial
from typing import cast

import numpy as np
import pytest

from debugger.predicted.evaluation import Evaluation, drive_many
from debugger.predicted.predict import predict, predict_many
from debugger.target import TargetError, find_targets
from debugger.trace import Event
from foretrace.models import bundled_path
from quant.errors import ModelError
from quant.model import Part
from quant.runtime import CHUNK_TOKENS, VERIFY_TOKENS, Runtime


class Counting:
    """Says, as a row's likeliest token, how many tokens its sequence holds; keeps what each call was asked."""

    def __init__(self, sequences: int, fails_at: int = -1) -> None:
        self.sequences = sequences
        self.calls: list[list[Part]] = []
        self._held = [0] * sequences
        self._fails_at = fails_at

    def evaluate(self, parts: list[Part]) -> list[np.ndarray]:
        if len(self.calls) == self._fails_at:
            raise ModelError("no more")
        self.calls.append(parts)
        found = []
        for part in parts:
            self._held[part.sequence] += len(part.tokens)
            rows = np.zeros((part.rows, 100), dtype=np.float32)
            rows[:, self._held[part.sequence]] = 1
            found.append(rows)
        return found


def reads(tokens: int, times: int, sequence: int, rows: int = 1) -> Evaluation[list[int]]:
    """Ask for so many tokens, so many times, and return what the rows said."""
    said: list[int] = []
    for _ in range(times):
        row = (yield Part([0] * tokens, rows, sequence))[0]
        said.append(row.likeliest(range(100)))
    return said


def done(model: Counting, *works: partial[Evaluation[list[int]]]) -> dict[int, list[int]]:
    return dict(drive_many(works, cast("Runtime", model)))


def test_each_work_gets_its_own_rows_in_calls_that_all_share():
    model = Counting(3)
    assert done(model, partial(reads, 1, 3), partial(reads, 2, 3), partial(reads, 5, 1)) == {
        0: [1, 2, 3], 1: [2, 4, 6], 2: [5],
    }  # fmt: skip
    assert [len(parts) for parts in model.calls] == [3, 2, 2]


def test_what_waits_starts_where_a_sequence_is_free():
    model = Counting(2)
    found = done(model, partial(reads, 1, 1), partial(reads, 1, 4), partial(reads, 1, 2), partial(reads, 1, 0))
    assert found == {0: [1], 1: [1, 2, 3, 4], 2: [2, 3], 3: []}
    assert [sorted(part.sequence for part in parts) for parts in model.calls] == [[0, 1], [0, 1], [0, 1], [1]]


@pytest.mark.parametrize(("tokens", "rows"), [(CHUNK_TOKENS // 2 + 1, 1), (VERIFY_TOKENS, VERIFY_TOKENS)])
def test_what_no_longer_fits_into_a_call_waits_for_the_next(tokens, rows):
    model = Counting(2)
    model.evaluate = lambda parts: (model.calls.append(parts), [np.zeros((each.rows, 100)) for each in parts])[1]
    assert set(done(model, partial(reads, tokens, 2, rows=rows), partial(reads, tokens, 2, rows=rows))) == {0, 1}
    assert [[part.sequence for part in parts] for parts in model.calls] == [[0], [1], [0], [1]]


def test_an_error_of_the_model_reaches_who_asked():
    with pytest.raises(ModelError, match="no more"):
        done(Counting(2, fails_at=1), partial(reads, 1, 3), partial(reads, 1, 3))


def test_predictions_that_share_calls_are_those_made_alone_but_for_close_calls(tmp_path):
    path = tmp_path / "shared.py"
    path.write_text("def double(n):\n    m = n * 2\n    return m\n\n\ndef first(word):\n    return word[0]\n")
    calls = [(find_targets(f"{path}::{call.split('(')[0]}")[0], call) for call in ("double(4)", "first('abc')")]
    with Runtime.open(bundled_path(), context=1024) as runtime:
        alone = [predict(runtime, target, call, max_frames=8) for target, call in calls]
    with Runtime.open(bundled_path(), context=1024, sequences=2) as runtime:
        together = dict(predict_many(runtime, [*calls, *calls], max_frames=8))
        shared = runtime.calls
    assert sorted(together) == [0, 1, 2, 3]
    for index, trace in together.items():
        assert not isinstance(trace, TargetError)
        # What the two say first is far from any close call.
        assert trace.frames[0] == alone[index % 2].frames[0]
        assert trace.frames[0].event is Event.CALL
        assert {**trace.frames[1].locals} == {**alone[index % 2].frames[1].locals}
    with Runtime.open(bundled_path(), context=1024) as runtime:
        for target, call in [*calls, *calls]:
            predict(runtime, target, call, max_frames=8)
        assert shared < runtime.calls
