"""A list of problems or of layers as one page: a table to sort and to filter, in which each row leads to its details.

A row opens in its place: the layer, each tensor's verdict, the reason, and a command that says more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convgrad_cli import __version__
from convgrad_cli.findings import Finding, Verdict
from convgrad_cli.render import verdicts
from convgrad_cli.render.judged import verdict_mark
from convgrad_cli.render.markup import Markup, coloured, join, tag
from convgrad_cli.render.names import TITLES
from convgrad_cli.render.sheet import copy_button, header, rows_of, sheet, wide
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.safe import safe

SCRIPTS = ("copy.js", "roll.js")
LARGEST = 1_800_000  # bytes of rows; a page stays under 2 MB


@dataclass(frozen=True)
class Entry:
    """A row: its name, texts and numbers below the heads of its Roll, and what it leads to; `said` is why it is bad."""

    name: str
    verdict: str
    said: Sequence[str]
    texts: Sequence[str]
    numbers: Sequence[str]
    facts: Sequence[tuple[str, str]]
    verdicts: Sequence[Verdict]
    conditions: Sequence[Finding] = ()
    command: str = ""


@dataclass(frozen=True)
class Roll:
    """A list: what it is of (`things`, "problems"), the heads of texts and numbers, and its rows."""

    kind: str
    title: str
    facts: Sequence[str]
    things: str
    texts: Sequence[str]
    numbers: Sequence[str]
    lines: Sequence[Entry]
    notes: Sequence[str] = ()


def roll_page(roll: Roll, style: Style) -> Iterator[str]:
    """The page; where there are too many rows, those that are not PASS come first."""
    copies = [("the command", "command", style.typed)] if style.typed else []
    top = header(roll.kind, tag("code", roll.title), roll.facts, copies)
    return sheet(__version__, f"{roll.title} · convgrad {roll.kind}", top, _body(roll), SCRIPTS)


def _body(roll: Roll) -> Iterator[str]:
    rows = [_row(number, line) for number, line in enumerate(roll.lines)]
    kept = _fitting(roll.lines, rows)
    counts = {line.verdict: 0 for line in roll.lines}
    for line in roll.lines:
        counts[line.verdict] += 1
    choices = [tag("option", f"all verdicts ({len(roll.lines):,})", value="")]
    choices += [tag("option", f"{verdict} ({count:,})", value=verdict) for verdict, count in counts.items()]
    yield tag(
        "div",
        tag("label", "Filter ", tag("input", type="search", id="words", autocomplete="off")),
        tag("label", "Show ", tag("select", *choices, id="verdicts")),
        tag("p", f"{len(kept):,} {roll.things}", id="count", aria_live="polite"),
        class_="tools",
        id="tools",
        hidden=True,
    )
    if len(kept) < len(rows):
        said = f"{len(kept):,} of {len(rows):,} {roll.things} are listed here, those that are not PASS first."
        yield tag("p", said, class_="notice")
    heads = [tag("th", head, scope="col") for head in ("verdict", roll.things.removesuffix("s"), *roll.texts)]
    heads += [tag("th", head, scope="col", class_="number") for head in roll.numbers]
    table = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *(rows[i] for i in kept)),
        class_="listing roll",
        id="roll",
    )
    yield wide(table, roll.things)
    yield from (tag("p", f"note: {safe(note, SENTENCE)}", class_="notice") for note in roll.notes)


def _fitting(lines: Sequence[Entry], rows: Sequence[Markup]) -> list[int]:
    """The rows that fit, in their order."""
    room, kept = LARGEST, []
    for number in sorted(range(len(rows)), key=lambda number: lines[number].verdict == "PASS"):
        room -= len(rows[number].encode())
        if room < 0:
            break
        kept.append(number)
    return sorted(kept)


def _row(number: int, line: Entry) -> Markup:
    name = safe(line.name, SENTENCE)
    opened = tag("details", tag("summary", tag("code", name)), *_details(number, line), id=f"row-{number}")
    cells = [tag("td", text) for text in line.texts]
    cells += [tag("td", text, class_="number") for text in line.numbers]
    return tag("tr", tag("td", verdict_mark(line.verdict)), tag("th", opened, scope="row"), *cells)


def _details(number: int, line: Entry) -> Iterator[Markup]:
    yield from (tag("p", coloured(safe(said, SENTENCE))) for said in line.said)
    facts = [
        join([tag("dt", label), tag("dd", tag("code", safe(text, SENTENCE)))]) for label, text in line.facts if text
    ]
    yield tag("dl", *facts)
    if line.verdicts:
        rows = [[tag("code", TITLES[one.tensor]), *verdicts.cells(one)] for one in line.verdicts]
        yield wide(rows_of(("tensor", *verdicts.HEADS), rows), f"tensors of {safe(line.name, SENTENCE)}")
    failed = [one for one in line.conditions if one.outcome != "PASS"]
    yield from (tag("p", f"{one.outcome} under {safe(one.name)}: {verdicts.shown(one)}") for one in failed)
    if line.command:
        identity = f"again-{number}"
        shown = tag("pre", safe(line.command, SENTENCE), id=identity)
        yield tag("div", shown, copy_button("Copy", identity), class_="again")
