"""Sizes in words."""

from __future__ import annotations


def spelled_size(size: int) -> str:
    """Bytes in words, as in `18.5 GiB`."""
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f} {unit}" if unit != "bytes" else f"{size} bytes"
