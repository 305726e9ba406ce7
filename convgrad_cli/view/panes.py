"""The matrices of a screen: one of each tensor, how many rows and columns of it there is room for, and which.

Nothing is drawn here; what is lit keeps its place as long as anything else can go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convgrad_cli.render.style import Style
from convgrad_cli.report import TensorData
from convgrad_cli.view.light import Light
from convgrad_cli.view.numbers import Numbers, written
from convgrad_cli.view.places import Index, drawn_axes

GAP = 3
SOME = 3  # columns of a matrix that is not lit
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


def arranged(scene: Scene, width: int, height: int) -> tuple[list[list[Pane]], int]:
    """The panes of both rows, cut to what fits, and the decimals of their numbers."""
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
    for line, most in zip(panes, room, strict=True):
        _fit(scene, line, width, most, precision)
    return panes, precision


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


def drawn_numbers(scene: Scene, pane: Pane) -> list[float | None]:
    return [scene.numbers.at(pane.tensor.name, pane.index(row, c)) for row in pane.rows for c in pane.columns]


def _cell(scene: Scene, pane: Pane, precision: int) -> int:
    few = len(pane.rows) * len(pane.columns) <= 1000
    there = [value for value in drawn_numbers(scene, pane) if value is not None] if few else []
    return max(map(len, written([*there, *scene.numbers.scale(pane.tensor.name)], precision))) + 2


def _fit(scene: Scene, line: Sequence[Pane], width: int, most: int, precision: int) -> None:
    """Cut rows and columns until the panes fit, the widest first, around what is lit."""
    whole = [len(pane.columns) for pane in line]
    shown = list(whole)
    for pane in line:
        pane.width = max(map(len, written(scene.numbers.scale(pane.tensor.name), precision))) + 2
    lit = [scene.light(pane.tensor.name).reach(pane.tensor.name, pane.lead) for pane in line]
    runs = [pane.runs(found or (range(1),) * pane.drawn) for pane, found in zip(line, lit, strict=True)]
    room = width
    while True:
        _cut(scene, line, shown, [across for _, across in runs], room)
        for pane, (rows, across), columns, size in zip(line, runs, shown, whole, strict=True):
            pane.rows = _around(rows, min(most, len(pane.rows)), pane.size[0])
            pane.columns = _around(across, columns, size)
        # Only now is it known which numbers are drawn, and how wide they and the labels are.
        wider = [max(pane.width, _cell(scene, pane, precision)) for pane in line]
        over = sum(pane.wide for pane in line) + GAP * (len(line) - 1) - width
        if wider == [pane.width for pane in line] and (over <= 0 or max(shown) == 1):
            return
        room -= max(over, 0)
        for pane, needed in zip(line, wider, strict=True):
            pane.width = needed


def _cut(scene: Scene, line: Sequence[Pane], shown: list[int], lit: Sequence[range], width: int) -> None:
    """Take columns from `shown` until the panes fit."""

    def total() -> int:
        for n, pane in zip(shown, line, strict=True):
            pane.columns = range(n)
        return sum(pane.wide for pane in line) + GAP * (len(line) - 1)

    kept = _kept(scene, line, lit, width)
    while total() > width and max(shown) > 1:
        widths = [
            [max(n - least, 0) * pane.width for n, least, pane in zip(shown, level, line, strict=True)]
            for level in kept
        ]
        spare = next(level for level in widths if any(level))
        shown[spare.index(max(spare))] -= 1


def _kept(scene: Scene, line: Sequence[Pane], lit: Sequence[range], width: int) -> list[list[int]]:
    """How many columns each pane keeps as long as others can be cut: all that is lit and some of the rest; all that is
    lit; one."""
    extents = [across[-1] - across[0] + 1 for across in lit]
    needs = [min(extent, width // 2 // pane.width + 1) for extent, pane in zip(extents, line, strict=True)]
    others = [pane.tensor.name not in {**scene.read.blocks, **scene.made.blocks} for pane in line]
    some = [
        max(need, min(SOME, len(pane.columns))) if other else need
        for need, pane, other in zip(needs, line, others, strict=True)
    ]
    return [some, needs, [1] * len(line)]


def _around(run: range, count: int, size: int) -> range:
    """`count` indices of an axis with what is lit in their middle, or from its start on where it is longer."""
    extent = run[-1] - run[0] + 1
    start = run[0] - max(count - extent, 0) // 2
    start = min(max(start, 0), size - count)
    return range(start, start + count)
