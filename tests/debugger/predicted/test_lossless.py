"""On real functions and the real model: a prediction with drafts is, token for token, the one without."""

from __future__ import annotations

import os

from debugger.predicted.evaluation import drive
from debugger.predicted.predict import Predictor
from foretrace.models import bundled_path
from quant.runtime import Runtime, common_prefix
from tests.data import real_functions
from tests.debugger.predicted.test_predict import target_of

ALL = bool(os.environ.get("FORETRACE_TEST_ALL"))
FUNCTIONS, FRAMES, LONGEST = (300, 8, 160) if ALL else (6, 4, 80)
"""How many functions, steps of each, and tokens of a step: those without drafts take a call each."""
TIE = 1e-3
"""Logits that are as close as this may change places."""
TIES_ALLOWED = FUNCTIONS // 50


def written(runtime: Runtime, source: str, call: str, drafting: bool) -> list[int]:
    runtime.forget(0)
    predictor = Predictor(runtime, target_of(source, call), call, drafting=drafting)
    drive(predictor.run(FRAMES), runtime)
    return list(predictor.writer.tokens)


def test_drafts_change_no_token(tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("debugger.predicted.writer.MAX_FRAME_TOKENS", LONGEST)
    rows = real_functions()
    ties = tokens = 0
    with Runtime.open(bundled_path(), context=4096) as runtime:
        for row in rows[:: len(rows) // FUNCTIONS][:FUNCTIONS]:
            call = row["calls"][0]
            calls = runtime.calls
            drafted = written(runtime, row["source"], call, True)
            with_drafts = runtime.calls - calls
            plain = written(runtime, row["source"], call, False)
            assert with_drafts <= runtime.calls - calls - with_drafts
            place = common_prefix(drafted, plain)
            tokens += len(plain)
            if place < max(len(drafted), len(plain)):
                logits = runtime.prefill(plain[:place])
                assert abs(logits[drafted[place]] - logits[plain[place]]) < TIE, (row["id"], place)
                ties += 1
    record_property("tokens", tokens)
    record_property("ties", ties)
    assert ties <= TIES_ALLOWED
