"""The model as a host uses it: loaded once, here or by a server elsewhere, one prediction at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from debugger.target import Target
from debugger.trace import Frame, Trace
from lsp_server.host.wire import Request
from quant.address import is_address

if TYPE_CHECKING:
    from quant.model import Model


class Engine(Protocol):
    """What predicts. All of it belongs to one thread, but for `interrupt`."""

    description: str
    context: int
    device: str
    warning: str
    """Sentences that a person should read, or ''."""

    def predict(self, request: Request, *, cancelled: Callable[[], bool], on_frame: Callable[[Frame], None]) -> Trace:
        """Predict; `cancelled` is asked before every step. Raises ModelError, TargetError."""
        ...

    def interrupt(self) -> None:
        """Break off what the model does now; the prediction under way then ends as cancelled."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def load_engine(model: str, context: int | None) -> Engine:
    """The engine for the path of a GGUF or the address of a server. Raises ModelError."""
    return RemoteEngine(model, context) if is_address(model) else GgufEngine(Path(model), context)


class GgufEngine:
    """A GGUF in this process."""

    def __init__(self, model: Path, context: int | None) -> None:
        """Load it as it fits here. Raises ModelError."""
        from debugger.predicted.earlier import EarlierRuns
        from quant.load import load
        from quant.prefixes import Prefixes
        from quant.specials import special_ids

        self._runtime, choice = load(model, context=context)
        special_ids(self._runtime.vocabulary, model)
        self.description = self._runtime.description
        self.context = self._runtime.context
        self.device = choice.device.name if choice.device is not None and choice.gpu_layers else "CPU"
        self.warning = " ".join((*self._runtime.warnings, *choice.notes))
        self._earlier = EarlierRuns()
        self._prefixes = Prefixes(self._runtime)

    @property
    def calls(self) -> int:
        """How often llama.cpp was asked."""
        return self._runtime.calls

    def predict(self, request: Request, *, cancelled: Callable[[], bool], on_frame: Callable[[Frame], None]) -> Trace:
        """Predict as `debugger.predicted.predict` does; what it said before of the function and call is the draft."""
        from debugger.predicted.predict import shared_prompt

        self._runtime.resume()
        target = request.target()
        self._prefixes.read(shared_prompt(self._runtime, target, request.call), cancelled)
        expected = self._earlier.expected(target, request.call)
        predicted = _predict(self._runtime, request, target, cancelled, on_frame, expected)
        self._earlier.keep(target, request.call, predicted)
        return predicted

    def interrupt(self) -> None:
        """End the call of llama.cpp that is under way."""
        self._runtime.interrupt()

    def close(self) -> None:
        """Free the model."""
        self._runtime.close()


class RemoteEngine:
    """The model of a `llama-server`, asked from this process."""

    def __init__(self, address: str, context: int | None) -> None:
        """Get to know it. Raises ModelError."""
        from quant.remote import RemoteModel

        self._model = RemoteModel.open(address, context=context)
        self.description = f"{self._model.name}, {self._model.description}"
        self.context = self._model.context
        self.device = self._model.device
        self.warning = ""

    def predict(self, request: Request, *, cancelled: Callable[[], bool], on_frame: Callable[[Frame], None]) -> Trace:
        """Predict as `debugger.predicted.predict` does."""
        self._model.resume()
        return _predict(self._model, request, request.target(), cancelled, on_frame)

    def interrupt(self) -> None:
        """Hang up on the server, which then stops."""
        self._model.interrupt()

    def close(self) -> None:
        """Hang up."""
        self._model.close()


def _predict(
    model: Model,
    request: Request,
    target: Target,
    cancelled: Callable[[], bool],
    on_frame: Callable[[Frame], None],
    expected: Sequence[Frame] = (),
) -> Trace:
    from debugger.predicted.predict import predict

    return predict(
        model,
        target,
        request.call,
        max_frames=request.max_frames,
        constrained=request.constrained,
        cancelled=cancelled,
        on_frame=on_frame,
        expected=expected,
    )
