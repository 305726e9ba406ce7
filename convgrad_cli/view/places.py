"""Where the cursor is on a report, and where the keys take it. Indices only; nothing here knows a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.render.stage import axis_names
from convgrad_cli.report import Element, Report, Table

Index = tuple[int, ...]
ORDER = ("output", "grad_input", "grad_weight", "grad_bias")


@dataclass(frozen=True)
class Place:
    """The element under the cursor; `pick` counts the slices that light up, of which one is drawn."""

    tensor: str
    index: Index
    pick: int = 0

    def moved(self, shape: Index, axis: int, step: int) -> Place:
        """`step` further on `axis`, and no further than its ends."""
        at = list(self.index)
        at[axis] = min(max(at[axis] + step, 0), shape[axis] - 1)
        return replace(self, index=tuple(at), pick=0)


def drawn_axes(spec: ConvSpec, tensor: str) -> int:
    """How many of its last axes a matrix of `tensor` has: rows and columns, or columns alone."""
    return 1 if spec.dims == 1 or tensor.endswith("bias") else 2


def first_place(report: Report) -> Place:
    """The first element of the weight's gradient."""
    return at_start(report, "grad_weight")


def at_start(report: Report, tensor: str) -> Place:
    return Place(tensor, (0,) * len(table_of(report, tensor).shape))


def table_of(report: Report, tensor: str) -> Table:
    return next(table for table in report.tables if table.tensor == tensor)


def element_at(report: Report, place: Place) -> Element:
    table = table_of(report, place.tensor)
    return table.elements[flat(place.index, table.shape)]


def flat(index: Sequence[int], shape: Sequence[int]) -> int:
    """The row-major number of `index`."""
    found = 0
    for i, size in zip(index, shape, strict=True):
        found = found * size + i
    return found


def kept(report: Report, place: Place) -> Place:
    """The same place on another report, or the nearest that is left of it."""
    found = [table for table in report.tables if table.tensor == place.tensor]
    if not found or len(found[0].shape) != len(place.index):
        return first_place(report)
    index = tuple(min(i, size - 1) for i, size in zip(place.index, found[0].shape, strict=True))
    return replace(place, index=index, pick=0)


def next_tensor(report: Report, place: Place, step: int) -> Place:
    there = {table.tensor for table in report.tables}
    names = [name for name in ORDER if name in there]
    return at_start(report, names[(names.index(place.tensor) + step) % len(names)])


def next_slice(report: Report, place: Place, step: int) -> Place:
    """The same row and column of the next matrix of the tensor, around its end."""
    shape = table_of(report, place.tensor).shape
    leading = len(shape) - drawn_axes(report.spec, place.tensor)
    index = list(place.index)
    for axis in reversed(range(leading)):
        index[axis] = (index[axis] + step) % shape[axis]
        if index[axis] != (0 if step > 0 else shape[axis] - 1):
            break
    return replace(place, index=tuple(index), pick=0)


def along(report: Report, place: Place, word: str, step: int) -> Place:
    """A step along the first leading axis whose name ends in `word` ("sample", "channel", "in channel", "depth")."""
    names = axis_names(report.spec, place.tensor) or ["channel"]  # the bias has its channels alone
    shape = table_of(report, place.tensor).shape
    axis = next((i for i, name in enumerate(names) if name.endswith(word)), None)
    return place if axis is None else place.moved(shape, axis, step)
