"""A report as one self-contained page: matrices that light up, and below them the whole document as tables and text.

The page asks for nothing from anywhere, and its content security policy says so: only the style and the script of this
package, told by their hashes, apply. Whatever comes from outside is text in it, escaped.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import islice

from convgrad_cli.render.article import Block, Fixed, Grid, Heading, Listing, Matrices, Matrix, Paragraph, Row, article
from convgrad_cli.render.markup import Markup, code, coloured, join, tag
from convgrad_cli.render.names import element_name, loss_text
from convgrad_cli.render.numbers import stored, sum_of_terms
from convgrad_cli.render.palette import DARK_PUOR, PUOR, STEPS, shades
from convgrad_cli.render.pytorch import program
from convgrad_cli.render.stage import DIGITS, Stage
from convgrad_cli.render.style import Style
from convgrad_cli.report import Element, Report
from convgrad_cli.safe import safe

SCRIPTS = ("spans.js", "stage.js", "readout.js", "walk.js", "page.js")
ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(report: Report, style: Style) -> Iterator[str]:
    """The page from its first line to its last."""
    stage = Stage(report, style)
    policy = f"default-src 'none'; style-src {_hash(_style())}; script-src {_hash(_script())}; base-uri 'none'"
    fields = {
        "policy": f"{policy}; form-action 'none'",
        "version": safe(report.version),
        "title": tag("title", f"{report.spec.layer_text()} · convgrad {report.command}"),
        "style": _style(),
        "header": _header(report, style),
        "script": _script(),
        "data": _data(stage),
    }
    before, after = _template().split("{{body}}")
    yield _filled(before, fields)
    if not stage.is_empty:
        yield from _stage(stage, report, style)
    yield '<article id="document">\n'
    title = ""
    for block in _document(report, style):
        title = block.code or block.text if isinstance(block, Heading) else title
        yield f"{_block(block, title)}\n"
    yield "</article>\n"
    yield _filled(after, fields)


def _stage(stage: Stage, report: Report, style: Style) -> Iterator[str]:
    yield tag("div", _legend(), tag("div", id="walk", class_="walk", hidden=True), class_="tools")
    yield '<div id="stage">\n'
    yield from (tag("p", notice, class_="notice") for notice in stage.notices)
    yield from (f"{row}\n" for row in stage.rows())
    yield "</div>\n"
    yield tag("section", *_worked(stage.worked, report, style), id="readout", aria_label="Where it comes from")


def _worked(element: Element | None, report: Report, style: Style) -> list[Markup]:
    """One element with its numbers, for pages that no script runs on; with one it is where the others appear."""
    if element is None:
        return [tag("div", class_="formula"), tag("p", class_="said", aria_live="polite")]
    value = next(iter(element.values.values()))
    terms = [[stored(factor, report.dtype) for factor in term] for term in element.terms or ()]
    written = sum_of_terms(terms, style.precision) if terms else f"{element.formula.count:,} terms"
    said = f"{element_name(element)} = {sum_of_terms([[stored(value, report.dtype)]], style.precision)}"
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
    return tag(
        "header",
        tag("p", f"convgrad {report.command}", class_="kind"),
        tag("h1", tag("code", report.spec.layer_text())),
        tag("p", " · ".join(facts), class_="facts"),
        tag("div", *(_copy(*copy) for copy in copies), class_="copies"),
    )


def _copy(label: str, identity: str, text: str) -> Markup:
    """A text to be copied by a button, and to be read without one."""
    shown = tag("details", tag("summary", f"Show {label}"), tag("pre", text, id=identity))
    button = tag("button", f"Copy {label}", type="button", data_copy=identity, hidden=True)
    return tag("div", button, shown, class_="copy")


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
            return tag("pre", coloured("\n".join(lines)))
        case Matrices(matrices):
            return tag("div", *map(_drawn, matrices), class_="equation")
        case Grid(routes, rows):
            heads = ["element", *routes, "slice sum", "terms"]
            return _listed(title, heads, [_row(row) for row in rows], len(routes))
        case Listing(heads, listed):
            return _listed("verdicts", heads, [[tag("code", cells[0]), *cells[1:]] for cells in listed], 0)


def _listed(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> Markup:
    """A table that scrolls by itself where it is too wide; the `numbers` columns after the first stand to the right."""

    def row(kind: str, cells: Sequence[str], first: Markup) -> Markup:
        sides = ["number" if number < numbers else None for number in range(len(cells))]
        return tag("tr", first, *(tag(kind, cell, class_=side) for cell, side in zip(cells, sides, strict=True)))

    head = row("th", heads[1:], tag("th", heads[0]))
    body = [row("td", cells, tag("th", first, scope="row")) for first, *cells in rows]
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="listing")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label=f"Table: {title}")


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


def _data(stage: Stage) -> Markup:
    text = "".join(ESCAPED.get(character, character) for character in stage.data())
    return Markup(f'<script type="application/json" id="data">{text}</script>')


def _filled(text: str, fields: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: fields[found[1]], text)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _template() -> str:
    return _resource("page.html")


@cache
def _resource(name: str) -> str:
    return files("convgrad_cli.render").joinpath("page", name).read_text("utf-8")


@cache
def _script() -> str:
    return '"use strict";\n' + "\n".join(_resource(name) for name in SCRIPTS)


@cache
def _style() -> str:
    names = [f"{'n' if step < 0 else 'p'}{abs(step)}" for step in range(-STEPS, STEPS + 1)]
    light, dark = (
        "\n".join(
            f".{name}{{--shade:{back};--ink:{ink}}}" for name, (back, ink) in zip(names, shades(colours), strict=True)
        )
        for colours in (PUOR, DARK_PUOR)
    )
    return f"{_resource('page.css')}\n{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
