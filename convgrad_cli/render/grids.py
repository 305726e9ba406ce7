"""Matrices of a figure as plain data: numbers as texts, their shades, and which cells light up.

Of a large matrix the part around what lights up, and of many matrices the first; a remark says what is not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import isfinite

from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.render.numbers import column, stored
from convgrad_cli.render.palette import shade
from convgrad_cli.render.style import Style
from convgrad_cli.report import Picture, TensorData
from convgrad_cli.safe import safe

Index = tuple[int, ...]
Place = tuple[int, int]

SIDE = 10  # rows and columns of a matrix that are drawn
STACKED = 3  # matrices of one tensor that are drawn


@dataclass(frozen=True)
class Cell:
    """A number, its shade from -10 to 10 (None: none), and its mark: "lit", "at", "bad" or ""."""

    text: str
    shade: int | None
    mark: str = ""


@dataclass(frozen=True)
class Grid:
    """A matrix: the numbers of its rows (None: it has but one, without a number) and columns, and a remark below.

    `kind` "error": the shades run from 0 to 10, and say how far beyond its bound an error is.
    """

    letter: str
    label: str
    rows: range | None
    columns: range
    cells: Sequence[Sequence[Cell]]
    remark: str = ""
    kind: str = "value"


@dataclass(frozen=True)
class Panel:
    """`parts` stand from left to right: signs, and stacks of the matrices of one tensor; `lines` stand below."""

    title: str
    parts: Sequence[str | Sequence[Grid]]
    lines: Sequence[str]


@dataclass(frozen=True)
class Source:
    """Where the numbers of a tensor come from: `value` gives None where none is known; `scale` has the deepest shade.

    The last `drawn` axes, one or two, are a matrix.
    """

    letter: str
    shape: Index
    drawn: int
    value: Callable[[Index], float | None]
    scale: float

    @classmethod
    def of(cls, data: TensorData, letter: str, drawn: int) -> Source:
        scale = max(abs(data.summary.minimum), abs(data.summary.maximum))
        return cls(letter, data.shape, drawn, lambda at: stored(data.values[flat(at, data.shape)], data.dtype), scale)

    def split(self, index: Index) -> tuple[Index, Place]:
        """The matrix that holds an index, and the place there."""
        lead = len(index) - self.drawn
        return index[:lead], (index[-2] if self.drawn == 2 else 0, index[-1])

    def at(self, lead: Index, row: int, column: int) -> Index:
        return (*lead, row, column) if self.drawn == 2 else (*lead, column)


def grids_of(source: Source, marks: Mapping[Index, Mapping[Place, str]], style: Style) -> list[Grid]:
    """The matrices with marks in them, told by their leading indices; the numbers of all in one notation."""
    sizes = source.shape[-2] if source.drawn == 2 else 1, source.shape[-1]
    shown = []
    for lead, marked in islice(marks.items(), STACKED):
        rows, columns = (_cut([place[axis] for place in marked], sizes[axis]) for axis in (0, 1))
        shown.append((lead, rows, columns, marked))
    indices = [source.at(lead, r, c) for lead, rows, columns, _ in shown for r in rows for c in columns]
    values = {at: value for at in indices if (value := source.value(at)) is not None}
    texts = dict(zip(values, column(list(values.values()), style.precision), strict=True))

    def cell(at: Index, mark: str) -> Cell:
        return Cell(texts.get(at, ""), shade(values[at], source.scale) if at in values else None, mark)

    grids = []
    for number, (lead, rows, columns, marked) in enumerate(shown):
        cells = [[cell(source.at(lead, r, c), marked.get((r, c), "")) for c in columns] for r in rows]
        label = f"{source.letter}[{','.join(map(str, lead))}]" if lead else source.letter
        remark = _remark((rows, columns), sizes, len(marks) - len(shown) if number == len(shown) - 1 else 0)
        grids.append(Grid(source.letter, label, rows if source.drawn == 2 else None, columns, cells, remark))
    return grids


def pictured(picture: Picture, style: Style) -> Grid:
    """A picture of a story."""
    values = [value for row in picture.values for value in row]
    texts, scale = iter(column(values, style.precision)), max((abs(v) for v in values if isfinite(v)), default=0.0)
    cells = [
        [Cell(next(texts), shade(v, scale), "lit" if (r, c) in picture.marked else "") for c, v in enumerate(row)]
        for r, row in enumerate(picture.values)
    ]
    label, _, remark = safe(picture.label).partition(" ")
    rows = range(picture.top, picture.top + len(cells)) if len(cells) > 1 else None
    columns = range(picture.left, picture.left + len(cells[0]))
    return Grid(
        picture.letter, label, rows, columns, cells, "; ".join(part.strip(" ()") for part in remark.split("(") if part)
    )


def lone(source: Source, index: Index, style: Style) -> Grid:
    """One entry by itself, of a tensor of which nothing else is known."""
    lead, (row, column_at) = source.split(index)
    [grid] = grids_of(replace(source, scale=abs(source.value(index) or 0.0)), {lead: {(row, column_at): "at"}}, style)
    cells = [[cell for line in grid.cells for cell in line if cell.mark]]
    rows = None if grid.rows is None else range(row, row + 1)
    remark = f"1 of {by_x(source.shape)}"
    return replace(grid, rows=rows, columns=range(column_at, column_at + 1), cells=cells, remark=remark)


def drawn_axes(name: str, spec: ConvSpec) -> int:
    """How many of the last axes of a tensor are drawn as a matrix."""
    return 1 if name.endswith("bias") or spec.dims == 1 else 2


def letter_of(tensor: str) -> str:
    return "y" if tensor == "output" else f"{LETTERS[tensor.removeprefix('grad_')]}.grad"


def flat(index: Sequence[int], shape: Sequence[int]) -> int:
    """The row-major number of an index."""
    found = 0
    for i, size in zip(index, shape, strict=True):
        found = found * size + i
    return found


def _cut(lit: Sequence[int], size: int) -> range:
    """All of a short axis; of a long one SIDE entries, from just before what lights up."""
    start = 0 if size <= SIDE else max(0, min(min(lit) - 1, size - SIDE))
    return range(start, min(size, start + SIDE))


def _remark(shown: tuple[range, range], sizes: tuple[int, int], more: int) -> str:
    """What of the tensor is not drawn."""
    names = zip(shown, sizes, ("rows", "columns"), strict=True)
    parts = [f"{name} {run[0]}–{run[-1]} of {size}" for run, size, name in names if len(run) < size]
    return "; ".join([*([", ".join(parts)] if parts else []), *([f"and {more:,} more like it"] if more else [])])
