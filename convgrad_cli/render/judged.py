"""The top of a check's page: the verdict, of each tensor what it is beside what it should be, and the mistake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convgrad_cli.findings import Check, Diagnosis, Recovery, Verdict
from convgrad_cli.render import verdicts
from convgrad_cli.render.compared import compared
from convgrad_cli.render.diagnosis import lines
from convgrad_cli.render.grids import Cell, Grid
from convgrad_cli.render.markup import Markup, code, coloured, tag
from convgrad_cli.render.names import TITLES, indexed
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Report, Table
from convgrad_cli.safe import safe


def judged(report: Report, check: Check, style: Style) -> Iterator[str]:
    """What comes before the tensors of the layer; the tensors that are right are folded."""
    yield '<section class="judged" aria-label="Verdict">\n'
    yield tag("p", verdict_mark(check.verdict), " ", coloured(safe(check.reason, SENTENCE)), class_="banner")
    yield tag("p", tag("code", safe(check.target, SENTENCE)), f", {verdicts.declared(check)}", class_="facts")
    tables = {table.tensor: table for table in report.tables if len(table.elements)}
    for verdict in (verdict for verdict in check.verdicts if style.shows(verdict.tensor)):
        yield _tensor(verdict, tables.get(verdict.tensor), report, style)
    if check.diagnosis is not None or check.classes:
        yield _mistake(check)
    yield "</section>\n"


def verdict_mark(verdict: str) -> Markup:
    return tag("strong", safe(verdict), class_=f"verdict {safe(verdict)}")


def _tensor(verdict: Verdict, table: Table | None, report: Report, style: Style) -> Markup:
    """One tensor: its verdict in words, and its matrix with the largest error."""
    name, words = TITLES[verdict.tensor], verdicts.cells(verdict)
    said = f"{words[1]} on probes, {words[2]} bounds on real data" if verdict.elements else f"{words[1]} on probes"
    head = tag("summary", tag("code", name), " ", verdict_mark(verdict.verdict), " ", tag("span", said))
    parts: list[Markup] = []
    if table is not None:
        panel = compared(table, report, style)
        parts = [tag("div", *_beside(panel.parts, name), class_="equation")]
        parts += [tag("p", coloured(line)) for line in panel.lines[1:] if not line.startswith(("right: ", "yours: "))]
    elif verdict.reason:
        parts = [tag("p", coloured(safe(verdict.reason, SENTENCE)))]
    return tag("details", head, *parts, *_sums(verdict.tensor, report.diagnosis), open=verdict.verdict != "PASS")


def _beside(parts: Sequence[str | Sequence[Grid]], tensor: str) -> Iterator[Markup]:
    """The matrices, each with the sign before it."""
    sign = ""
    for part in parts:
        if isinstance(part, str):
            sign = part
        else:
            before = tag("span", sign, class_="sign", aria_hidden="true") if sign else None
            yield tag("div", before, _grid(part[0], tensor), class_="operand")


def _grid(grid: Grid, tensor: str) -> Markup:
    """A matrix of numbers, or of errors in units of their bounds."""
    heads = tag("tr", tag("td"), *(tag("th", str(at), scope="col") for at in grid.columns))
    body = [
        tag(
            "tr",
            tag("td") if grid.rows is None else tag("th", str(grid.rows[r]), scope="row"),
            *(tag("td", cell.text, class_=_kind(cell, grid.kind)) for cell in row),
        )
        for r, row in enumerate(grid.cells)
    ]
    label = f"{grid.label} ({grid.remark})" if grid.remark else grid.label
    table = tag("table", tag("caption", label), tag("thead", heads), tag("tbody", *body), class_=f"matrix {grid.kind}")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=f"{tensor}: {label}")


def _kind(cell: Cell, kind: str) -> str | None:
    if cell.shade is None:
        return "odd" if kind == "value" and cell.text else None
    shade = f"{'n' if cell.shade < 0 else 'p'}{abs(cell.shade)}" if kind == "value" else f"e{cell.shade}"
    return f"{shade} {cell.mark}".strip()


def _sums(tensor: str, found: Diagnosis | None) -> list[Markup]:
    """Of each element that was read out the right slice sum beside the one that the code computes."""
    return [_sides(one) for one in (found.recovered if found else ()) if one.tensor == tensor]


def _sides(one: Recovery) -> Markup:
    name = indexed(one.tensor, one.index)
    pairs = (("right", one.right), ("yours", one.yours))
    sides = [tag("div", tag("p", side), tag("p", code(f"{name} = {sum}")), class_=side) for side, sum in pairs]
    return tag("div", *sides, tag("p", coloured(one.difference), class_="facts"), class_="sides")


def _mistake(check: Check) -> Markup:
    """What is known of the mistake, in labelled lines; the sums stand with their tensor."""
    items: list[Markup] = []
    label = ""
    for label_here, text in lines(check):
        label = label_here or label
        if label not in ("right", "yours"):
            said = tag("code", text) if label == "smallest" else coloured(text)  # a command has no letters of tensors
            shown = tag("dd", said, class_="fixed" if text.startswith("  ") else None)
            items += [tag("dt", label_here), shown] if label_here else [shown]
    return tag("dl", *items, class_="mistake") if items else Markup("")
