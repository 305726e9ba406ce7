"""JUnit XML, which CI systems show as test results: one suite a report, one case for whatever was tested on its own.

A verdict that is neither PASS nor ERROR is a failure, whose type it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from convgrad_cli.render.cases import Case, cases, target
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Report
from convgrad_cli.safe import safe


def render(report: Report, style: Style) -> Iterator[str]:
    """The document, ASCII throughout."""
    found = list(cases(report, style))
    suite = Element("testsuite", {"name": "convgrad", **_counts(found)})
    properties = SubElement(suite, "properties")
    for name, value in _facts(report).items():
        SubElement(properties, "property", name=name, value=value)
    for case in found:
        _write(SubElement(suite, "testcase", classname=target(report), name=case.name), case)
    if not style.quiet and report.notes:
        SubElement(suite, "system-out").text = "\n".join(f"note: {safe(note, SENTENCE)}" for note in report.notes)
    ElementTree.indent(suite)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield ElementTree.tostring(suite, encoding="us-ascii").decode("ascii") + "\n"


def _counts(found: list[Case]) -> dict[str, str]:
    errors = sum(case.outcome == "ERROR" for case in found)
    failures = sum(case.outcome not in ("PASS", "ERROR") for case in found)
    return {"tests": str(len(found)), "failures": str(failures), "errors": str(errors), "skipped": "0"}


def _facts(report: Report) -> dict[str, str]:
    facts = {
        "command": report.command,
        "version": report.version,
        "layer": report.spec.layer_text(),
        "dtype": safe(report.dtype),
        "device": safe(report.device),
        "seed": str(report.seed),
    }
    if report.check is not None:
        facts |= {"verdict": report.check.verdict, "reason": safe(report.check.reason, SENTENCE)}
        facts |= {"arithmetic": safe(report.check.arithmetic)}
    return facts


def _write(element: Element, case: Case) -> None:
    if case.outcome != "PASS":
        kind = "error" if case.outcome == "ERROR" else "failure"
        SubElement(element, kind, type=case.outcome, message=case.reason).text = "\n".join(case.lines) or None
