"""What predictions cost: tokens, calls of the model, and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from debugger.predicted.evaluation import drive
from debugger.predicted.predict import Predictor
from debugger.target import Target
from debugger.trace import Frame, Trace
from quant.model import Part
from quant.runtime import VERIFY_TOKENS, Runtime


@dataclass(slots=True)
class Cost:
    """Work and what came of it."""

    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0

    def add(self, tokens: int, calls: int, seconds: float) -> None:
        """Count some more."""
        self.tokens, self.calls, self.seconds = self.tokens + tokens, self.calls + calls, self.seconds + seconds

    @property
    def tokens_per_call(self) -> float:
        """How many tokens a call of the model gives."""
        return self.tokens / max(1, self.calls)

    @property
    def seconds_per_token(self) -> float:
        """The time of a token."""
        return self.seconds / max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class Predicted:
    """A prediction with all its tokens; the prompt comes first."""

    target: Target
    call: str
    trace: Trace
    prompt: Sequence[int]
    tokens: Sequence[int]

    @property
    def is_endless(self) -> bool:
        """Whether the model did not end a frame: drafts of its repetitions are nearly free, and would flatter."""
        return self.trace.outcome.detail.endswith("without ending a step.")


def predicted(
    runtime: Runtime,
    target: Target,
    call: str,
    frames: int,
    cost: Cost,
    *,
    drafting: bool = True,
    expected: Sequence[Frame] = (),
    cold: bool = True,
) -> Predicted:
    """Predict, from an empty context unless told otherwise, and count."""
    if cold:
        runtime.forget(0)
    calls, began = runtime.calls, time.perf_counter()
    predictor = Predictor(runtime, target, call, drafting=drafting, expected=expected)
    prompt = list(predictor.writer.tokens)
    trace = drive(predictor.run(frames), runtime)
    tokens = list(predictor.writer.tokens)
    cost.add(len(tokens) - len(prompt), runtime.calls - calls, time.perf_counter() - began)
    return Predicted(target, call, trace, prompt, tokens)


@dataclass(slots=True)
class Meter:
    """Watches a runtime inside a `with` block: the tokens of each call, and the time that all of them take."""

    runtime: Runtime
    sizes: list[int] = field(default_factory=list[int])
    model_seconds: float = 0.0
    seconds: float = 0.0
    _began: float = 0.0
    _evaluate: Callable[[Sequence[Part]], Any] | None = None

    def __enter__(self) -> Meter:
        """Begin."""
        evaluate = self._evaluate = self.runtime.evaluate

        def counted(parts: Sequence[Part]) -> Any:
            began = time.perf_counter()
            rows = evaluate(parts)
            self.model_seconds += time.perf_counter() - began
            self.sizes.append(sum(len(part.tokens) for part in parts))
            return rows

        vars(self.runtime)["evaluate"] = counted
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""
        self.seconds += time.perf_counter() - self._began
        del vars(self.runtime)["evaluate"]

    @property
    def tokens(self) -> int:
        """Tokens evaluated, refused drafts among them."""
        return sum(self.sizes)


class CallCosts:
    """What a call of the model costs by its tokens, logits for each."""

    SIZES = (1, 2, 4, 8, 16, 32, 64, VERIFY_TOKENS)

    BEHIND = (128, 512, 2048, 4096)
    """Tokens of a sequence before the call."""

    def __init__(self, runtime: Runtime, text: Sequence[int]) -> None:
        """Measure behind the first tokens of a text; the least of three counts."""
        self._runtime = runtime
        first, largest = self.BEHIND[0], self.SIZES[-1]
        self.milliseconds = {size: self._measure(text[:first], size) for size in self.SIZES}
        """Milliseconds of a call behind BEHIND[0] tokens."""
        behind = [each for each in self.BEHIND if each <= len(text)]
        self.behind = {each: self._measure(text[:each], largest) for each in behind}
        """Milliseconds of a full call by the tokens before it, as far as the text goes: what attention adds."""
        self.single_behind = {each: self._measure(text[:each], 1) for each in behind}
        """The same of a call of one token."""

    def _measure(self, base: Sequence[int], size: int) -> float:
        self._runtime.prefill(base)
        times: list[float] = []
        for _ in range(3):
            self._runtime.roll_back(len(base))
            began = time.perf_counter()
            self._runtime.verify([5] * size)
            times.append(time.perf_counter() - began)
        return round(min(times) * 1000, 1)

    def seconds(self, size: int) -> float:
        """What a call of so many tokens takes, between the sizes measured and beyond the largest in proportion."""
        largest = self.SIZES[-1]
        if size > largest:
            return self.full(size)
        return float(np.interp(size, self.SIZES, [self.milliseconds[each] for each in self.SIZES])) / 1000

    def full(self, tokens: int) -> float:
        """What tokens take at the least: in calls of as many as there can be."""
        largest = self.SIZES[-1]
        return self.milliseconds[largest] / 1000 * tokens / largest
