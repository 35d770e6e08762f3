"""Text as the protocol counts it: lines end at LF, CR LF and CR alone, and columns are code units of an encoding.

Inside the project a position is a line from 0 and an index into its string.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

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


def end_of_line(codec: PositionCodec, line: str) -> int:
    """The column behind a line's last character, in the client's units."""
    return codec.client_num_units(line.rstrip("\r\n"))
