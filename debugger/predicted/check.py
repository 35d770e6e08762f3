"""A prediction beside the real run that it is checked against: the real frames are drafted, so a right one is cheap.

What the model agrees with costs no more than reading it. In `FREE` mode the model goes on from its own frames after
the first difference; in `FORCED` mode the real frame replaces each wrong one, so that every later difference is a
mistake of its own. Both tell how surprised the model is by the real values, as far as it has read the real run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from debugger.predicted.codec import parse_locals
from debugger.predicted.draft import RunDrafter
from debugger.predicted.evaluation import Evaluation, drive
from debugger.predicted.mode import CheckMode
from debugger.predicted.predict import CONTEXT_FULL, DEFAULT_MAX_FRAMES, Predictor, raised_value
from debugger.predicted.prompt import ending_frames
from debugger.target import Target
from debugger.trace import VALUE, Ending, Event, Frame, Outcome, Trace
from quant.model import Model

_GOES_ON = "The model predicted that the run goes on where the real one ended."


@dataclass(frozen=True, slots=True)
class Checked:
    """A prediction and the real run that it was made beside."""

    predicted: Trace
    actual: Trace
    """Its frames have the model's surprise."""
    proposals: tuple[Frame | None, ...] = ()
    """Forced: for each real frame what the model expected instead or as well; None where that was no frame.

    Frames that the call spells out are no predictions: they stand for themselves.
    """
    given: int = 0
    """How many frames the call spells out."""


def check(
    model: Model,
    target: Target,
    call: str,
    actual: Trace,
    *,
    mode: CheckMode = CheckMode.FREE,
    max_frames: int = DEFAULT_MAX_FRAMES,
    constrained: bool = True,
    temperature: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_frame: Callable[[Frame], None] = lambda frame: None,
) -> Checked:
    """Predict the run of `call`, whose real run is known. Free, the prediction is the same as that of `predict`.

    `temperature` calibrates confidence; None takes the model's own. Raises ModelError, TargetError.
    """
    work = checking(
        model,
        target,
        call,
        actual,
        mode=mode,
        max_frames=max_frames,
        constrained=constrained,
        temperature=temperature,
        cancelled=cancelled,
        on_frame=on_frame,
    )
    return drive(work, model)


def checking(
    model: Model,
    target: Target,
    call: str,
    actual: Trace,
    *,
    mode: CheckMode = CheckMode.FREE,
    max_frames: int = DEFAULT_MAX_FRAMES,
    constrained: bool = True,
    temperature: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    on_frame: Callable[[Frame], None] = lambda frame: None,
    sequence: int = 0,
) -> Evaluation[Checked]:
    """The same as a coroutine, in this sequence of the model."""
    predictor = Predictor(
        model,
        target,
        call,
        constrained=constrained,
        temperature=temperature,
        cancelled=cancelled,
        expected=actual.frames,
        sequence=sequence,
    )
    run = _Run(predictor, call, actual, model, forced=mode is CheckMode.FORCED)
    if mode is CheckMode.FREE:
        predicted = yield from run.free(max_frames, on_frame)
        return Checked(predicted, run.surprised(), given=len(predictor.given))
    predicted, proposals = yield from run.forced(max_frames, on_frame)
    return Checked(predicted, run.surprised(), proposals, len(predictor.given))


class _Run:
    """The real run's frames as tokens, and the prediction that reads them."""

    def __init__(self, predictor: Predictor, call: str, actual: Trace, model: Model, *, forced: bool) -> None:
        self._predictor = predictor
        self._actual = actual
        self._given = len(predictor.given)
        ended = actual.outcome.ending in (Ending.RETURNED, Ending.RAISED) and actual.frames
        self._frames = [*actual.frames, *(ending_frames(call, actual) if ended else ())]
        """Those with which `main` ends come last."""
        self._segments = predictor.encode_run(self._frames)
        self._tokens = [predictor.tokens_of(each) for each in self._segments]
        self._piece: Callable[[int], bytes] = model.vocabulary.piece
        self._forced = forced
        self._drafted: dict[int, list[int]] = {}
        """The tokens by which each real frame was drafted last."""
        self._surprise: dict[int, dict[str, float]] = {}
        """Of the real frames that the model has written itself, maybe in other tokens than they were drafted."""
        self._begins: list[int] = []
        """Where each real frame that the model has read begins among the tokens written."""
        self._drafter = RunDrafter(
            len(self._frames), self._spelled, self._scored, predictor.drafter, predictor.odds, forced=forced
        )
        self._drafter.frame = self._given
        self._checks_drafts = model.checks_drafts
        if self._checks_drafts:
            predictor.writer.drafter = self._drafter

    def _spelled(self, index: int) -> list[int]:
        """A frame's tokens as the model likely writes it."""
        return self._predictor.as_spelled(self._frames[index], self._segments[index], self._tokens[index])

    def _scored(self, index: int, tokens: list[int]) -> list[int]:
        """Which of a frame's tokens, as they are drafted, spell values."""
        if self._forced and tokens != self._tokens[index]:
            return []  # it is read as the tokenizer has it, and scored then
        self._drafted[index] = tokens
        return [place for places in self._places(index, tokens).values() for place in places]

    def _places(self, index: int, tokens: Sequence[int]) -> dict[str, list[int]]:
        """For each value of a frame which of its tokens spell it, from the opening quote to the closing one."""
        if index >= len(self._actual.frames) or not tokens:
            return {}
        frame = self._actual.frames[index]
        part_of_values = 3 if frame.value is not None else 1
        part, text = 0, b""
        pieces: list[tuple[int, int, int]] = []
        """Of the part with the values: each token's place, and where its text begins and ends."""
        for place, token in enumerate(tokens):
            piece = self._piece(token)
            if not piece:  # a special token
                part += 1
            elif part == part_of_values:
                pieces.append((place, len(text), len(text) + len(piece)))
                text += piece
        return {
            name: [place for place, begins, ends in pieces if begins < end and ends > start]
            for name, start, end in _value_spans(frame, text.decode("latin-1"))
        }

    def free(self, max_frames: int, on_frame: Callable[[Frame], None]) -> Evaluation[Trace]:
        predictor = self._predictor
        index = self._given

        def follow(frame: Frame) -> None:
            nonlocal index
            if self._drafter.frame is not None and len(predictor.frames) > self._given:
                begin = predictor.writer.begin
                agrees = index < len(self._actual.frames) and _same_words(frame, self._actual.frames[index])
                self._begins.append(begin)
                if agrees:
                    tokens = predictor.writer.tokens[begin:]
                    self._surprise[index] = self._surprise_of(index, tokens, begin, predictor.writer.chosen)
                index += 1
                self._drafter.frame = index if agrees else None
            on_frame(frame)

        trace = yield from predictor.run(max_frames, follow)
        if not self._checks_drafts:
            yield from self._score_difference()
        return trace

    def _score(self, index: int, tokens: list[int], begin: int) -> None:
        """Have the values of a frame scored, whose tokens are written from `begin` on."""
        self._predictor.writer.score(begin + place for place in self._scored(index, tokens))

    def _score_difference(self) -> Evaluation[None]:
        """Read the real frame in which the model left the run, and make all the calls for scores."""
        writer = self._predictor.writer
        yield from writer.score_rest()
        different = self._given + len(self._begins) - 1
        if self._drafter.frame is None and different < len(self._actual.frames):
            writer.back_to(self._begins[-1])
            writer.write(self._tokens[different])
            self._score(different, self._tokens[different], writer.begin)
            yield from writer.score_rest()

    def forced(
        self, max_frames: int, on_frame: Callable[[Frame], None]
    ) -> Evaluation[tuple[Trace, tuple[Frame | None, ...]]]:
        predictor, writer = self._predictor, self._predictor.writer
        frames: list[Frame] = list(self._actual.frames[: self._given])
        said: list[Frame | Outcome] = [*frames]
        for frame in frames:
            on_frame(frame)
        for index in range(self._given, min(len(self._actual.frames), max_frames)):
            self._drafter.frame = index
            proposal = yield from predictor.proposing()
            if isinstance(proposal, Outcome):
                if proposal.ending is Ending.CANCELLED or proposal == CONTEXT_FULL:
                    return Trace(tuple(frames), proposal), _frames_only(said)
                said.append(proposal)
            else:
                said.append(predictor.as_shown(proposal))
                frames.append(predictor.as_shown(proposal, self._actual.frames[index]))
                on_frame(frames[-1])
            self._begins.append(writer.begin)
            predictor.force(self._actual.frames[index])
            self._drafted[index] = self._tokens[index]
            self._score(index, self._tokens[index], writer.begin)
        outcome = yield from self._outcome(said)
        yield from writer.score_rest()
        return Trace(tuple(frames), outcome), _frames_only(said)

    def _outcome(self, said: Sequence[Frame | Outcome]) -> Evaluation[Outcome]:
        """How the model has the run end, by what it `said` in the place of each real frame and then behind the last.

        What it has been shown is no word of its own: where it left the run at its end, that end is not the real one.
        """
        predictor, actual = self._predictor, self._actual
        read = len(predictor.frames)
        if read < len(actual.frames) or actual.outcome.ending not in (Ending.RETURNED, Ending.RAISED):
            return Outcome(Ending.OUT_OF_FRAMES, detail=f"The real run was read up to its step {read}.")
        known = predictor.outcome()
        raised = known is not None and known.ending is Ending.RAISED
        for index in range(max(read - 1 - raised, self._given), read):
            here, real = said[index], actual.frames[index]
            if isinstance(here, Outcome):
                return here
            if here.event is real.event and (known is not None or here.value == real.value):
                continue
            if known is not None and here.event is Event.RETURN and here.depth == 0:
                return Outcome(Ending.RETURNED, here.value)
            return Outcome(Ending.OUT_OF_FRAMES, detail=_GOES_ON)
        if known is None:
            self._drafter.frame = read
            proposal = yield from predictor.proposing()
            predictor.writer.back_to_mark()
            return proposal if isinstance(proposal, Outcome) else Outcome(Ending.OUT_OF_FRAMES, detail=_GOES_ON)
        last = said[read - 1 - raised]
        assert isinstance(last, Frame)
        return replace(known, value=raised_value(last.value or "") if raised else last.value)

    def surprised(self) -> Trace:
        """The real run, with the surprise of each value that the model has read."""
        frames = list(self._actual.frames)
        scores = self._predictor.writer.scores
        for index, begin in enumerate(self._begins, self._given):
            if index < len(frames):
                surprise = self._surprise.get(index)
                if surprise is None:
                    surprise = self._surprise_of(index, self._drafted.get(index, ()), begin, scores)
                frames[index] = replace(frames[index], surprise=surprise)
        return replace(self._actual, frames=tuple(frames))

    def _surprise_of(
        self, index: int, tokens: Sequence[int], begin: int, scores: Mapping[int, float]
    ) -> dict[str, float]:
        """Of each value of a frame, where the log probabilities of all its tokens, from `begin` on, are known."""
        return {
            name: -sum(scores[begin + place] for place in places)
            for name, places in self._places(index, tokens).items()
            if places and all(begin + place in scores for place in places)
        }


def _frames_only(said: Sequence[Frame | Outcome]) -> tuple[Frame | None, ...]:
    """What was said frame by frame; None where that was no frame."""
    return tuple(each if isinstance(each, Frame) else None for each in said)


def _same_words(left: Frame, right: Frame) -> bool:
    """Whether the model writes two frames alike: it tells no lines apart that read the same."""
    return (left.event, left.source, dict(left.locals), left.value) == (
        right.event,
        right.source,
        dict(right.locals),
        right.value,
    )


def _value_spans(frame: Frame, text: str) -> Iterator[tuple[str, int, int]]:
    """Where each value of a frame stands in LOCALS, or in VALUE, its quotes included.

    Nowhere, if the text is not JSON as we write it: without limits a model may space or escape otherwise.
    """
    if frame.value is not None:
        yield VALUE, 0, len(text)
        return
    values = parse_locals(text)
    if json.dumps(values) != text:
        return
    position = 1
    for name, value in values.items():
        start = position + len(json.dumps(name)) + 2
        end = start + len(json.dumps(value))
        yield name, start, end
        position = end + 2
