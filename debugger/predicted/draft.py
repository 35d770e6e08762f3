"""Drafts: the guessed frames as tokens, as far as it pays to have them checked.

Drafting is lossless: a draft never changes what is written, only how many calls of the model that takes (see
`Writer`). The idea is that of speculative decoding (Leviathan et al. 2023, arXiv 2211.17192) with guesses that need no
second model: most of a trace is copied from the program and from the frames before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, cast

from debugger.predicted.codec import EVENT_OF_SPECIAL, SPECIAL_OF_EVENT, UNCHANGED, FormatError, parse_locals
from debugger.predicted.expect import Expectation, Guess, Scene, Text, advance_by_guess
from debugger.predicted.lines import elements
from debugger.predicted.position import Step, with_names
from debugger.predicted.writer import Draft
from debugger.trace import Event
from quant.model import Vocabulary
from quant.specials import Special

_PRIOR = {
    "expected": 0.99,
    "expected value": 0.98,
    "text": 0.995,
    "only step": 0.99,
    "only line": 0.9,
    "same": 0.97,
    "same, whole": 0.95,
    "spelled out": 0.9,
    "copied": 0.85,
    "item": 0.8,
    "loop": 0.95,
    "again twice": 0.85,
    "again": 0.6,
    "call": 0.7,
    "comprehension": 0.8,
    "return": 0.9,
    "exception": 0.6,
    "condition": 0.95,
    "branch": 0.55,
    "step": 0.7,
    "argument": 0.8,
    "appended": 0.7,
    "beginning": 0.8,
    "rest": 0.9,
    "end of locals": 0.97,
    "unwinding": 0.99,
    "no result": 0.95,
}
"""How often guesses of a kind come true at first; later their own record counts."""
_OTHER = 0.5
_LEAST_CHANCE = 0.6
"""A longer draft makes calls fewer, and, as far as that, hardly more expensive."""
_ENDS = "end of value"
_WEIGHT = 6
"""Guesses that the prior is worth."""
_LOOKED_UP = 3
"""Tokens in a row by which a place is found again."""
_FADING = 0.97
"""Each guess counts so much of the one behind it."""
_FIRST_DRAFTED, _FIRST_WRITTEN = 12, 9
"""Of the tokens drafted in a call, how many come true, until it is known."""


@dataclass(slots=True)
class _Record:
    """How often guesses of one kind came true."""

    hits: float
    tries: float

    @property
    def share(self) -> float:
        return self.hits / self.tries


@dataclass(slots=True)
class _Plan:
    """Tokens and the kind of each."""

    tokens: list[int] = field(default_factory=list[int])
    kinds: list[str] = field(default_factory=list[str])


class _Enough(Exception):  # noqa: N818
    """The plan is as long as it pays, or nothing is known about what follows."""


class Odds:
    """How likely guesses of each kind come true, and whether it pays to draft one more token.

    It does as long as the chance that the token is reached and right is larger than its share of what a token costs
    now, of which `token_cost` is the part that one more token in a call adds to a call of one.
    """

    def __init__(self, token_cost: float) -> None:
        """Start from what is usual."""
        self._token_cost = token_cost
        self._records: dict[str, _Record] = {}
        self._written: float = _WEIGHT * _FIRST_WRITTEN
        self._paid = _WEIGHT * (1 + token_cost * _FIRST_DRAFTED)
        """What those were worth, in calls of a single token."""

    def share(self, kind: str) -> float:
        """How often guesses of this kind come true."""
        return self._record(kind).share

    def pays(self, chance: float) -> bool:
        """Whether a token that is reached and right with this chance is worth evaluating."""
        return chance >= min(_LEAST_CHANCE, self._token_cost * self._written / self._paid)

    def judge(self, draft: Draft, accepted: int, refused: bool) -> None:
        """Learn from what became of a draft."""
        for kind in draft.kinds[:accepted]:
            self._note(kind, 1.0)
        if refused:
            self._note(draft.kinds[accepted], 0.0)
        self._written = self._written * _FADING + accepted + 1
        self._paid = self._paid * _FADING + 1 + self._token_cost * len(draft.kinds)

    def _note(self, kind: str, hit: float) -> None:
        record = self._record(kind)
        record.hits = record.hits * _FADING + hit
        record.tries = record.tries * _FADING + 1

    def _record(self, kind: str) -> _Record:
        found = self._records.get(kind)
        if found is None:
            found = self._records[kind] = _Record(_PRIOR.get(kind, _OTHER) * _WEIGHT, _WEIGHT)
        return found


class FrameDrafter:
    """Drafts what comes behind the written part of a frame: its rest, and further frames."""

    def __init__(
        self,
        expectation: Expectation,
        scene: Scene,
        vocabulary: Vocabulary,
        specials: Mapping[Special, int],
        line_tokens: Callable[[str, Special], Sequence[int]],
        main_line: str,
        odds: Odds,
    ) -> None:
        """Draft behind the scene, which its owner keeps current by `Expectation.advance`."""
        self._expectation = expectation
        self._scene = scene
        self._vocabulary = vocabulary
        self._specials = specials
        self._special_of = {token: special for special, token in specials.items()}
        self._line_tokens = line_tokens
        self._main_line = main_line
        self._odds = odds
        self._plan = _Plan()
        self._chance = 1.0
        self._most = 0
        self._followers: dict[tuple[int, ...], int] = {}
        """For each few tokens in a row where the one behind them stands, the latest."""
        self._indexed = _LOOKED_UP
        self._mark = 0
        self._spellings: dict[tuple[int, ...], tuple[int, ...]] = {}
        """Tokens that the tokenizer makes of a text, and those by which the model has written it."""

    def judge(self, draft: Draft, accepted: int, refused: bool) -> None:
        """Learn from what became of a draft."""
        self._odds.judge(draft, accepted, refused)

    def draft(self, tokens: Sequence[int], mark: int, most: int) -> Draft:
        """The tokens that likely follow, where `tokens[mark:]` is written of the frame."""
        return self.draft_frames(tokens, mark, most)

    def learn(self, tokens: Sequence[int], mark: int) -> None:
        """Note how the model has spelled the frame that ends at the mark, if it is a new one."""
        if mark != self._mark:
            self._learn_spelling(tokens[self._mark : mark])
            self._mark = mark

    def draft_frames(self, tokens: Sequence[int], mark: int, most: int, *, further: bool = True) -> Draft:
        """The same; without `further` no more than the frame is drafted."""
        self._plan = _Plan()
        self._chance = 1.0
        self._most = most
        self.learn(tokens, mark)
        scene = self._scene.copy()
        try:
            guess, steps = self._rest_of_frame(scene, tokens[mark:])
            while further and guess is not None and advance_by_guess(self._expectation, scene, guess, steps):
                steps = self._expectation.steps(scene)
                guess = self._frame(scene, steps)
        except _Enough:
            pass
        if not self._plan.tokens:
            self._look_up(tokens)
        return Draft(self._plan.tokens, kinds=self._plan.kinds)

    def _learn_spelling(self, frame: Sequence[int]) -> None:
        """Note where the model has written LOCALS or a VALUE in other tokens than the tokenizer would."""
        part: list[int] = []
        for token in frame:
            if token not in self._special_of:
                part.append(token)
                continue
            text = self._spell(part)
            tokens = self._vocabulary.tokenize(text) if text[:1] in ("{", '"') else part
            if tokens != part:
                self._spellings.update(self._differences(tokens, part))
            part = []

    def _differences(
        self, left: Sequence[int], right: Sequence[int]
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The pieces, as short as they can be, in which two spellings of one text differ."""
        ends = [list(accumulate(len(self._vocabulary.piece(token)) for token in side)) for side in (left, right)]
        starts = [0, 0]
        for end in sorted(set(ends[0]) & set(ends[1])):
            stops = [side.index(end) + 1 for side in ends]
            pieces = tuple(left[starts[0] : stops[0]]), tuple(right[starts[1] : stops[1]])
            if pieces[0] != pieces[1]:
                yield pieces
            starts = stops

    def _tokenize(self, text: str) -> list[int]:
        """The tokens by which the model likely writes a text."""
        return self.respelled(self._vocabulary.tokenize(text))

    def respelled(self, tokens: list[int]) -> list[int]:
        """The tokenizer's tokens, changed in place to those by which the model likely writes the same."""
        for usual, own in self._spellings.items():
            position = 0
            while usual[0] in tokens[position:]:
                position = tokens.index(usual[0], position)
                if tuple(tokens[position : position + len(usual)]) == usual:
                    tokens[position : position + len(usual)] = own
                    position += len(own)
                else:
                    position += 1
        return tokens

    def _look_up(self, tokens: Sequence[int]) -> None:
        """Plan what followed the last few tokens when they came before, as inside a long value."""
        for position in range(self._indexed, len(tokens)):
            self._followers[tuple(tokens[position - _LOOKED_UP : position])] = position
        self._indexed = len(tokens)
        last = tuple(tokens[len(tokens) - _LOOKED_UP :])
        start = self._followers.get(last, len(tokens))
        if tuple(tokens[start - _LOOKED_UP : start]) != last:
            return  # what was rolled back since
        try:
            for offset in range(self._most):
                position = start + offset
                # What repeats itself goes on for as long as it likes.
                token = tokens[position] if position < len(tokens) else self._plan.tokens[position - len(tokens)]
                self._add(token, "looked up")
        except (_Enough, IndexError):
            return

    # A frame as tokens.

    def _add(self, token: int, kind: str) -> None:
        """Plan one more token, if that pays."""
        self._chance *= self._odds.share(kind)
        if len(self._plan.tokens) >= self._most or not self._odds.pays(self._chance):
            raise _Enough
        self._plan.tokens.append(token)
        self._plan.kinds.append(kind)

    def _frame(self, scene: Scene, steps: Sequence[Step]) -> Guess | None:
        """Plan a whole frame."""
        guess = self._expectation.guess(scene, steps)
        if guess is None:
            return None
        alike = [step for step in steps if step.event is guess.step.event]
        special = self._specials[SPECIAL_OF_EVENT[guess.step.event]]
        self._add(special, guess.kind if len(alike) < len(steps) else "text")
        if guess.value is None:
            self._add_locals(guess, "", ())
            self._add_line(scene, guess, alike, Special.FRAME)
        else:
            self._add_line(scene, guess, alike, Special.ARG)
            self._add_value(guess.value, "", ())
        return guess

    def _add_line(self, scene: Scene, guess: Guess, steps: Sequence[Step], after: Special) -> None:
        """Plan a frame's line; that it is the guessed one counts where those of other steps part from it."""
        self._add(self._specials[Special.ACTION], "text")
        self._add_rest_of_line(scene, guess, steps, after, 0)

    def _add_rest_of_line(
        self, scene: Scene, guess: Guess, steps: Sequence[Step], after: Special, written: int
    ) -> None:
        """The same behind so many tokens."""
        tokens = self._line_tokens(self._text(scene, guess.step), after)
        others = [self._line_tokens(text, after) for text in {self._text(scene, step) for step in steps}]
        for place, token in enumerate(tokens):
            alike = [other for other in others if other[place] == token]
            if place >= written:
                self._add(token, "text" if len(alike) == len(others) else guess.kind)
            others = alike

    def _text(self, scene: Scene, step: Step) -> str:
        return self._main_line if step.code is None else scene.position.text(step)

    def _add_value(self, value: Text, beginning: str, tokens: Sequence[int]) -> None:
        text = json.dumps(value.text)
        spans = [(1, "text"), (len(text) - 1, value.kind)]
        if value.whole:
            self._add_text(text, [*spans, (len(text), _end(value))], beginning, tokens)
            self._add(self._specials[Special.FRAME], "text")
        else:
            self._add_text(text[:-1], spans, beginning, tokens)
            raise _Enough

    def _add_locals(self, guess: Guess, beginning: str, tokens: Sequence[int]) -> None:
        text, spans = "{", [(1, "text")]
        for position, (name, value) in enumerate(guess.written.items()):
            text += (", " if position else "") + json.dumps(name) + ': "'
            spans.append((len(text), "text"))
            text += json.dumps(value.text)[1:-1]
            spans.append((len(text), value.kind))
            if not value.whole:
                self._add_text(text, spans, beginning, tokens)
                raise _Enough
            text += '"'
            spans.append((len(text), _end(value)))
        text += "}"
        spans.append((len(text), "end of locals"))
        self._add_text(text, spans, beginning, tokens)

    def _add_text(self, text: str, spans: Sequence[tuple[int, str]], beginning: str, written: Sequence[int]) -> None:
        """Plan the tokens of a text of which `beginning` is written; the spans say to where each kind reaches."""
        if not text.startswith(beginning):
            raise _Enough
        tokens = self._tokenize(text)
        if list(written) == tokens[: len(written)]:
            tokens = tokens[len(written) :]
        else:
            tokens = self._tokenize(text[len(beginning) :])
        position = len(beginning)
        index = 0
        last = -1
        for token in tokens:
            end = position + len(self._vocabulary.piece(token))
            while index + 1 < len(spans) and spans[index][0] <= position:
                index += 1
            kind = spans[index][1]
            self._add(token, "rest" if index == last and kind != "text" else kind)
            last = index
            position = end

    # What is left of a frame that is partly written.

    def _rest_of_frame(self, scene: Scene, written: Sequence[int]) -> tuple[Guess | None, Sequence[Step]]:
        steps = self._expectation.steps(scene)
        if not written:
            return self._frame(scene, steps), steps
        event = EVENT_OF_SPECIAL.get(self._special_of.get(written[0], Special.END))
        if event is None:
            raise _Enough
        steps = [step for step in steps if step.event is event]
        parts: list[list[int]] = [[]]
        for token in written[1:]:
            if token in self._special_of:
                parts.append([])
            else:
                parts[-1].append(token)
        if event in (Event.CALL, Event.LINE):
            return self._rest_with_locals(scene, steps, parts), steps
        return self._rest_with_value(scene, steps, parts), steps

    def _rest_with_locals(self, scene: Scene, steps: Sequence[Step], parts: Sequence[list[int]]) -> Guess | None:
        beginning = self._spell(parts[0])
        if len(parts) == 1:
            entries, name, value = _split(beginning)
            names = {*entries, *([name] if name and value is not None else [])}
            fitting = [step for step in steps if step.code and step.code.has(names)] or steps
            guess = self._expectation.guess(scene, fitting)
            if guess is None:
                return None
            guess = self._complete(scene, guess, beginning)
            self._add_locals(guess, beginning, parts[0])
            self._add_line(scene, guess, fitting, Special.FRAME)
            return guess
        try:
            names = parse_locals(beginning)
        except FormatError:
            raise _Enough from None
        fitting = with_names(steps, names.keys(), scene.locals_at.get(scene.position.depth, {}))
        guess = self._line_written(scene, fitting, parts[1], Special.FRAME)
        written = {name: Text(text, "written") for name, text in names.items()}
        return guess and Guess(guess.step, guess.kind, written)

    def _rest_with_value(self, scene: Scene, steps: Sequence[Step], parts: Sequence[list[int]]) -> Guess | None:
        if len(parts) == 2:
            guess = self._line_written(scene, steps, parts[1], Special.ARG)
            if guess is not None and guess.value is not None:
                self._add_value(guess.value, "", ())
            return guess
        if len(parts) != 3:
            raise _Enough
        line = [*parts[1], self._specials[Special.ARG]]
        fitting = [step for step in steps if self._line_tokens(self._text(scene, step), Special.ARG) == line]
        guess = self._expectation.guess(scene, fitting)
        if guess is None or guess.value is None:
            return None
        beginning = self._spell(parts[2])
        value = self._completed(scene, guess.value, beginning[1:])
        self._add_value(value, beginning, parts[2])
        return Guess(guess.step, guess.kind, value=value)

    def _line_written(self, scene: Scene, steps: Sequence[Step], part: list[int], after: Special) -> Guess | None:
        """The guess among the steps whose line begins as it is written; plans the rest of the line."""
        lines = {step: self._line_tokens(self._text(scene, step), after) for step in steps}
        fitting = [step for step in steps if list(lines[step][: len(part)]) == part]
        guess = self._expectation.guess(scene, fitting)
        if guess is None:
            return None
        self._add_rest_of_line(scene, guess, fitting, after, len(part))
        return guess

    def _spell(self, tokens: Sequence[int]) -> str:
        return b"".join(map(self._vocabulary.piece, tokens)).decode("ascii", "replace")

    def _complete(self, scene: Scene, guess: Guess, beginning: str) -> Guess:
        """The guessed LOCALS, changed to begin as they are written."""
        entries, name, value = _split(beginning)
        written = {each: Text(text, "written") for each, text in entries.items()}
        left = {each: text for each, text in guess.written.items() if each not in written}
        if value is not None and name is not None:
            proposed = left.pop(name, Text("", "unknown", whole=False))
            if proposed.text == UNCHANGED and not UNCHANGED.startswith(value):
                proposed = Text(scene.known(guess.step.event).get(name, ""), "spelled out")
            written[name] = self._completed(scene, proposed, value)
        elif name:  # part of a name
            chosen = next((each for each in left if json.dumps(each)[1:].startswith(name)), None)
            if chosen is None:
                raise _Enough
            written[chosen] = left.pop(chosen)
        order = list(guess.written)
        last = max((order.index(each) for each in written if each in order), default=-1)
        rest = {each: left[each] for each in order[last + 1 :] if each in left}
        return Guess(guess.step, guess.kind, {**written, **rest})

    def _completed(self, scene: Scene, proposed: Text, beginning: str) -> Text:
        """A value that begins as it is written: what was proposed, else one that was seen, else just its end."""
        if json.dumps(proposed.text)[1:-1].startswith(beginning) and len(proposed.text) > len(beginning):
            return proposed
        try:
            text: str = json.loads(f'"{beginning}"')
        except ValueError:
            return Text("", "unknown", whole=False)
        if text == proposed.text and proposed.whole:
            return proposed
        if _seems_whole(text):
            return Text(text, _ENDS)
        if proposed.kind == "beginning" and proposed.text[:1] == text[:1] and text[0] in "[(":
            parts, old = elements(text[1:]), elements(proposed.text[1:])
            if len(parts) <= len(old):  # another element than the old value has there; the ones behind may be the old
                behind = old[len(parts) :] if parts[-1] else old[len(parts) - 1 :]
                rest = ", ".join(behind)
                return Text(text + (", " if parts[-1] and behind else "") + rest, "beginning", whole=False)
        seen = self._expectation.whole_value(scene, text)
        if seen is not None:
            return Text(seen, "seen")
        return Text(text, "unknown", whole=False)


class RunDrafter:
    """Drafts a known run, token for token, as long as the model agrees with it; then what another drafter says."""

    def __init__(
        self,
        count: int,
        spelled: Callable[[int], list[int]],
        scored: Callable[[int, list[int]], Sequence[int]],
        otherwise: FrameDrafter,
        odds: Odds,
        *,
        forced: bool,
    ) -> None:
        """`spelled` gives the tokens of each of `count` frames; `scored` says which log probabilities are wanted.

        With `forced`, the run goes on behind whatever the model writes instead.
        """
        self._count = count
        self._spelled = spelled
        self._scored = scored
        self._otherwise = otherwise
        self._odds = odds
        self._forced = forced
        self.frame: int | None = 0
        """The frame that is written now; None where the model has left the run for good."""

    def judge(self, draft: Draft, accepted: int, refused: bool) -> None:
        """Learn from what became of a draft."""
        self._odds.judge(draft, accepted, refused)

    def draft(self, tokens: Sequence[int], mark: int, most: int) -> Draft:
        """The rest of the run's frame, if it is written like that, and those behind it."""
        if self.frame is None or self.frame >= self._count:
            return self._otherwise.draft_frames(tokens, mark, most)
        self._otherwise.learn(tokens, mark)
        written = tokens[mark:]
        if list(written) != self._spelled(self.frame)[: len(written)]:
            return self._otherwise.draft_frames(tokens, mark, most, further=not self._forced)
        planned: list[int] = []
        scored: list[int] = []
        chance, share = 1.0, self._odds.share("expected")
        for index in range(self.frame, self._count):
            skipped = len(written) if index == self.frame else 0
            start = len(planned) - skipped
            frame = self._spelled(index)
            for token in frame[skipped:]:
                chance *= share
                if len(planned) == most or not self._odds.pays(chance):
                    break
                planned.append(token)
            scored += [start + place for place in self._scored(index, frame) if 0 <= start + place < len(planned)]
            if start + len(frame) != len(planned):
                break
        return Draft(planned, scored, ["expected"] * len(planned))


def _end(value: Text) -> str:
    """The kind of a value's closing quote."""
    return value.kind if value.kind == _ENDS else "rest"


def _seems_whole(text: str) -> bool:
    """Whether a value may end here: its brackets and quotes are closed."""
    if not text:
        return False
    if text[0] in "'\"":
        return len(text) > 1 and text[-1] == text[0]
    return all(text.count(left) == text.count(right) for left, right in ("()", "[]", "{}", "<>"))


def _string_at(text: str, start: int) -> tuple[str, int]:
    """The JSON string whose characters begin there, and where it ends. Raises ValueError."""
    found: tuple[str, int] = cast("Any", json.decoder).scanstring(text, start)
    return found


def _split(text: str) -> tuple[dict[str, str], str | None, str | None]:
    """The whole entries of LOCALS cut anywhere, the last name, and what is written of its value.

    Without a value, the name is what is written of it behind its opening quote; None where none is begun.
    """
    entries: dict[str, str] = {}
    position = 1
    while True:
        while position < len(text) and text[position] in ", ":
            position += 1
        if position >= len(text) or text[position] != '"':
            return entries, None, None
        try:
            name, after = _string_at(text, position + 1)
        except ValueError:
            return entries, text[position + 1 :], None
        start = text.find('"', after)
        if start < 0:
            return entries, name, ""  # only the value's opening quote is missing
        try:
            value, position = _string_at(text, start + 1)
        except ValueError:
            return entries, name, text[start + 1 :]
        entries[name] = value
