"""Tidy CSV, one element a row, for data frames and spreadsheets.

No cell of text begins like a formula; numbers stay numbers, so -1 is a number and not a formula.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from convgrad_cli.render import selection
from convgrad_cli.render.numbers import shortest
from convgrad_cli.render.style import Style
from convgrad_cli.report import Element, Report
from convgrad_cli.safe import safe

FORMULA = ("=", "+", "-", "@")  # what a spreadsheet runs


class Line:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def render(report: Report, style: Style) -> Iterator[str]:
    """A header, then the elements of the tables asked for; `terms` is how many numbers add up to the element."""
    routes = selection.routes([table.elements[0] for table in selection.tables(report, style) if table.elements])
    writer = csv.writer(Line(), lineterminator="\n")
    yield writer.writerow(
        [
            "tensor",
            "index",
            *(text_cell(safe(r)) for r in routes),
            "difference",
            "bound",
            "agrees",
            "terms",
            "expression",
        ]
    )
    for element in selection.elements(report, style):
        yield writer.writerow(_cells(element, routes))


def _cells(element: Element, routes: list[str]) -> list[str]:
    numbers = [element.values.get(route) for route in routes] + [element.difference, element.bound]
    return [
        element.tensor,
        ",".join(map(str, element.index)),
        *("" if number is None else shortest(number) for number in numbers),
        "" if element.agrees is None else str(element.agrees).lower(),
        str(element.formula.count),
        text_cell(element.expression),
    ]


def text_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
