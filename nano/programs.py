"""Small, typed, terminating Python programs with a call, and their runs as CWM's text: what nano learns from.

Deterministic by seed, without repeats, split by program: a program's source decides whether it is held out.

    python -m nano.programs [COUNT] [SEED]      print programs with the text of their runs, and how kinds are shared
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from debugger.actual.record import record_in_process
from debugger.predicted.codec import FrameEncoder, Segment, text_of
from debugger.predicted.prompt import MAIN_DEPTH, main_line, main_return, prompt_segments
from debugger.trace import Ending, Event, Frame, Trace
from nano.chooser import Chooser
from nano.composed import composed, with_helper
from nano.idioms import IDIOMS
from quant.specials import Special

MIN_FRAMES, MAX_FRAMES = 3, 45
LONGEST_VALUE = 80
HELD_OUT_SHARE = 20
"""One source in this many is held out."""

KINDS = {
    "composed arithmetic": 11, "composed branches": 9, "composed loops": 14, "composed lists": 8, "composed strings": 6,
    "composed helper": 7, "count": 6, "sum": 7, "product": 3, "search": 8, "strings": 6, "lists": 7, "while": 7,
    "branches": 6, "primes": 2, "recursion": 6, "dicts": 5, "calls": 3, "exceptions": 5, "comprehensions": 3,
    "generators": 1, "classes": 2,
}  # fmt: skip
"""Kind to its share."""

_LONG_NUMBER = re.compile(r"\d{5,}|\d\.\d{6,}")
_DOCSTRINGS = ("Return the result.", "Compute the answer.", "Do the work.", "A small example.",
               "Return what is asked for.", "Work it out step by step.", "Check the input.", "Helper.",
               "Find it.", "Count them.")  # fmt: skip
_COMMENTS = ("start", "keep going", "check", "update", "done", "next", "base case", "edge case", "add it", "TODO")


@dataclass(frozen=True, slots=True)
class Program:
    """A module's text and a call in it."""

    kind: str
    source: str
    call: str

    @property
    def held_out(self) -> bool:
        """Whether this program is kept from training. Arguments do not matter: all calls of one source go together."""
        digest = hashlib.blake2b(self.source.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0


def generate(seed: int) -> Program:
    """The program of `seed`; it may turn out to be unfit (`run` says)."""
    choose = Chooser(seed)
    kind = choose.random.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "composed helper":
        source, call = with_helper(choose)
    elif kind.startswith("composed "):
        source, call = composed(choose, kind.removeprefix("composed "))
    else:
        source, call = choose.of(IDIOMS[kind])(choose)
    return Program(kind, decorate(choose, source, call), call)


def decorate(choose: Chooser, source: str, call: str) -> str:
    """The source with the docstrings and comments that people leave."""
    lines = source.rstrip("\n").split("\n")
    if choose.chance(0.15):
        first = choose.of([index for index, line in enumerate(lines) if line.lstrip().startswith("def ")])
        indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())] + "    "
        lines.insert(first + 1, f'{indent}"""{choose.of(_DOCSTRINGS)}"""')
    if choose.chance(0.08):
        index = choose.between(0, len(lines) - 1)
        if lines[index]:
            lines[index] += f"  # {choose.of(_COMMENTS)}"
    if choose.chance(0.06):
        lines.insert(0, choose.pick(f"# foretrace: {call}", f"# {choose.of(_COMMENTS)}"))
    return "\n".join(lines) + "\n"


def run(program: Program) -> Trace | None:
    """The program's trace, or None where it does not end in time or its values are not what nano should learn from."""
    trace = record_in_process(program.source, program.call, MAX_FRAMES)
    if trace.outcome.ending not in (Ending.RETURNED, Ending.RAISED) or len(trace.frames) < MIN_FRAMES:
        return None
    if trace.outcome.ending is Ending.RAISED and program.kind.startswith("composed"):
        return None
    for frame in trace.frames:
        for text in (*frame.locals.values(), frame.value or ""):
            if frame.event is not Event.EXCEPTION and (len(text) > LONGEST_VALUE or _LONG_NUMBER.search(text)):
                return None
    return trace


def programs(first_seed: int, held_out: bool) -> Iterator[tuple[Program, Trace]]:
    """Fit programs of one side of the split with their traces, in the order of seeds from `first_seed`, no repeats."""
    seen: set[bytes] = set()
    seed = first_seed
    while True:
        program = generate(seed)
        seed += 1
        if program.held_out is not held_out:
            continue
        key = hashlib.blake2b(f"{program.source}\0{program.call}".encode(), digest_size=8).digest()
        if key in seen:
            continue
        seen.add(key)
        trace = run(program)
        if trace is not None:
            yield program, trace


def ending_frames(call: str, trace: Trace) -> list[Frame]:
    """The frames of `main` behind the call's: it hands on the value, or the exception passes through it."""
    last = trace.frames[-1]
    if trace.outcome.ending is Ending.RETURNED:
        return [main_return(call, last.value or "None")]
    raised = next(frame for frame in reversed(trace.frames) if frame.event is Event.EXCEPTION)
    line = main_line(call)
    return [
        Frame(Event.EXCEPTION, 0, line, value=raised.value, function="main", depth=MAIN_DEPTH),
        Frame(Event.RETURN, 0, line, value="None", function="main", depth=MAIN_DEPTH),
    ]


def training_segments(source: str, call: str, trace: Trace) -> tuple[list[Segment], list[Segment]]:
    """A run as CWM's text: the prompt, which is given, and what is to be learned."""
    encoder = FrameEncoder()
    prompt = prompt_segments(source, call, encoder)
    frames: list[Segment] = []
    for frame in (*trace.frames, *ending_frames(call, trace)):
        frames += encoder.encode(frame)
    return prompt, [*frames, Special.END]


def main() -> None:
    """Show programs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    stream = programs(int(sys.argv[2]) if len(sys.argv) > 2 else 0, held_out=False)
    kinds: Counter[str] = Counter()
    frames = 0
    for index, (program, trace) in zip(range(count), stream, strict=False):
        kinds[program.kind] += 1
        frames += len(trace.frames)
        if index < 20:
            prompt, rest = training_segments(program.source, program.call, trace)
            print(text_of(prompt) + text_of(rest), end="\n\n")
    print(f"{count} programs, {frames / count:.1f} frames each, by kind: {dict(kinds.most_common())}")


if __name__ == "__main__":
    main()
