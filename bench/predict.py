"""How many calls of the model and how much time predictions take: `python -m bench.predict [--quick] [--model GGUF]`.

In the same run, on the same GGUF and the same prompts: our predictions; greedy decoding with llama-cpp-python as its
users do it (`create_completion` with temperature 0, fed token ids since special tokens split text), for as many tokens
or until it ends its text; and the same with its `LlamaPromptLookupDecoding`. They take turns, so that what else keeps
the machine busy slows all of them alike. Workload: calls of MBPP functions that nano was not trained on, and
long runs (500 frames and more) of small loops. Table, then JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from debugger.actual.record import record_in_process
from debugger.predicted.check import check
from debugger.predicted.evaluation import drive
from debugger.predicted.predict import Predictor, predict, predict_many
from debugger.target import Target, find_targets
from debugger.trace import Trace
from foretrace.models import bundled_path
from nano.evaluate import Case, real_functions, target_of
from quant.runtime import Part, Runtime, Vocabulary, common_prefix

CONTEXT = 8192
LOOPS = {
    "count down": "def f(n):\n    while n:\n        n -= 1\n    return n\n",
    "count up": "def f(n):\n    i = 0\n    while i < n:\n        i += 1\n    return i\n",
    "halve": "def f(n):\n    k = 0\n    while k < n:\n        k += 2\n    return k\n",
    "for": "def f(n):\n    for i in range(n):\n        pass\n",
    "toggle": "def f(n):\n    t = 0\n    for i in range(n):\n        t = 1 - t\n    return t\n",
    "last": "def f(n):\n    x = 1\n    for i in range(n):\n        x = i\n    return x\n",
    "same": "def f(n):\n    a = 5\n    for i in range(n):\n        a = 5\n    return a\n",
    "odd": "def f(n):\n    o = 1\n    while o < n:\n        o += 2\n    return o\n",
    "down by two": "def f(n):\n    while n > 0:\n        n -= 2\n    return n\n",
    "flag": "def f(n):\n    d = True\n    for i in range(n):\n        d = False\n    return d\n",
}
"""Loops with short frames: 500 of them fit into nano's 8,192 tokens."""
LONG_FRAMES = 500
UNDRAFTED = 12
"""Steps of a call that are predicted without drafts, too, to be compared: each token takes a call."""
EDITED = 40
"""Lines of the function whose last line is edited."""


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


class Peer:
    """llama-cpp-python's own class, used as its documentation does."""

    def __init__(self, model: Path, *, lookup: bool) -> None:
        """Load the GGUF; with `lookup`, drafts come from earlier in the text."""
        # Our own import comes first: it takes over llama.cpp's log, which `verbose=False` would silence with all else.
        from llama_cpp import Llama
        from llama_cpp.llama_speculative import LlamaPromptLookupDecoding

        # Ten tokens are the default; the documentation recommends 2 where there is only a CPU.
        draft = LlamaPromptLookupDecoding(num_pred_tokens=10) if lookup else None
        self._llama: Any = Llama(str(model), n_ctx=CONTEXT // 2, draft_model=draft, verbose=True)
        self.calls = 0
        decode = self._llama._ctx.decode

        def counted(batch: Any) -> None:
            self.calls += 1
            decode(batch)

        self._llama._ctx.decode = counted

    def write(self, prompt: Sequence[int], count: int, cost: Cost) -> None:
        """Decode so many tokens behind the prompt, from nothing."""
        self._llama.reset()
        calls, began = self.calls, time.perf_counter()
        written = 0
        end = self._llama.token_eos()
        for token in self._llama.generate(list(prompt), top_k=1, temp=0.0, repeat_penalty=1.0):
            written += 1
            if written >= count or token == end:
                break
        cost.add(written, self.calls - calls, time.perf_counter() - began)

    def close(self) -> None:
        """Free the model."""
        self._llama.close()


class Replayed:
    """Plays written tokens back: a model that costs nothing, to see what everything around it costs."""

    def __init__(self, vocabulary: Vocabulary, prompt: Sequence[int], tokens: Sequence[int], metadata: Runtime) -> None:
        """It writes `tokens` behind the prompt."""
        self.vocabulary = vocabulary
        self.context = len(tokens) + 1024
        self.path = metadata.path
        self.token_cost = metadata.token_cost
        self.calls = 0
        self.sequences = 1
        self._metadata = metadata
        self._all = [*tokens]
        self._held: list[int] = []
        self._rows: NDArray[np.float32] = np.zeros((512, vocabulary.size), dtype=np.float32)

    def metadata(self, key: str) -> str | None:
        """As the real model has it."""
        return self._metadata.metadata(key)

    def tokens_of(self, sequence: int) -> Sequence[int]:
        """What it holds."""
        return self._held

    def evaluate(self, parts: Sequence[Part]) -> list[NDArray[np.float32]]:
        """The next token of the script has the highest logit."""
        (part,) = parts
        self.calls += 1
        self._held.extend(part.tokens)
        rows = self._rows[: part.rows]
        rows[:] = 0
        first = len(self._held) - part.rows + 1
        for row, position in enumerate(range(first, first + part.rows)):
            if position < len(self._all):
                rows[row, self._all[position]] = 20
        return [rows]

    def forget(self, length: int, sequence: int = 0) -> int:
        """Go back."""
        del self._held[length:]
        return len(self._held)


def predicted(
    runtime: Runtime, target: Target, call: str, frames: int, cost: Cost, *, drafting: bool = True
) -> Predicted:
    """Predict from nothing, and count."""
    runtime.forget(0)
    calls, began = runtime.calls, time.perf_counter()
    predictor = Predictor(runtime, target, call, drafting=drafting)
    prompt = list(predictor.writer.tokens)
    trace = drive(predictor.run(frames), runtime)
    tokens = list(predictor.writer.tokens)
    cost.add(len(tokens) - len(prompt), runtime.calls - calls, time.perf_counter() - began)
    return Predicted(target, call, trace, prompt, tokens)


def short_cases(count: int, frames: int, folder: Path) -> list[tuple[Target, str]]:
    """Calls of held-out MBPP functions."""
    return [
        (_target(case, folder / f"mbpp{index}"), case.call)
        for index, case in enumerate(real_functions("mbpp", count, frames))
    ]


def _target(case: Case, folder: Path) -> Target:
    folder.mkdir()
    return target_of(case, folder)


def long_cases(count: int, folder: Path) -> Iterator[tuple[Target, str]]:
    """Calls that run for LONG_FRAMES frames and more."""
    for name, source in itertools.islice(LOOPS.items(), count):
        number = next(n for n in range(50, 10_000, 50) if _steps(source, n) >= LONG_FRAMES)
        path = folder / f"{name.replace(' ', '_')}.py"
        path.write_text(source, encoding="utf-8")
        yield find_targets(f"{path}::f")[0], f"f({number})"


def _steps(source: str, number: int) -> int:
    return len(record_in_process(source, f"f({number})", 20_000).frames)


def edited_speedup(runtime: Runtime, folder: Path) -> tuple[float, bool]:
    """A function of EDITED lines, predicted again after its last line was edited: how much faster, and the same."""
    lines = ["def f(n):", "    a = n", "    b = 1"]
    lines += [f"    {'ab'[index % 2]} = {'ba'[index % 2]} + {index % 7}" for index in range(EDITED - 4)]
    path = folder / "edited.py"

    def target(last: str) -> Target:
        path.write_text("\n".join([*lines, f"    return {last}", ""]), encoding="utf-8")
        return find_targets(f"{path}::f")[0]

    before, after = target("a"), target("b")
    runtime.forget(0)
    began = time.perf_counter()
    cold = predict(runtime, after, "f(3)", max_frames=100)
    cold_seconds = time.perf_counter() - began
    runtime.forget(0)
    earlier = predict(runtime, before, "f(3)", max_frames=100)
    began = time.perf_counter()
    again = predict(runtime, after, "f(3)", max_frames=100, expected=earlier.frames)
    return cold_seconds / (time.perf_counter() - began), again == cold


def long_ratio(runtime: Runtime, folder: Path) -> float:
    """What a frame costs around frame 1,000 against frame 100, without the model: its attention is what grows else."""
    source = LOOPS["count up"]
    path = folder / "long.py"
    path.write_text(source, encoding="utf-8")
    target = find_targets(f"{path}::f")[0]
    actual = record_in_process(source, "f(560)", 2000)
    scout = Predictor(runtime, target, "f(560)", drafting=False)
    prompt = list(scout.writer.tokens)
    frames = [scout.tokens_of(each) for each in scout.encode_run(actual.frames)][len(scout.frames) :]
    tokens = [*prompt, *itertools.chain.from_iterable(frames)]

    def once() -> float:
        ends: list[float] = []
        replayed = cast("Runtime", Replayed(runtime.vocabulary, prompt, tokens, runtime))
        predict(replayed, target, "f(560)", max_frames=1100, on_frame=lambda _: ends.append(time.process_time()))
        return (ends[1050] - ends[950]) / (ends[150] - ends[50])

    return statistics.median(once() for _ in range(3))


def call_costs(runtime: Runtime, prompt: Sequence[int]) -> dict[int, float]:
    """Milliseconds of a call by its tokens, logits for each."""
    found: dict[int, float] = {}
    base = list(prompt[: len(prompt) // 2])
    runtime.prefill(base)
    for size in (1, 2, 8, 16, 32, 64, 128):
        times: list[float] = []
        for _ in range(3):
            runtime.roll_back(len(base))
            began = time.perf_counter()
            runtime.verify([5] * size)
            times.append(time.perf_counter() - began)
        found[size] = round(min(times) * 1000, 1)
    return found


def say(what: str) -> None:
    """Tell who waits what is measured now."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print a table for people and one line of JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few short calls, at most a minute on an idle machine")
    parser.add_argument("--model", type=Path, default=bundled_path())
    parser.add_argument("--functions", type=int, help="MBPP calls (default 25, quick 3)")
    parser.add_argument("--long", type=int, help="long runs (default 10, quick 0)")
    parser.add_argument("--frames", type=int, help="steps of an MBPP call at most (default 60, quick 12)")
    parser.add_argument("--folder", type=int, help="functions for the throughput of a folder (default 50, quick 4)")
    parser.add_argument("--most", type=int, default=1000, help="tokens that the others write of each case at most")
    options = parser.parse_args()
    quick: bool = options.quick
    functions: int = options.functions or (3 if quick else 25)
    frames: int = options.frames or (12 if quick else 60)
    long_runs: int = options.long if options.long is not None else (0 if quick else 10)
    in_folder: int = options.folder or (4 if quick else 50)
    result: dict[str, Any] = {"bench": "predict", "model": options.model.name}
    ours, plain, greedy, lookup, confirmed = Cost(), Cost(), Cost(), Cost(), Cost()
    mismatched = compared = endless = 0
    runs: list[Predicted] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = short_cases(functions, frames, folder)
        with (
            Runtime.open(options.model, context=CONTEXT) as runtime,
            closing(Peer(options.model, lookup=False)) as greedy_peer,
            closing(Peer(options.model, lookup=True)) as lookup_peer,
        ):
            for target, call in [*cases, *long_cases(long_runs, folder)]:
                limit = frames if (target, call) in cases else LONG_FRAMES + 100
                say(f"{call[:60]}")
                cost = Cost()
                run = predicted(runtime, target, call, limit, cost)
                if run.trace.outcome.detail.endswith("without ending a frame."):
                    endless += 1  # one string, repeated: drafts of it are nearly free, and would flatter the rest
                    continue
                runs.append(run)
                ours.add(cost.tokens, cost.calls, cost.seconds)
                if (target, call) in cases:
                    undrafted = predicted(runtime, target, call, min(limit, UNDRAFTED), plain, drafting=False)
                    mismatched += len(undrafted.tokens) - common_prefix(undrafted.tokens, runs[-1].tokens)
                    compared += len(undrafted.tokens) - len(undrafted.prompt)
                runtime.forget(0)
                calls, began = runtime.calls, time.perf_counter()
                checked = check(runtime, target, call, runs[-1].trace, max_frames=limit)
                assert checked.predicted.frames == runs[-1].trace.frames
                confirmed.add(
                    len(runs[-1].tokens) - len(runs[-1].prompt), runtime.calls - calls, time.perf_counter() - began
                )
                room = min(options.most, CONTEXT // 2 - len(run.prompt) - 16, len(run.tokens) - len(run.prompt))
                greedy_peer.write(run.prompt, room, greedy)
                lookup_peer.write(run.prompt, room, lookup)
            say("an edited function")
            edit, same = edited_speedup(runtime, folder)
            assert same
            say("long runs")
            ratio = long_ratio(runtime, folder)
            result["call_ms"] = call_costs(runtime, runs[0].tokens[:400])
            say("a folder")
            many = [(runs[index % len(runs)].target, runs[index % len(runs)].call) for index in range(in_folder)]
            began = time.perf_counter()
            for target, call in many:
                runtime.forget(0)
                predict(runtime, target, call, max_frames=frames)
            one_by_one = time.perf_counter() - began
        with Runtime.open(options.model, context=CONTEXT // 4, sequences=4) as runtime:
            began = time.perf_counter()
            done = list(predict_many(runtime, many, max_frames=frames))
            together = time.perf_counter() - began
            assert len(done) == len(many)

    table = Table(
        "way", "tokens", "model calls", "tokens a call", "tokens/s", title=f"Predicting with {options.model.name}"
    )
    for label, cost in (
        ("foretrace predict", ours),
        ("foretrace predict, no drafts (short calls)", plain),
        ("foretrace diff, prediction right", confirmed),
        ("llama-cpp-python, greedy", greedy),
        ("llama-cpp-python, prompt lookup", lookup),
    ):
        rate = f"{1 / cost.seconds_per_token:,.0f}" if cost.seconds else ""
        table.add_row(label, f"{cost.tokens:,}", f"{cost.calls:,}", f"{cost.tokens_per_call:.1f}", rate)
    Console().print(table)
    result |= {
        "functions": functions,
        "long_runs": long_runs,
        "endless": endless,
        "tokens": ours.tokens,
        "tokens_per_call": round(ours.tokens_per_call, 2),
        "speedup_vs_greedy": round(greedy.seconds_per_token / ours.seconds_per_token, 2),
        "tokens_per_call_vs_lookup": round(ours.tokens_per_call / lookup.tokens_per_call, 2),
        "diff_speedup_vs_greedy": round(greedy.seconds_per_token / confirmed.seconds_per_token, 2),
        "diff_calls_vs_greedy": round(confirmed.tokens_per_call / greedy.tokens_per_call, 1),
        "edit_speedup_vs_cold": round(edit, 2),
        "folder_speedup": round(one_by_one / together, 2),
        "long_cost_ratio": round(ratio, 2),
        "mismatched_tokens": mismatched,
        "compared_tokens": compared,
        "greedy_tokens_per_s": round(1 / greedy.seconds_per_token, 1),
        "tokens_per_s": round(1 / ours.seconds_per_token, 1),
        "lookup_tokens_per_call": round(lookup.tokens_per_call, 2),
        "machine": platform.machine(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
