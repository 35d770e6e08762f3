"""What predictions are compared with: llama-cpp-python, used as its documentation does."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.predict.cost import Cost
from quant.runtime import built_with_amx, load_library

CONTEXT = 8192
"""Tokens of its context: each of them has a row of logits there."""


class Peer:
    """llama-cpp-python's own class, used as its documentation does."""

    def __init__(self, model: Path, *, lookup: bool) -> None:
        """Load the GGUF; with `lookup`, drafts come from earlier in the text. Exits where that would crash."""
        if built_with_amx(load_library()):
            sys.exit("llama-cpp-python was built with AMX and may crash; `foretrace doctor` says what to do.")
        # Our own import comes first: it takes over llama.cpp's log, which `verbose=False` would silence with all else.
        from llama_cpp import Llama
        from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

        # Ten tokens are the default; the documentation recommends 2 where there is only a CPU.
        draft = LlamaPromptLookupDecoding(num_pred_tokens=10) if lookup else None
        # With drafts it keeps a row of logits for each token, but has room for those of one batch unless it is told to.
        self._llama: Any = Llama(str(model), n_ctx=CONTEXT, draft_model=draft, logits_all=lookup, verbose=True)
        self._stops = lookup
        self.calls = 0
        decode = self._llama._ctx.decode

        def counted(batch: Any) -> None:
            self.calls += 1
            decode(batch)

        self._llama._ctx.decode = counted

    def write(self, prompt: Sequence[int], count: int, cost: Cost) -> None:
        """Decode so many tokens behind the prompt, from nothing.

        Prompt lookup stops where the model ends its text. Plain decoding goes on: there a token costs what its position
        makes it cost, whatever it is, and stopping early would compare it where attention is cheap.
        """
        self._llama.reset()
        calls, began = self.calls, time.perf_counter()
        written = 0
        end = self._llama.token_eos() if self._stops else None
        for token in self._llama.generate(list(prompt), top_k=1, temp=0.0, repeat_penalty=1.0):
            written += 1
            if written >= count or token == end:
                break
        cost.add(written, self.calls - calls, time.perf_counter() - began)

    def close(self) -> None:
        """Free the model."""
        self._llama.close()
