"""The model as a host uses it: loaded once, one prediction at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from debugger.trace import Frame, Trace
from lsp_server.host.wire import Request


class Engine(Protocol):
    """What predicts. All of it belongs to one thread."""

    description: str
    context: int
    device: str
    warning: str
    """Sentences that a person should read, or ''."""

    def predict(self, request: Request, *, cancelled: Callable[[], bool], on_frame: Callable[[Frame], None]) -> Trace:
        """Predict; `cancelled` is asked before every step. Raises ModelError, TargetError."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class GgufEngine:
    """A GGUF in this process."""

    def __init__(self, model: Path, context: int | None) -> None:
        """Load it as it fits here. Raises ModelError."""
        from debugger.predicted.earlier import EarlierRuns
        from quant.load import load
        from quant.specials import special_ids

        self._runtime, choice = load(model, context=context)
        special_ids(self._runtime.vocabulary, model)
        self.description = self._runtime.description
        self.context = self._runtime.context
        self.device = choice.device.name if choice.device is not None and choice.gpu_layers else "CPU"
        self.warning = " ".join((*self._runtime.warnings, *choice.notes))
        self._earlier = EarlierRuns()

    @property
    def calls(self) -> int:
        """How often llama.cpp was asked."""
        return self._runtime.calls

    def predict(self, request: Request, *, cancelled: Callable[[], bool], on_frame: Callable[[Frame], None]) -> Trace:
        """Predict as `debugger.predicted.predict` does; what it said before of the function and call is the draft."""
        from debugger.predicted.predict import predict

        target = request.target()
        predicted = predict(
            self._runtime,
            target,
            request.call,
            max_frames=request.max_frames,
            constrained=request.constrained,
            cancelled=cancelled,
            on_frame=on_frame,
            expected=self._earlier.expected(target, request.call),
        )
        self._earlier.keep(target, request.call, predicted)
        return predicted

    def close(self) -> None:
        """Free the model."""
        self._runtime.close()
