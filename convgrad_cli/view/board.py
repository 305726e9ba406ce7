"""Every tensor of a report as one matrix each, in a forward and a backward row that fit a screen.

What is lit stands in brackets, and the element it is lit for between arrows, so that no one has to tell hues apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.render.numbers import column, stored
from convgrad_cli.render.palette import ROLES, heat, role
from convgrad_cli.render.stage import SIGNS
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report, TensorData
from convgrad_cli.view.light import Light
from convgrad_cli.view.places import Index, Place, drawn_axes, flat

GAP = 3
FEWEST = 2  # decimals with which a window is drawn where more do not fit


@dataclass
class Pane:
    """One matrix of a tensor: the one at `lead`, of which `rows` and `columns` are drawn."""

    tensor: TensorData
    lead: Index
    drawn: int
    rows: range
    columns: range
    width: int = 0  # of a cell
    slices: int = 1  # how many matrices of the tensor are lit

    @property
    def label(self) -> str:
        cut = (len(self.rows), len(self.columns)) != self.size
        runs = [self.rows] if self.upright else [self.rows, self.columns][-self.drawn :]
        parts = [f"{run.start}:{run.stop}" for run in runs] if cut else []
        place = ",".join([*map(str, self.lead), *parts])
        more = f" 1 of {self.slices:,}" if self.slices > 1 else ""
        return self.tensor.letter + (f"[{place}]" if place else "") + more

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the whole matrix; a bias stands upright, as there is little room beside the others."""
        shape = self.tensor.shape
        if self.upright:
            return shape[-1], 1
        return (shape[-2], shape[-1]) if self.drawn == 2 else (1, shape[-1])

    @property
    def upright(self) -> bool:
        return self.tensor.name.endswith("bias")

    def index(self, row: int, column: int) -> Index:
        if self.upright:
            return (row,)
        return (*self.lead, row, column) if self.drawn == 2 else (*self.lead, column)

    def runs(self, parts: Sequence[range]) -> tuple[range, range]:
        """The rows and columns that the last parts of an index are."""
        if self.drawn == 2:
            return parts[-2], parts[-1]
        return (parts[-1], range(1)) if self.upright else (range(1), parts[-1])

    @property
    def wide(self) -> int:
        return max(len(self.columns) * self.width, len(self.label))


@dataclass
class Board:
    """The lines of a screen and, for a pointer, which cell is where: (line, first column, end, tensor, index)."""

    lines: list[Text] = field(default_factory=list)
    cells: list[tuple[int, int, int, str, Index]] = field(default_factory=list)

    def at(self, column: int, line: int) -> tuple[str, Index] | None:
        found = (cell for cell in self.cells if cell[0] == line and cell[1] <= column < cell[2])
        return next(((tensor, index) for *_, tensor, index in found), None)


def board(report: Report, light: Light, place: Place | None, width: int, height: int, style: Style) -> Board:
    """Both rows within `width` columns and `height` lines; a matrix with no room for all is cut around what is lit."""
    first = "padded_input" if "padded_input" in report.tensors else "input"
    rows = [
        [name for name in names if name in report.tensors]
        for names in (
            (first, "weight", "bias", "output"),
            ("grad_output", "grad_input", "grad_weight", "grad_bias"),
        )
    ]
    panes = [[_pane(report, name, light, place) for name in names] for names in rows]
    room = _shares([max(len(pane.rows) for pane in line) for line in panes], height - 3)
    precision = _precision(panes, width, style.precision)
    drawn = Board()
    for line, most in zip(panes, room, strict=True):
        _fit(line, width, most, precision, light, place)
        _draw(line, light, place, drawn, style, precision)
        drawn.lines.append(Text())
    del drawn.lines[-1]
    return drawn


def _pane(report: Report, name: str, light: Light, place: Place | None) -> Pane:
    data = report.tensors[name]
    drawn = drawn_axes(report.spec, name)
    count = len(data.shape) - drawn
    lead = light.lead(name, count, place.pick if place else 0) or (0,) * count
    if place is not None and place.tensor == name:
        lead = place.index[:count]
    pane = Pane(data, lead, drawn, range(0), range(0), slices=max(light.leads(name, count), 1))
    pane.rows, pane.columns = map(range, pane.size)
    return pane


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """How many lines each row gets: what it wants where there is room, else the larger one gives way."""
    given = list(wanted)
    while sum(given) > room and max(given) > 1:
        given[given.index(max(given))] -= 1
    return given


def _precision(panes: Sequence[Sequence[Pane]], width: int, precision: int) -> int:
    """As many decimals as fit without cutting a matrix."""
    for decimals in range(precision, FEWEST, -1):
        for line in panes:
            for pane in line:
                pane.width = _cell(pane, decimals)
        if all(sum(pane.wide for pane in line) + GAP * (len(line) - 1) <= width for line in panes):
            return decimals
    return min(precision, FEWEST)


def _numbers(pane: Pane) -> list[float]:
    data = pane.tensor
    at = [flat(pane.index(row, c), data.shape) for row in pane.rows for c in pane.columns]
    return [stored(data.values[i], data.dtype) for i in at]


def _written(values: Sequence[float], precision: int) -> list[str]:
    """The numbers as a column; where that is scientific, as short as it still reads: 6.9e-4."""
    texts = column(values, precision)
    if not any("e" in text for text in texts):
        return texts
    short = column(values, max(precision - 1, 1))
    return [
        "0" if value == 0 else re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", t) for value, t in zip(values, short, strict=True)
    ]


def _cell(pane: Pane, precision: int) -> int:
    ends = [pane.tensor.summary.minimum, pane.tensor.summary.maximum]
    few = len(pane.rows) * len(pane.columns) <= 1000
    return max(map(len, _written([*(_numbers(pane) if few else []), *ends], precision))) + 2


def _fit(line: Sequence[Pane], width: int, most: int, precision: int, light: Light, place: Place | None) -> None:
    """Cut rows and columns until the panes fit, the widest first, around the cursor or what is lit."""
    for pane in line:
        pane.width = _cell(pane, precision)
    whole = [len(pane.columns) for pane in line]
    shown = list(whole)

    def total() -> int:
        for n, pane in zip(shown, line, strict=True):
            pane.columns = range(n)
        return sum(pane.wide for pane in line) + GAP * (len(line) - 1)

    while total() > width and max(shown) > 1:
        widths = [n * pane.width if n > 1 else 0 for n, pane in zip(shown, line, strict=True)]
        shown[widths.index(max(widths))] -= 1
    for pane, columns, size in zip(line, shown, whole, strict=True):
        lit = light.reach(pane.tensor.name, pane.lead)
        if place is not None and place.tensor == pane.tensor.name:
            lit = tuple(range(i, i + 1) for i in place.index[len(pane.lead) :])
        rows, across = pane.runs(lit or (range(1),) * pane.drawn)
        pane.rows = _around(rows, min(most, len(pane.rows)), len(pane.rows))
        pane.columns = _around(across, columns, size)


def _around(run: range, count: int, size: int) -> range:
    """`count` indices of an axis with what is lit in their middle, or from its start on where it is longer."""
    extent = run[-1] - run[0] + 1
    start = run[0] - max(count - extent, 0) // 2
    start = min(max(start, 0), size - count)
    return range(start, start + count)


def _draw(line: Sequence[Pane], light: Light, place: Place | None, drawn: Board, style: Style, precision: int) -> None:
    top = len(drawn.lines)
    tall = max(len(pane.rows) for pane in line) + 1
    texts = [Text() for _ in range(tall)]
    left = 0
    for number, pane in enumerate(line):
        if number:
            sign = SIGNS.get(pane.tensor.name, "")
            sign = "*" if sign == "∗" else "" if sign == "→" else sign
            for i, text in enumerate(texts):
                text.append(f"{sign if i == 1 else '':^{GAP}}")
            left += GAP
        _fill(pane, left, top, light, place, drawn, texts, style, precision)
        left += pane.wide
        for text in texts:
            text.pad_right(left - len(text.plain))
    drawn.lines += texts


def _fill(
    pane: Pane, left: int, top: int, light: Light, place: Place | None,
    drawn: Board, texts: Sequence[Text], style: Style, precision: int,
) -> None:  # fmt: skip
    name = pane.tensor.name
    active = place is not None and place.tensor == name
    head = (role(pane.tensor.letter) if style.color else RichStyle()) + RichStyle(bold=True, underline=active)
    texts[0].append(pane.label, head)
    values = _numbers(pane)
    found = pane.tensor.summary
    largest = max((abs(v) for v in (found.minimum, found.maximum) if isfinite(v)), default=0.0)
    written = iter(zip(values, _written([*values, found.minimum, found.maximum], precision), strict=False))
    for number, row in enumerate(pane.rows):
        for place_in, c in enumerate(pane.columns):
            value, text = next(written)
            index = pane.index(row, c)
            here = active and place is not None and index == place.index
            at = left + place_in * pane.width
            drawn.cells.append((top + 1 + number, at, at + pane.width, name, index))
            _cell_text(
                texts[1 + number], text.rjust(pane.width - 2), here, light.holds(name, index),
                heat(value, largest) if style.color else RichStyle(), pane.tensor.letter, style,
            )  # fmt: skip


def _cell_text(line: Text, text: str, here: bool, lit: bool, shade: RichStyle, letter: str, style: Style) -> None:
    """One number: between arrows where the cursor is, in brackets where it is lit, else plain."""
    if here:
        line.append(f">{text}<", RichStyle(bold=True, reverse=True))
    elif lit:
        colour = ROLES.get(letter.partition(".")[0])
        edge = RichStyle(color="#ffffff", bgcolor=colour, bold=True) if style.color else RichStyle(bold=True)
        line.append("[", edge)
        line.append(text, shade + RichStyle(bold=True, underline=True))
        line.append("]", edge)
    else:
        line.append(f" {text} ", shade)
