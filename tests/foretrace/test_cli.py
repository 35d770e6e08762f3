"""The command as a person or a CI server uses it: real processes where processes matter, else in this one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import psutil
import pytest
from typer.testing import CliRunner

import foretrace
from debugger.actual.record import record_in_process
from debugger.actual.session import START_SECONDS
from debugger.predicted.predict import DEFAULT_MAX_FRAMES, predict
from debugger.report import Model
from debugger.trace import frame_to_json
from foretrace.cli import app
from foretrace.models import bundled_path
from foretrace.session import RUN_FRAMES, RUN_SECONDS, Session
from tests.data import cwm_samples
from tests.debugger.predicted.scripted import ScriptedRuntime
from tests.debugger.predicted.test_predict import script
from tests.ggufs import write_llama

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "foretrace" / "schema" / "result.schema.json").read_text())

TOTAL = """\
# foretrace: total(3)
def total(n):
    s = 0
    for i in range(n):
        s += i
    return s


def lonely(x):
    return x
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORETRACE_MODEL", raising=False)
    (tmp_path / "total.py").write_text(TOTAL)
    return tmp_path


def invoke(*arguments: str | Path):
    """The command in this process: for what needs no process of its own."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def start(*arguments: str | Path, **options) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "foretrace", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        **options,
    )


def finish(process: subprocess.Popen, timeout: float = 120) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def predicted_file(path: Path, source: str, call: str) -> Path:
    """Frames as a model would have written them that believes in `source`."""
    frames = [frame_to_json(frame) for frame in record_in_process(source, call).frames]
    for frame in frames:
        del frame["line"], frame["function"], frame["depth"]
    path.write_text(json.dumps({"frames": frames}))
    return path


# What is wrong with what the user gave: exit 2, one sentence, nothing started.

BAD_TARGETS = [
    (["nosuch.py"], "No such file or folder: nosuch.py."),
    (["total.py::tota"], "has no function 'tota'; did you mean total?"),
    (["total.py:99"], "has no line 99; it ends with line 10."),
    (["total.py:8"], "is outside any function"),
    (["broken.py"], "broken.py, line 1: syntax error"),
    (["total.py", "--call", "total(3"], "does not parse"),
    (["total.py", "--call", "x = 3"], "is a statement"),
    (["total.py", "--call", "other(3)"], "is of none of the functions in total.py (total, lonely)"),
    (["total.py::lonely"], "No call of lonely is known; write one above it"),
    (["lonely.py"], "No call of"),
    (["empty"], "There is no Python file in empty."),
    (["total.py", "--python", "no/such/python"], "There is no Python at no/such/python"),
    (["total.py", "--python", "./total.py"], "does not work as a Python interpreter"),
    (["total.py", "--output", "no/such/folder/out.json"], "There is no folder no/such/folder"),
    (["total.py", "--max-frames", "0"], "Invalid value for '--max-frames'"),
    (["total.py", "--timeout", "soon"], "Invalid value for '--timeout'"),
    (["total.py", "--format", "xml"], "xml"),
    ([], "Missing argument"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD_TARGETS, ids=[" ".join(a) or "nothing" for a, _ in BAD_TARGETS])
def test_what_cannot_be_used_is_said_in_one_sentence(folder, arguments, sentence):
    (folder / "broken.py").write_text("def f(:\n    pass\n")
    (folder / "lonely.py").write_text("def lonely(x):\n    return x\n")
    (folder / "empty").mkdir()
    result = invoke("run", *arguments)
    assert result.exit_code == 2
    said = result.stderr or result.stdout
    assert sentence in " ".join(said.split())


def test_a_folder_goes_on_past_a_file_that_cannot_be_used(folder):
    (folder / "broken.py").write_text("def f(:\n")
    (folder / "comment.py").write_text("# foretrace: f(\ndef f():\n    return 1\n")
    (folder / "total.py").write_text(TOTAL)
    result = invoke("run", ".", "--format", "json")
    assert result.exit_code == 3
    results = json.loads(result.stdout)["results"]
    found = {(entry["target"], entry["call"]): entry for entry in results}
    assert found["total.py::total", "total(3)"]["actual"]["outcome"]["value"] == "3"
    assert found["total.py::lonely", None]["status"] == "without a call"
    assert "syntax error" in found["broken.py", None]["detail"]
    assert "does not parse" in found["comment.py", None]["detail"]
    assert found["broken.py", None]["status"] == found["comment.py", None]["status"] == "could not run"


def test_sarif_names_a_file_that_cannot_be_used_once(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "latin.py").write_bytes("# naïve\n".encode("latin-1"))
    (folder / "sub" / "broken.py").write_text("def f(:\n")
    (run,) = json.loads(invoke("run", ".", "--format", "sarif").stdout)["runs"]
    notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert len(notes) == 2
    for note in notes:
        assert "None" not in note
        assert note.startswith("sub/") and note.count(".py") == 1


def test_version_and_help(folder):
    assert invoke("--version").stdout == f"foretrace {foretrace.__version__}\n"
    for command in ("diff", "predict", "run", "doctor"):
        assert invoke(command, "--help").exit_code == 0


def test_help_tells_where_predictions_and_runs_are_stopped(folder):
    said = " ".join(invoke("diff", "--help").output.split())
    assert f"after N steps; else after {DEFAULT_MAX_FRAMES:,} and {RUN_FRAMES:,}." in said
    assert f"else after {RUN_SECONDS:g} and {START_SECONDS:g}." in said


def test_help_loads_nothing_heavy():
    code = (
        "import sys, foretrace.cli; print(*sorted(set(sys.modules) & {'llama_cpp', 'debugpy', 'numpy', 'rich.table'}))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert shown.stdout.split() == []


# Models.


@pytest.mark.parametrize("command", ["diff", "predict"])
def test_a_model_that_is_none_is_said(folder, command, monkeypatch):
    (folder / "text.gguf").write_text("not a model")
    (folder / "short.gguf").write_bytes(bundled_path().read_bytes()[:100_000])
    for model, sentence in [
        ("missing.gguf", "There is no model file missing.gguf"),
        ("nosuchname", "There is no model called nosuchname; there is nano"),
        ("text.gguf", "text.gguf is not a GGUF file"),
        ("short.gguf", "short.gguf is cut short in its header"),
    ]:
        result = invoke(command, "total.py", "--model", model)
        assert (result.exit_code, result.stdout) == (3, "")
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
    monkeypatch.setenv("FORETRACE_MODEL", "missing.gguf")
    assert "missing.gguf" in invoke(command, "total.py").stderr


def test_what_is_wrong_with_a_plain_llama_is_said_once_beside_its_predictions(folder):
    write_llama(folder / "plain.gguf")
    result = invoke("predict", "total.py", "--call", "total(1)", "--call", "total(2)", "--model", "plain.gguf",
                    "--max-frames", "2", "--format", "json")  # fmt: skip
    assert len(json.loads(result.stdout)["results"]) == 2
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("foretrace: plain.gguf was converted as a plain llama") and "8,192 tokens" in warning


def test_a_context_that_the_model_does_not_know_is_said(folder):
    result = invoke("predict", "total.py", "--call", "total(3)", "--context", "9000", "--max-frames", "2", "-q")
    assert result.stderr == "foretrace: nano is for 8,192 tokens, so it gets no context of 9,000.\n"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"<|call_sep|>", b"<|cxll_sep|>", "does not have CWM's token <|call_sep|>"),
        (b"granite_swa", b"granite_xyz", "cannot be loaded"),
    ],
    ids=["without CWM's tokens", "foreign"],
)
def test_a_model_of_another_kind_is_said(folder, old, new, sentence):
    data = bundled_path().read_bytes()
    assert old in data
    (folder / "other.gguf").write_bytes(data.replace(old, new))
    result = invoke("predict", "total.py", "--model", "other.gguf")
    assert result.exit_code == 3
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


# The real run.

HOSTILE = """\
import os
import sys


# foretrace: build(undefined)
# foretrace: build([1] * "x")
# foretrace: build(3)
def build(x):
    return [x]


# foretrace: endless()
def endless():
    n = 0
    while True:
        n += 1


# foretrace: deeper(0)
def deeper(n):
    return deeper(n + 1)


# foretrace: leave()
def leave():
    sys.exit(3)


# foretrace: vanish()
def vanish():
    os._exit(3)


# foretrace: crash()
def crash():
    import ctypes

    ctypes.string_at(0)


# foretrace: sleep()
def sleep():
    import time

    time.sleep(60)
"""


def test_code_that_misbehaves_is_reported_call_by_call(folder):
    (folder / "hostile.py").write_text(HOSTILE)
    code, out, err = finish(
        start("run", "hostile.py", "--format", "json", "--timeout", "5", "--max-frames", "4000", cwd=folder)
    )
    assert (code, err) == (3, "")
    document = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    found = {entry["call"]: entry for entry in document["results"]}
    ending = {call: (e["status"], (e["actual"] or {}).get("outcome", {}).get("ending")) for call, e in found.items()}
    assert ending == {
        "build(undefined)": ("could not run", None),
        "build([1] * 'x')": ("could not run", None),
        "build(3)": ("done", "returned"),
        "endless()": ("stopped early", "out of frames"),
        "deeper(0)": ("done", "raised"),
        "leave()": ("done", "raised"),
        "vanish()": ("stopped early", "exited"),
        "crash()": ("stopped early", "crashed"),
        "sleep()": ("stopped early", "timed out"),
    }
    assert "NameError: name 'undefined' is not defined" in found["build(undefined)"]["detail"]
    assert "TypeError" in found["build([1] * 'x')"]["detail"]
    assert found["endless()"]["detail"].endswith("--max-frames allows more.")
    assert found["sleep()"]["detail"].endswith("--timeout allows more.")
    assert "exit code 3" in found["vanish()"]["detail"]
    assert "SIGSEGV" in found["crash()"]["detail"]
    assert found["deeper(0)"]["actual"]["outcome"]["value"].startswith("RecursionError(")
    assert found["leave()"]["actual"]["outcome"]["value"] == "SystemExit(3)"
    for entry in found.values():
        assert entry["status"] == "done" or entry["detail"].endswith(".")


@pytest.mark.skipif(os.name != "posix", reason="SIGINT to one process is of POSIX")
def test_what_is_finished_is_reported_when_the_rest_is_interrupted(folder):
    text = "import os, time\n\n\ndef f(n):\n    if n:\n        os.mkdir('begun')\n        time.sleep(60)\n"
    (folder / "slow.py").write_text(text)
    options = ["--call", "f(0)", "--call", "f(1)", "--timeout", "60", "--format", "json", "--output", "out.json"]
    process = start("run", "slow.py", *options, cwd=folder)
    deadline = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "", "foretrace: Interrupted after 1 of 2 calls.\n")
    document = json.loads((folder / "out.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert [result["call"] for result in document["results"]] == ["f(0)"]


def test_a_file_of_any_spelling_is_reported_on_any_terminal(folder):
    text = (
        "\ufeff# foretrace: größe('<|frame_sep|>')\r\n"
        "def größe(wörter):\r\n"
        "\tlänge = len(wörter)\r\n"
        "\treturn (länge, '😀', wörter)"
    )
    (folder / "nasty.py").write_bytes(text.encode())
    code, out, err = finish(start("run", "nasty.py", cwd=folder, env={"PYTHONIOENCODING": "ascii"}))
    assert (code, err) == (0, "")
    assert out.isascii()
    assert "l\\xe4nge = 13" in out
    assert "returns (13, '\\U0001f600', '<|frame_sep|>')" in out
    result = invoke("run", "nasty.py", "--format", "json", "--output", "out.json")
    assert result.exit_code == 0
    frames = json.loads((folder / "out.json").read_text(encoding="utf-8"))["results"][0]["actual"]["frames"]
    assert [(frame["line"], frame["source"]) for frame in frames[:2]] == [
        (2, "def größe(wörter):\n"),
        (3, "\tlänge = len(wörter)\n"),
    ]


def test_a_module_that_raises_while_it_is_imported(folder):
    (folder / "raises.py").write_text("import no_such_module\n\n\ndef f(x=1):\n    return x\n")
    result = invoke("run", "raises.py")
    assert result.exit_code == 3
    assert "Could not run: raises.py cannot be imported: raises.py line 1 raises" in " ".join(result.stdout.split())


@pytest.mark.parametrize("command", ["run", "diff"])
def test_a_module_whose_import_does_not_end_is_ended_by_the_timeout(command, folder):
    (folder / "hang.py").write_text("def f():\n    pass\n\n\nf()\nwhile True:\n    pass\n")
    result = invoke(command, "hang.py::f", "--timeout", "0.5")
    assert result.exit_code == 3
    assert "Could not run: hang.py took longer than 2 s to be imported: code at its top level" in " ".join(
        result.stdout.split()
    )


def children_of(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def wait_until(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_an_interrupted_command_leaves_no_process_behind(folder, number):
    started = folder / "started"
    (folder / "sleepy.py").write_text(
        f"import time\n\n\n# foretrace: f()\ndef f():\n    open({str(started)!r}, 'w').close()\n    time.sleep(300)\n"
    )
    process = start("run", "sleepy.py", "--timeout", "300", cwd=folder, start_new_session=True)
    wait_until(started.exists)
    children = children_of(process)
    assert children
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: everything in the foreground gets it
    else:
        process.send_signal(number)
    code, out, err = finish(process, 30)
    assert code == 128 + number
    assert out == ""
    assert err == ("foretrace: Interrupted.\n" if number == signal.SIGINT else "")
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_a_reader_that_goes_away_is_no_error(folder):
    process = start("run", "total.py", "--full", cwd=folder)
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(120) == 141
    assert error == ""


# The comparison, with predictions from a file: no model is involved.


def test_a_wrong_prediction_is_found_and_exits_with_1(folder):
    file = predicted_file(folder / "p.json", TOTAL.replace("s += i", "s += i + (i > 1)"), "total(3)")
    predicted = json.loads(file.read_text())
    for frame in predicted["frames"]:
        frame["source"] = frame["source"].replace("s += i + (i > 1)", "s += i")
    file.write_text(json.dumps(predicted))
    code, out, err = finish(start("diff", "total.py::total", "--predicted", "p.json", cwd=folder))
    assert (code, err) == (1, "")
    assert "✗ total.py::total  total(3)" in out
    assert "First difference: After line 5, `s` was expected to be 4, but it is 3." in out
    assert "Predicted by the frames in p.json" in out
    assert out.splitlines()[-1] == "1 diverged"


def test_every_format_and_the_output_file(folder):
    predicted_file(folder / "p.json", TOTAL, "total(3)")
    arguments = ["diff", "total.py::total", "--predicted", "p.json"]
    assert "Confirmed: returned 3" in invoke(*arguments).stdout
    quiet = invoke(*arguments, "--quiet").stdout.splitlines()
    assert quiet[0] == "✓ total.py::total  total(3)  confirmed"
    assert quiet[-1] == "1 confirmed"
    (folder / "out.json").write_text("old")
    (folder / "out.json").chmod(0o640)
    result = invoke(*arguments, "--format", "json", "--output", "out.json")
    assert (result.exit_code, result.output) == (0, "")
    document = json.loads((folder / "out.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["results"][0]["verdict"] == "confirmed"
    assert (folder / "out.json").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["out.json", "p.json", "total.py"]
    sarif = json.loads(invoke(*arguments, "--format", "sarif").stdout)
    assert sarif["runs"][0]["results"] == []
    junit = ElementTree.fromstring(invoke(*arguments, "--format", "junit").stdout)
    assert (junit.get("tests"), junit.get("failures")) == ("1", "0")
    # What the command wrote is what it reads.
    again = invoke("diff", "total.py::total", "--predicted", "out.json", "--quiet")
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "1 confirmed")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (".", ". is a folder; name a file for --output, as in report.txt."),
        ("sub", "sub is a folder; name a file for --output, as in sub/report.txt."),
        ("closed/out.json", "closed/out.json cannot be written: Permission denied; give another file to --output."),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(folder, monkeypatch, output, sentence):
    (folder / "marks.py").write_text("# foretrace: f()\ndef f():\n    open('ran', 'w').close()\n")
    (folder / "sub").mkdir()
    (folder / "closed").mkdir()
    refuse(monkeypatch, Path("closed"))
    result = invoke("run", "marks.py", "--output", output)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"foretrace: {sentence}\n"
    assert not (folder / "ran").exists()


def refuse(monkeypatch, closed: Path) -> None:
    """Let no file be made in that folder, as for a user who may not write there; root always may."""
    real = os.open

    def guarded(path, *arguments, **options):
        if Path(os.fsdecode(path)).absolute().is_relative_to(closed.absolute()):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", guarded)


@pytest.mark.parametrize(
    ("steps", "sentences"),
    [
        (0, "The file has no steps of the call."),
        (1, "The file has no more steps, though the call has not ended. The step before that is as predicted."),
        (4, "The file has no more steps, though the call has not ended. The 4 steps before that are as predicted."),
    ],
)
def test_a_prediction_that_stops_early_confirms_nothing(folder, steps, sentences):
    file = predicted_file(folder / "p.json", TOTAL, "total(3)")
    predicted = json.loads(file.read_text())
    file.write_text(json.dumps(predicted["frames"][:steps]))
    result = invoke("diff", "total.py::total", "--predicted", "p.json", "--format", "json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["results"][0]["detail"] == sentences


@pytest.mark.parametrize("spelling", ["report", "predicted", "frames"])
def test_predicted_frames_are_taken_as_a_report_a_part_of_it_or_a_list(folder, spelling):
    steps = json.loads(predicted_file(folder / "p.json", TOTAL, "total(3)").read_text())["frames"]
    invoke("diff", "total.py::total", "--predicted", "p.json", "--format", "json", "--output", "report.json")
    report = json.loads((folder / "report.json").read_text())
    predicted = report["results"][0]["predicted"]
    assert len(predicted["frames"]) == len(steps)
    document = {"report": report, "predicted": predicted, "frames": predicted["frames"]}[spelling]
    (folder / "again.json").write_text(json.dumps(document))
    result = invoke("diff", "total.py::total", "--predicted", "again.json")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 confirmed")


@pytest.mark.parametrize(
    ("sample", "kind", "frame", "line"),
    [("sample_433", "return", 5, 5), ("sample_613", "value", 3, 4), ("sample_290", "line", 3, 6)],
)
def test_a_real_output_of_cwm_is_checked_against_the_real_run(folder, sample, kind, frame, line):
    row = next(row for row in cwm_samples() if row["id"] == sample)
    (folder / "program.py").write_text(row["source"])
    (folder / "p.json").write_text(json.dumps(row))
    call = row["frames"][1]["source"].strip().removeprefix("return ")
    name = call.partition("(")[0]
    result = invoke("diff", f"program.py::{name}", "--call", call, "--predicted", "p.json", "--format", "json")
    assert result.exit_code == 1
    (entry,) = json.loads(result.stdout)["results"]
    first = entry["divergences"][0]
    assert (first["kind"], first["frame"], first["line"]) == (kind, frame, line)


@pytest.mark.parametrize(
    ("content", "arguments", "sentence"),
    [
        (None, ["total.py::total"], "cannot be read"),
        ("{oops", ["total.py::total"], "p.json: The predicted frames are not JSON"),
        (
            "[]",
            ["total.py", "--call", "total(1)", "--call", "total(2)"],
            "--predicted is for one call, but there are 2",
        ),
    ],
)
def test_predicted_frames_that_cannot_be_used(folder, content, arguments, sentence):
    if content is not None:
        (folder / "p.json").write_text(content)
    result = invoke("diff", *arguments, "--predicted", "p.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr


def inlining_python() -> str | None:
    """A Python of 3.12 or newer that starts here."""
    if sys.version_info >= (3, 12):
        return sys.executable
    installed = sorted(Path.home().glob(".pyenv/versions/3.1[2-9].*/bin/python"))
    for candidate in [shutil.which("python3.12"), shutil.which("python3.13"), *map(str, installed)]:
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, timeout=60).returncode == 0:
            return candidate
    return None


def test_comprehensions_are_folded_only_for_an_interpreter_that_inlines_them(folder):
    """The prediction steps over the comprehension's loop: right where the real run inlines it, and only there."""
    python = inlining_python()
    source = "# foretrace: f(3)\ndef f(n):\n    a = [i * i for i in range(n)]\n    return a\n"
    (folder / "comp.py").write_text(source)
    frames = [
        {"event": "call", "source": "def f(n):\n", "locals": {"n": "3"}},
        {"event": "line", "source": "    a = [i * i for i in range(n)]\n", "locals": {"n": ".."}},
        {"event": "call", "source": "    a = [i * i for i in range(n)]\n", "locals": {".0": "<range_iterator object>"}},
        {"event": "line", "source": "    a = [i * i for i in range(n)]\n", "locals": {".0": ".."}},
        {"event": "return", "source": "    a = [i * i for i in range(n)]\n", "value": "[0, 1, 4]"},
        {"event": "line", "source": "    return a\n", "locals": {"n": "3", "a": "[0, 1, 4]"}},
        {"event": "return", "source": "    return a\n", "value": "[0, 1, 4]"},
    ]
    (folder / "p.json").write_text(json.dumps(frames))
    result = invoke("diff", "comp.py", "--predicted", "p.json", "--python", python or sys.executable)
    assert result.exit_code == (1 if python is None else 0), result.output
    assert "Real runs by Python 3.1" in result.stdout


# With the bundled model.


def test_every_example_gives_a_report_that_follows_the_schema(tmp_path):
    out = tmp_path / "results.json"
    code, shown, err = finish(
        start("diff", "examples/", "--format", "json", "--output", out, "--max-frames", "40", cwd=ROOT), 900
    )
    assert (shown, err) == ("", "")
    document = json.loads(out.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["model"]["name"] == "nano"
    results = document["results"]
    statuses = {entry["status"] for entry in results}
    assert code == (3 if "stopped early" in statuses else 1 if "diverged" in statuses else 0)
    files = {entry["target"].partition("::")[0] for entry in results}
    assert files == {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")}
    assert len(files) >= 10
    assert all(entry["predicted"] and entry["actual"] for entry in results)
    assert not [entry["target"] for entry in results if entry["status"] in ("could not run", "without a call")]
    for entry in results:
        assert len(entry["predicted"]["frames"]) <= len(entry["actual"]["frames"]) + 16
    endless = next(entry for entry in results if entry["call"] == "countdown(3)")
    assert endless["actual"]["outcome"]["ending"] == "out of frames"


def test_predict_runs_nothing(folder):
    touching = "# foretrace: f(1)\ndef f(n):\n    open('touched', 'w').close()\n    return [n]\n"
    (folder / "writes.py").write_text(touching + "\n\nopen('imported', 'w').close()\n")
    result = invoke("predict", "writes.py", "--max-frames", "4", "--format", "json")
    assert result.exit_code in (0, 3)
    (entry,) = json.loads(result.stdout)["results"]
    assert entry["actual"] is None
    assert entry["predicted"]["frames"][0]["event"] == "call"
    assert any("confidence" in frame for frame in entry["predicted"]["frames"])
    assert not (folder / "touched").exists() and not (folder / "imported").exists()


@pytest.mark.parametrize(
    ("call", "why"), [("total()", "'n' in total(n)."), ("sum_up(3)", "nothing in the file is named sum_up.")]
)
def test_a_call_that_cannot_be_made_is_not_predicted(folder, call, why):
    result = invoke("predict", "total.py::total", "--call", call, "--format", "json")
    (entry,) = json.loads(result.stdout)["results"]
    assert result.exit_code == 3 and entry["predicted"] is None
    assert entry["detail"].startswith(f"The call {call} cannot be made: ") and entry["detail"].endswith(why)


def test_the_doctor_finds_everything_in_order(folder):
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "Everything works."
    missing = invoke("doctor", "--model", "missing.gguf")
    assert missing.exit_code == 3
    assert "✗ model: There is no model file missing.gguf" in missing.stdout


def test_the_doctor_says_how_to_build_without_amx(monkeypatch):
    monkeypatch.setattr("quant.runtime.built_with_amx", lambda library: True)
    result = invoke("doctor")
    assert result.exit_code == 0, result.output  # it works without
    assert "built for AMX" in result.stdout and "CXXFLAGS=" in result.stdout


def test_the_real_steps_can_replace_wrong_ones_and_each_value_has_a_surprise(folder):
    code, out, err = finish(start("diff", "total.py::total", "--mode", "forced", "--format", "json"))
    assert code in (0, 1), err
    document = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    (result,) = document["results"]
    actual = result["actual"]["frames"]
    for frame in actual[1:]:  # the call spells out the first
        values = set(frame["locals"]) if frame["value"] is None else {"<value>"}
        assert set(frame.get("surprise", {})) == values
    assert len(result["predicted"]["frames"]) <= len(actual)


def use(monkeypatch, runtime) -> None:
    """Let the command predict by this stand-in for a model."""

    def load(session: Session) -> None:
        session._predicting = runtime
        session.model = Model("stand-in", "stand-in.gguf")

    monkeypatch.setattr(Session, "_load_model", load)


@pytest.mark.parametrize("command", [["predict"], ["diff"], ["diff", "--mode", "forced"]], ids=" ".join)
def test_text_that_is_no_step_is_the_models_mistake_and_said_so(folder, monkeypatch, command):
    words = script("total(3)", record_in_process(TOTAL, "total(3)"))
    words[words.index('"3"')] = "no JSON"
    use(monkeypatch, ScriptedRuntime(words))
    result = invoke(*command, "total.py::total", "--unconstrained")
    assert result.exit_code == 3
    shown = " ".join(result.stdout.split())
    assert (
        "Stopped early: The model wrote text that is no step in CWM's format: a value is not JSON: 'no JSON'." in shown
    )
    assert "That is the model's mistake: another --model may do better" in shown
    assert "malformed" not in shown


@pytest.mark.parametrize("command", [["predict"], ["diff"], ["diff", "--mode", "forced"]], ids=" ".join)
def test_a_context_that_is_full_says_what_gives_more_room(folder, monkeypatch, command):
    words = script("total(30)", record_in_process(TOTAL, "total(30)"))
    use(monkeypatch, ScriptedRuntime(words, context=900))
    result = invoke(*command, "total.py::total", "--call", "total(30)")
    assert result.exit_code == 3
    shown = " ".join(result.stdout.split())
    assert "Stopped early: The model's context is full." in shown
    assert "--context gives more room where the model has it, --max-frames stops earlier." in shown


def test_a_step_without_end_is_the_models_mistake(folder, monkeypatch):
    words = script("total(3)", record_in_process(TOTAL, "total(3)"))
    before = words[: words.index('{"n": "..", "s": "1", "i": ".."}')]
    use(monkeypatch, ScriptedRuntime([*before, '{"n": "..", "s": "' + "7" * 5000]))
    shown = " ".join(invoke("predict", "total.py::total").stdout.split())
    assert "without ending a step. That is the model's mistake" in shown
    assert "--context" not in shown


def test_forced_steps_need_a_model(folder):
    result = invoke("diff", "total.py", "--mode", "forced", "--predicted", "total.py")
    assert result.exit_code == 2
    assert "does not go with --predicted" in result.stderr


def test_a_prediction_is_kept_and_taken_again_and_both_can_be_left_out(folder):
    cache = folder / "cache"
    environment = {"XDG_CACHE_HOME": str(cache)}
    outputs = []
    for options in (["--no-cache"], [], []):
        code, out, err = finish(
            start("predict", "total.py::total", "--format", "json", "--max-frames", "5", *options, env=environment)
        )
        assert code in (0, 3), err
        document = json.loads(out)
        for result in document["results"]:
            result["timings"] = {}
        outputs.append(document)
        assert cache.exists() == (options == [])
    assert outputs[0] == outputs[1] == outputs[2]


def test_a_kept_prediction_serves_other_limits_than_its_own(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    drafts: list[int] = []

    def counting(*given, expected, **named):
        drafts.append(len(expected))
        return predict(*given, expected=expected, **named)

    monkeypatch.setattr("debugger.predicted.predict.predict", counting)

    def predicted(limit: int):
        result = invoke("predict", "total.py", "--call", "total(2)", "--format", "json", "--max-frames", str(limit))
        return json.loads(result.stdout)["results"][0]["predicted"]

    first, whole = predicted(2), predicted(100)
    assert first["outcome"]["ending"] == "out of frames" and whole["outcome"]["ending"] == "returned"
    assert whole["frames"][:2] == first["frames"]
    assert drafts == [0, 2], "the shorter one is drafted"
    assert predicted(90) == whole and drafts == [0, 2], "and the whole one is whole for any limit that it keeps to"
    count = len(whole["frames"])
    assert predicted(count - 1)["frames"] == whole["frames"][:-1] and drafts == [0, 2, count]


def test_what_the_model_read_of_a_long_source_is_kept_unless_told_otherwise(folder):
    lines = "".join(f"    x{i} = n * {i}\n" for i in range(30))
    (folder / "long.py").write_text(f"def f(n):\n{lines}    return n\n", encoding="utf-8")
    cache = folder / "cache"
    states = cache / "foretrace" / "states"
    outputs = []
    for options in (["--no-cache"], [], ["--call", "f(4)"], ["--call", "f(4)", "--no-cache"]):
        call = [] if "--call" in options else ["--call", "f(3)"]
        command = ["predict", "long.py::f", "--format", "json", "--max-frames", "2", *options, *call]
        code, out, err = finish(start(*command, env={"XDG_CACHE_HOME": str(cache)}))
        assert code in (0, 3), err
        (result,) = json.loads(out)["results"]
        outputs.append(result["predicted"])
        assert cache.exists() == (options != ["--no-cache"])
        assert len(list(states.glob("*.state"))) == int(cache.exists()), "another call of the same source adds none"
    assert outputs[0] == outputs[1] and outputs[2] == outputs[3]
