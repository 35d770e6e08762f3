"""Typed, terminating Python programs with a call, and their runs as CWM's text: what nano learns from.

Deterministic by seed, without repeats, split by program: a program's source decides whether it is held out, for real
functions the source that they had before anything was changed.

    python -m nano.programs [COUNT] [SEED]      print programs with the text of their runs
    python -m nano.programs --stats COUNT       what programs are like: kinds, lengths, values
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import signal
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType

from debugger.actual.record import record_in_process
from debugger.predicted.codec import FrameEncoder, Segment, text_of
from debugger.predicted.prompt import ending_frames, prompt_segments
from debugger.trace import Ending, Event, Trace
from nano.chooser import Chooser
from nano.composed import composed, with_helper
from nano.decisions import decisions
from nano.expressions import expressions
from nano.mutate import with_bug
from nano.real import digest, forbidden, is_held_out, mbpp, stdlib, variant, written
from nano.style import styled
from nano.template import templates
from quant.specials import Special

MIN_FRAMES, MAX_FRAMES = 3, 200
LONGEST_VALUE = 200
SECONDS = 2.0
"""A run that takes more of the processor's time is not learned from."""
HELD_OUT_SHARE = 20
"""One source in this many is held out."""
BUGS = 0.12
"""The share of generated programs with something wrong."""

GENERATED = {
    "composed arithmetic": 7, "composed branches": 5, "composed loops": 9, "composed lists": 6, "composed strings": 4,
    "composed expressions": 34, "composed helper": 5, "branches": 6, "classes": 6, "comprehensions": 8,
    "counting": 7, "dicts": 7, "exceptions": 6, "functions": 10, "generators": 4, "libraries": 6, "lists": 8,
    "loops": 9, "matrices": 4, "recursion": 6, "searching": 7, "sets and tuples": 4, "sorting": 6,
    "stacks and queues": 4, "strings": 10, "sums": 7,
}  # fmt: skip
PRACTICE = {"conditions": 20, "decisions": 60}
"""What is trained on the more for being hard to learn, and not measured on (nano/LOG.md)."""
REAL = {"mbpp": 45, "stdlib": 7, "written": 85}
_REAL_FUNCTIONS = {"mbpp": mbpp, "stdlib": stdlib, "written": written}
KINDS = GENERATED | PRACTICE | REAL
"""Kind to its share."""

_LONG_NUMBER = re.compile(r"\d{8,}|\d\.\d{6,}")
_VARIES = re.compile(r"\b(random|time|uuid|id|input|open|exit|setrecursionlimit|threading|psutil)\b *[(.]")


@dataclass(frozen=True, slots=True)
class Program:
    """A module's text and a call in it."""

    kind: str
    source: str
    call: str
    origin: str = ""
    """Of a real function: its module as it was."""

    @property
    def held_out(self) -> bool:
        """Whether this program is kept from training. Arguments do not matter: all calls of one source go together."""
        return is_held_out(self.origin) if self.origin else digest(self.source.encode()) % HELD_OUT_SHARE == 0


def generate(seed: int, held_out: bool = False, kinds: Mapping[str, int] = KINDS) -> Program:
    """The program of `seed`; it may turn out to be unfit (`run` says), or to belong to the other side of the split.

    `held_out` chooses among real functions, and makes them so much rarer that the fit programs of both sides have the
    same shares of kinds. Raises SyntaxError where a bug left no program.
    """
    choose = Chooser(seed)
    weights = {
        kind: share * (HELD_OUT_SHARE if held_out and kind not in REAL else 1)
        for kind, share in kinds.items()
        if kind != "mbpp" or mbpp(held_out)
    }
    kind = choose.random.choices(list(weights), list(weights.values()))[0]
    origin = ""
    if kind in REAL:
        source, call, origin = variant(choose, _REAL_FUNCTIONS[kind](held_out))
    elif kind == "composed helper":
        source, call = with_helper(choose)
    elif kind == "decisions":
        source, call = decisions(choose)
    elif kind == "composed expressions":
        source, call = expressions(choose)
    elif kind.startswith("composed "):
        source, call = composed(choose, kind.removeprefix("composed "))
    else:
        source, call = choose.of(templates()[kind]).fill(choose)
    if not origin and choose.chance(BUGS):
        source = with_bug(choose, source) or source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(source, "<program>", "exec", dont_inherit=True)

    def result(call: str) -> str | None:
        trace = _recorded(source, call)
        return trace.outcome.value if trace is not None and trace.outcome.ending is Ending.RETURNED else None

    plain = bool(origin) or (kind == "decisions" and choose.chance(0.5))  # fewer tokens for each condition
    return Program(kind, source if plain else styled(choose, source, call, result), call, origin)


class _TooSlow(BaseException):
    """Ends a run that takes too long."""


def _recorded(source: str, call: str) -> Trace | None:
    """The trace of a call, at most `MAX_FRAMES` of it, or None where the module itself fails or it takes too long."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise _TooSlow

    handler = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace = record_in_process(source, call, MAX_FRAMES)
    except (Exception, _TooSlow):
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
    return None if "_TooSlow" in (trace.outcome.value or "") else trace


def run(program: Program) -> Trace | None:
    """The program's trace, or None where it does not end in time or its values are not what nano should learn from."""
    if program.origin and _VARIES.search(program.origin):
        return None
    trace = _recorded(program.source, program.call)
    if trace is None or trace.outcome.ending not in (Ending.RETURNED, Ending.RAISED):
        return None
    if not MIN_FRAMES <= len(trace.frames) <= MAX_FRAMES:
        return None
    # Of what cannot be learned, but has to be met, some is kept: real functions that raise, long numbers.
    seldom = digest((program.source + program.call).encode()) % 8 == 0
    if program.origin and trace.outcome.ending is Ending.RAISED and not seldom:
        return None
    for frame in trace.frames:
        for text in (*frame.locals.values(), frame.value or ""):
            if " at 0x" in text:  # an address in a text differs from run to run
                return None
            if frame.event is not Event.EXCEPTION and (
                len(text) > LONGEST_VALUE or (not seldom and _LONG_NUMBER.search(text))
            ):
                return None
    return trace


def programs(first_seed: int, held_out: bool, kinds: Mapping[str, int] = KINDS) -> Iterator[tuple[Program, Trace]]:
    """Fit programs of one side of the split with their traces, in the order of seeds from `first_seed`, no repeats."""
    seen: set[int] = set()
    seed = first_seed
    while True:
        found = program_of(seed, held_out, kinds, seen)
        seed += 1
        if found is not None:
            yield found


def program_of(seed: int, held_out: bool, kinds: Mapping[str, int], seen: set[int]) -> tuple[Program, Trace] | None:
    """The program of a seed with its trace, if it is fit, of this side of the split and not yet in `seen`."""
    try:
        program = generate(seed, held_out, kinds)
    except SyntaxError:
        return None
    key = program_key(program)
    if program.held_out is not held_out or key in seen:
        return None
    seen.add(key)
    if forbidden(program.source, program.call, held_out):
        return None
    trace = run(program)
    return None if trace is None else (program, trace)


def program_key(program: Program) -> int:
    """What repeats are told by."""
    return digest(f"{program.source}\0{program.call}".encode())


def training_segments(source: str, call: str, trace: Trace) -> tuple[list[Segment], list[Segment]]:
    """A run as CWM's text: the prompt, which is given, and what is to be learned."""
    encoder = FrameEncoder()
    prompt = prompt_segments(source, call, encoder)
    frames: list[Segment] = []
    for frame in (*trace.frames, *ending_frames(call, trace)):
        frames += encoder.encode(frame)
    return prompt, [*frames, Special.END]


def value_type(text: str) -> str:
    """The type of a value as its repr shows it."""
    patterns = {
        "bool": r"True|False", "None": "None", "int": r"-?\d+", "float": r"-?(\d+\.\d.*|\d+e.*|inf|nan)",
        "str": r"['\"].*", "bytes": r"b['\"].*", "list": r"\[.*", "tuple": r"\(.*",
        "dict": r"\{\}|\{('[^']*'|\"[^\"]*\"|\(.*?\)|[^:'\"]*):.*", "set": r"\{.*|set\(\)",
    }  # fmt: skip
    return next((name for name, pattern in patterns.items() if re.fullmatch(pattern, text, re.DOTALL)), "object")


def show_statistics(count: int, seed: int) -> None:
    """Print what `count` programs are like; the last line is the same as JSON."""
    kinds: Counter[str] = Counter()
    types: Counter[str] = Counter()
    lengths: list[int] = []
    sizes: list[int] = []
    sources: set[str] = set()
    raised = caught = 0
    start = time.process_time()
    for _, (program, trace) in zip(range(count), programs(seed, held_out=False), strict=False):
        kinds[program.kind] += 1
        sources.add(program.source)
        lengths.append(len(trace.frames))
        prompt, rest = training_segments(program.source, program.call, trace)
        sizes.append(len(text_of(prompt + rest)))
        raised += trace.outcome.ending is Ending.RAISED
        caught += trace.outcome.ending is Ending.RETURNED and any(f.event is Event.EXCEPTION for f in trace.frames)
        for frame in trace.frames:
            types.update(map(value_type, (*frame.locals.values(), *([frame.value] if frame.value else []))))
    seconds = time.process_time() - start

    def quantiles(values: list[int]) -> dict[str, int]:
        cuts = statistics.quantiles(values, n=100)
        return {f"{share}%": round(cuts[share - 1]) for share in (5, 25, 50, 75, 90, 95, 99)}

    whole = sum(types.values())
    result = {
        "programs": count,
        "unique_sources": len(sources),
        "raise": round(raised / count, 4),
        "raise_and_catch": round(caught / count, 4),
        "frames": quantiles(lengths),
        "characters": quantiles(sizes),
        "kinds": {kind: round(number / count, 4) for kind, number in kinds.most_common()},
        "value_types": {kind: round(number / whole, 4) for kind, number in types.most_common()},
        "programs_per_second": round(count / seconds),
    }
    for key, value in result.items():
        print(f"{key:20} {value}")
    print(json.dumps(result))


def main() -> None:
    """Show programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=3)
    parser.add_argument("seed", nargs="?", type=int, default=0, help="the first program's")
    parser.add_argument("--stats", action="store_true")
    options = parser.parse_args()
    if options.count < 1 or options.seed < 0:
        parser.error("COUNT is at least 1, SEED at least 0")
    if options.stats:
        show_statistics(options.count, options.seed)
        return
    for _, (program, trace) in zip(range(options.count), programs(options.seed, held_out=False), strict=False):
        prompt, rest = training_segments(program.source, program.call, trace)
        print(f"--- {program.kind}\n{text_of(prompt)}{text_of(rest)}\n")


if __name__ == "__main__":
    main()
