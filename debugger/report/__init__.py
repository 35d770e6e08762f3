"""What was found, for people and for machines: text, JSON, SARIF 2.1.0 and JUnit XML of the same results."""

from debugger.report.cwm import to_cwm
from debugger.report.junit import to_junit
from debugger.report.result import Model, Report, Result, Status, to_json
from debugger.report.sarif import to_sarif
from debugger.report.text import print_report, print_result, print_summary

__all__ = [
    "Model",
    "Report",
    "Result",
    "Status",
    "print_report",
    "print_result",
    "print_summary",
    "to_cwm",
    "to_json",
    "to_junit",
    "to_sarif",
]
