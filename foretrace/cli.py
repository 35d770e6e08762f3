"""The `foretrace` command: options in, exit code out, and never a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import foretrace
from debugger.predicted.mode import CheckMode
from foretrace.models import BUNDLED
from foretrace.options import Dtype, Format, Mode, Quantization

if TYPE_CHECKING:
    from foretrace.session import Options

CWM_FRAMES = 1000
"""Steps of a run that `--format cwm` writes unless told otherwise: what a context of 32,768 tokens holds."""
app = typer.Typer(
    epilog="Exit codes: 0 as predicted · 1 diverged · 2 bad target or option, or no call found · "
    "3 something could not run, or not to its end. Of several calls the highest counts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
model_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Get, make, choose and look at models.", add_completion=False
)
app.add_typer(model_app, name="model")

host_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The process that has the model loaded for all editor windows.",
    add_completion=False,
)
app.add_typer(host_app, name="host")

Targets = Annotated[
    list[str],
    typer.Argument(metavar="TARGET", help="file.py, file.py::name, file.py::Class.method, file.py:LINE, or a folder."),
]
Calls = Annotated[
    list[str] | None,
    typer.Option("--call", metavar="EXPR", help='A call to check, as in --call "f(3)"; may be given again.'),
]
Spelling = Annotated[Format, typer.Option("--format", help="How to write the report.")]
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write the report to this file instead of the terminal.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PATH|NAME|ADDRESS",
        help="The GGUF that predicts, or a llama-server, as in http://127.0.0.1:8080; else what FORETRACE_MODEL says, "
        "else nano, which comes with foretrace.",
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        min=256,
        help="Room for the program and its steps, about 31 tokens each; else what fits, 32,768 at most.",
    ),
]
MaxFrames = Annotated[
    int | None,
    typer.Option(
        "--max-frames",
        metavar="N",
        min=1,
        help="Stop a prediction and a run after N steps; else after 1,000 and 10,000.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        help="Stop a real run after this time, and the import of its module; else after 10 and 30.",
    ),
]
Python = Annotated[
    str,
    typer.Option(
        "--python", metavar="PATH", show_default=False, help="The interpreter of the real runs; else foretrace's own."
    ),
]
Unconstrained = Annotated[
    bool, typer.Option("--unconstrained", help="Let the model write any step next, not only possible ones.")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Predict anew, and keep nothing, also where the same was predicted before.")
]
Full = Annotated[bool, typer.Option("--full", help="Show every step and whole values.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A GGUF by path or name.")]
OutGguf = Annotated[Path, typer.Argument(metavar="OUT.gguf", help="The file to make.")]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT.gguf where it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One line for each call; no progress bar.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foretrace {foretrace.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and leave.")
    ] = False,
) -> None:
    """Predict a Python run line by line, check it against the real run, and show where they part."""


@app.command()
def diff(
    targets: Targets,
    call: Calls = None,
    spelling: Spelling = Format.TEXT,
    output: Output = None,
    model: ModelOption = None,
    context: Context = None,
    max_frames: MaxFrames = None,
    timeout: Timeout = None,
    python: Python = sys.executable,
    predicted: Annotated[
        Path | None,
        typer.Option(
            "--predicted", metavar="FILE", help="Take these frames instead of asking the model; for one call only."
        ),
    ] = None,
    mode: Annotated[
        CheckMode,
        typer.Option(
            "--mode",
            help="After a difference: the model alone goes on, or from the real step that replaces the wrong one.",
        ),
    ] = CheckMode.FREE,
    unconstrained: Unconstrained = False,
    no_cache: NoCache = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Predict, run for real, and compare."""

    def work() -> int:
        if predicted is not None and mode is CheckMode.FORCED:
            raise _usage_error("--mode forced asks the model at every step, so it does not go with --predicted.")
        options = _options(model, python, max_frames, timeout, unconstrained, predicted, context)
        options = replace(options, check=mode, cached=not no_cache)
        return _check(Mode.DIFF, targets, call or [], options, spelling, output, full, quiet)

    _guarded(work)


@app.command()
def predict(
    targets: Targets,
    call: Calls = None,
    spelling: Spelling = Format.TEXT,
    output: Output = None,
    model: ModelOption = None,
    context: Context = None,
    max_frames: MaxFrames = None,
    unconstrained: Unconstrained = False,
    no_cache: NoCache = False,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Only predict; nothing is run."""

    def work() -> int:
        options = _options(model, sys.executable, max_frames, None, unconstrained, None, context)
        options = replace(options, cached=not no_cache)
        return _check(Mode.PREDICT, targets, call or [], options, spelling, output, full, quiet)

    _guarded(work)


@app.command()
def run(
    targets: Targets,
    call: Calls = None,
    spelling: Spelling = Format.TEXT,
    output: Output = None,
    max_frames: MaxFrames = None,
    timeout: Timeout = None,
    python: Python = sys.executable,
    full: Full = False,
    quiet: Quiet = False,
) -> None:
    """Only run for real, under debugpy; no model is needed."""

    def work() -> int:
        options = _options(None, python, max_frames, timeout, False, None)
        return _check(Mode.RUN, targets, call or [], options, spelling, output, full, quiet)

    _guarded(work)


@app.command()
def doctor(model: ModelOption = None) -> None:
    """Check that everything works here, and say what to do if not."""

    def work() -> int:
        from foretrace.doctor import examine

        return examine(model)

    _guarded(work)


@app.command()
def lsp(
    tcp: Annotated[
        str | None,
        typer.Option("--tcp", metavar="HOST:PORT", help="Wait for one editor on this port instead of standard input."),
    ] = None,
) -> None:
    """The language server, for editors; they start it themselves."""

    def work() -> int:
        from foretrace.models import find_predictor
        from foretrace.session import UsageError
        from lsp_server.cli import create_server, serve

        address = None
        if tcp is not None:
            name, _, port = tcp.rpartition(":")
            if not name or not port.isdecimal() or int(port) > 65535:
                raise UsageError(f"--tcp is {tcp}, but has to be HOST:PORT, as in 127.0.0.1:2087.")
            address = name, int(port)
        return serve(create_server(find_predictor, foretrace.__version__), address)

    _guarded(work)


@host_app.command("status")
def host_status(as_json: AsJson = False) -> None:
    """Which models are loaded for editors, by which process, and what it does."""

    def work() -> int:
        from foretrace.host import show_hosts

        return show_hosts(as_json)

    _guarded(work)


@host_app.command("stop")
def host_stop() -> None:
    """Unload every model; the next prediction in an editor loads it again."""

    def work() -> int:
        from foretrace.host import stop_all_hosts

        return stop_all_hosts()

    _guarded(work)


@model_app.command("list")
def model_list(as_json: AsJson = False) -> None:
    """The models on this machine."""

    def work() -> int:
        from foretrace.model.show import list_models

        return list_models(as_json)

    _guarded(work)


@model_app.command("info")
def model_info(model: ModelArgument = BUNDLED, as_json: AsJson = False) -> None:
    """Architecture, window, quantization, special tokens and licence of a model."""

    def work() -> int:
        from foretrace.model.show import show_model

        return show_model(model, as_json)

    _guarded(work)


@model_app.command("pull")
def model_pull(
    repository: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME[:FILE]",
            help="A repository on the Hugging Face hub; FILE is one GGUF of it, or a quantization such as Q4_K_M.",
        ),
    ],
    revision: Annotated[str, typer.Option("--revision", help="Branch, tag or commit.")] = "main",
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the model here; else the name of its file.")
    ] = None,
) -> None:
    """Download a GGUF, or a checkpoint to convert, from the Hugging Face hub; goes on where it was interrupted."""

    def work() -> int:
        from foretrace.model.pull import pull

        return pull(repository, revision, name)

    _guarded(work)


@model_app.command("convert")
def model_convert(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A folder with config.json, safetensors and tokenizer.json.")
    ],
    out: OutGguf,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="How to store the matrices.")] = Dtype.BF16,
    force: Force = False,
) -> None:
    """Make a GGUF that is exactly the CWM of a Hugging Face checkpoint."""

    def work() -> int:
        from foretrace.model.convert import convert_checkpoint

        return convert_checkpoint(checkpoint, out, dtype.value, force)

    _guarded(work)


@model_app.command("quantize")
def model_quantize(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A GGUF in f32, f16 or bf16, by path or name.")],
    out: OutGguf,
    kind: Annotated[Quantization, typer.Option("--type", help="What to make.")] = Quantization.Q4_K_M,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="TRACES",
            help="Weigh what matters for tracing, found on these traces: JSON lines, as `foretrace run --format cwm` "
            "writes them. One in five is kept for measuring.",
        ),
    ] = None,
    measure: Annotated[
        Path | None,
        typer.Option("--measure", metavar="TRACES", help="Compare the build with its source on these traces."),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Else one for each core.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a smaller build of a GGUF, and say what it costs."""

    def work() -> int:
        from foretrace.model.quantize import quantize_model

        return quantize_model(source, out, kind.value, calibrate, measure, threads, force, as_json)

    _guarded(work)


@model_app.command("plan")
def model_plan(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A GGUF by path or name, a checkpoint's folder, or cwm-32b.")
    ] = "cwm-32b",
    vram: Annotated[
        str | None, typer.Option("--vram", metavar="SIZE", help="The GPU's memory, as in 24GiB; else the one found.")
    ] = None,
    bandwidth: Annotated[
        str | None,
        typer.Option("--bandwidth", metavar="SPEED", help="Its bandwidth, as in 1008GB/s; else the one found."),
    ] = None,
    context: Annotated[
        int | None, typer.Option("--context", metavar="TOKENS", min=256, help="The context it must have.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Which build, context and offload fit a GPU, and how fast that can be."""

    def work() -> int:
        from foretrace.model.plan import plan_model

        return plan_model(model, vram, bandwidth, context, as_json)

    _guarded(work)


def _usage_error(sentence: str) -> Exception:
    from foretrace.session import UsageError

    return UsageError(sentence)


def _options(
    model: str | None,
    python: str,
    max_frames: int | None,
    timeout: float | None,
    unconstrained: bool,
    predicted: Path | None,
    context: int | None = None,
) -> Options:
    from foretrace.session import Options

    return Options(model, python, max_frames, timeout, not unconstrained, context, predicted)


def _check(
    mode: Mode,
    targets: list[str],
    calls: list[str],
    options: Options,
    spelling: Format,
    output: Path | None,
    full: bool,
    quiet: bool,
) -> int:
    from debugger.report.result import Report, Result
    from foretrace.output import Bar, Writer
    from foretrace.session import Exit, Session, UsageError, exit_code, find_jobs

    if spelling is Format.CWM and mode is not Mode.RUN:
        raise UsageError("--format cwm writes real runs only: use it with `foretrace run`.")
    if spelling is Format.CWM and options.max_frames is None:
        options = replace(options, max_frames=CWM_FRAMES)
    jobs = find_jobs(targets, calls)
    if options.predicted is not None and len(jobs) != 1:
        raise UsageError(f"--predicted is for one call, but there are {len(jobs)} here; name one with --call.")
    writer = Writer(spelling, output, full=full, quiet=quiet)
    results: list[Result] = []
    with (
        # FORCE_COLOR makes rich take anything for a terminal; a bar in a log file is of no use.
        Bar(len(jobs), shown=not quiet and sys.stderr.isatty()) as bar,
        Session(mode, options, jobs, lambda frame: bar.count_frame()) as session,
    ):
        with bar.aside():
            for warning in session.warnings:
                typer.echo(f"foretrace: {warning}", err=True)
        interrupted = False
        try:
            for job in jobs:
                if session.has_run(job):
                    continue
                bar.begin(job.call or job.name)
                results.append(session.check(job))
                bar.end()
                with bar.aside():
                    writer.add(Report((), session.model, session.python), results[-1])
        except KeyboardInterrupt:
            if not results:
                raise
            interrupted = True  # what is finished may have taken an hour
        report = Report(tuple(results), session.model, session.python)
    writer.finish(report)
    if interrupted:
        return _complain(f"Interrupted after {len(results)} of {len(jobs)} calls.", Exit.INTERRUPTED)
    return exit_code(results)


def _guarded(work: Callable[[], int]) -> NoReturn:
    """Do the work and leave with its exit code; every problem becomes one sentence on standard error."""
    from debugger.target import TargetError
    from foretrace.session import Exit, UsageError
    from quant.errors import ModelError

    try:
        code = work()
        sys.stdout.flush()
    except (TargetError, UsageError) as error:
        code = _complain(str(error), Exit.BAD_TARGET)
    except ModelError as error:
        code = _complain(str(error), Exit.COULD_NOT_RUN)
    except KeyboardInterrupt:
        code = _complain("Interrupted.", Exit.INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads any more; the interpreter's own flush at the end must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.BROKEN_PIPE
    except Exception as error:
        if os.environ.get("FORETRACE_DEBUG"):
            raise
        code = _complain(
            f"foretrace itself failed ({type(error).__name__}: {error}); FORETRACE_DEBUG=1 shows where.",
            Exit.COULD_NOT_RUN,
        )
    raise typer.Exit(int(code))


def _complain(sentence: str, code: int) -> int:
    typer.echo(f"foretrace: {sentence}", err=True)
    return code


def _leave(number: int, _frame: object) -> NoReturn:
    """Unwind as on Ctrl-C, so that everything that was started is ended."""
    sys.exit(128 + number)


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _leave)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
