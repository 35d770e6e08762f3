"""What llama.cpp logs while something is done; otherwise only its errors are kept (`quant.runtime`)."""

from __future__ import annotations

import ctypes
import re
from typing import Any

ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR of ggml.h


class CapturedLog:
    """Takes all of llama.cpp's log for the length of a block, instead of whoever had it before."""

    def __init__(self, library: Any) -> None:
        """For the library that `quant.runtime.load_library` gives."""
        self._library = library
        # ctypes keeps no reference of its own: without the attribute, llama.cpp would call freed memory.
        self._callback: Any = library.llama_log_callback(self._keep)
        self._before: Any = None
        self._data = ctypes.c_void_p()
        self._pieces: list[str] = []
        self._errors: list[str] = []

    def __enter__(self) -> CapturedLog:
        """Take the log over."""
        self._before = self._library.llama_log_callback()
        self._library.llama_log_get(ctypes.byref(self._before), ctypes.byref(self._data))
        self._library.llama_log_set(self._callback, ctypes.c_void_p())
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._library.llama_log_set(self._before, self._data)

    @property
    def text(self) -> str:
        """All that was logged."""
        return "".join(self._pieces)

    def complaint(self) -> str:
        """The first error, with a full stop and without the name of llama.cpp's function."""
        text = self._errors[0] if self._errors else "llama.cpp gives no reason"
        text = re.sub(r"^\w+: (failed to quantize: )?", "", text)
        return f"{text.rstrip('.')}."

    def _keep(self, level: int, text: bytes, _data: object) -> None:
        piece = text.decode(errors="replace")
        self._pieces.append(piece)
        if level == ERROR_LEVEL and piece.strip():
            self._errors.append(piece.strip())
