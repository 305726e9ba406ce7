"""A report as one self-contained page: matrices that light up, and below them the whole document as tables and text.

Of a check the verdict comes first. See `sheet` for what such a page may do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from convgrad_cli.render.article import Block, Fixed, Grid, Heading, Listing, Matrices, Matrix, Paragraph, Row, article
from convgrad_cli.render.judged import judged
from convgrad_cli.render.markup import Markup, code, coloured, join, tag
from convgrad_cli.render.names import letter_of, loss_text
from convgrad_cli.render.numbers import stored, sum_of_terms
from convgrad_cli.render.palette import STEPS
from convgrad_cli.render.pytorch import program
from convgrad_cli.render.sheet import header, rows_of, sheet, wide
from convgrad_cli.render.stage import DIGITS, Stage
from convgrad_cli.render.style import Style
from convgrad_cli.report import Element, Report
from convgrad_cli.safe import safe

SCRIPTS = ("spans.js", "stage.js", "readout.js", "walk.js", "copy.js", "page.js")


def render(report: Report, style: Style) -> Iterator[str]:
    """The page from its first line to its last."""
    stage = Stage(report, style)
    title = f"{report.spec.layer_text()} · convgrad {report.command}"
    return sheet(report.version, title, _header(report, style), _body(stage, report, style), SCRIPTS, stage.data())


def _body(stage: Stage, report: Report, style: Style) -> Iterator[str]:
    if report.check is not None:
        yield from judged(report, report.check, style)
    if not stage.is_empty:
        yield from _stage(stage, report, style)
    yield '<article id="document">\n'
    title = ""
    for block in _document(report, style):
        title = block.code or block.text if isinstance(block, Heading) else title
        yield f"{_block(block, title)}\n"
    yield "</article>\n"


def _stage(stage: Stage, report: Report, style: Style) -> Iterator[str]:
    yield tag("div", _legend(), tag("div", id="walk", class_="walk", hidden=True), class_="tools")
    yield '<div id="explorer">\n<div id="stage">\n'
    yield from (tag("p", notice, class_="notice") for notice in stage.notices)
    yield from (f"{row}\n" for row in stage.rows())
    yield "</div>\n"
    yield tag("section", *_worked(stage.worked, report, style), id="readout", aria_label="Where it comes from")
    yield "</div>\n"


def _worked(element: Element | None, report: Report, style: Style) -> list[Markup]:
    """One element with its numbers, for pages that no script runs on; with one it is where the others appear."""
    if element is None:
        return [tag("div", class_="formula"), tag("p", class_="said", aria_live="polite")]
    value = next(iter(element.values.values()))
    terms = [[stored(factor, report.dtype) for factor in term] for term in element.terms or ()]
    written = sum_of_terms(terms, style.precision) if terms else f"{element.formula.count:,} terms"
    name = f"{letter_of(element.tensor)}[{','.join(map(str, element.index))}]"
    said = f"{name} = {sum_of_terms([[stored(value, report.dtype)]], style.precision)}"
    lines = [
        tag("p", code(said), class_="value"),
        tag("p", code(element.expression), class_="sum"),
        tag("p", tag("code", written), class_="terms"),
    ]
    return [
        tag("div", *lines, class_="formula"),
        tag("p", element.formula.reason, class_="said", aria_live="polite"),
    ]


def _legend() -> Markup:
    """The shades of values, which are those of each tensor's own range."""
    cells = [tag("i", class_=f"{'n' if step < 0 else 'p'}{abs(step)}") for step in range(-STEPS, STEPS + 1, 2)]
    return tag("p", "negative ", tag("span", *cells, class_="scale"), " positive", class_="legend")


def _header(report: Report, style: Style) -> Markup:
    facts = [safe(report.dtype), safe(report.device), f"seed {report.seed}", loss_text(report, style.precision)]
    copies = [("the command", "command", style.typed)] if style.typed else []
    copies.append(("as PyTorch", "pytorch", program(report)))
    return header(report.command, tag("code", report.spec.layer_text()), facts, copies)


def _document(report: Report, style: Style) -> Iterator[Block]:
    """The blocks below the stage, which shows the layer and the operands: every formula, and all that is said."""
    if report.check is not None:
        return islice(article(report, replace(style, quiet=False)), 1, None)
    tabled = tuple(table.tensor for table in report.tables)
    all_of_it = replace(style, rows=style.rows or DIGITS, only=style.only or tabled, quiet=False)
    return islice(article(report, all_of_it), 2, None)


def _block(block: Block, title: str) -> Markup:
    """One block; `title` is the heading that it stands below."""
    match block:
        case Heading(level, named, text):
            return tag(f"h{level}", *([tag("code", named)] if named else []), " " if named and text else None, text)
        case Paragraph(text):
            return tag("p", coloured(text))
        case Fixed(lines):
            return tag("pre", coloured("\n".join(lines)), tabindex="0")
        case Matrices(matrices):
            return tag("div", *map(_drawn, matrices), class_="equation")
        case Grid(routes, rows):
            heads = ["element", *routes, "slice sum", "terms"]
            return wide(rows_of(heads, [_row(row) for row in rows], range(1, len(routes) + 1)), title)
        case Listing(heads, listed):
            return wide(rows_of(heads, [[tag("code", cells[0]), *cells[1:]] for cells in listed]), "verdicts")


def _row(row: Row) -> list[str]:
    origin: list[str | None] = [code(row.terms) if row.terms else None, " " if row.terms and row.remark else None]
    return [code(row.name), *row.numbers, code(row.expression), join([*origin, row.remark])]


def _drawn(matrix: Matrix) -> Markup:
    marks = matrix.marked
    rows = [
        tag("tr", *(tag("td", text, class_="lit" if (r, c) in marks else None) for c, text in enumerate(row)))
        for r, row in enumerate(matrix.rows)
    ]
    letter = matrix.label.partition("[")[0]
    return tag("table", tag("caption", matrix.label), tag("tbody", *rows), class_=f"matrix {letter}")
