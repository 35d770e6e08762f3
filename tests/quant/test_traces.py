from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant.errors import ModelError
from quant.specials import Special
from quant.traces import WrittenTrace, hold_out, read_traces, split_specials, to_document
from tests.traces import write_traces, written_trace

IDS = {special: 1000 + index for index, special in enumerate(Special)}
START = "<|begin_of_text|><|trace_context_start|>"


class Characters:
    """A vocabulary of characters that marks where it was asked anew."""

    def tokenize(self, text: str) -> list[int]:
        return [0, *map(ord, text)]


def test_specials_become_their_ids_and_text_between_them_is_tokenized_on_its_own():
    trace = WrittenTrace(f"{START}ab<|frame_sep|><|return_sep|>c<|frame_sep|>", len(f"{START}ab<|frame_sep|>"))
    document = to_document(trace, Characters(), IDS, 100)
    frame = IDS[Special.FRAME]
    assert document.tokens == (
        IDS[Special.BEGIN], IDS[Special.CONTEXT], 0, ord("a"), ord("b"), frame, IDS[Special.RETURN], 0, ord("c"), frame,
    )  # fmt: skip
    assert document.given == 6 and not document.cut


def test_a_trace_longer_than_the_context_is_cut_and_says_so():
    trace = written_trace(3)
    whole = to_document(trace, Characters(), IDS, 10_000)
    cut = to_document(trace, Characters(), IDS, whole.given + 5)
    assert cut.cut and cut.tokens == whole.tokens[: whole.given + 5] and cut.given == whole.given


def test_what_is_no_special_of_cwm_is_text():
    assert split_specials("a<|other|><|frame_sep|>b") == ["a<|other|>", Special.FRAME, "b"]


def test_a_file_is_read_as_it_was_written(tmp_path: Path):
    path = write_traces(tmp_path / "t.jsonl", 3)
    path.write_text("\ufeff" + path.read_text() + "\n")
    assert read_traces(path) == [written_trace(n) for n in range(3)]


def test_without_given_a_model_is_given_the_program(tmp_path: Path):
    text = f"{START}p<|frame_sep|><|call_sep|>{{}}<|action_sep|>x\n<|frame_sep|>"
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"text": text}))
    assert read_traces(path) == [WrittenTrace(text, len(f"{START}p<|frame_sep|>"))]


GOOD = json.dumps({"text": f"{START}p<|frame_sep|><|return_sep|>"})


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 100_000, "line 2 is not JSON"),
        ("[1]", 'line 2 is not a JSON object with a string "text"'),
        ('{"text": 3}', 'line 2 is not a JSON object with a string "text"'),
        ('{"text": "def f(): pass"}', "line 2 is not a trace in CWM's words"),
        (json.dumps({"text": START + "def f(): pass"}), "line 2 is not a trace in CWM's words"),
        (json.dumps({"text": f"{START}p<|frame_sep|><|return_sep|>", "given": 3}), 'line 2: "given" does not say'),
        (json.dumps({"text": f"{START}p<|frame_sep|><|return_sep|>", "given": "x"}), 'line 2: "given" does not say'),
        (json.dumps({"text": f"{START}p<|frame_sep|>"}), 'line 2: "given" does not say'),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, sentence: str):
    path = tmp_path / "t.jsonl"
    path.write_text(GOOD + "\n" + line)
    with pytest.raises(ModelError, match=r"t\.jsonl, ") as caught:
        read_traces(path)
    assert sentence in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "\xe9"}')
    for name, sentence in [("no.jsonl", "There is no"), ("empty.jsonl", "is empty"), ("latin.jsonl", "is not UTF-8"),
                           (".", "cannot be read")]:  # fmt: skip
        with pytest.raises(ModelError, match=sentence):
            read_traces(tmp_path / name)


def test_every_fifth_trace_is_held_out_and_none_of_four():
    traces = [WrittenTrace(str(index), 1) for index in range(11)]
    kept, held = hold_out(traces)
    assert held == [traces[4], traces[9]] and [trace for trace in traces if trace not in held] == kept
    assert hold_out(traces[:4]) == (traces[:4], [])
