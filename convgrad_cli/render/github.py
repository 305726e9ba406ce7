"""Commands that GitHub Actions reads from a log: an error or a warning for whatever is not right, else one notice.

How text is escaped: github.com/actions/toolkit, packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterator

from convgrad_cli.render.cases import Case, target, tensors
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Report
from convgrad_cli.safe import safe

KINDS = {"FAIL": "error", "ERROR": "error", "SUSPECT": "warning", "MISTRUSTED": "warning"}
DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
PROPERTY = DATA | {":": "%3A", ",": "%2C"}


def render(report: Report, style: Style) -> Iterator[str]:
    """One command a line."""
    found = list(tensors(report, style))
    wrong = [case for case in found if case.outcome != "PASS"]
    for case in wrong:
        yield command(KINDS.get(case.outcome, "error"), f"{case.outcome} {case.name}", _message(case, report))
    if report.exit_code == 0 or not wrong:
        yield _overall(report, len(found))
    if not style.quiet:
        yield from (command("notice", "convgrad", safe(note, SENTENCE)) for note in report.notes)


def _overall(report: Report, count: int) -> str:
    if report.check is not None:
        kind = KINDS.get(report.check.verdict, "notice")
        return command(kind, report.check.verdict, f"{target(report)}: {safe(report.check.reason, SENTENCE)}")
    return command("notice", "convgrad", f"{target(report)}: {count} of {count} comparisons agree")


def _message(case: Case, report: Report) -> str:
    return "\n".join([f"{target(report)}: {case.reason}", *case.lines])


def command(kind: str, title: str, message: str) -> str:
    """One line that GitHub Actions understands."""
    return f"::{kind} title={_escaped(title, PROPERTY)}::{_escaped(message, DATA)}\n"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in text)
