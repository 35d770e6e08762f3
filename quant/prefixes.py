"""What a model makes of the beginning of a prompt, kept on the disk, so that the next process need not read it again.

A prediction mostly begins as an earlier one did: another call of the same function, other options, the same file after
an edit further down. To take a state from the disk costs a small part of reading its tokens (`python -m bench.prefix`).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from quant.errors import CancelledError
from quant.identity import identity
from quant.runtime import Runtime, common_prefix
from quant.states import MAX_BYTES, Kept, States, states_folder

FORMAT = 1
"""Counts up when the state of the same tokens may come out differently."""
FEWEST_TOKENS = 128
"""Tokens that must be saved from being read again for the disk to be used.

Nano reads so many in about half a second on two cores, and loads them in a hundredth of one (`python -m bench.prefix`);
much fewer are not felt, and would fill the folder.
"""


class Prefixes:
    """The beginnings of prompts that a runtime has read, in memory and on the disk."""

    def __init__(self, runtime: Runtime, folder: Path | None = None, max_bytes: int | None = None) -> None:
        """Keep what this runtime reads in a folder; else in the user's.

        There is room for `max_bytes`; else for `MAX_BYTES` or, as states grow with their model, a quarter of its file.
        It writes no more in all, either: typing all day at the top of a long file shall not wear out a disk.
        """
        if max_bytes is None:
            max_bytes = max(MAX_BYTES, runtime.path.stat().st_size // 4)
        self._runtime = runtime
        self._states = States(folder or states_folder(), _group(runtime), max_bytes)
        self._may_write = max_bytes
        self._latest: Kept | None = None
        """Found or written last: while it is as good as memory, nobody looks at the disk."""

    def read(self, tokens: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> None:
        """Have the runtime hold these tokens, or most of them, where that costs less than to evaluate them.

        What is neither in memory nor on the disk is evaluated, and kept; unless it is little: that is left to who goes
        on from here, and so is everything once it is cancelled. Raises ModelError.
        """
        runtime = self._runtime
        held = runtime.would_keep(common_prefix(runtime.tokens, tokens))
        on_disk = self._usable(self._latest, tokens)
        if len(tokens) - min(held, on_disk) < FEWEST_TOKENS:
            return
        kept = sorted(self._states.kept(), key=lambda each: self._usable(each, tokens))
        on_disk = 0
        while kept and not on_disk:
            self._latest = kept.pop()
            on_disk = self._usable(self._latest, tokens)
            if on_disk - held >= FEWEST_TOKENS:
                on_disk = runtime.forget(on_disk) if self._take(self._latest) else 0
                held = runtime.would_keep(common_prefix(runtime.tokens, tokens))
        # Compared with the disk, not with memory: the next process has only the disk.
        if len(tokens) - on_disk >= FEWEST_TOKENS and self._may_write > 0:
            with contextlib.suppress(CancelledError):
                runtime.roll_back(held)
                if held < len(tokens):
                    runtime.extend(tokens[held:], cancelled)
                self._keep(tokens)

    def _usable(self, kept: Kept | None, tokens: Sequence[int]) -> int:
        """How many of the tokens a kept state spares: windows keep only what the next token sees."""
        if kept is None or len(kept.tokens) > self._runtime.context:
            return 0
        shared = common_prefix(kept.tokens, tokens)
        window = self._runtime.window
        seen_whole = not window or len(kept.tokens) <= window
        # The last token is in view of the windows from before it, too.
        return shared if seen_whole or shared >= len(kept.tokens) - 1 else 0

    def _take(self, kept: Kept) -> bool:
        state = self._states.load(kept)
        if state is None:
            return False
        if self._runtime.restore(state, kept.tokens):
            return True
        self._states.remove(kept)
        return False

    def _keep(self, tokens: Sequence[int]) -> None:
        state = self._runtime.state()
        kept = self._states.save(tokens, state) if 0 < len(state) <= self._may_write else None
        if kept is None:
            return
        self._latest = kept
        self._may_write -= len(state)
        # What has left a window has no place in the state: from here on, memory is as it will be in the next process,
        # which adds up in the same order.
        if 0 < self._runtime.window < len(tokens):
            self._runtime.restore(state, tokens)


def _group(runtime: Runtime) -> str:
    """States of the same group go together: everything that they depend on besides their tokens."""
    depends: dict[str, Any] = {
        "format": FORMAT,
        "model": identity(runtime.path),
        "loaded": runtime.settings,
        "llama": importlib.metadata.version("llama-cpp-python"),
        "machine": platform.machine(),
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
