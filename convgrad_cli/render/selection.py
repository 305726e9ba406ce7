"""What of a report a format shows: the tables that `--only` leaves, and the rows that `--rows` leaves of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from convgrad_cli.render.style import Style
from convgrad_cli.report import Element, Report, Table


def tables(report: Report, style: Style) -> list[Table]:
    """The tables asked for; those of the story where a report has no others."""
    found = report.tables or tuple(table for passage in report.passages for table in passage.tables)
    return [table for table in found if style.shows(table.tensor)]


def rows(table: Table, style: Style, default: int | None = None) -> Sequence[int]:
    """Which elements of the table to show, in ascending order.

    All while they are no more than `style.rows`, else as many as that, the important ones first. Where it is None: all
    while they are no more than `default`, else the important ones.
    """
    count, limit = len(table.elements), default if style.rows is None else style.rows
    if limit is None or count <= limit:
        return range(count)
    if style.rows is None and table.important:
        return sorted(table.important)
    return sorted(islice(dict.fromkeys(chain(table.important, range(limit))), limit))


def elements(report: Report, style: Style) -> Iterator[Element]:
    """The elements of all tables asked for, each made when it is reached."""
    for table in tables(report, style):
        yield from (table.elements[i] for i in rows(table, style))


def routes(found: Sequence[Element]) -> list[str]:
    """The routes that any of the elements took, in the order in which they appear."""
    return list(dict.fromkeys(chain.from_iterable(element.values for element in found)))
