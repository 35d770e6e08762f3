"""Conditions with their answers, line after line, without a run around them: to learn what runs then ask for.

    names = ['bob', 'tom']
    x = 12
    x > 10 -> True
    'eve' in names -> False

Some ask as runs do, behind the line with the condition: `if x > 10:`, and what stands there before the next line. In a
run, one token of many tells how a condition turned out, too little to learn comparing from: 65 million tokens of
runs did not teach it, and 170,000 of drills began to (nano/LOG.md). Only the answers are learned.
"""

from __future__ import annotations

from debugger.predicted.codec import Segment
from nano.chooser import Chooser
from nano.decisions import Scope, condition, literal_near, parameters
from nano.tokenizer import SegmentTokenizer
from quant.specials import Special

KIND = "drills"
ARROW = " ->"
LETTERS = "abcdeilmnorstuvwxyz01 A"


def drill(choose: Chooser, tokenizer: SegmentTokenizer) -> list[int]:
    """The ids of one drill: some variables, then conditions, of which half are true."""
    scope = Scope(choose)
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
            # Piece by piece, so that the arrow and the answer are the same tokens, whatever is before them.
            for part in (*(asked_in_a_run(choose, text) if like_a_run else [text]), ARROW, f" {truth}", "\n"):
                ids += tokenizer.segments([part])
    return ids


def asked_in_a_run(choose: Chooser, text: str) -> list[Segment]:
    """What a run has from a line with a condition to the next line, but for the variables."""
    return [
        f"{choose.pick('if', 'if', 'if', 'elif', 'while')} {text}:\n",
        Special.FRAME,
        Special.LINE,
        "{}",
        Special.ACTION,
    ]


def numbers_only(scope: Scope) -> str:
    """A comparison of two numbers."""
    choose = scope.choose
    value = choose.pick(choose.between(0, 9), choose.between(0, 30))
    return f"{value} {choose.pick('<', '>', '==', '!=', '<=', '>=')} {literal_near(choose, value)}"


def answers(ids: list[int], arrow: list[int], end: int) -> list[bool]:
    """For each token of a drill: whether it is of an answer, which stands between the arrow and the token `end`."""
    within = False
    found: list[bool] = []
    for place, token in enumerate(ids):
        within = (within or ids[max(0, place - len(arrow)) : place] == arrow) and token != end
        found.append(within)
    return found
