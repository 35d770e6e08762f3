from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from gguf import GGUFReader

from debugger.actual.record import record_in_process
from nano.evaluate import SHIPPED, Case, Summary, evaluate, generated, same, target_of, to_json
from nano.programs import programs
from nano.tokenizer import SegmentTokenizer, Vocabulary, build_tokenizer
from quant.runtime import Runtime
from quant.specials import Special

FLOOR = 0.55
"""Of next frames, forced; measured well above (nano/CARD.md)."""


@pytest.fixture(scope="module")
def runtime():
    with Runtime.open(SHIPPED, context=2048, threads=1) as opened:
        yield opened


def test_the_shipped_model_is_small_and_says_what_it_is():
    assert SHIPPED.stat().st_size <= 80_000_000
    fields = GGUFReader(str(SHIPPED)).fields
    assert fields["general.architecture"].contents() == "granite_swa"
    assert fields["general.name"].contents() == "foretrace nano"
    assert fields["general.license"].contents() == "apache-2.0"
    assert fields["general.base_model.0.name"].contents() == "SmolLM2-135M-Instruct"
    assert fields["granite_swa.context_length"].contents() == 8192


def test_the_shipped_model_has_nanos_tokenizer(runtime: Runtime, vocabulary: Vocabulary):
    ours = SegmentTokenizer(build_tokenizer(vocabulary))
    assert runtime.vocabulary.size == len(vocabulary.pieces)
    for special in Special:
        assert runtime.vocabulary.id_of_piece(special.value) == ours.specials[special]
    for program, _ in itertools.islice(programs(9, held_out=False), 50):
        assert runtime.vocabulary.tokenize(program.source) == ours.text(program.source)


def test_the_shipped_model_traces_held_out_programs(runtime: Runtime):
    short = (case for case in generated(60) if len(case.actual.frames) <= 14)
    measured = evaluate(runtime, itertools.islice(short, 15))
    whole = Summary.of(measured)
    assert whole.traces == 15 and whole.frames > 60
    assert whole.next_frame_exact >= FLOOR
    assert 0 < whole.whole_trace_exact <= whole.final_value_exact
    assert whole.first_divergence >= 1
    found = to_json(measured, 1.0)
    assert sum(each["count"] for each in found["values"].values()) > 50
    assert found["values"]["int"]["right"] > 0.5
    assert 0 < found["calibration_error"] < 0.3


def test_any_call_has_its_target(tmp_path: Path):
    source = "class A:\n    def __init__(self, n):\n        self.n = n\n\n    def f(self):\n        return self.n\n"
    case = Case("classes", source, "A(3).f()", record_in_process(source, "A(3).f()", 20))
    assert target_of(case, tmp_path).qualname == "A.__init__"


def test_a_wrong_value_is_not_exact():
    case = next(iter(generated(1)))
    frame = case.actual.frames[-1]
    assert same(frame, frame)
    changed = type(frame)(frame.event, frame.line, frame.source, frame.locals, f"{frame.value}0")
    assert not same(changed, frame)


def test_a_run_that_never_happened_is_not_found_exact(runtime: Runtime):
    short = (case for case in generated(60) if len(case.actual.frames) <= 8)
    changed: list[Case] = []
    for case in itertools.islice(short, 4):
        last = case.actual.frames[-1]
        other = replace(last, value=f"{last.value} and more")
        changed.append(replace(case, actual=replace(case.actual, frames=(*case.actual.frames[:-1], other))))
    whole = Summary.of(evaluate(runtime, changed))
    assert whole.traces == 4 and whole.whole_trace_exact == 0
