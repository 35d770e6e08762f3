from __future__ import annotations

import itertools
import re

from debugger.trace import Event
from nano.branches import decided
from nano.corpus import Document
from nano.programs import programs, training_segments
from nano.tokenizer import SegmentTokenizer, Vocabulary, build_tokenizer


def test_each_step_behind_a_condition_is_found(small_vocabulary: Vocabulary):
    plain = build_tokenizer(small_vocabulary)
    tokenizer = SegmentTokenizer(plain)
    count = 0
    for program, trace in itertools.islice(programs(0, False), 150):
        prompt, frames = map(tokenizer.segments, training_segments(program.source, program.call, trace))
        document = Document(program.kind, prompt + frames, len(prompt))
        lines = ["", *program.source.splitlines()]
        expected: list[str] = []
        for frame, after in itertools.pairwise(trace.frames):
            if frame.event is Event.LINE and re.match(r"(if|elif|while)[ (]", lines[frame.line].strip()):
                expected.append(lines[after.line])
        found = [
            plain.decode([frames[place] for place in places[1:]])
            for places in decided(document, plain, tokenizer.specials)
        ]
        assert [line.removesuffix("\n") for line in found] == expected
        count += len(found)
    assert count > 100
