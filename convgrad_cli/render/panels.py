"""Panels of a figure: of each gradient one element, the cells of x, w and g that it is made of, and its formula.

Plain data: a renderer only has to draw it. Where the operands are too large for the report to hold, a panel shows the
parts of them that its story has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from itertools import product as every

from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.formula import LETTERS, Formula
from convgrad_cli.render import selection
from convgrad_cli.render.compared import compared
from convgrad_cli.render.grids import Grid, Index, Panel, Place, Source, drawn_axes, grids_of, letter_of, lone, pictured
from convgrad_cli.render.names import element_name
from convgrad_cli.render.numbers import number, stored, sum_of_terms
from convgrad_cli.render.style import Style
from convgrad_cli.report import Element, Report, Table
from convgrad_cli.safe import safe

TERMS = 16  # terms that are written out
TRIED = 256  # elements among which the one with the most terms is looked for
NAMES = {letter: name for name, letter in LETTERS.items()}
TITLES = {
    "output": "The output",
    "grad_weight": "The gradient of the weight",
    "grad_input": "The gradient of the input",
    "grad_bias": "The gradient of the bias",
    "grad_grad_output": "The gradient of the upstream gradient",
}


def panels(report: Report, style: Style) -> list[Panel]:
    """A panel for the output and for each gradient, or for those that were asked for."""
    tables = [table for table in selection.tables(report, style) if len(table.elements)]
    if report.check is not None:
        return [compared(table, report, style) for table in tables]
    return [_panel(table, report, style) for table in tables]


def _panel(table: Table, report: Report, style: Style) -> Panel:
    """The element with the most terms, and where these come from."""
    element = max(islice(table.elements, TRIED), key=lambda element: element.formula.count)
    products = [{factor.operand for factor in product.factors} for product in element.formula.products]
    letters = dict.fromkeys(factor.operand for product in element.formula.products for factor in product.factors)
    before = ""
    times = "∗" if table.tensor == "output" else "·"
    parts: list[str | Sequence[Grid]] = []
    for letter in letters:
        together = any({before, letter} <= operands for operands in products)
        sign = [times if together else "+"] if parts else []
        parts += [*sign, _operand(letter, element.formula, report, style)]
        before = letter
    parts += ["=" if table.tensor == "output" else "→"] if parts else []
    parts.append(_result(table, element, report, style))
    return Panel(TITLES[table.tensor], parts, written(element, report, style))


def written(element: Element, report: Report, style: Style) -> list[str]:
    """The element: its name and number, the slice sum, and the numbers that it adds up."""
    value = stored(next(iter(element.values.values())), report.dtype)
    name = element_name(element)
    name = name if element.tensor == "output" else name.replace("[", ".grad[", 1)
    lines = [f"{name} = {number(value, style.precision)}", f"= {element.expression}"]
    if element.formula.reason:
        lines.append(safe(element.formula.reason))
    elif element.terms is None or len(element.terms) > TERMS:
        lines.append(f"{element.formula.count:,} terms")
    elif sum(map(len, element.terms)) > 1:
        exact = [[stored(factor, report.dtype) for factor in term] for term in element.terms]
        lines.append(f"= {sum_of_terms(exact, style.precision)}")
    return lines


def _operand(letter: str, formula: Formula, report: Report, style: Style) -> list[Grid]:
    """The matrices of an operand that light up, as many as there is room for."""
    name = NAMES[letter]
    data, drawn = report.tensors.get(name), drawn_axes(name, report.spec)
    if data is None:
        told = [picture for passage in report.passages for picture in passage.pictures if picture.letter == letter]
        return [pictured(picture, style) for picture in told[:1]]
    marks = {lead: dict.fromkeys(places, "lit") for lead, places in _lit(letter, formula, drawn).items()}
    return grids_of(Source.of(data, letter, drawn), marks, style)


def _result(table: Table, element: Element, report: Report, style: Style) -> list[Grid]:
    """The matrix that holds the element; where the report has no other entry of it, that alone."""
    data, drawn = report.tensors.get(table.tensor), drawn_axes(table.tensor, report.spec)
    letter = letter_of(table.tensor)
    if data is None:
        value = stored(next(iter(element.values.values())), report.dtype)
        return [lone(Source(letter, table.shape, drawn, {element.index: value}.get, 1.0), element.index, style)]
    source = Source.of(data, letter, drawn)
    lead, place = source.split(element.index)
    return grids_of(source, {lead: {place: "at"}}, style)


def _lit(letter: str, formula: Formula, drawn: int) -> Mapping[Index, set[Place]]:
    """Of each matrix that lights up, told by its leading index, the places that do."""
    found: dict[Index, set[Place]] = {}
    for factor in (f for product in formula.products for f in product.factors if f.operand == letter):
        runs = [part.indices if isinstance(part, Span) else range(part, part + 1) for part in factor.index]
        rows = runs[-2] if drawn == 2 else range(1)
        for lead in every(*runs[: len(runs) - drawn]):
            found.setdefault(lead, set()).update(every(rows, runs[-1]))
    return found
