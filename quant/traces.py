"""Execution traces to calibrate on and to measure with: JSON lines whose `text` is a trace in CWM's words.

    {"text": "<|begin_of_text|><|trace_context_start|>PROGRAM<|frame_sep|><|call_sep|>{}<|action_sep|>..", "given": 99}

What a model is asked for begins behind the first `given` characters; without `given`, behind the program.
`foretrace run TARGET --format cwm` writes such files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from quant.errors import ModelError
from quant.specials import Special

_SPELLED = re.compile("(" + "|".join(re.escape(special.value) for special in Special) + ")")
_START = Special.BEGIN.value + Special.CONTEXT.value
_HOW = "`foretrace run TARGET --format cwm` writes traces"


class TextTokens(Protocol):
    """What is asked of a vocabulary."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of plain text, specials disabled."""
        ...


@dataclass(frozen=True, slots=True)
class WrittenTrace:
    """A trace as a file has it."""

    text: str
    given: int
    """How many characters a model is given; what comes then is its to say."""


@dataclass(frozen=True, slots=True)
class Document:
    """A trace as token ids."""

    tokens: tuple[int, ...]
    given: int
    """How many tokens a model is given."""
    cut: bool = False
    """Whether the trace goes on, but the context does not."""


def read_traces(path: Path) -> list[WrittenTrace]:
    """The traces of a file. Raises ModelError, with the number of the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise ModelError(f"There is no trace file {path}; {_HOW}.") from None
    except OSError as error:
        raise ModelError(f"The trace file {path} cannot be read ({error.strerror}); name a file that can.") from error
    except UnicodeDecodeError:
        raise ModelError(f"The trace file {path} is not UTF-8 text; {_HOW}.") from None
    traces = [_read_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not traces:
        raise ModelError(f"The trace file {path} is empty; {_HOW}.")
    return traces


def _read_line(line: str, where: str) -> WrittenTrace:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise ModelError(f"{where} is not JSON; {_HOW}.") from None
    fields = cast("dict[str, object]", row if isinstance(row, dict) else {})
    text = fields.get("text")
    if not isinstance(text, str):
        raise ModelError(f'{where} is not a JSON object with a string "text"; {_HOW}.')
    program, separator, _ = text.partition(Special.FRAME.value)
    if not text.startswith(_START) or not separator:
        raise ModelError(
            f"{where} is not a trace in CWM's words, which begins with {_START} "
            f"and has {Special.FRAME.value} behind the program; {_HOW}."
        )
    shortest = len(program) + len(separator)
    given = fields.get("given", shortest)
    if not isinstance(given, int) or not shortest <= given < len(text) or not text[:given].endswith(separator):
        raise ModelError(
            f'{where}: "given" does not say where a frame of its trace ends; leave it out, or give the number of '
            f"characters up to the end of a {separator}."
        )
    return WrittenTrace(text, given)


def split_specials(text: str) -> list[Special | str]:
    """The special tokens that a text spells out, and the text between them."""
    parts = _SPELLED.split(text)
    return [Special(part) if index % 2 else part for index, part in enumerate(parts) if part]


def to_document(trace: WrittenTrace, vocabulary: TextTokens, ids: Mapping[Special, int], longest: int) -> Document:
    """A trace's tokens, the first `longest` of them; each piece of text between specials is tokenized on its own."""

    def tokens_of(text: str) -> list[int]:
        tokens: list[int] = []
        for part in split_specials(text):
            tokens += [ids[part]] if isinstance(part, Special) else vocabulary.tokenize(part)
        return tokens

    given = tokens_of(trace.text[: trace.given])
    tokens = given + tokens_of(trace.text[trace.given :])
    return Document(tuple(tokens[:longest]), len(given), len(tokens) > longest)


def usable_documents(
    traces: Sequence[WrittenTrace], vocabulary: TextTokens, ids: Mapping[Special, int], context: int
) -> list[Document]:
    """The traces' documents that have something for a model to say within the context. Raises ModelError for none."""
    documents = [to_document(trace, vocabulary, ids, context) for trace in traces]
    usable = [document for document in documents if len(document.tokens) > document.given]
    if not usable:
        raise ModelError(f"No program of the traces fits into the context of {context} tokens; give shorter ones.")
    return usable


def hold_out(traces: Sequence[WrittenTrace], every: int = 5) -> tuple[list[WrittenTrace], list[WrittenTrace]]:
    """The traces to calibrate on, and every fifth, which is kept for measuring: none of fewer than five."""
    held = [trace for index, trace in enumerate(traces) if index % every == every - 1]
    return [trace for index, trace in enumerate(traces) if index % every != every - 1], held
