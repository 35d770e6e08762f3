"""What is done when: analyses, predictions and checks of the open documents.

Everything here runs on the event loop and knows nothing of the protocol; what takes time runs in threads or in the
model host, and its outcome counts only for the text it was made for.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from debugger.actual.interpreter import Interpreter, InterpreterError
from debugger.actual.run import RunError
from debugger.calls import best_call, find_calls, noted_call, parse_call, running_call
from debugger.judge import judge
from debugger.report.result import Result
from debugger.target import SourceFile, Target, TargetError, targets_in
from debugger.trace import Ending, Frame, Outcome, Trace
from lsp_server.analysis import Basis, basis_of, moved, read_text
from lsp_server.documents import Document, Function
from lsp_server.host.wire import Request
from lsp_server.interpreter import Choice
from lsp_server.models import Models
from lsp_server.options import Check, Options, When
from lsp_server.runs import Runs
from lsp_server.values import View
from quant.errors import ModelError

_Answer = TypeVar("_Answer")
_Given = ParamSpec("_Given")
_RENDER_SECONDS = 0.15
"""Between two views of a prediction under way, at least."""
_RENDER_SHARE = 5
"""A view of many frames takes its time: the pause is so many times as long."""
log = logging.getLogger(__name__)


class WorkError(Exception):
    """Something that was asked for cannot be done; the text is one sentence for people."""


class Work:
    """The open documents and all that is under way for them."""

    def __init__(
        self,
        models: Models,
        *,
        options_for: Callable[[Document], Options],
        interpreter_for: Callable[[Document], Choice],
        folder_for: Callable[[Document], Path | None],
        is_trusted: Callable[[], bool],
        on_change: Callable[[Document], None],
        on_problem: Callable[[str], None],
    ) -> None:
        """`on_change` hears of every document with something new to show, `on_problem` of what went wrong unasked."""
        self.documents: dict[str, Document] = {}
        self._models = models
        self._options_for = options_for
        self._interpreter_for = interpreter_for
        self._folder_for = folder_for
        self._is_trusted = is_trusted
        self._on_change = on_change
        self._on_problem = on_problem
        self._threads = ThreadPoolExecutor(2, "work")
        self._runs = Runs()
        self._timers: dict[Document, asyncio.TimerHandle] = {}
        self._analyses: dict[Document, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.checks = 0
        """Real runs under way."""

    # What the editor tells.

    def open(self, document: Document) -> None:
        """A document with its first text."""
        self.documents[document.uri] = document
        document.saved = document.version
        self._analyse_in(document, 0, predict=self._options_for(document).predict is not When.MANUAL)

    def changed(self, document: Document) -> None:
        """A document's text has been updated."""
        options = self._options_for(document)
        self._analyse_in(document, options.idle_delay / 1000, predict=options.predict is When.IDLE)

    def saved(self, document: Document) -> None:
        """A document was saved: predict what it changed, and where that is wanted, check it."""
        options = self._options_for(document)
        document.saved = document.version
        self._analyse_in(document, 0, predict=options.predict is not When.MANUAL)
        if options.check is Check.SAVE and self._is_trusted():
            self.start(self._check_saved(document))

    def closed(self, document: Document) -> None:
        """Nobody looks any more."""
        document.closed = True
        self.documents.pop(document.uri, None)
        timer = self._timers.pop(document, None)
        if timer is not None:
            timer.cancel()
        analysis = self._analyses.pop(document, None)
        if analysis is not None:
            analysis.cancel()
        for function in document.functions.values():
            function.end_task()

    def looked_at(self, document: Document, first: int, last: int) -> None:
        """The editor shows these lines."""
        if document.visible == range(first, last + 1):
            return
        document.visible = range(first, last + 1)
        self._plan_if_current(document)

    def cursor_at(self, document: Document, line: int) -> None:
        """The user is at this line."""
        if document.cursor != line:
            document.cursor = line
            self._plan_if_current(document)

    def reconsider(self, before: Mapping[Document, Options] | None = None) -> None:
        """Settings have changed; where `before` they named another model or length, everything is predicted anew."""
        for document in self.documents.values():
            if before and _predicts_as(before[document]) != _predicts_as(self._options_for(document)):
                for function in document.functions.values():
                    function.end_task()
                    function.stale = function.view is not None
            self._on_change(document)
            self._plan_if_current(document)

    async def close(self) -> None:
        """End everything that is under way."""
        for document in list(self.documents.values()):
            self.closed(document)
        self._runs.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._runs.close()

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine and keep it until it is done."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("unexpected", exc_info=error)

    # Analyses.

    def _analyse_in(self, document: Document, seconds: float, *, predict: bool) -> None:
        timer = self._timers.pop(document, None)
        if timer is not None:
            timer.cancel()
        analysis = self._analyses.pop(document, None)
        if analysis is not None:
            analysis.cancel()
        if seconds:
            loop = asyncio.get_running_loop()
            self._timers[document] = loop.call_later(seconds, self._begin_analysis, document, predict)
        else:
            self._begin_analysis(document, predict)

    def _begin_analysis(self, document: Document, predict: bool) -> None:
        self._timers.pop(document, None)
        self._analyses[document] = self.start(self._analyse(document, predict))

    async def up_to_date(self, document: Document) -> None:
        """Wait until the functions of the present text are known. Raises WorkError where it has none."""
        while document.analysed != document.version and not document.closed:
            analysis = self._analyses.get(document)
            if analysis is None or analysis.done():
                self._analyse_in(document, 0, predict=False)
                analysis = self._analyses[document]
            await asyncio.wait([analysis])
            if document.problem and document.analysed != document.version:
                raise WorkError(document.problem)

    async def _analyse(self, document: Document, predict: bool) -> None:
        version = document.version
        try:
            targets = await self._in_thread(_read_targets, document.path, document.text)
        except TargetError as error:
            if document.version == version:
                document.problem = str(error)
                self._on_change(document)
            return
        if document.version != version or document.closed:
            return
        for function in document.take(targets):
            function.end_task()
        for function in list(document.functions.values()):
            function.problem = ""
            function.calls = None  # any line of the file may hold one
            await self._compare(document, function, version)
            if document.version != version or document.closed:
                return
        self._on_change(document)
        if predict:
            self._plan(document)

    async def _compare(self, document: Document, function: Function, version: int) -> None:
        """Whether what is shown of a function still holds for the text as it is now; then put it in place."""
        call, before, view = function.call, function.basis, function.view
        if call is None or before is None:
            return
        target = function.target
        try:
            noted = await self._in_thread(noted_call, target)
            basis = await self._in_thread(basis_of, target, call)
        except TargetError:
            noted = basis = None
        if document.version != version:
            return
        if function.given is None and noted is not None and noted.expression != call:
            basis = None  # the user has written another call down
        if basis is None or basis.digest != before.digest:
            function.stale = True
            if not function.checking and not function.by_user:
                function.end_task()
            return
        function.stale = False
        if function.task is not None:
            return  # its outcome is put in place when it comes
        if view is None:
            return
        if basis.lines == before.lines:
            view = replace(view, target=target)
        else:
            python = function.python
            view = await self._in_thread(_moved_view, target, view.result, before, basis, python)
            if document.version != version:
                return
        function.basis = basis
        function.show(view, function.own_places())

    # Predictions.

    def _plan_if_current(self, document: Document) -> None:
        when = self._options_for(document).predict
        is_edited = when is When.SAVE and document.version != document.saved
        if document.analysed == document.version and when is not When.MANUAL and not is_edited:
            self._plan(document)

    def _plan(self, document: Document) -> None:
        """Predict what is wanted and give up what is not: the cursor's function first, then what is visible."""
        wanted = self._wanted(document)
        here = document.function_at(document.cursor) if document.cursor is not None else None
        given_up = [
            function
            for function in document.functions.values()
            if function.task and function not in wanted and not function.by_user and not function.checking
        ]
        for function in given_up:
            function.end_task()
        if given_up:
            self._on_change(document)
        for function in wanted:
            if not function.is_fresh:
                self._begin(document, function, None, interactive=function is here, by_user=False)
            elif function.task is not None and function is here:
                self._models.prioritize(function.job)

    def _wanted(self, document: Document) -> list[Function]:
        visible = document.visible if document.visible is not None else range(len(document.lines))
        cursor = document.cursor
        near = [
            each
            for each in document.functions.values()
            if (each.first < visible.stop and each.last >= visible.start)
            or (cursor is not None and _distance(each, cursor) == 0)
        ]
        if cursor is not None:
            near.sort(key=lambda each: _distance(each, cursor))
        return near[: self._options_for(document).functions]

    def _begin(
        self, document: Document, function: Function, call: str | None, *, interactive: bool, by_user: bool
    ) -> asyncio.Task[None]:
        """Start a prediction; the document's functions must be those of its present text."""
        function.end_task()
        function.problem = ""
        function.by_user = by_user
        function.frames = []
        function.coming = function.own_places()
        function.job = uuid.uuid4().hex
        task = self.start(self._predict(document, function, function.target, call, interactive))
        function.task = task
        self._on_change(document)
        return task

    async def _predict(
        self, document: Document, function: Function, target: Target, call: str | None, interactive: bool
    ) -> None:
        me = asyncio.current_task()

        def is_wanted() -> bool:
            return function.task is me and not document.closed

        try:
            call = call or function.given or await self._best_call(function, target)
            if not is_wanted():
                return
            if call is None:
                function.problem = f"No call of {function.qualname} is known."
                function.stale, function.view, function.call = False, None, None
                return
            basis = await self._in_thread(basis_of, target, call)
            client = self._models.client(self._options_for(document))

            def on_frame(frame: Frame) -> None:
                if is_wanted():
                    function.frames.append(frame)
                    self._render(document, function, target, call, basis)

            request = Request.of(target, call, self._options_for(document).max_frames)
            trace = await client.predict(request, interactive=interactive, on_frame=on_frame, job=function.job)
            if not is_wanted():
                return
            if trace.outcome.ending is Ending.CANCELLED:
                function.problem = "The prediction was cancelled."
                return
            view = await self._in_thread(_view_of, target, call, trace, None, None)
            if is_wanted():
                await self._finish(document, function, view, call, basis, None)
        except (TargetError, ModelError) as error:
            if is_wanted():
                function.problem = str(error)
                # What is wrong with a text that is being written is no news.
                if isinstance(error, ModelError) and not function.by_user:
                    self._on_problem(str(error))
        finally:
            if function.task is me:
                function.task = None
                function.by_user = False
                if not document.closed:
                    self._on_change(document)

    async def _best_call(self, function: Function, target: Target) -> str | None:
        if function.calls is None:
            found = await self._in_thread(best_call, target)
            function.calls, function.all_calls = (found,) if found is not None else (), False
        return function.calls[0].expression if function.calls else None

    async def calls(self, document: Document, qualname: str, *, every: bool = False) -> Function:
        """The function with its best call, or with every call, looked for. Raises WorkError."""
        await self.up_to_date(document)
        function = self._function(document, qualname)
        try:
            await self._best_call(function, function.target)
            if every and not function.all_calls:
                function.calls = tuple(await self._in_thread(find_calls, function.target))
                function.all_calls = True
        except TargetError as error:
            raise WorkError(str(error)) from None
        return function

    def _render(self, document: Document, function: Function, target: Target, call: str, basis: Basis) -> None:
        """Show the frames so far, but not each of them by itself."""
        if function.rendering:
            return
        function.rendering = True
        task = function.task

        async def render() -> None:
            try:
                shown = 0
                while function.task is task and shown < len(function.frames):
                    frames = tuple(function.frames)
                    trace = Trace(frames, Outcome(Ending.CANCELLED))
                    began = time.monotonic()
                    view = await self._in_thread(_view_of, target, call, trace, None, None)
                    if function.task is not task:
                        return
                    shown = len(frames)
                    pause = max(_RENDER_SECONDS, _RENDER_SHARE * (time.monotonic() - began))
                    function.call, function.basis = call, basis
                    function.whole = False
                    function.stale = False
                    function.show(view, function.coming)
                    self._on_change(document)
                    await asyncio.sleep(pause)
            finally:
                function.rendering = False

        self.start(render())

    async def _finish(
        self,
        document: Document,
        function: Function,
        view: View,
        call: str,
        basis: Basis,
        python: tuple[int, ...] | None,
    ) -> None:
        """Show what was found, at the lines where the function is by now."""
        target = function.target
        if target.file.text != view.target.file.text:
            try:
                now = await self._in_thread(basis_of, target, call)
            except TargetError:
                now = None
            if now is not None and now.digest == basis.digest:
                result = view.result
                view = await self._in_thread(_moved_view, target, result, basis, now, python)
                basis = now
            else:
                function.stale = True
        else:
            function.stale = function.stale and document.analysed != document.version
        function.call, function.basis, function.python = call, basis, python
        function.whole = True
        current = document.analysed == document.version and view.target is function.target
        function.show(view, function.own_places() if current else function.coming)

    async def predict(self, document: Document, qualname: str, call: str | None) -> Function:
        """Predict because the user asks; a call given is kept for the function. Raises WorkError."""
        await self.up_to_date(document)
        function = self._function(document, qualname)
        if call is not None:
            function.given = _parsed(call, function.target)
        task = self._begin(document, function, function.given, interactive=True, by_user=True)
        await self._until_done(task)
        if function.problem:
            raise WorkError(function.problem)
        if task.cancelled():
            raise WorkError(
                f"The prediction of {qualname} was given up: the function has changed, or another was begun."
            )
        return function

    async def _until_done(self, task: asyncio.Task[None]) -> None:
        """Wait; cancelling the wait gives the prediction up."""
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise

    # Checks.

    async def check(self, document: Document, qualname: str, call: str | None) -> Function:
        """Make the real run because the user asks, and compare it with the prediction. Raises WorkError."""
        await self.up_to_date(document)
        function = self._function(document, qualname)
        if call is not None:
            function.given = _parsed(call, function.target)
        if function.checking:
            raise WorkError(f"{function.qualname} is being checked already.")
        await self._in_thread(_check_runnable, document, function.target.file)
        function.checking = True
        function.problem = ""
        self.checks += 1
        self._on_change(document)
        try:
            return await self._check(document, function)
        finally:
            function.checking = False
            self.checks -= 1
            if not document.closed:
                self._on_change(document)

    async def _check(self, document: Document, function: Function) -> Function:
        target = function.target
        options = self._options_for(document)
        try:
            call = function.given or function.call or await self._best_call(function, target)
            if call is None:
                raise WorkError(f"No call of {function.qualname} is known; give one.")
            basis = await self._in_thread(basis_of, target, call)
            python = self._interpreter_for(document).path
            interpreter = await self._in_thread(Interpreter.at, python)
        except TargetError as error:
            raise WorkError(str(error)) from None
        except InterpreterError as error:
            raise WorkError(f"{error}; name another one in the setting foretrace.interpreter.") from None
        view = function.view
        known = function.whole and not function.stale and function.basis is not None
        if not (known and view is not None and function.basis and function.basis.digest == basis.digest):
            running = function.task
            if running is None or function.call != call:
                running = self._begin(document, function, call, interactive=True, by_user=True)
            else:
                self._models.prioritize(function.job)
        else:
            running = None
            function.coming = function.own_places()
        folder = self._folder_for(document)
        try:
            actual = await self._runs.run(
                target.file,
                call,
                is_file=_is_runnable(document),
                python=interpreter.path,
                timeout=options.timeout,
                folder=folder,
            )
        except BaseException as error:
            if running is not None:
                running.cancel()
            if isinstance(error, RunError):
                raise WorkError(str(error)) from None
            raise
        if running is not None:
            await self._until_done(running)
        predicted = function.view.result.predicted if function.whole and function.view is not None else None
        if predicted is None:
            raise WorkError(function.problem or "The prediction was given up.")
        view = await self._in_thread(_view_of, target, call, predicted, actual, interpreter.version)
        await self._finish(document, function, view, call, basis, interpreter.version)
        return function

    async def _check_saved(self, document: Document) -> None:
        """Check what a save has changed, as far as it was predicted before."""
        try:
            await self.up_to_date(document)
        except WorkError:
            return
        for function in self._wanted(document):
            result = function.view.result if function.view is not None else None
            is_checked = result is not None and result.actual is not None and not function.stale
            if is_checked or function.checking:
                continue
            try:
                if (await self.calls(document, function.qualname)).calls or function.given:
                    await self.check(document, function.qualname, None)
            except WorkError as problem:
                self._on_problem(str(problem))

    def _function(self, document: Document, qualname: str) -> Function:
        function = document.functions.get(qualname)
        if function is None:
            raise WorkError(f"There is no function {qualname} in {document.path.name}.")
        return function

    async def _in_thread(self, work: Callable[_Given, _Answer], *given: _Given.args, **named: _Given.kwargs) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*given, **named))


def _view_of(
    target: Target, call: str, predicted: Trace | None, actual: Trace | None, python: tuple[int, ...] | None
) -> View:
    result: Result = judge(target, call, predicted, actual, python)
    return View.of(target, result)


def _moved_view(target: Target, result: Result, before: Basis, after: Basis, python: tuple[int, ...] | None) -> View:
    return View.of(target, moved(result, target, before, after, python))


def _predicts_as(options: Options) -> tuple[Any, ...]:
    """What a prediction depends on besides its program."""
    return options.model, options.context, options.max_frames


def _read_targets(path: Path, text: str) -> list[Target]:
    return targets_in(read_text(path, text))


def _parsed(call: str, target: Target) -> str:
    try:
        return running_call(target, parse_call(call))
    except TargetError as error:
        raise WorkError(str(error)) from None


def _check_runnable(document: Document, file: SourceFile) -> None:
    """Raises WorkError where the disk has another text than the editor."""
    if not _is_runnable(document):
        return
    try:
        on_disk = SourceFile.read(file.path).text
    except TargetError as error:
        raise WorkError(str(error)) from None
    if on_disk != file.text:
        raise WorkError(f"Save {file.path.name} first: a real run takes the file as it is on the disk.")


def _is_runnable(document: Document) -> bool:
    """Whether it is a file that Python can run; else its text is."""
    return document.is_file and not document.is_notebook


def _distance(function: Function, line: int) -> int:
    return max(function.first - line, line - function.last, 0)
