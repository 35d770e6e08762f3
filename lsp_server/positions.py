"""Text as the protocol counts it: lines end at LF, CR LF and CR alone, and columns are code units of an encoding.

Inside the project a position is a line from 0 and an index into its string.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from lsprotocol import types
from pygls.workspace import PositionCodec, TextDocument


def split_lines(text: str) -> list[str]:
    """Lines with their ends; unlike `str.splitlines` it does not split at form feeds and Unicode's separators."""
    return list(io.StringIO(text, newline=""))


class Text(TextDocument):
    """A document whose lines are the protocol's. pygls takes every character that Python's `splitlines` does."""

    _split: tuple[str | None, tuple[str, ...]] = (None, ())

    @property
    def lines(self) -> Sequence[str]:
        """Lines with their ends, split once for each version of the text."""
        source, lines = self._split
        if source is not self.source:
            lines = tuple(split_lines(self.source))
            self._split = (self.source, lines)
        return lines

    def _apply_incremental_change(self, change: types.TextDocumentContentChangePartial) -> None:
        """Replace the lines of a range. What an editor types costs as little as it can, whatever the text's length."""
        lines = list(self.lines)
        start, end = change.range.start, change.range.end
        if (end.line, end.character) < (start.line, start.character):
            end = start
        first, last = min(start.line, len(lines)), min(end.line, len(lines))
        before = lines[first][: self._index(lines[first], start.character)] if first < len(lines) else ""
        after = lines[last][self._index(lines[last], end.character) :] if last < len(lines) else ""
        text = before + change.text + after
        if first and text.startswith("\n") and lines[first - 1].endswith("\r"):
            first -= 1  # together they are one end of a line
            text = lines[first] + text
        if first and not lines[first - 1].endswith(("\n", "\r")):
            first -= 1  # behind a last line that has no end
            text = lines[first] + text
        lines[first : last + 1] = split_lines(text)
        self._source = "".join(lines)
        self._split = (self._source, tuple(lines))

    def _index(self, line: str, units: int) -> int:
        """The place in a line of a column in the client's units; beyond its text it is that text's end."""
        return index_in(self.position_codec, line, units)

    @classmethod
    def of(cls, document: TextDocument) -> Text:
        """The same document, with the right lines."""
        return cls(
            document.uri,
            document.source,
            document.version,
            document.language_id,
            position_codec=document.position_codec,
        )


def index_in(codec: PositionCodec, line: str, units: int) -> int:
    """The index in a line of a column in the client's units, at most that of the line's end."""
    text = line.rstrip("\r\n")
    if text.isascii():
        return min(units, len(text))
    used = 0
    for index, char in enumerate(text):
        if used >= units:
            return index
        used += codec.client_num_units(char)
    return len(text)


def end_of_line(codec: PositionCodec, line: str) -> int:
    """The column behind a line's last character, in the client's units."""
    return codec.client_num_units(line.rstrip("\r\n"))
