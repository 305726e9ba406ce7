"""What a verdict says: which words, which numbers and which elements, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from math import isfinite

from convgrad_cli.findings import Check, Finding, Verdict
from convgrad_cli.render.names import element_name
from convgrad_cli.render.numbers import apart, column, stored
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Element, Report
from convgrad_cli.safe import safe

HEADS = ("verdict", "probes", "real data", "x bound", "arithmetic")
WORST = 2  # elements that stand for all that are wrong; one of each tensor where several are wrong


def cells(verdict: Verdict) -> tuple[str, str, str, str, str]:
    """The row of a tensor below HEADS: the verdict, and what it rests on.

    These are its probes, its real data, the largest error there in units of its bound, and what explains every element.
    """
    count, failed = len(verdict.probes), len(not_passed(verdict.probes))
    probes = f"{failed}/{count} wrong" if failed else f"{count} exact" if count else "none"
    if not verdict.elements:
        return safe(verdict.verdict), probes, "none", "-", "-"
    wrong, total = f"{verdict.wrong:,}/{verdict.elements:,} beyond", f"{verdict.elements:,} within"
    ratio, arithmetic = f"{verdict.ratio:.2g}", safe(verdict.arithmetic) or "none"
    return safe(verdict.verdict), probes, wrong if verdict.wrong else total, ratio, arithmetic


def declared(check: Check) -> str:
    return f"declared arithmetic: {safe(check.arithmetic)}"


def remarks(verdict: Verdict, check: Check) -> list[str]:
    """What there is to say of a tensor that is not right; its reason only where the whole check has another."""
    said = [f"wrong: {safe(verdict.pattern, SENTENCE)}"] if verdict.pattern else []
    said += [safe(verdict.reason, SENTENCE)] if verdict.reason and verdict.reason not in check.reason else []
    failed = not_passed(verdict.probes)
    said += [f"probe {safe(failed[0].name)}: {safe(failed[0].detail, SENTENCE)}"] if failed else []
    said += [f"also wrong on {', '.join(safe(probe.name) for probe in failed[1:])}"] if failed[1:] else []
    if verdict.bits is not None and isfinite(verdict.bits) and not failed and verdict.verdict != "PASS":
        said.append(f"the worst element has about {max(verdict.bits, 0.0):.1f} bits right")
    return said


def not_passed(findings: Sequence[Finding]) -> list[Finding]:
    return [found for found in findings if found.outcome != "PASS"]


def shown(found: Finding) -> str:
    """What was not right under a condition, and why."""
    tensors, detail = ", ".join(map(safe, found.tensors)), safe(found.detail, SENTENCE)
    return f"{tensors} ({detail})" if tensors and detail else tensors or detail


def conditions(check: Check) -> list[str]:
    """What each condition showed that is not PASS, then the names of those that are."""
    failed = not_passed(check.conditions)
    held = [safe(found.name) for found in check.conditions if found not in failed]
    passed = [f"under these conditions the numbers are the same: {'; '.join(held)}"] if held else []
    return [f"{found.outcome} under {safe(found.name)}: {shown(found)}" for found in failed] + passed


def detailed(check: Check, style: Style) -> list[Verdict]:
    """The tensors of which more is said than a row: those that are not right, or all that were asked for."""
    asked = bool(style.only) or style.rows is not None
    return [v for v in check.verdicts if style.shows(v.tensor) and (asked or v.verdict != "PASS")]


def worst(verdict: Verdict, report: Report, style: Style) -> list[Element]:
    """The elements that stand for a tensor, the worst first; with `style.rows` as many as that, all of them in order.

    None of a tensor that is MISTRUSTED unless asked for: what nothing could have shown wrong shows nothing.
    """
    table = next((table for table in report.tables if table.tensor == verdict.tensor), None)
    asked = bool(style.only) or style.rows is not None
    if table is None or report.check is None or (verdict.verdict == "MISTRUSTED" and not asked):
        return []
    several = sum(v.verdict not in ("PASS", "MISTRUSTED") for v in report.check.verdicts)
    limit = (1 if several > 1 else WORST) if style.rows is None else style.rows
    count = len(table.elements)
    ranked = dict.fromkeys(chain(table.important, range(count)))
    return [table.elements[i] for i in (range(count) if count <= limit else islice(ranked, limit))]


def whose(verdict: Verdict) -> str:
    """Which numbers the elements of a tensor have: a probe's where nothing else shows the fault, else the user's."""
    failed = not_passed(verdict.probes)
    if verdict.wrong or not failed:
        return f"worst of {verdict.wrong:,}" if verdict.wrong > 1 else "element" if verdict.wrong else "worst"
    return f"probe {safe(failed[0].name)}"


def numbers(elements: Sequence[Element], report: Report, precision: int) -> list[tuple[str, str, str, str]]:
    """Of each element what it is, what it should be, how far it is off, and its bound; told apart wherever they are."""
    pairs = [(_tested(element, report), element.values["expected"]) for element in elements]
    written = iter(column([value for pair in pairs for value in pair], apart(pairs, precision)))
    return [(next(written), next(written), _short(e.difference), _short(e.bound)) for e in elements]


def line(element: Element, report: Report, precision: int) -> str:
    """One element in a sentence, for formats without columns."""
    actual, expected, off, bound = numbers([element], report, precision)[0]
    said = f"{element_name(element)} is {actual.strip()}, expected {expected.strip()} = {element.expression}"
    return f"{said}; off by {off}, bound {bound}" if off else said


def _tested(element: Element, report: Report) -> float:
    """The number under test, cut from what its dtype stores."""
    tensor = report.tensors.get(element.tensor)
    try:
        return stored(element.values["actual"], tensor.dtype if tensor else report.dtype)
    except OverflowError:  # it came in a wider dtype than the layer's
        return element.values["actual"]


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
