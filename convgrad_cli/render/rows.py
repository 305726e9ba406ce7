"""The table of a tensor's elements at a terminal: names, numbers by route, slice sums, and the numbers added."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style as RichStyle
from rich.table import Table as RichTable
from rich.text import Text

from convgrad_cli.render import selection
from convgrad_cli.render.matrices import summary_line
from convgrad_cli.render.names import LETTERS, TITLES, element_name, route_name
from convgrad_cli.render.numbers import column, stored, sum_of_terms
from convgrad_cli.render.palette import BAD, ROLES, role
from convgrad_cli.render.style import ROWS, Style
from convgrad_cli.report import Element, Report, Table

DIM, BOLD = RichStyle(dim=True), RichStyle(bold=True)
GAP = 2
FITTING_TERMS = 16  # a longer sum is never listed in a table, however wide it is
NAME, NUMBER = 11, 8  # least widths, those of the heads, so that the tables of a report stand in line
NARROWEST = 20  # columns that a slice sum needs beside the numbers; with fewer it goes below them


def table_of(table: Table, report: Report, style: Style) -> Iterator[RenderableType]:
    total, chosen = len(table.elements), selection.rows(table, style, default=ROWS)
    data = report.tensors.get(table.tensor)
    if data is not None and len(chosen) < total and table.tensor != "output":  # y stands among the tensors
        yield summary_line(data, style)
    yield from rows_of([table.elements[i] for i in chosen], report, style)
    if len(chosen) < total:
        hidden = f"{total - len(chosen):,} of {total:,} elements of {table.tensor} are not shown"
        yield Text(f"{hidden}; these are the largest and the worst explained. --rows {total} shows all", DIM)


def rows_of(elements: list[Element], report: Report, style: Style) -> Iterator[RenderableType]:
    """One line an element: its name, its number by every route, its slice sum, and the numbers added where they fit."""
    if not elements:
        return
    tensor = elements[0].tensor
    names = [element_name(e) + ("" if e.agrees is not False else " !=") for e in elements]
    routes = list(elements[0].values)
    dtypes = {route: "float64" if route == "by_hand" else report.dtype for route in routes}
    numbers = {r: column([stored(e.values[r], dtypes[r]) for e in elements], style.precision) for r in routes}
    sums = [e.expression + (f"   {e.formula.reason}" if e.formula.reason else "") for e in elements]
    heads = [TITLES[tensor], *(route_name(route, tensor) for route in routes)]
    columns = [names, *numbers.values()]
    widths = [max(least, *map(len, texts)) for least, texts in zip([NAME, *[NUMBER] * 9], columns, strict=False)]
    room = None if style.width is None else style.width - sum(w + GAP for w in widths)
    wide = room is None or room >= min(max(map(cell_len, sums)), NARROWEST)
    if not wide:
        yield from _stacked(elements, heads, columns, widths, sums)
        return
    grid = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_edge=False, header_style="")
    grid.add_column(Text(heads[0], role(LETTERS[tensor]) + BOLD), no_wrap=True, min_width=widths[0])
    for head, width in zip(heads[1:], widths[1:], strict=True):
        grid.add_column(Text(head, DIM), justify="right", no_wrap=True, min_width=width)
    grid.add_column(Text("slice sum", DIM), overflow="fold")
    space = None if room is None else room - max(map(cell_len, sums)) - GAP
    listed = [_terms(element, report, style.precision, space) for element in elements]
    if any(listed):
        grid.add_column(Text(), no_wrap=True)
    for i, element in enumerate(elements):
        added = [Text(listed[i], DIM)] if any(listed) else []
        grid.add_row(*(Text(texts[i], _mark(element)) for texts in columns), coloured(sums[i]), *added)
    yield grid


def _stacked(
    elements: list[Element], heads: list[str], columns: list[list[str]], widths: list[int], sums: list[str]
) -> Iterator[RenderableType]:
    """For narrow terminals: the numbers on one line, the slice sum below it."""
    lines = [heads, *zip(*columns, strict=True)]
    for i, (name, *numbers) in enumerate(lines):
        line = Text(name.ljust(widths[0]), role(LETTERS[elements[0].tensor]) if i == 0 else _mark(elements[i - 1]))
        for number, width in zip(numbers, widths[1:], strict=True):
            line.append(" " * GAP + number.rjust(width), DIM if i == 0 else _mark(elements[i - 1]))
        yield line
        if i:
            yield Padding(coloured(sums[i - 1]), (0, 0, 0, GAP))


def _mark(element: Element) -> RichStyle:
    return RichStyle(color=BAD, bold=True) if element.agrees is False else RichStyle()


def added(element: Element, dtype: str, precision: int) -> str:
    """The numbers that an element adds, if there are several and not too many."""
    if element.terms is None or not 1 < len(element.terms) <= FITTING_TERMS:
        return ""
    return sum_of_terms([[stored(factor, dtype) for factor in term] for term in element.terms], precision)


def _terms(element: Element, report: Report, precision: int, space: int | None) -> str:
    """The numbers added, if they fit into `space` columns."""
    if element.tensor == "grad_bias" and report.loss == "y.sum()":
        text = f"{element.formula.count} output elements, each 1"
    else:
        text = added(element, report.dtype, precision)
    return text if space is None or cell_len(text) <= space else ""


def coloured(line: str) -> Text:
    """A formula with each operand in the colour of its role: x1, w[0,0,1,1], g."""
    text = Text(line)
    for letter, colour in ROLES.items():
        text.highlight_regex(rf"\b{letter}(\d+|\[[^\]]*\]|\b)", RichStyle(color=colour))
    return text
