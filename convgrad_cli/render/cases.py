"""A report as cases that pass or do not, for the formats that continuous integration reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convgrad_cli.findings import Check, Verdict
from convgrad_cli.render import verdicts
from convgrad_cli.render.names import distance, indexed
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Comparison, Report
from convgrad_cli.safe import safe


@dataclass(frozen=True)
class Case:
    """One thing that was tested: `outcome` is a verdict, `reason` a sentence, `lines` the numbers behind it."""

    name: str
    outcome: str
    reason: str = ""
    lines: Sequence[str] = ()


def cases(report: Report, style: Style) -> Iterator[Case]:
    """Of a check each tensor on each probe and on the real data, and each condition; else each comparison."""
    if report.check is None:
        yield from (_compared(one) for one in report.comparisons if style.shows(one.tensor))
        return
    for verdict in report.check.verdicts:
        if style.shows(verdict.tensor):
            yield from _probed(verdict)
            yield _measured(verdict, report, style)
    yield from _conditions(report.check)


def tensors(report: Report, style: Style) -> Iterator[Case]:
    """The same with one case a tensor."""
    if report.check is None:
        yield from cases(report, style)
        return
    for verdict in report.check.verdicts:
        if style.shows(verdict.tensor):
            probes = [f"probe {safe(p.name)}: {safe(p.detail, SENTENCE)}" for p in verdicts.not_passed(verdict.probes)]
            lines = probes + _lines(verdict, report, style)
            yield Case(safe(verdict.tensor), verdict.verdict, _reason(verdict), lines)
    yield from _conditions(report.check)


def target(report: Report) -> str:
    """What was tested: the code, or else the layer."""
    return report.spec.layer_text() if report.check is None else safe(report.check.target, SENTENCE)


def _probed(verdict: Verdict) -> Iterator[Case]:
    for probe in verdict.probes:
        yield Case(f"{verdict.tensor}: probe {safe(probe.name)}", probe.outcome, safe(probe.detail, SENTENCE))


def _measured(verdict: Verdict, report: Report, style: Style) -> Case:
    """The real data: right where only probes show the fault."""
    blameless = verdict.verdict == "FAIL" and not verdict.wrong and verdicts.not_passed(verdict.probes)
    outcome = "PASS" if blameless else verdict.verdict
    lines = [] if blameless else _lines(verdict, report, style)
    return Case(f"{verdict.tensor}: real data", outcome, "" if blameless else _reason(verdict), lines)


def _conditions(check: Check) -> Iterator[Case]:
    for found in check.conditions:
        yield Case(f"condition {safe(found.name)}", found.outcome, verdicts.shown(found))


def _reason(verdict: Verdict) -> str:
    pattern = f" ({safe(verdict.pattern, SENTENCE)})" if verdict.pattern else ""
    return safe(verdict.reason, SENTENCE) + pattern


def _lines(verdict: Verdict, report: Report, style: Style) -> list[str]:
    elements = [] if verdict.verdict == "PASS" else verdicts.worst(verdict, report, style)
    whose = [f"{verdicts.whose(verdict)}:"] if elements else []
    return whose + [verdicts.line(element, report, style.precision) for element in elements]


def _compared(one: Comparison) -> Case:
    name = f"{one.tensor}: {safe(one.actual)} beside {safe(one.expected)}"
    wrong = one.elements - one.agreeing
    if not wrong:
        return Case(name, "PASS", f"{one.elements:,} of {one.elements:,} elements agree")
    at = f"; the worst is {indexed(one.tensor, one.worst)}" if one.worst else ""
    return Case(name, "FAIL", f"{wrong:,} of {one.elements:,} elements differ{at}, {distance(one.ratio)}")
