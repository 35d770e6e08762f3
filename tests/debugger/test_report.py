"""What people and machines read: the text, the JSON, SARIF and JUnit of the same results."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from rich.console import Console

from debugger.actual.record import record_in_process
from debugger.diff import Kind, Verdict, compare
from debugger.judge import judge
from debugger.report import Model, Report, Result, Status, print_report, to_json, to_junit, to_sarif
from debugger.report.rows import State, rows_of
from debugger.report.story import contrast, story_of
from debugger.target import SourceFile, Target
from debugger.trace import Ending, Event, Outcome, Trace

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "foretrace" / "schema" / "result.schema.json").read_text())

PROGRAM = """\
def total(n):
    s = 0
    i = 0
    while i < n:
        s += i
        i += 1
    return s


def inverse(x):
    return 10 // x


def inverses(xs):
    out = []
    for x in xs:
        try:
            out.append(inverse(x))
        except ZeroDivisionError:
            out.append(None)
    return out


def gen(n):
    for i in range(n):
        yield i
"""


def result(call: str, believed: str = PROGRAM, **changes) -> Result:
    """A result whose prediction is the run of a slightly different program."""
    actual, predicted = record_in_process(PROGRAM, call), record_in_process(believed, call)
    lines = PROGRAM.splitlines(keepends=True)
    frames = tuple(dataclasses.replace(f, source=lines[f.line - 1]) for f in predicted.frames)
    predicted = dataclasses.replace(predicted, frames=frames)
    divergences = compare(predicted, actual)
    status = Status.DIVERGED if divergences else Status.CONFIRMED
    made = Result("a.py::f", Path("a.py"), 1, call, status, "", predicted, actual, divergences, (), {"run": 0.5})
    return dataclasses.replace(made, **changes)


def text_of(*results: Result, full: bool = False, colour: bool = False, width: int = 110) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, color_system="standard" if colour else None)
    print_report(console, Report(results, Model("nano", "nano.gguf", "tiny"), "3.11.7"), full=full)
    return out.getvalue()


WRONG_SUM = PROGRAM.replace("s += i", "s += i + (i == 2)")
TOO_SHORT = PROGRAM.replace("i < n", "i < n - 1")
EVERYTHING = (
    result("total(3)"),
    result("total(4)", WRONG_SUM),
    result("total(4)", TOO_SHORT),
    result("inverses([1, 0])", PROGRAM.replace("10 //", "9 //")),
    Result("a.py::g", Path("a.py"), 3, None, Status.NO_CALL, "No call of g is known."),
    Result("a.py::h", Path("b c.py"), 3, "h(1)", Status.FAILED, "It could \x00not be imported."),
    result("total(2)", predicted=None, divergences=(), status=Status.DONE),
    result("total(2)", actual=None, divergences=(), status=Status.DONE),
)


def test_a_confirmed_call_shows_each_value_once_with_a_check():
    lines = text_of(result("total(2)")).splitlines()
    assert any(line.startswith("✓ a.py::f  total(2)") for line in lines)
    assert any("Confirmed: returned 1; all 12 steps as predicted." in line for line in lines)
    assert any(line.split() == ["5", "s", "+=", "i", "s", "=", "1", "✓"] for line in lines)
    assert not any("while" in line for line in lines), "a line that changes nothing is left out"
    assert lines[-1] == "1 confirmed"


def test_a_call_that_does_not_come_to_the_function_is_told():
    told = "This call did not come to `inverse`; give one that does."
    assert told in text_of(result("total(2)", target="a.py::inverse"))
    assert told not in text_of(result("inverses([1])", target="a.py::inverse"))


def test_the_first_difference_is_told_and_marked():
    text = text_of(result("total(4)", WRONG_SUM))
    assert "First difference: After line 5, `s` was expected to be 4, but it is 3." in text
    assert "Predicted: returned 7. Real run: returned 6." in text
    marked = [line for line in text.splitlines() if line.strip().startswith("▶")]
    assert [line.split() for line in marked] == [["▶", "5", "s", "+=", "i", "s", "=", "4", "s", "=", "3"]]
    assert sum(line.strip().startswith("≠") for line in text.splitlines()) == 2


def test_a_name_that_python_deletes_differs_where_it_does():
    source = (
        "def f(n):\n    try:\n        return 1 / n\n    except ZeroDivisionError as e:\n        n = 1\n    return n\n"
    )
    actual = record_in_process(source, "f(0)")
    last = dataclasses.replace(actual.frames[-2], locals={"n": "1", "e": "ZeroDivisionError('division by zero')"})
    predicted = dataclasses.replace(actual, frames=(*actual.frames[:-2], last, actual.frames[-1]))
    both = {"actual": actual, "predicted": predicted, "divergences": compare(predicted, actual)}
    made = result("total(1)", status=Status.DIVERGED, **both)
    assert "In the end both returned 1." in text_of(made)
    differing = [row for row in rows_of(made, 80) if row.state is State.DIFFERS]
    assert [(row.line, row.predicted[-1].text, row.actual[-1].text) for row in differing] == [
        (5, "e = ZeroDivisionError('division by zero')", "no e")
    ]


def test_a_wrong_turn_shows_what_was_expected_next():
    text = text_of(result("total(4)", TOO_SHORT))
    assert "After line 4, line 7 was expected next, but line 5 came." in text
    (marked,) = [line for line in text.splitlines() if line.strip().startswith("▶")]
    assert "line 7 next" in marked and "s = 6" in marked


def test_what_a_call_changed_comes_after_the_call():
    rows = rows_of(result("inverses([2])"), 80)
    shown = [(row.line, [item.text for item in row.predicted]) for row in rows if row.predicted]
    assert shown.index((11, ["returns 5"])) < shown.index((18, ["out = [5]"]))


def test_the_mark_is_at_the_line_that_went_wrong_first_not_at_its_caller():
    (marked,) = [
        line
        for line in text_of(result("inverses([1])", PROGRAM.replace("10 //", "9 //"))).splitlines()
        if line.strip().startswith("▶")
    ]
    assert "return 10 // x" in marked


def test_an_exception_reads_as_one():
    text = text_of(result("inverses([0])"))
    assert "raises ZeroDivisionError(" in text
    assert "<traceback" not in text


def test_a_long_run_is_cut_around_the_first_difference_unless_all_is_asked_for():
    long = result("total(200)", WRONG_SUM.replace("i == 2", "i == 100"))
    text = text_of(long)
    assert len(text.splitlines()) < 40
    assert "more steps" in text
    assert "▶" in text
    everything = text_of(long, full=True)
    assert "more steps" not in everything
    assert len(everything.splitlines()) > 600


def test_a_run_that_stopped_says_so():
    whole = result("total(3)")
    cut = Trace(whole.predicted.frames[:5], Outcome(Ending.OUT_OF_FRAMES))
    text = text_of(
        dataclasses.replace(whole, predicted=cut, status=Status.UNFINISHED, detail="The prediction was stopped.")
    )
    assert "~ a.py::f  total(3)" in text
    assert "Stopped early: The prediction was stopped." in text
    assert "… the prediction stopped early: out of steps" in text
    assert text.splitlines()[-1] == "1 stopped early"


def test_a_run_that_stopped_before_anything_changed_has_no_table():
    program = "def one():\n    return 1\n"
    run = record_in_process(program, "one()")
    cut = Trace(run.frames[:1], Outcome(Ending.OUT_OF_FRAMES))
    assert cut.frames[0].event is Event.CALL
    stopped = judge(Target(SourceFile.from_text("one.py", program), "one", 1, 2), "one()", None, cut)
    assert stopped.detail == "The real run was stopped after 1 step."
    told = [line.strip() for line in text_of(stopped).splitlines() if "stop" in line.lower() or "line" in line]
    assert told == [
        "Stopped early: The real run was stopped after 1 step.",
        "… the real run stopped early: out of steps",
        "1 stopped early",
    ]


def test_text_that_is_no_step_is_said_in_plain_words():
    whole = result("total(3)", WRONG_SUM.replace("i == 2", "i == 1"))
    why = "The model wrote text that is no step in CWM's format: a value is not JSON: 'x'."
    cut = Trace(whole.predicted.frames[:9], Outcome(Ending.MALFORMED, detail=why))
    diverged = dataclasses.replace(whole, predicted=cut, divergences=compare(cut, whole.actual))
    assert diverged.divergences
    text = " ".join(text_of(diverged).split())
    assert "Predicted: broke off after 9 steps with text that is no step. Real run: returned 3." in text
    assert f"… the prediction stopped early: {why}" in text
    agreed = dataclasses.replace(whole, predicted=cut, status=Status.UNFINISHED, detail=why, divergences=())
    text = " ".join(text_of(agreed).split())
    assert f"Stopped early: {why}" in text
    assert "… the prediction stopped early: text that is no step" in text
    assert "malformed" not in text_of(diverged, agreed)


@pytest.mark.parametrize("stopped", ["predicted", "actual"])
def test_what_the_other_side_did_behind_a_run_that_stopped_is_shown(stopped):
    """However many steps the one that stopped took before, the end of the other one can be seen."""
    parted = result("total(60)", TOO_SHORT.replace("s += i", "s += 2"))
    side = getattr(parted, stopped)
    cut = Trace(side.frames[:100], Outcome(Ending.OUT_OF_FRAMES))
    parted = dataclasses.replace(parted, **{stopped: cut})
    parted = dataclasses.replace(parted, divergences=compare(parted.predicted, parted.actual))
    rows = rows_of(parted, 80)
    last = rows[-1].actual if stopped == "predicted" else rows[-1].predicted
    assert [item.text for item in last] == ["returns 1770" if stopped == "predicted" else "returns 118"]
    assert rows[-1].state.value == "open"
    text = text_of(parted)
    assert last[0].text in text
    assert "more steps" in text and len(text.splitlines()) < 40


def test_the_summary_counts_every_status():
    assert text_of(*EVERYTHING).splitlines()[-1] == (
        "1 confirmed, 3 diverged, 1 could not run, 1 without a call, 2 predicted"
    )


def test_low_confidence_is_shown_and_explained():
    sure = result("total(1)")
    frames = list(sure.predicted.frames)
    index = next(i for i, f in enumerate(frames) if f.line == 3)
    frames[index] = dataclasses.replace(frames[index], confidence={"s": 0.62})
    shown = dataclasses.replace(sure, predicted=dataclasses.replace(sure.predicted, frames=tuple(frames)))
    text = text_of(shown)
    assert "s = 0 (62%)" in text
    assert "(62%): how sure the model was" in text
    assert "%" not in text_of(sure)


def test_colour_only_where_there_is_some():
    assert "\x1b[" in text_of(*EVERYTHING, colour=True)
    assert "\x1b[" not in text_of(*EVERYTHING)


def test_no_markup_in_user_text_is_interpreted():
    text = text_of(dataclasses.replace(result("total(1)"), call="total(1)  # [bold]x[/bold]"))
    assert "[bold]x[/bold]" in text


def test_code_has_the_room_that_values_leave():
    program = "def f(n):\n    return n  # " + "x" * 60 + "\n"
    shown = result("f(1)", program, actual=record_in_process(program, "f(1)"))
    assert "x" * 60 in text_of(shown, width=110) and "x" * 60 not in text_of(shown, width=80)
    assert all(len(line) <= 80 for line in text_of(shown, width=80).splitlines())


def test_a_narrow_terminal_loses_no_row():
    assert text_of(result("total(4)", WRONG_SUM), width=40).count("▶") == 2  # the row, and the legend


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("1", "2", ("1", "2")),
        ("x" * 50, "x" * 50, ("x" * 19 + "…", "x" * 19 + "…")),
        ("a" * 40 + "1" + "b" * 40, "a" * 40 + "2" + "b" * 40, None),
        ("[1, 2]" * 20, "", None),
    ],
)
def test_long_values_are_cut_so_that_the_difference_can_be_seen(left, right, expected):
    shown = contrast(left, right, 20)
    assert all(len(text) <= 20 for text in shown)
    if expected is not None:
        assert shown == expected
    elif right:
        assert shown[0] != shown[1]


def test_every_kind_has_a_sentence():
    kinds = {}
    for made in (
        *EVERYTHING,
        result("total(2)", TOO_SHORT.replace("- 1", "+ 1")),
        result("inverses([0])", PROGRAM.replace("10 // x", "int('x')")),
        result("inverse(0)", PROGRAM.replace("10 // x", "7")),
        result("list(gen(2))", PROGRAM.replace("yield i", "yield i + 1")),
    ):
        for divergence in made.divergences:
            story = story_of(divergence, made)
            kinds.setdefault(divergence.kind, story.text)
            assert story.text.endswith(".") and "\n" not in story.text
            assert 0 < story.line <= PROGRAM.count("\n")
    assert set(kinds) == set(Kind)


def test_json_follows_its_schema_and_the_contract():
    document = json.loads(json.dumps(to_json(Report(EVERYTHING, Model("nano", "nano.gguf", "tiny", 8192), "3.11.7"))))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["version"] == 1
    by_status = {entry["status"]: entry for entry in document["results"]}
    assert {entry["verdict"] for entry in document["results"]} == {v.value for v in Verdict}
    diverged = next(entry for entry in document["results"] if entry["verdict"] == "diverged")
    assert diverged["divergences"][0] == {
        "kind": "value",
        "frame": 11,
        "line": 6,
        "name": "s",
        "predicted": "4",
        "actual": "3",
    }
    assert list(diverged["actual"]["frames"][0]) == [
        "event",
        "line",
        "source",
        "locals",
        "value",
        "function",
        "depth",
    ]
    assert by_status["could not run"]["predicted"] is by_status["could not run"]["actual"] is None
    assert by_status["without a call"]["call"] is None


def test_the_schema_refuses_what_the_contract_does_not_allow():
    document = to_json(Report((result("total(4)", WRONG_SUM),), Model("nano", "nano.gguf"), "3.11.7"))
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(document)
    for change in (
        lambda entry: entry.update(verdict="confirmed"),
        lambda entry: entry["divergences"][0].update(kind="other"),
        lambda entry: entry["actual"]["frames"][0].update(event="jump"),
        lambda entry: entry["actual"]["frames"][-1].update(value=None),
        lambda entry: entry.pop("timings"),
    ):
        broken = json.loads(json.dumps(document))
        change(broken["results"][0])
        assert not validator.is_valid(broken)


def test_every_ending_is_in_the_schema():
    allowed = SCHEMA["$defs"]["trace"]["properties"]["outcome"]["properties"]["ending"]["enum"]
    assert set(allowed) == {ending.value for ending in Ending}
    statuses = SCHEMA["$defs"]["result"]["properties"]["status"]["enum"]
    assert set(statuses) == {status.value for status in Status}
    assert set(SCHEMA["$defs"]["frame"]["properties"]["event"]["enum"]) == {event.value for event in Event}


def test_sarif_points_at_the_line_and_relates_the_rest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = json.loads(json.dumps(to_sarif(Report(EVERYTHING), "1.2.3")))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(run["results"]) == 3
    for found in run["results"]:
        assert rules[found["ruleIndex"]] == found["ruleId"]
        (location,) = found["locations"]
        assert location["physicalLocation"]["artifactLocation"] == {"uri": "a.py", "uriBaseId": "SRCROOT"}
        assert [related["id"] for related in found["relatedLocations"]] == list(range(len(found["relatedLocations"])))
    first = run["results"][0]
    assert first["locations"][0]["physicalLocation"]["region"] == {"startLine": 5}
    assert first["message"]["text"] == "total(4): After line 5, `s` was expected to be 4, but it is 3."
    assert first["relatedLocations"][0]["physicalLocation"]["region"] == {"startLine": 7}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (note,) = invocation["toolExecutionNotifications"]
    assert note["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "b%20c.py"


def test_junit_counts_failures_and_errors():
    suites = ElementTree.fromstring(to_junit(Report(EVERYTHING)).encode())
    assert {k: suites.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "3",
        "errors": "1",
        "skipped": "1",
    }
    assert [suite.get("name") for suite in suites] == ["a.py", "b c.py"]
    failure = next(suites.iter("failure"))
    assert failure.get("message") == "After line 5, `s` was expected to be 4, but it is 3."
    assert failure.get("type") == "value"
    error = next(suites.iter("error"))
    assert error.get("message") == "It could \N{REPLACEMENT CHARACTER}not be imported."


def test_a_call_whose_first_line_shows_other_arguments_is_where_it_differs():
    right = result("total(1)")
    frames = list(right.predicted.frames)
    frames[1] = dataclasses.replace(frames[1], locals={"n": "1", "s": "7"})
    predicted = dataclasses.replace(right.predicted, frames=tuple(frames))
    divergences = compare(predicted, right.actual)
    text = text_of(dataclasses.replace(right, predicted=predicted, divergences=divergences, status=Status.DIVERGED))
    (marked,) = [line for line in text.splitlines() if line.strip().startswith("▶")]
    assert "def total(n):" in marked and "s = 7" in marked and "no s" in marked


def test_passing_an_exception_on_has_no_row_of_its_own():
    text = text_of(result("inverse(0)", PROGRAM.replace("10 // x", "7")))
    assert "a return was expected, but line 11 raised ZeroDivisionError(" in text
    assert sum("return 10 // x" in line for line in text.splitlines()) == 2
