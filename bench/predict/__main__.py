"""How many calls of the model and how much time predictions take: `python -m bench.predict [--quick] [--model GGUF]`.

In the same run, on the same GGUF and the same prompts: our predictions; greedy decoding with llama-cpp-python as its
users do it (`create_completion` with temperature 0, fed token ids since special tokens split text), for as many tokens
or until it ends its text; and the same with its `LlamaPromptLookupDecoding`. They take turns, so that what else keeps
the machine busy slows all of them alike. Workload: calls of MBPP functions that nano was not trained on
(read as nano/README.md says), and long runs (500 frames and more) of small loops. Tables, then JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.predict.cases import long_cases, short_cases
from bench.predict.cost import CallCosts, Cost, Meter, Predicted, predicted
from bench.predict.edit import Edits, measure_edits
from bench.predict.folder import FolderCost, measure_folder
from bench.predict.peer import CONTEXT as PEER_CONTEXT
from bench.predict.peer import Peer
from bench.predict.replayed import calls_if_right, long_ratio
from debugger.predicted.check import check
from debugger.predicted.mode import CheckMode
from debugger.target import Target
from debugger.trace import Frame, Trace
from foretrace.models import bundled_path
from nano.evaluate import real_functions
from nano.real import MissingDataError, needed_data_file
from quant.runtime import Runtime, common_prefix

CONTEXT = 8192
UNDRAFTED = 6
"""Steps of a call that are predicted without drafts, too, to be compared: each token takes a call."""
LONG_PREDICTED = 200
"""Steps of a long run that are predicted freely; all of its real ones are checked."""


@dataclass(slots=True)
class Costs:
    """What each way took."""

    ours: Cost = field(default_factory=Cost)
    plain: Cost = field(default_factory=Cost)
    confirmed: Cost = field(default_factory=Cost)
    forced: Cost = field(default_factory=Cost)
    greedy: Cost = field(default_factory=Cost)
    lookup: Cost = field(default_factory=Cost)
    mismatched: int = 0
    compared: int = 0
    endless: int = 0
    differing_checks: int = 0

    def table(self, model: str) -> Table:
        """Side by side."""
        table = Table("way", "tokens", "model calls", "tokens a call", "tokens/s", title=f"Predicting with {model}")
        for label, cost in (
            ("foretrace predict", self.ours),
            ("foretrace predict, no drafts (short calls)", self.plain),
            ("foretrace diff, prediction right", self.confirmed),
            ("foretrace diff --mode forced, long real runs", self.forced),
            ("llama-cpp-python, greedy", self.greedy),
            ("llama-cpp-python, prompt lookup", self.lookup),
        ):
            rate = f"{1 / cost.seconds_per_token:,.0f}" if cost.seconds else ""
            table.add_row(label, f"{cost.tokens:,}", f"{cost.calls:,}", f"{cost.tokens_per_call:.1f}", rate)
        return table


class Measurement:
    """Our way and the others', one case after the other."""

    def __init__(self, runtime: Runtime, greedy: Peer, lookup: Peer, most: int | None) -> None:
        """The others write as many tokens of a case as we do, `most` of them where it is given."""
        self.costs = Costs()
        self.longest: list[int] = []
        """The longest prompt with what was written behind it."""
        self._runtime = runtime
        self._greedy, self._lookup = greedy, lookup
        self._most = most

    def short(self, target: Target, call: str, frames: int) -> None:
        """One call, also without drafts."""
        run = self._case(target, call, frames)
        if run is None:
            return
        costs = self.costs
        undrafted = predicted(self._runtime, target, call, min(frames, UNDRAFTED), costs.plain, drafting=False)
        costs.mismatched += len(undrafted.tokens) - common_prefix(undrafted.tokens, run.tokens)
        costs.compared += len(undrafted.tokens) - len(undrafted.prompt)

    def long(self, target: Target, call: str, actual: Trace) -> None:
        """A long run, and the check of the whole real one."""
        self._case(target, call, LONG_PREDICTED)
        runtime = self._runtime
        runtime.forget(0)
        with Meter(runtime) as meter:
            check(runtime, target, call, actual, mode=CheckMode.FORCED, max_frames=len(actual.frames))
        self.costs.forced.add(len(runtime.tokens), len(meter.sizes), meter.seconds)

    def _case(self, target: Target, call: str, frames: int) -> Predicted | None:
        """Predicted, checked against itself, and written by the others; None where the model does not end a frame."""
        say(call[:60])
        runtime, costs = self._runtime, self.costs
        cost = Cost()
        run = predicted(runtime, target, call, frames, cost)
        if run.is_endless:
            costs.endless += 1
            return None
        self.longest = max(self.longest, list(run.tokens), key=len)
        written = len(run.tokens) - len(run.prompt)
        costs.ours.add(cost.tokens, cost.calls, cost.seconds)
        runtime.forget(0)
        calls, began = runtime.calls, time.perf_counter()
        checked = check(runtime, target, call, run.trace, max_frames=frames)
        seconds = time.perf_counter() - began
        if all(map(_same, checked.predicted.frames, run.trace.frames)):
            costs.confirmed.add(written, runtime.calls - calls, seconds)
        else:  # beyond the window, a close call may come out otherwise: cells lie elsewhere and are added up so
            costs.differing_checks += 1
        # As many as ours: later tokens cost more attention, and fewer would be cheaper on average.
        room = min(self._most or written, PEER_CONTEXT - len(run.prompt) - 16, written)
        self._greedy.write(run.prompt, room, costs.greedy)
        self._lookup.write(run.prompt, room, costs.lookup)
        return run


def _same(left: Frame, right: Frame) -> bool:
    """Whether two frames say the same, whatever the model's confidence."""
    return replace(left, confidence={}) == replace(right, confidence={})


def say(what: str) -> None:
    """Tell who waits what is measured now."""
    print(f"{what} ...", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print tables for people and one line of JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few short calls, at most a minute on an idle machine")
    parser.add_argument("--model", type=Path, default=bundled_path())
    parser.add_argument("--functions", type=int, help="MBPP calls (default 12, quick 3)")
    parser.add_argument("--long", type=int, help="long runs (default 10, quick 0)")
    parser.add_argument("--frames", type=int, help="steps of an MBPP call at most (default 40, quick 12)")
    parser.add_argument("--folder", type=int, help="functions for the throughput of a folder (default 50, quick 4)")
    parser.add_argument("--most", type=int, help="tokens the others write of a case at most (default as many as we)")
    options = parser.parse_args()
    try:
        needed_data_file("mbpp_calls.jsonl")
    except MissingDataError as error:
        parser.exit(2, f"{error}\n")
    quick: bool = options.quick
    model: Path = options.model
    functions: int = options.functions or (3 if quick else 12)
    frames: int = options.frames or (12 if quick else 40)
    long_runs: int = options.long if options.long is not None else (0 if quick else 10)
    in_folder: int = options.folder or (4 if quick else 50)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        runtime = stack.enter_context(Runtime.open(model, context=CONTEXT))
        peers = [stack.enter_context(closing(Peer(model, lookup=lookup))) for lookup in (False, True)]
        measured = Measurement(runtime, peers[0], peers[1], options.most)
        for target, call in short_cases(functions, frames, folder / "short"):
            measured.short(target, call, frames)
        for target, call, actual in long_cases(long_runs, folder):
            measured.long(target, call, actual)
        say("edited functions")
        edits = measure_edits(runtime, folder)
        say("a call by its tokens")
        call_costs = CallCosts(runtime, measured.longest)
        say("a model that is right")
        right = calls_if_right(runtime, real_functions("mbpp", 4 * functions, 2 * frames), folder)
        say("what a long run costs beside the model")
        ratio = long_ratio(runtime, folder)
    with tempfile.TemporaryDirectory() as name:
        say("a folder")
        folder_cost = measure_folder(model, short_cases(in_folder, 20, Path(name) / "many"), 20)
    Console().print(measured.costs.table(model.name), edits.table(), _limits(edits, folder_cost, call_costs))
    result = {
        "bench": "predict",
        "model": model.name,
        "functions": functions,
        "long_runs": long_runs,
        **_numbers(measured.costs),
        "right_tokens": right.tokens,
        "right_tokens_per_call": round(right.tokens_per_call, 2),
        "edit_speedup_vs_cold": round(edits.speedup, 2),
        "edit_calls_vs_cold": round(edits.calls, 1),
        "edit_speedup_limit": round(edits.limit(call_costs), 2),
        "folder_speedup": round(folder_cost.speedup, 2),
        "folder_speedup_limit": round(folder_cost.limit(call_costs), 2),
        "folder_differing": folder_cost.differing,
        "long_cost_ratio": round(ratio, 2),
        "call_ms": call_costs.milliseconds,
        "single_call_ms_behind": call_costs.single_behind,
        "full_call_ms_behind": call_costs.behind,
        "seconds": round(time.perf_counter() - began),
        "machine": platform.machine(),
    }
    print(json.dumps(result))


def _limits(edits: Edits, folder: FolderCost, costs: CallCosts) -> Table:
    table = Table("", "times as fast", "at most", title="What saving calls can win, by what a call costs here")
    table.add_row("after an edit of the last line", f"{edits.speedup:.2f}", f"{edits.limit(costs):.2f}")
    table.add_row("a folder, four sequences", f"{folder.speedup:.2f}", f"{folder.limit(costs):.2f}")
    for size, milliseconds in costs.milliseconds.items():
        table.add_row(f"a call of {size} tokens: ms, and ms a token", f"{milliseconds}", f"{milliseconds / size:.2f}")
    for tokens, full in costs.behind.items():
        single = costs.single_behind[tokens]
        table.add_row(f"a call of one token, and a full one, behind {tokens:,}: ms", f"{single}", f"{full}")
    return table


def _numbers(costs: Costs) -> dict[str, Any]:
    ours, greedy, lookup, confirmed = costs.ours, costs.greedy, costs.lookup, costs.confirmed
    return {
        "endless": costs.endless,
        "tokens": ours.tokens,
        "tokens_per_call": round(ours.tokens_per_call, 2),
        "speedup_vs_greedy": round(greedy.seconds_per_token / ours.seconds_per_token, 2),
        "tokens_per_call_vs_lookup": round(ours.tokens_per_call / lookup.tokens_per_call, 2),
        "diff_speedup_vs_greedy": round(greedy.seconds_per_token / confirmed.seconds_per_token, 2),
        "diff_calls_vs_greedy": round(confirmed.tokens_per_call / greedy.tokens_per_call, 1),
        "differing_checks": costs.differing_checks,
        "long_check_tokens_per_call": round(costs.forced.tokens_per_call, 2),
        "mismatched_tokens": costs.mismatched,
        "compared_tokens": costs.compared,
        "greedy_tokens_per_s": round(1 / greedy.seconds_per_token, 1),
        "tokens_per_s": round(1 / ours.seconds_per_token, 1),
        "lookup_tokens_per_call": round(lookup.tokens_per_call, 2),
    }


if __name__ == "__main__":
    main()
