"""Conditions with their answers, one after the other, without a run around them: to learn what runs then ask for.

    names = ['bob', 'tom']
    x = 12
    x > 10 -> True
    'eve' in names -> False

Some ask as runs do, behind the line with the condition, for the truth or for the line that comes next (`next_lines`).
In a run, one token of many tells how a condition turned out, too little to learn comparing from: 65 million tokens of
runs did not teach it, and 170,000 of drills began to (nano/LOG.md). Only the answers are learned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from debugger.predicted.codec import Segment, locals_text
from nano.chooser import Chooser
from nano.composed import INDENT
from nano.decisions import Scope, condition, literal_near, parameters
from nano.tokenizer import SegmentTokenizer
from quant.specials import Special

KIND = "drills"
ARROW = " ->"
LETTERS = "abcdeilmnorstuvwxyz01 A"
BEFORE_ANSWER = (Special.FRAME, Special.LINE, "{}", Special.ACTION)
"""What a run has from a line with a condition to the next line; the variables are left out."""


def drill(choose: Chooser, tokenizer: SegmentTokenizer) -> list[int]:
    """The ids of one drill: some variables, then conditions, of which half are true."""
    scope = Scope(choose)
    if choose.chance(0.5):
        return next_lines(scope, tokenizer)
    parameters(scope, choose.between(1, 4))
    for _ in range(choose.pick(0, 0, 1, 2)):
        scope.add(choose.of(LETTERS), "char")
    names = list(scope.values)
    lines = [f"{name} = {value!r}\n" for name, value in scope.values.items()]
    ids = tokenizer.segments([Special.BEGIN, "".join(lines)])
    like_a_run = choose.chance(0.5)
    for _ in range(choose.between(15, 40)):
        text = numbers_only(scope) if choose.chance(0.3) else condition(scope, names, choose.chance(0.5))
        truth = scope.truth(text)
        if truth is not None:
            word = choose.pick("if", "if", "if", "elif", "while")
            asked = [f"{word} {text}:\n", *BEFORE_ANSWER] if like_a_run else [text, ARROW]
            # Piece by piece, so that the arrow and the answer are the same tokens, whatever is before them.
            for part in (*asked, f" {truth}", "\n"):
                ids += tokenizer.segments([part])
    return ids


@dataclass(frozen=True, slots=True)
class _Step:
    """A line with a condition, and which lines may come next."""

    condition: str
    line: int
    if_true: int
    if_false: int


def next_lines(scope: Scope, tokenizer: SegmentTokenizer) -> list[int]:
    """A function that decides, then its conditions in any order, each with the line that comes next.

    Before each, a variable of the condition gets another value, which is told as runs tell it.
    """
    choose = scope.choose
    parameters(scope, choose.pick(1, 2, 2, 3))
    for _ in range(choose.pick(0, 0, 1)):
        scope.add(choose.of(LETTERS), "char")
    lines, steps = _function(scope)
    values = {name: repr(value) for name, value in scope.values.items()}
    segments: list[Segment] = [Special.BEGIN, Special.CONTEXT, "".join(lines), Special.FRAME, Special.CALL]
    segments += [locals_text(values, {}), Special.ACTION, lines[0], Special.FRAME]
    for _ in range(choose.between(10, 24)):
        step = choose.of(steps)
        known = dict(values)
        shown = choose.of([name for name in values if re.search(rf"\b{name}\b", step.condition)])
        scope.values[shown] = _another(choose, scope.values[shown])
        values[shown] = repr(scope.values[shown])
        truth = scope.truth(step.condition)
        segments += [Special.LINE, locals_text({shown: values[shown]}, known), Special.ACTION, lines[step.line]]
        if truth is not None:
            segments += [*BEFORE_ANSWER, lines[step.if_true if truth else step.if_false]]
        segments.append(Special.FRAME)
    return tokenizer.segments(segments)


def _function(scope: Scope) -> tuple[list[str], list[_Step]]:
    """The lines of a function, each with its newline, and the conditions in it."""
    choose, names = scope.choose, list(scope.values)
    result = choose.name("counter")
    lines = [f"def {choose.name('function')}({', '.join(names)}):", f"{INDENT}{result} = 0"]
    steps: list[_Step] = []
    amounts = choose.sample_of(range(1, 40), 24)

    def block() -> None:
        amount = amounts.pop()
        text = f"return {amount}" if choose.chance(0.15) else f"{result} {choose.pick('+', '+', '-')}= {amount}"
        lines.append(INDENT * 2 + text)

    for _ in range(choose.between(2, 5)):
        words = ["if", *(["elif"] if choose.chance(0.15) else [])]
        heads: list[tuple[str, int]] = []
        for word in words:
            text = condition(scope, names, choose.chance(0.5))
            while any(text == step.condition for step in steps) or any(text == other for other, _ in heads):
                text = f"{text} or {condition(scope, names, choose.chance(0.5))}"  # else none would know which is asked
            heads.append((text, len(lines)))
            lines.append(f"{INDENT}{word} {text}:")
            block()
        if choose.chance(0.35):
            lines.append(f"{INDENT}else:")
            block()
            last = len(lines) - 1
        else:
            last = len(lines)  # what follows the whole statement
        others = [place for _, place in heads[1:]] + [last]
        steps += [_Step(text, place, place + 1, other) for (text, place), other in zip(heads, others, strict=True)]
    lines.append(f"{INDENT}return {result}")
    return [line + "\n" for line in lines], steps


def _another(choose: Chooser, value: Any) -> Any:
    """Another value of the same type, where there are others."""
    if type(value) is int:
        return literal_near(choose, value)
    if isinstance(value, str):
        return choose.pick(value[::-1], value[1:], value + choose.of(LETTERS), choose.word(6), choose.of(LETTERS))
    if isinstance(value, list):
        items: list[Any] = value
        return choose.pick(items[::-1], items[1:], items + items[:1])
    return not value if isinstance(value, bool) else value


def numbers_only(scope: Scope) -> str:
    """A comparison of two numbers."""
    choose = scope.choose
    value = choose.pick(choose.between(0, 9), choose.between(0, 30))
    return f"{value} {choose.pick('<', '>', '==', '!=', '<=', '>=')} {literal_near(choose, value)}"


def answers(ids: list[int], before: list[list[int]], ends: set[int]) -> list[bool]:
    """For each token of a drill: whether it is of an answer, which stands between one of `before` and one of `ends`."""
    within = False
    found: list[bool] = []
    last_tokens = {arrow[-1] for arrow in before}
    previous = -1
    for place, token in enumerate(ids):
        if previous in last_tokens:
            within = within or any(ids[max(0, place - len(arrow)) : place] == arrow for arrow in before)
        within = within and token not in ends
        found.append(within)
        previous = token
    return found
