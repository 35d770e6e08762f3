"""From a function and a call to a predicted Trace: the model writes frame after frame, held to what a run can do.

The predictor never runs user code. It knows the program's control flow and the format, and uses both to rule out what
cannot come next: an event or a line that cannot follow, the way that a condition on values which the prediction itself
shows does not go, locals that nothing has bound, other values of names that nothing has assigned, text that is no JSON.
Every value that is not copied is the model's. Among what is left, the likeliest token is taken (greedy decoding).
"""

from __future__ import annotations

import ast
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from debugger.flow import CodeFlow, ModuleFlow
from debugger.predicted.branches import Way
from debugger.predicted.codec import (
    EVENT_OF_SPECIAL,
    SPECIAL_OF_EVENT,
    FormatError,
    FrameDecoder,
    FrameEncoder,
    RawFrame,
    Segment,
    expand_locals,
    parse_locals,
    parse_value,
    same_python_frame,
    tokenize,
)
from debugger.predicted.confidence import calibrated
from debugger.predicted.constants import Constants
from debugger.predicted.draft import FrameDrafter, Odds
from debugger.predicted.entry import certain_entry, misfit
from debugger.predicted.evaluation import Evaluation, drive, drive_many
from debugger.predicted.expect import Expectation, Scene
from debugger.predicted.expressions import Expressions
from debugger.predicted.grammar import EntryGrammar, LocalsGrammar, ValueGrammar
from debugger.predicted.position import Position, Step, with_names
from debugger.predicted.prompt import MAIN_DEPTH, main_frames, main_line, prompt_segments
from debugger.predicted.repetition import RepetitionLimit
from debugger.predicted.writer import EndlessFrameError, Writer
from debugger.target import Context, Target, TargetError, build_context
from debugger.trace import VALUE, Ending, Event, Frame, Outcome, Trace, steps_text
from quant.errors import CancelledError, ContextFullError
from quant.gguf_file import TEMPERATURE_KEY
from quant.model import Model
from quant.runtime import Runtime, common_prefix
from quant.specials import Special, special_ids

DEFAULT_MAX_FRAMES = 1000
PROMPT_SHARE = 0.6
"""The part of the context that the program may fill; the rest is for frames."""
CONTEXT_FULL = Outcome(Ending.OUT_OF_CONTEXT, detail="The model's context is full.")
_OTHER_CALL = "0"
"""Shares nothing with a call but what stands before it."""
_UNWINDING = "None"
_RAISED = "(<class '"
"""How the value of every exception frame begins."""


def predict(
    model: Model,
    target: Target,
    call: str,
    *,
    max_frames: int = DEFAULT_MAX_FRAMES,
    constrained: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
    on_frame: Callable[[Frame], None] = lambda frame: None,
    drafting: bool = True,
    expected: Sequence[Frame] = (),
) -> Trace:
    """Predict the run of `call` without running anything.

    `on_frame` gets each frame as soon as it is complete; its line can still change where equal lines leave it open.
    `cancelled` is asked between calls of the model and between tokens. `drafting` and `expected`, a run that may come
    out the same, as the prediction before an edit, only make it faster. Raises ModelError, and TargetError if the
    program does not fit into the context or the call cannot be made.
    """
    why = misfit(target.file.parse(), call)
    if why:
        raise TargetError(f"The call {call} cannot be made: {why}.")
    predictor = Predictor(
        model, target, call, constrained=constrained, cancelled=cancelled, drafting=drafting, expected=expected
    )
    return drive(predictor.run(max_frames, on_frame), model)


def predict_many(
    runtime: Runtime,
    calls: Sequence[tuple[Target, str]],
    *,
    max_frames: int = DEFAULT_MAX_FRAMES,
    constrained: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[int, Trace | TargetError]]:
    """Predict several calls, as many at once as the runtime has sequences; each comes with its position when done.

    Sequences that share a call of the model are added up in another order, so that in a close call a prediction may
    differ from that of `predict`. Raises ModelError.
    """

    def work(target: Target, call: str, sequence: int) -> Evaluation[Trace | TargetError]:
        try:
            predictor = Predictor(
                runtime, target, call, constrained=constrained, cancelled=cancelled, sequence=sequence
            )
        except TargetError as error:
            return error
        return (yield from predictor.run(max_frames))

    return drive_many([partial(work, target, call) for target, call in calls], runtime)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A frame that the model expects next, not yet part of the trace."""

    frame: Frame
    steps: Sequence[Step]
    """The possible steps that it can be; empty where control flow allows none (without the limit to possible lines)."""
    written: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its LOCALS in the model's words."""


class Predictor:
    """One prediction in progress: `propose` the next frame, then `accept` it or `force` the real one instead."""

    def __init__(
        self,
        model: Model,
        target: Target,
        call: str,
        *,
        constrained: bool = True,
        temperature: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        drafting: bool = True,
        expected: Sequence[Frame] = (),
        sequence: int = 0,
    ) -> None:
        """Begin a prediction, in this sequence of the model.

        Where the call's own text says all there is to its first frame, that frame is given: `frames` then starts with
        it. `temperature` calibrates the confidence of values; None takes the model's own. `expected` is a run that may
        well come out the same: it is drafted. Raises ModelError, TargetError.
        """
        self._call = call
        self._constrained = constrained
        self._temperature = temperature or float(model.metadata(TEMPERATURE_KEY) or 1.0)
        self._specials = special_ids(model.vocabulary, model.path)
        self._events = {self._specials[special]: event for special, event in EVENT_OF_SPECIAL.items()}
        context = _context(model, target, call)
        flow = ModuleFlow.from_source(target.file.text, str(target.file.path), [call])
        entry = certain_entry(target.file.parse(), call, flow)
        self._first = entry.code if entry else None
        self._position = Position(flow, target.file.lines, context.lines, self._first)
        tree = target.file.parse()
        self._removable = _removable_names(tree)
        self._constants = Constants(tree)
        called = ast.parse(call.strip(), mode="eval")
        self._expectation = Expectation(tree, Expressions(tree, called), expected)
        self._scene = Scene(self._position)
        self._repetition = RepetitionLimit([tree, called])
        self._lines: dict[tuple[str, Special], list[int]] = {}
        self._encoder = FrameEncoder()
        self._previous: Frame | None = None
        self._locals_at: dict[int, Mapping[str, str]] = {}
        self.frames: list[Frame] = []
        self._model = model
        segments = prompt_segments(context.source, call, self._encoder)
        if entry is not None and entry.locals is not None:
            frame = Frame(Event.CALL, entry.code.first_line, target.file.lines[entry.code.first_line - 1], entry.locals)
            segments += self._encoder.encode(frame)
            self._advance(frame, self._position.steps())
        self.given = tuple(self.frames)
        """The frames that the call spells out."""
        self.odds = Odds(model.token_cost)
        self.drafter = FrameDrafter(
            self._expectation,
            self._scene,
            model.vocabulary,
            self._specials,
            self._line_tokens,
            main_line(call),
            self.odds,
        )
        self.writer = Writer(
            model,
            self.tokens_of(segments),
            cancelled,
            self.drafter if drafting and model.checks_drafts else None,
            sequence,
            self._repetition.exceeded,
        )

    def run(self, max_frames: int, on_frame: Callable[[Frame], None] = lambda frame: None) -> Evaluation[Trace]:
        """The model's free run: it goes on from its own frames until the call has ended."""
        for frame in self.frames:
            on_frame(frame)
        while len(self.frames) < max_frames:
            proposal = yield from self.proposing()
            if isinstance(proposal, Outcome):
                return self.trace(proposal)
            self.accept(proposal)
            on_frame(self.frames[-1])
            outcome = self.outcome()
            if outcome is not None:
                return self.trace(outcome)
        stopped = f"The prediction was stopped after {steps_text(max_frames)}."
        return self.trace(Outcome(Ending.OUT_OF_FRAMES, detail=stopped))

    def propose(self) -> Proposal | Outcome:
        """What `proposing` returns, evaluated on the spot."""
        return drive(self.proposing(), self._model)

    def proposing(self) -> Evaluation[Proposal | Outcome]:
        """Let the model write the next frame; an Outcome where the run ends instead or cannot go on."""
        self.writer.mark()
        try:
            return (yield from self._constrained_proposal() if self._constrained else self._free_proposal())
        except ContextFullError:
            return CONTEXT_FULL
        except EndlessFrameError as error:
            return Outcome(Ending.OUT_OF_CONTEXT, detail=str(error))
        except CancelledError:
            return Outcome(Ending.CANCELLED)
        except FormatError as error:
            return Outcome(Ending.MALFORMED, detail=f"The model wrote text that is no step in CWM's format: {error}.")

    def accept(self, proposal: Proposal) -> None:
        """Make the proposed frame part of the trace; the model goes on from its own words."""
        self._encoder.encode(proposal.frame)
        self._advance(proposal.frame, proposal.steps, proposal.written)

    def as_shown(self, proposal: Proposal, real: Frame | None = None) -> Frame:
        """The proposed frame with its function and depth, as `accept` would have it.

        Of several equal lines it is the first that can come, or that of the `real` frame, if it can.
        """
        depth = self._position.depth + (proposal.frame.event is Event.CALL)
        step = next(
            (step for step in proposal.steps if real and (step.line, _name(step.code)) == (real.line, real.function)),
            proposal.steps[0] if proposal.steps else None,
        )
        if step is None:
            return replace(proposal.frame, depth=depth)
        return replace(proposal.frame, line=step.line, function=_name(step.code), depth=depth)

    def force(self, frame: Frame) -> None:
        """Make a real frame part of the trace in place of what was proposed; the model goes on from that."""
        self.writer.back_to_mark()
        self.writer.write(self.tokens_of(self._encoder.encode(frame)))
        steps = [
            step
            for step in self._position.find(frame.event, frame.source, frame.line)
            if step.code is None or step.code.name == frame.function
        ]
        self._advance(frame, steps)

    def outcome(self) -> Outcome | None:
        """How the run ended, if the last frame ended it."""
        last = self._previous
        place = self._position.place
        if last is None or place is None or last.event is not Event.RETURN or self._position.depth != MAIN_DEPTH:
            return None
        if place.step.code is not self._first or self._position.generators_wait:
            return None  # `main` goes on, or a generator that was left open is closed
        exceptions = [
            index for index, frame in enumerate(self.frames) if frame.event is Event.EXCEPTION and frame.depth == 0
        ]
        if not exceptions or last.value != _UNWINDING:
            return Outcome(Ending.RETURNED, last.value)
        if exceptions[-1] == len(self.frames) - 2:
            return Outcome(Ending.RAISED, raised_value(self.frames[-2].value or ""))
        # Handled or on its way through a `finally`: only what comes next in `main` tells.
        return None

    def trace(self, outcome: Outcome) -> Trace:
        """The frames so far, with the lines that all of them together leave likeliest, and the outcome."""
        places = self._position.places()
        frames = [
            replace(frame, line=place.step.line, function=_name(place.step.code), depth=place.depth)
            for frame, place in zip(self.frames, places, strict=True)
        ]
        return Trace(tuple(frames), outcome)

    def _advance(self, frame: Frame, steps: Sequence[Step], written: Mapping[str, str] | None = None) -> None:
        if steps:
            self._position.take(steps)
        else:
            self._position.leap(frame.event, frame.source, frame.line or None)
        place = self._position.place
        if place is not None:
            frame = replace(frame, line=place.step.line, function=_name(place.step.code), depth=place.depth)
        if frame.event in (Event.CALL, Event.LINE):
            self._locals_at[frame.depth] = frame.locals
            self._repetition.learn(frame.locals)
        self._previous = frame
        self.frames.append(frame)
        self._expectation.advance(self._scene, frame, written)

    # With the limit to what can come next.

    def _constrained_proposal(self) -> Evaluation[Proposal | Outcome]:
        steps, way = self._expectation.steps_and_way(self._scene)
        event = yield from self._choose_event(steps)
        steps = [step for step in steps if step.event is event]
        written: Mapping[str, str] = {}
        if event in (Event.CALL, Event.LINE):
            confidence: dict[str, float] = {}
            known = self._known_locals(event)
            written = parse_locals((yield from self._write(self._locals_grammar(event, steps, known, way), confidence)))
            # Names tell apart what shares a line, such as a lambda and the generator expression in it.
            steps = with_names(steps, written.keys(), self._shown)
            source, steps = yield from self._choose_line(steps, Special.ACTION, Special.FRAME)
            frame = Frame(event, steps[0].line, source, expand_locals(written, known), confidence=confidence)
        else:
            source, steps = yield from self._choose_line(steps, Special.ACTION, Special.ARG)
            value, confidence = yield from self._choose_value(event, steps)
            self.writer.write([self._specials[Special.FRAME]])
            if steps[0].code is None:
                return self._outcome_of_main(event, value)
            frame = Frame(event, steps[0].line, source, value=value, confidence=confidence)
        return Proposal(frame, steps, written)

    def _choose_event(self, steps: Sequence[Step]) -> Evaluation[Event]:
        events = dict.fromkeys(step.event for step in steps)
        token = yield from self.writer.choose([self._specials[SPECIAL_OF_EVENT[event]] for event in events])
        return self._events[token]

    def _known_locals(self, event: Event) -> Mapping[str, str]:
        """What `".."` can stand for in the next frame."""
        previous = self._previous
        here = Frame(event, 0, "", depth=self._position.depth + (event is Event.CALL))
        return (
            self._locals_at[here.depth] if same_python_frame(previous, here) and here.depth in self._locals_at else {}
        )

    @property
    def _shown(self) -> Mapping[str, str]:
        """What the Python frame that runs has shown last."""
        return self._locals_at.get(self._position.depth, {})

    def _locals_grammar(
        self, event: Event, steps: Sequence[Step], known: Mapping[str, str], way: Way | None
    ) -> LocalsGrammar:
        variables = dict.fromkeys(name for step in steps if step.code for name in step.code.variables)
        shown = self._shown
        if event is Event.CALL:
            there = shown.keys() - self._removable
            entries = [
                (step.code.entering, step.code.captured.difference(there) if step.is_inside else step.code.captured)
                for step in steps
                if step.code and step.code.entering is not None and not step.resumes
            ]
            return (
                EntryGrammar(list(dict.fromkeys(entries))) if len(entries) == len(steps) else LocalsGrammar(variables)
            )
        bindings = [step.binding for step in steps if step.binding is not None]
        if len(bindings) < len(steps):
            return LocalsGrammar(variables, tuple(shown), self._removable, known)
        certain = bindings[0].certain.intersection(*(each.certain for each in bindings))
        possible = bindings[0].possible.union(*(each.possible for each in bindings))
        gone = bindings[0].gone.intersection(*(each.gone for each in bindings))
        fixed = {name: text for name, text in shown.items() if name not in possible and self._constants.stays(text)}
        if way is not None and all(way.has_line(step.line) for step in steps):
            fixed |= {name: text for name, text in way.items.items() if name in certain}
            known = {name: text for name, text in known.items() if way.items.get(name, text) == text}
        return LocalsGrammar(
            [name for name in variables if name in possible and name not in gone],
            tuple(name for name in shown if name not in gone),
            self._removable.intersection(possible) - certain,
            known,
            certain.difference(shown),
            fixed,
        )

    def _choose_line(
        self, steps: Sequence[Step], before: Special, after: Special
    ) -> Evaluation[tuple[str, list[Step]]]:
        """Write the line of one of the steps; equal lines leave several."""
        texts = [main_line(self._call) if step.code is None else self._position.text(step) for step in steps]
        candidates = list(dict.fromkeys(texts))
        self.writer.write([self._specials[before]])
        index = yield from self.writer.choose_sequence([self._line_tokens(text, after) for text in candidates])
        return candidates[index], [step for step, text in zip(steps, texts, strict=True) if text == candidates[index]]

    def _choose_value(self, event: Event, steps: Sequence[Step]) -> Evaluation[tuple[str, dict[str, float]]]:
        last = self._previous
        raised = last is not None and last.event is Event.EXCEPTION and last.depth == self._position.depth
        if event is Event.RETURN and raised:
            # Nothing but unwinding lets a return follow an exception: its value is a matter of format.
            self.writer.write(self.tokens_of([f'"{_UNWINDING}"']))
            return _UNWINDING, {}
        confidence: dict[str, float] = {}
        grammar = ValueGrammar(_RAISED) if event is Event.EXCEPTION else ValueGrammar()
        returned = {step.returns and self._shown.get(step.returns) for step in steps}
        if len(returned) == 1 and (known := returned.pop()):
            grammar = ValueGrammar(known, whole=True)
        return parse_value((yield from self._write(grammar, confidence))), confidence

    def _write(self, grammar: LocalsGrammar | ValueGrammar, confidence: dict[str, float]) -> Evaluation[str]:
        """Write a text that the grammar accepts; note how likely each value in it is right, where it had a choice."""
        state = grammar.start
        logs: dict[str, float] = {}
        text = ""
        while not state.done:
            before = state
            piece, state, log = yield from self.writer.continue_text(grammar, state)
            text += piece
            writing = before if before.in_value else state
            if writing.in_value and not grammar.leaves_no_choice(writing):
                name = json.loads(f'"{writing.names[-1]}"') if writing.names else VALUE
                logs[name] = logs.get(name, 0.0) + log
        confidence.update({name: calibrated(math.exp(log), self._temperature) for name, log in logs.items()})
        return text

    def _outcome_of_main(self, event: Event, value: str) -> Outcome:
        if event is Event.EXCEPTION:
            return Outcome(Ending.RAISED, raised_value(value))
        return Outcome(Ending.RETURNED, value)

    # Without it.

    def _free_proposal(self) -> Evaluation[Proposal | Outcome]:
        raw = yield from self._free_frame()
        if raw is None or raw.event is None:
            return Outcome(Ending.MALFORMED, detail="The model ended its text before the call had ended.")
        if raw.source == main_line(self._call) and raw.value is not None:
            return self._outcome_of_main(raw.event, raw.value)
        written = raw.locals or {}
        frame = Frame(raw.event, 0, raw.source, expand_locals(written, self._known_locals(raw.event)), raw.value)
        return Proposal(frame, self._position.find(raw.event, raw.source), written)

    def _free_frame(self) -> Evaluation[RawFrame | None]:
        """The next frame in the model's own words; None where it ends its text."""
        decoder = FrameDecoder()
        special_of = {token: special for special, token in self._specials.items()}
        text = b""
        while True:
            token = yield from self.writer.free()
            special = special_of.get(token)
            if special is None:
                text += self._model.vocabulary.piece(token)
                continue
            if text:
                decoder.feed(text.decode(errors="replace"))
                text = b""
            if special is Special.END:
                return None
            frame = decoder.feed(special)
            if frame is not None:
                return frame

    def _line_tokens(self, text: str, after: Special) -> list[int]:
        found = self._lines.get((text, after))
        if found is None:
            found = self._lines[text, after] = self.tokens_of([text, after])
        return found

    def as_spelled(self, frame: Frame, segments: Sequence[Segment], tokens: Sequence[int]) -> list[int]:
        """An encoded frame's `tokens` changed to those by which the model likely writes it, by what it has written."""
        head, text, *rest = segments
        if frame.event is Event.LINE:
            spelled_out = [
                name for name in frame.locals if self._expectation.spells_out(frame.function, frame.line, name)
            ]
            if spelled_out:
                written = {**parse_locals(text), **{name: frame.locals[name] for name in spelled_out}}
                tokens = self.tokens_of([head, json.dumps(written), *rest])
        return self.drafter.respelled([*tokens])

    def encode_run(self, frames: Sequence[Frame]) -> list[list[Segment]]:
        """The segments of each frame of a whole run of the call, as the model reads them when it is forced."""
        encoder = FrameEncoder()
        for frame in main_frames(self._call):
            encoder.encode(frame)
        return [encoder.encode(frame) for frame in frames]

    def tokens_of(self, segments: Sequence[Segment]) -> list[int]:
        """The token ids of segments in the model's vocabulary."""
        return tokenize(segments, self._model.vocabulary.tokenize, self._specials)


def shared_prompt(model: Model, target: Target, call: str) -> list[int]:
    """What a prediction reads before its call: tokens that other calls with the same source begin with, too.

    Raises TargetError.
    """
    source = _context(model, target, call).source
    specials = special_ids(model.vocabulary, model.path)
    prompt, other = (
        tokenize(prompt_segments(source, each, FrameEncoder()), model.vocabulary.tokenize, specials)
        for each in (call, _OTHER_CALL)
    )
    return prompt[: common_prefix(prompt, other)]


def raised_value(exception: str) -> str:
    """The exception's own `repr` out of that of settrace's `(type, exception, traceback)`."""
    inner = exception.removeprefix(_RAISED).removesuffix(", <traceback object>)")
    _, separator, value = inner.partition("'>, ")
    return value if separator else exception


def _context(model: Model, target: Target, call: str) -> Context:
    count_tokens: Callable[[str], int] = lambda text: len(model.vocabulary.tokenize(text))  # noqa: E731
    return build_context(target, call, int(model.context * PROMPT_SHARE), count_tokens)


def _name(code: CodeFlow | None) -> str:
    return code.name if code else ""


def _removable_names(tree: ast.Module) -> set[str]:
    """Names that a run of the file can remove from its locals again.

    That is by `del`, at the end of an `except ... as name`, and, from Python 3.12 on, at the end of a comprehension,
    which there runs inside its function.
    """
    nodes = list(ast.walk(tree))
    removed = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del)}
    removed |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    if sys.version_info >= (3, 12):
        loops = [node.target for node in nodes if isinstance(node, ast.comprehension)]
        removed |= {name.id for loop in loops for name in ast.walk(loop) if isinstance(name, ast.Name)}
    return removed
