"""Results as JUnit XML, which CI servers show as tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from debugger.report.result import Report, Result, Status
from debugger.report.story import story_of

_MAX_STORIES = 50
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even as references."""


def to_junit(report: Report) -> str:
    """One test for each call: a divergence is a failure, what could not run an error, the rest unchecked is skipped."""
    by_file: dict[str, list[Result]] = {}
    for result in report.results:
        by_file.setdefault(str(result.path), []).append(result)
    suites = ElementTree.Element("testsuites", _counts(report.results))
    for path, results in by_file.items():
        suite = ElementTree.SubElement(suites, "testsuite", {"name": _clean(path), **_counts(results)})
        for result in results:
            _add_case(suite, result)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    status = [result.status for result in results]
    return {
        "tests": str(len(results)),
        "failures": str(status.count(Status.DIVERGED)),
        "errors": str(status.count(Status.FAILED)),
        "skipped": str(status.count(Status.UNFINISHED) + status.count(Status.NO_CALL)),
        "time": f"{sum(sum(result.timings.values()) for result in results):.3f}",
    }


def _add_case(suite: ElementTree.Element, result: Result) -> None:
    qualname = result.target.rpartition("::")[2]
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=_clean(result.target.replace("/", ".").replace("::", ".")),
        name=_clean(result.call or qualname),
        file=_clean(str(result.path)),
        line=str(result.first_line),
        time=f"{sum(result.timings.values()):.3f}",
    )
    if result.status is Status.DIVERGED:
        stories = [story_of(divergence, result) for divergence in result.divergences[:_MAX_STORIES]]
        failure = ElementTree.SubElement(case, "failure", message=_clean(stories[0].text))
        failure.set("type", result.divergences[0].kind.value)
        failure.text = _clean("\n".join(f"line {story.line}: {story.text}" for story in stories))
    elif result.status is Status.FAILED:
        ElementTree.SubElement(case, "error", message=_clean(result.detail))
    elif result.status in (Status.UNFINISHED, Status.NO_CALL):
        ElementTree.SubElement(case, "skipped", message=_clean(result.detail))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
