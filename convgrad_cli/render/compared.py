"""What a check compares, as matrices: the numbers under test, the right ones, and each error in units of its bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf, isfinite, isnan, log10, prod

from convgrad_cli.render.diagnosis import said
from convgrad_cli.render.grids import Cell, Grid, Index, Panel, Source, drawn_axes, flat, grids_of, letter_of
from convgrad_cli.render.names import TITLES, indexed
from convgrad_cli.render.numbers import apart
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.render.verdicts import line, whose
from convgrad_cli.report import Element, Report, Table
from convgrad_cli.safe import safe

DECADES = 2  # shades of an error for each power of ten beyond its bound
Elements = Callable[[Index], Element | None]


def compared(table: Table, report: Report, style: Style) -> Panel:
    """The matrix that holds the worst element: what it is, what it should be, and how far it is off."""
    check, title = report.check, TITLES[table.tensor]
    worst = worst_of(table)
    grids = error_grids(table, worst.index, report, style)
    wrong = any(cell.mark == "bad" for row in grids[2].cells for cell in row)
    verdict = next(verdict for verdict in (check.verdicts if check else ()) if verdict.tensor == table.tensor)
    lines = [f"{title} {verdict.verdict}", *([safe(verdict.pattern, SENTENCE)] if verdict.pattern else [])]
    lines += [f"{whose(verdict)}: {line(worst, report, style.precision)}", *explained(table.tensor, report)]
    parts: list[str | list[Grid]] = [[grids[0]], "≠" if wrong else "≈", [grids[1]], "", [grids[2]]]
    return Panel(f"{title}: actual, expected, error", parts, lines)


def explained(tensor: str, report: Report) -> list[str]:
    """The mistake in a tensor, and of each element that was read out the right slice sum and what the code computes."""
    if report.diagnosis is None:
        return []
    lines = [f"mistake: {said(fault)}" for fault in report.diagnosis.faults if fault.tensor == tensor]
    for one in (one for one in report.diagnosis.recovered if one.tensor == tensor):
        name = indexed(tensor, one.index)
        lines += [f"right: {name} = {one.right}", f"yours: {name} = {one.yours}"]
    return lines


def worst_of(table: Table) -> Element:
    return table.elements[table.important[0] if table.important else 0]


def error_grids(table: Table, index: Index, report: Report, style: Style) -> tuple[Grid, Grid, Grid]:
    """The matrix that holds `index`: actual, expected, and the error over its bound."""
    elements, drawn = _elements(table), drawn_axes(table.tensor, report.spec)
    source = Source(letter_of(table.tensor), table.shape, drawn, lambda at: 0.0, 1.0)
    lead, place = source.split(index)
    [frame] = grids_of(source, {lead: {place: "at"}}, style)
    rows = frame.rows or range(1)
    there = [[elements(source.at(lead, r, c)) for c in frame.columns] for r in rows]
    pairs = [(e.values["actual"], e.values["expected"]) for row in there for e in row if e is not None]
    scale = max((abs(v) for pair in pairs for v in pair if isfinite(v)), default=0.0)
    wrong = [(e.values["actual"], e.values["expected"]) for row in there for e in row if e and e.agrees is False]
    exact = replace(style, precision=apart(wrong or pairs, style.precision))
    actual, expected = (_route(route, elements, replace(source, scale=scale), index, exact) for route in _ROUTES)
    by_bound = any(e.bound for row in there for e in row if e is not None)
    cells = [[_error(e, by_bound) for e in row] for row in there]
    label = "error / bound" if by_bound else "error"
    return actual, expected, replace(frame, letter="", label=label, cells=cells, kind="error")


_ROUTES = ("actual", "expected")


def _route(route: str, elements: Elements, source: Source, index: Index, style: Style) -> Grid:
    def value(at: Index) -> float | None:
        element = elements(at)
        return None if element is None else element.values[route]

    lead, place = source.split(index)
    [grid] = grids_of(replace(source, value=value), {lead: {place: "at"}}, style)
    return replace(grid, label=f"{route} {grid.label}")


def _elements(table: Table) -> Elements:
    """The element at an index; None where the report holds only the worst of a large tensor."""
    if len(table.elements) == prod(table.shape):
        return cache(lambda at: table.elements[flat(at, table.shape)])
    return {element.index: element for element in table.elements}.get


def _error(element: Element | None, by_bound: bool) -> Cell:
    """How far off an element is: in units of its bound where there is one."""
    if element is None or element.difference is None or element.bound is None:
        return Cell("", None)
    off, bound = element.difference, element.bound
    ratio = off / bound if bound else 0.0 if off == 0 else inf
    shown = ratio if by_bound else off
    if element.agrees:
        return Cell(_short(shown), 0)
    decades = log10(ratio) if isfinite(ratio) and ratio > 0 else inf
    return Cell(_short(shown), int(max(2, min(10.0, 2 + DECADES * decades))), "bad")


def _short(value: float) -> str:
    return "nan" if isnan(value) else f"{value:.2g}"
