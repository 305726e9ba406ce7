"""Every tensor of a report as one matrix each, in a forward and a backward row that fit a screen.

What is read stands in brackets, and what is made of it between arrows, so that no one has to tell hues apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.render.palette import ROLES, heat, role
from convgrad_cli.render.stage import SIGNS
from convgrad_cli.render.style import Style
from convgrad_cli.report import TensorData
from convgrad_cli.view.light import Light
from convgrad_cli.view.numbers import Numbers, written
from convgrad_cli.view.places import Index, drawn_axes

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


class Cell(NamedTuple):
    """Where on a screen an entry of a tensor is: on `line`, from column `start` to before `stop`."""

    line: int
    start: int
    stop: int
    tensor: str
    entry: Index

    def moved(self, lines: int, columns: int) -> Cell:
        return Cell(self.line + lines, self.start + columns, self.stop + columns, self.tensor, self.entry)


@dataclass
class Board:
    """The lines of a screen and, for a pointer, which cell is where."""

    lines: list[Text] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    def at(self, column: int, line: int) -> tuple[str, Index] | None:
        found = (cell for cell in self.cells if cell.line == line and cell.start <= column < cell.stop)
        return next(((cell.tensor, cell.entry) for cell in found), None)


@dataclass(frozen=True)
class Scene:
    """What is drawn: numbers, which of them are read and which made of these, and the `pick`-th of their slices."""

    numbers: Numbers
    read: Light
    made: Light
    pick: int
    style: Style

    def light(self, tensor: str) -> Light:
        """The one that matters for where a window of the tensor is: what is made, before what is read."""
        return self.made if tensor in self.made.blocks else self.read


def board(scene: Scene, width: int, height: int) -> Board:
    """Both rows within `width` columns and `height` lines; a matrix with no room for all is cut around what is lit."""
    tensors = scene.numbers.report.tensors
    first = "padded_input" if "padded_input" in tensors else "input"
    rows = [
        [name for name in names if name in tensors]
        for names in (
            (first, "weight", "bias", "output"),
            ("grad_output", "grad_input", "grad_weight", "grad_bias"),
        )
    ]
    panes = [[_pane(scene, name) for name in names] for names in rows]
    room = _shares([max(len(pane.rows) for pane in line) for line in panes], height - 3)
    precision = _precision(scene, panes, width)
    drawn = Board()
    for line, most in zip(panes, room, strict=True):
        _fit(scene, line, width, most, precision)
        _draw(scene, line, drawn, precision)
        drawn.lines.append(Text())
    del drawn.lines[-1]
    return drawn


def _pane(scene: Scene, name: str) -> Pane:
    report = scene.numbers.report
    data, drawn = report.tensors[name], drawn_axes(report.spec, name)
    count = len(data.shape) - drawn
    light = scene.light(name)
    lead = light.lead(name, count, scene.pick) or (0,) * count
    pane = Pane(data, lead, drawn, range(0), range(0), slices=max(light.leads(name, count), 1))
    pane.rows, pane.columns = map(range, pane.size)
    return pane


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """How many lines each row gets: what it wants where there is room, else the larger one gives way."""
    given = list(wanted)
    while sum(given) > room and max(given) > 1:
        given[given.index(max(given))] -= 1
    return given


def _precision(scene: Scene, panes: Sequence[Sequence[Pane]], width: int) -> int:
    """As many decimals as fit without cutting a matrix."""
    for decimals in range(scene.style.precision, FEWEST, -1):
        for line in panes:
            for pane in line:
                pane.width = _cell(scene, pane, decimals)
        if all(sum(pane.wide for pane in line) + GAP * (len(line) - 1) <= width for line in panes):
            return decimals
    return min(scene.style.precision, FEWEST)


def _numbers(scene: Scene, pane: Pane) -> list[float | None]:
    return [scene.numbers.at(pane.tensor.name, pane.index(row, c)) for row in pane.rows for c in pane.columns]


def _cell(scene: Scene, pane: Pane, precision: int) -> int:
    few = len(pane.rows) * len(pane.columns) <= 1000
    there = [value for value in _numbers(scene, pane) if value is not None] if few else []
    return max(map(len, written([*there, *scene.numbers.scale(pane.tensor.name)], precision))) + 2


def _fit(scene: Scene, line: Sequence[Pane], width: int, most: int, precision: int) -> None:
    """Cut rows and columns until the panes fit, the widest first, around what is lit."""
    for pane in line:
        pane.width = _cell(scene, pane, precision)
    whole = [len(pane.columns) for pane in line]
    shown = list(whole)

    def total() -> int:
        for n, pane in zip(shown, line, strict=True):
            pane.columns = range(n)
        return sum(pane.wide for pane in line) + GAP * (len(line) - 1)

    lit = [scene.light(pane.tensor.name).reach(pane.tensor.name, pane.lead) for pane in line]
    runs = [pane.runs(found or (range(1),) * pane.drawn) for pane, found in zip(line, lit, strict=True)]
    needs = [across[-1] - across[0] + 1 for _, across in runs]
    while total() > width and max(shown) > 1:
        # What is lit stays as long as anything else can go.
        spare = [max(n - need, 0) * pane.width for n, need, pane in zip(shown, needs, line, strict=True)]
        widths = [n * pane.width if n > 1 else 0 for n, pane in zip(shown, line, strict=True)]
        pick = spare if any(spare) else widths
        shown[pick.index(max(pick))] -= 1
    for pane, (rows, across), columns, size in zip(line, runs, shown, whole, strict=True):
        pane.rows = _around(rows, min(most, len(pane.rows)), len(pane.rows))
        pane.columns = _around(across, columns, size)


def _around(run: range, count: int, size: int) -> range:
    """`count` indices of an axis with what is lit in their middle, or from its start on where it is longer."""
    extent = run[-1] - run[0] + 1
    start = run[0] - max(count - extent, 0) // 2
    start = min(max(start, 0), size - count)
    return range(start, start + count)


def _draw(scene: Scene, line: Sequence[Pane], drawn: Board, precision: int) -> None:
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
        drawn.cells += [cell.moved(top, left) for cell in _fill(scene, pane, texts, precision)]
        left += pane.wide
        for text in texts:
            text.pad_right(left - len(text.plain))
    drawn.lines += texts


def _fill(scene: Scene, pane: Pane, texts: Sequence[Text], precision: int) -> list[Cell]:
    """Write a pane to the ends of the lines; where its cells are."""
    name, style = pane.tensor.name, scene.style
    head = (role(pane.tensor.letter) if style.color else RichStyle()) + RichStyle(
        bold=True, underline=name in scene.made.blocks
    )
    texts[0].append(pane.label, head)
    values = _numbers(scene, pane)
    scale = scene.numbers.scale(name)
    largest = max((abs(value) for value in scale if isfinite(value)), default=0.0)
    there = iter(written([*(value for value in values if value is not None), *scale], precision))
    cells = []
    for number, value in enumerate(values):
        row, place = divmod(number, len(pane.columns))
        index = pane.index(pane.rows[row], pane.columns[place])
        text = ("." if style.ascii else "·") if value is None else next(there)
        shade = heat(value, largest) if style.color and value is not None else RichStyle()
        made, read = scene.made.holds(name, index), scene.read.holds(name, index)
        _cell_text(texts[1 + row], text.rjust(pane.width - 2), made, read, shade, pane.tensor.letter, style)
        cells.append(Cell(1 + row, place * pane.width, (place + 1) * pane.width, name, index))
    return cells


def _cell_text(line: Text, text: str, here: bool, lit: bool, shade: RichStyle, letter: str, style: Style) -> None:
    """One number: between arrows where it is made, in brackets where it is read, else plain."""
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
