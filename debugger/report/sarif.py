"""Results as SARIF 2.1.0, which GitHub and editors show as annotations in the source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from debugger.diff import Kind
from debugger.report.result import Report, Result, Status
from debugger.report.story import Story, first_of_each_line, story_of

_MAX_RELATED = 20
_RULES = {
    Kind.VALUE: ("wrong-value", "A variable holds another value than was predicted."),
    Kind.LINE: ("wrong-line", "Another line ran than was predicted."),
    Kind.EVENT: ("wrong-event", "Something else happened than was predicted: a line, call, return or exception."),
    Kind.RETURN: ("wrong-return", "Another value was returned than was predicted."),
    Kind.EXCEPTION: ("wrong-exception", "Another exception was raised than was predicted."),
    Kind.MISSING: ("not-predicted", "Something happened that was not predicted."),
    Kind.EXTRA: ("did-not-happen", "Something was predicted that did not happen."),
}


def to_sarif(report: Report, tool_version: str) -> dict[str, Any]:
    """One result for each call that diverged, at its first divergence; what could not run is a notification."""
    unfinished = [r for r in report.results if r.status in (Status.FAILED, Status.UNFINISHED)]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "foretrace",
                        "semanticVersion": tool_version,
                        "rules": [
                            {
                                "id": name,
                                "shortDescription": {"text": text},
                                "defaultConfiguration": {"level": "warning"},
                            }
                            for name, text in _RULES.values()
                        ],
                    }
                },
                "originalUriBaseIds": {"SRCROOT": {"uri": Path.cwd().as_uri().rstrip("/") + "/"}},
                "invocations": [
                    {
                        "executionSuccessful": not unfinished,
                        "toolExecutionNotifications": [
                            {
                                "level": "error" if result.status is Status.FAILED else "note",
                                "message": {"text": _note(result)},
                                "locations": [_location(result.path, result.first_line)],
                            }
                            for result in unfinished
                        ],
                    }
                ],
                "results": [_result(result) for result in report.results if result.divergences],
            }
        ],
    }


def _note(result: Result) -> str:
    """Why a call could not be checked, or a file not used: that sentence names the file itself."""
    return f"{result.target} · {result.call}: {result.detail}" if result.call is not None else result.detail


def _result(result: Result) -> dict[str, Any]:
    stories = [story_of(divergence, result) for divergence in result.divergences]
    related = [story for story in first_of_each_line(stories) if story.line > 0 and story is not stories[0]]
    rule = _RULES[result.divergences[0].kind][0]
    return {
        "ruleId": rule,
        "ruleIndex": [name for name, _ in _RULES.values()].index(rule),
        "level": "warning",
        "message": {"text": f"{result.call}: {stories[0].text}"},
        "locations": [_location(result.path, stories[0].line or result.first_line)],
        "relatedLocations": [
            {"id": number, **_location(result.path, story.line), "message": {"text": story.text}}
            for number, story in enumerate(_bounded(related))
        ],
        "partialFingerprints": {"targetAndCall/v1": f"{result.target}·{result.call}"},
    }


def _bounded(stories: list[Story]) -> list[Story]:
    return stories[:_MAX_RELATED]


def _location(path: Path, line: int) -> dict[str, Any]:
    try:
        relative = os.path.relpath(path.resolve(), Path.cwd())
    except ValueError:  # another drive
        relative = ".."
    inside = not relative.startswith("..")
    artifact = {"uri": _quoted(Path(relative)), "uriBaseId": "SRCROOT"} if inside else {"uri": path.resolve().as_uri()}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": max(line, 1)}}}


def _quoted(relative: Path) -> str:
    """A relative path as a URI reference."""
    return (Path("/") / relative).as_uri().removeprefix("file:///")
