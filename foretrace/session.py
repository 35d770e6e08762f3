"""The work behind `foretrace diff|predict|run`: from targets to calls, and from each call to a result."""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from debugger.actual.interpreter import Interpreter, InterpreterError
from debugger.actual.run import RunError, run_many
from debugger.actual.spare import Spares
from debugger.calls import Origin, find_calls, parse_call, running_call
from debugger.diff import is_cut
from debugger.judge import judge
from debugger.pieces import first_line_of
from debugger.predicted.mode import CheckMode
from debugger.report.result import Model, Result, Status
from debugger.target import SourceFile, Target, TargetError, find_targets
from debugger.trace import Ending, Event, Frame, Trace
from foretrace.options import Mode

if TYPE_CHECKING:
    from foretrace.store import Store
    from quant.model import Model as Predicting
    from quant.prefixes import Prefixes

RUN_FRAMES = 10_000
"""Steps of a real run unless told otherwise."""
RUN_SECONDS = 10.0
"""Time of a real run unless told otherwise; the import before it then has debugger.actual's own limit."""
LEAST_IMPORT_SECONDS = 2.0
"""Time for an import, however short a run may be: the debugger takes some of it."""
BESIDE_AN_ENDLESS_RUN = 100
"""Steps predicted where the real run was stopped before its end, unless `--max-frames` asks for more."""
BEYOND_THE_RUN = 16
"""A prediction is stopped so many steps after it has become longer than the real run: it is wrong by then."""


class Exit(IntEnum):
    """The command's exit codes. Of several calls the worst counts, and that is the highest number."""

    CONFIRMED = 0
    """Everything that was asked for was done, and nothing differs."""
    DIVERGED = 1
    BAD_TARGET = 2
    """A target, call or option that cannot be used; or no call was found at all."""
    COULD_NOT_RUN = 3
    """The model, the run or a limit stood in the way of at least one call."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class UsageError(Exception):
    """Options that do not go together; `str()` is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says about how to predict and run."""

    model: str | None = None
    python: str = sys.executable
    max_frames: int | None = None
    """For both runs; None leaves each its own default."""
    timeout: float | None = None
    """Seconds for one real run, and for the import before it; None leaves each its own default."""
    constrained: bool = True
    context: int | None = None
    """Tokens that the model shall have room for; None leaves it to what fits."""
    predicted: Path | None = None
    """A file with frames to take instead of asking the model."""
    check: CheckMode = CheckMode.FREE
    """How a prediction beside a real run goes on after its first difference."""
    cached: bool = True
    """Whether predictions are kept, and those of before taken."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call to check, or the reason why there is none."""

    name: str
    path: Path
    first_line: int
    target: Target | None = None
    call: str | None = None
    problem: Result | None = None


def find_jobs(specs: Sequence[str], calls: Sequence[str]) -> list[Job]:
    """What to check: each target with the calls given, else with those found for it.

    Found are: every `# foretrace:` comment of a function, or else the best call from elsewhere. A target named on the
    command line must have a call; in files and folders those without one come last. Raises TargetError, UsageError.
    """
    calls = [parse_call(call) for call in calls]
    jobs: list[Job] = []
    for spec in specs:
        problems: list[TargetError] = []
        targets = find_targets(spec, problems.append)
        if calls:
            found = _with_given_calls(spec, targets, calls)
        else:
            found = _with_found_calls(targets, problems.append if Path(spec).exists() else None)
        if problems and not found and not Path(spec).is_dir():
            raise problems[0]
        found += [_unusable(spec, problem) for problem in problems]
        if not found or not (Path(spec).exists() or any(job.call for job in found)):
            raise TargetError(_how_to_give_a_call(targets[0]))
        jobs += found
    return sorted(_each_call_once(jobs), key=lambda job: job.call is None)


def _with_given_calls(spec: str, targets: Sequence[Target], calls: Sequence[str]) -> list[Job]:
    jobs: list[Job] = []
    for call in calls:
        fitting = targets if len(targets) == 1 else [target for target in targets if _calls(call, target.qualname)]
        if not fitting:
            names = ", ".join(target.qualname for target in targets[:8])
            raise UsageError(
                f"The call {call} is of none of the functions in {spec} ({names}); name one as FILE::NAME."
            )
        jobs.append(_job(fitting[0], running_call(fitting[0], call)))
    return jobs


def _calls(call: str, qualname: str) -> bool:
    """Whether an expression has a call of something with that name."""
    last = qualname.rpartition(".")[2]
    names = {
        ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(ast.parse(call)) if isinstance(node, ast.Call)
    }
    return last in names or (last == "__init__" and qualname.split(".")[-2] in names)


def _with_found_calls(targets: Iterable[Target], on_problem: Callable[[TargetError], None] | None) -> list[Job]:
    jobs: list[Job] = []
    for target in targets:
        try:
            found = find_calls(target)
        except TargetError as problem:
            if on_problem is None:
                raise
            on_problem(problem)
            continue
        comments = [call for call in found if call.origin is Origin.COMMENT]
        chosen = comments or found[:1]
        jobs += [_job(target, call.expression) for call in chosen]
        if not chosen and not _is_special(target):
            jobs.append(_job(target, None))
    return jobs


def _is_special(target: Target) -> bool:
    """Whether Python itself calls it, as `__repr__`: nobody has to give a call of it."""
    name = target.qualname.rpartition(".")[2]
    return name.startswith("__") and name.endswith("__")


def _each_call_once(jobs: Iterable[Job]) -> list[Job]:
    """One job for each call in a file. `A(1).withdraw(2)` belongs to `withdraw`, which it names last, not to `A`."""
    chosen: dict[Hashable, Job] = {}
    for job in jobs:
        key = job.path, job.call or (job.name, job.problem and job.problem.detail)
        known = chosen.get(key)
        if known is None or (_is_named_last(job) and not _is_named_last(known)):
            chosen[key] = job
    return list(chosen.values())


def _is_named_last(job: Job) -> bool:
    expression = ast.parse(job.call or "None", mode="eval").body
    called = expression.func if isinstance(expression, ast.Call) else expression
    return ast.unparse(called).rpartition(".")[2] == job.name.rpartition("::")[2].rpartition(".")[2]


def _job(target: Target, call: str | None) -> Job:
    job = Job(target.name, target.file.path, target.first_line, target, call)
    if call is not None:
        return job
    return replace(job, problem=_result(job, Status.NO_CALL, _how_to_give_a_call(target)))


def _unusable(folder: str, problem: TargetError) -> Job:
    """The file that a problem in a folder is about, which its sentence begins with."""
    named = re.match(r".*?\.py\b", str(problem))
    name = named[0] if named and Path(named[0]).is_file() else folder
    job = Job(name, Path(name), 1)
    return replace(job, problem=_result(job, Status.FAILED, str(problem)))


def _how_to_give_a_call(target: Target) -> str:
    call = running_call(target, _sample_call(target))
    return (
        f"No call of {target.qualname} is known; write one above it, as in `# foretrace: {call}`, "
        f'or give one with --call "{call}".'
    )


def _sample_call(target: Target) -> str:
    """A call with as many arguments as the function must have; of a method, on a new object."""
    holder, _, name = target.qualname.rpartition(".")
    node = target.node()
    positional = [*node.args.posonlyargs, *node.args.args]
    needed = len(positional) - len(node.args.defaults)
    is_static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)
    is_method = bool(holder) and "<locals>" not in holder
    if is_method and not is_static:
        needed -= 1
    arguments = [str(number) for number in range(1, needed + 1)]
    keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    arguments += [f"{each.arg}=1" for each, default in keywords if default is None]
    if name == "__init__":
        return f"{holder}({', '.join(arguments)})"
    return f"{holder}().{name}({', '.join(arguments)})" if is_method else f"{name}({', '.join(arguments)})"


def _result(job: Job, status: Status, detail: str = "") -> Result:
    return Result(job.name, job.path, job.first_line, job.call, status, detail)


class Session:
    """Checks jobs in their order. The model stays loaded and calls of one file share a debuggee until `with` ends."""

    def __init__(
        self, mode: Mode, options: Options, jobs: Sequence[Job], on_frame: Callable[[Frame], None] = lambda frame: None
    ) -> None:
        """`on_frame` hears of each frame as it is predicted."""
        self._jobs = jobs
        self._runs: dict[Path, Generator[Trace | RunError, None, None]] = {}
        self._mode = mode
        self._options = options
        self._on_frame = on_frame
        self._stack = ExitStack()
        self._spares = self._stack.enter_context(closing(Spares()))
        self._ran: set[tuple[Path, str, int]] = set()
        """File, name and line of every function that a trace has gone through."""
        self._predicting: Predicting
        self._store: Store | None = None
        self._identity: dict[str, Any] = {}
        self._prefixes: Prefixes | None = None
        self.model: Model | None = None
        self.warnings: tuple[str, ...] = ()
        """Sentences about the model and how it was loaded that a person should read."""
        self.interpreter: Interpreter | None = None

    def __enter__(self) -> Session:
        """Load what the mode needs. Raises ModelError, UsageError."""
        options = self._options
        if self._mode is not Mode.PREDICT:
            try:
                self.interpreter = Interpreter.at(options.python)
            except InterpreterError as error:
                raise UsageError(f"{error}; give the path of an interpreter to --python.") from None
        if options.predicted is not None:
            self.model = Model(f"the frames in {options.predicted.name}", str(options.predicted))
        elif self._mode is not Mode.RUN:
            self._load_model()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the debuggees and free the model."""
        self._stack.close()

    def _load_model(self) -> None:
        from foretrace.models import BUNDLED, ServedModel, find_predictor
        from foretrace.store import Store
        from quant.identity import identity
        from quant.load import load
        from quant.prefixes import Prefixes
        from quant.specials import special_ids

        asked = self._options.context
        file = find_predictor(self._options.model)
        if isinstance(file, ServedModel):
            self._load_elsewhere(file.path, asked)
            return
        runtime, choice = load(file.path, context=asked)
        self._predicting = self._stack.enter_context(runtime)
        self.warnings = (*runtime.warnings, *choice.notes)
        if asked is not None and choice.context < asked and not self.warnings:
            self.warnings = (f"{file.name} is for {choice.context:,} tokens, so it gets no context of {asked:,}.",)
        special_ids(runtime.vocabulary, file.path)
        if self._options.cached:
            self._store = self._stack.enter_context(Store())
            self._identity = {**identity(file.path), "loaded": runtime.settings}
            self._prefixes = Prefixes(runtime)
        description = runtime.description
        if file.name == BUNDLED:
            description += ", tiny and often wrong: a difference is likelier its mistake than yours"
        self.model = Model(file.name, str(file.path), description, runtime.context)

    def _load_elsewhere(self, address: str, asked: int | None) -> None:
        """Use the model of a server; what it predicts is not kept, since a server may change its model."""
        from quant.remote import RemoteModel

        model = self._stack.enter_context(RemoteModel.open(address, context=asked))
        self._predicting = model
        if asked is not None and model.context < asked:
            self.warnings = (
                f"The server at {address} gives each request {model.context + 1:,} tokens, so there is no context of "
                f"{asked:,}; start llama-server with a larger -c.",
            )
        self.model = Model(model.name, address, f"{model.description}, on a server elsewhere", model.context)

    @property
    def python(self) -> str | None:
        """The version of the interpreter of the real runs; None where there are none."""
        return self.interpreter.spelled_version if self.interpreter is not None else None

    def check(self, job: Job) -> Result:
        """Predict and run one call as the mode says, and compare."""
        if job.problem is not None:
            return job.problem
        assert job.target is not None and job.call is not None
        timings: dict[str, float] = {}
        predicted = actual = None
        problem = ""
        if self._mode is not Mode.PREDICT:
            start = time.perf_counter()
            actual, problem = self._run(job.target)
            timings["run"] = time.perf_counter() - start
        if self._mode is not Mode.RUN and not problem:
            start = time.perf_counter()
            try:
                predicted, actual = self._predict(job.target, job.call, actual)
            except TargetError as error:
                problem = str(error)
            timings["predict"] = time.perf_counter() - start
        if problem:
            failed = _result(job, Status.FAILED, problem)
            return replace(failed, predicted=predicted, actual=actual, timings=timings)
        for trace in (predicted, actual):
            calls = [frame for frame in trace.frames if frame.event is Event.CALL] if trace is not None else []
            self._ran.update((job.path, frame.function, frame.line) for frame in calls)
        version = self.interpreter.version if self.interpreter is not None else None
        result = judge(job.target, job.call, predicted, actual, version)
        cut = next((trace for trace in (actual, predicted) if trace is not None and is_cut(trace)), None)
        advice = self._advice(cut, actual) if cut is not None and result.status is Status.UNFINISHED else ""
        if advice:
            result = replace(result, detail=f"{result.detail} {advice}")
        return replace(result, timings=timings)

    def _advice(self, cut: Trace, actual: Trace | None) -> str:
        """What to do about a run that has no end, in one sentence; empty where no option helps."""
        if cut is not actual and self._options.predicted is not None:
            return ""
        went_on = actual is not None and cut is not actual and len(cut.frames) >= len(actual.frames)
        if went_on and cut.outcome.ending is Ending.OUT_OF_FRAMES:
            return ""
        if cut.outcome.ending is Ending.OUT_OF_CONTEXT:
            from debugger.predicted.predict import CONTEXT_FULL

            if cut.outcome != CONTEXT_FULL:
                return _OTHER_MODEL  # one step without end
        return _ADVICE.get(cut.outcome.ending, "")

    def has_run(self, job: Job) -> bool:
        """Whether the job's function has run as part of another one: it needs no call of its own."""
        if job.call is not None or job.target is None:
            return False
        function = job.target.qualname.rpartition(".")[2]
        return (job.path, function, first_line_of(job.target.node())) in self._ran

    def _predict(self, target: Target, call: str, actual: Trace | None) -> tuple[Trace, Trace | None]:
        """The predicted run, and the real one, where it is known, with the model's surprise.

        Free, the real one only makes it faster, and says after how many steps more are of no use.
        """
        from debugger.predicted.predict import DEFAULT_MAX_FRAMES
        from debugger.predicted.replay import ReplayError, read_prediction

        options = self._options
        if options.predicted is not None:
            try:
                document = options.predicted.read_text(encoding="utf-8-sig")
            except OSError as error:
                why = error.strerror or error
                raise UsageError(f"The predicted frames in {options.predicted} cannot be read: {why}.") from error
            except UnicodeDecodeError as error:
                raise UsageError(f"The predicted frames in {options.predicted} are not UTF-8 text.") from error
            try:
                replayed = read_prediction(
                    document, target.file.text, str(target.file.path), target=target.qualname, call=call
                )
            except ReplayError as error:
                raise UsageError(f"{options.predicted}: {error}") from error
            return replayed, actual
        max_frames = options.max_frames or DEFAULT_MAX_FRAMES
        if actual is not None:
            max_frames = min(max_frames, len(actual.frames) + BEYOND_THE_RUN)
            if is_cut(actual) and options.max_frames is None:
                max_frames = min(max_frames, BESIDE_AN_ENDLESS_RUN)
        return self._remembered(target, call, actual, max_frames)

    def _remembered(
        self, target: Target, call: str, actual: Trace | None, max_frames: int
    ) -> tuple[Trace, Trace | None]:
        """The prediction from the store, or a new one, which is kept there."""
        if self._store is None:
            return self._newly_predicted(target, call, actual, max_frames)
        from debugger.predicted.earlier import carried_over
        from foretrace.store import input_of

        asked = input_of(
            self._identity,
            self._predicting.context,
            target,
            call,
            mode=self._options.check.value if actual is not None else "predict",
            max_frames=max_frames,
            constrained=self._options.constrained,
            actual=actual,
        )
        found = self._store.get(asked)
        if found is None:
            expected: Sequence[Frame] = ()
            latest = self._store.latest(asked, target.file.path) if actual is None else None
            if latest is not None:
                text, before = latest
                is_whole = before.outcome.ending is not Ending.OUT_OF_FRAMES and len(before.frames) < max_frames
                if text == target.file.text and is_whole:
                    return self._shown_again(before), actual
                expected = carried_over(before.frames, SourceFile.from_text("", text).lines, target.file.lines)
            predicted, actual = self._newly_predicted(target, call, actual, max_frames, expected)
            if actual is None:
                self._store.note_latest(asked, target.file.path)
            self._store.put(asked, predicted, [frame.surprise for frame in actual.frames] if actual else [])
            return predicted, actual
        predicted, surprise = found
        self._shown_again(predicted)
        if actual is not None and len(surprise) == len(actual.frames):
            frames = [replace(frame, surprise=each) for frame, each in zip(actual.frames, surprise, strict=True)]
            actual = replace(actual, frames=tuple(frames))
        return predicted, actual

    def _shown_again(self, predicted: Trace) -> Trace:
        for frame in predicted.frames:
            self._on_frame(frame)
        return predicted

    def _newly_predicted(
        self, target: Target, call: str, actual: Trace | None, max_frames: int, expected: Sequence[Frame] = ()
    ) -> tuple[Trace, Trace | None]:
        """As `_predict` says; `expected` is what was predicted before an edit."""
        from debugger.predicted.check import check
        from debugger.predicted.predict import predict, shared_prompt

        if self._prefixes is not None:
            self._prefixes.read(shared_prompt(self._predicting, target, call))
        constrained = self._options.constrained
        if actual is None:
            predicted = predict(
                self._predicting,
                target,
                call,
                max_frames=max_frames,
                constrained=constrained,
                on_frame=self._on_frame,
                expected=expected,
            )
            return predicted, None
        checked = check(
            self._predicting,
            target,
            call,
            actual,
            mode=self._options.check,
            max_frames=max_frames,
            constrained=constrained,
            on_frame=self._on_frame,
        )
        return checked.predicted, checked.actual

    def _run(self, target: Target) -> tuple[Trace | None, str]:
        """The real run, or the sentence that says why there is none.

        A file's calls share a debuggee; that of the next file is started ahead.
        """
        path = target.file.path
        if path not in self._runs:
            options = self._options
            calls = [job.call for job in self._jobs if job.path == path and job.call is not None]
            runs = run_many(
                target.file,
                calls,
                python=options.python,
                timeout=options.timeout or RUN_SECONDS,
                import_timeout=options.timeout and max(options.timeout, LEAST_IMPORT_SECONDS),
                max_frames=options.max_frames or RUN_FRAMES,
                spares=self._spares,
            )
            self._runs[path] = self._stack.enter_context(closing(runs))
            result = next(runs)
            if any(job.call is not None and job.path not in self._runs for job in self._jobs):
                self._spares.prepare(options.python, str(Path.cwd()))  # for the next file
        else:
            result = next(self._runs[path])
        return (None, str(result)) if isinstance(result, RunError) else (result, "")


_OTHER_MODEL = "That is the model's mistake: another --model may do better, --full shows how far this one came."
_ADVICE = {
    Ending.OUT_OF_FRAMES: "--max-frames allows more.",
    Ending.TIMED_OUT: "--timeout allows more.",
    Ending.OUT_OF_CONTEXT: "--context gives more room where the model has it, --max-frames stops earlier.",
    Ending.MALFORMED: _OTHER_MODEL,
}


def exit_code(results: Iterable[Result]) -> Exit:
    """The worst of all results; `BAD_TARGET` where there was not one call."""
    found = [result.status for result in results]
    if all(status is Status.NO_CALL for status in found):
        return Exit.BAD_TARGET
    codes = {
        Status.DIVERGED: Exit.DIVERGED,
        Status.FAILED: Exit.COULD_NOT_RUN,
        Status.UNFINISHED: Exit.COULD_NOT_RUN,
    }
    return max(codes.get(status, Exit.CONFIRMED) for status in found)
