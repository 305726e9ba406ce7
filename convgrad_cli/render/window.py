"""Window: the part of a tensor that a page draws; all of a small one, a block from the front of a large one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product as every
from math import isqrt, prod

from convgrad_cli.geometry.validation import by_x

Index = tuple[int, ...]
LONGEST = 1000  # entries of a single row
SLICES = 1024  # matrices


@dataclass(frozen=True)
class Window:
    """`size` entries of each axis from `start` on, of a tensor of `shape`; its last `drawn` axes are a matrix."""

    shape: Index
    start: Index
    size: Index
    drawn: int

    @property
    def count(self) -> int:
        return prod(self.size)

    @property
    def is_whole(self) -> bool:
        return self.size == self.shape

    def __str__(self) -> str:
        return f"{by_x(self.size)} of {by_x(self.shape)}"

    def runs(self) -> list[range]:
        return [range(start, start + size) for start, size in zip(self.start, self.size, strict=True)]

    def indices(self) -> Iterator[Index]:
        """Every index inside, in row-major order."""
        return every(*self.runs())

    def slices(self) -> Iterator[Index]:
        """The leading index of every matrix inside."""
        return every(*self.runs()[: len(self.shape) - self.drawn])

    def flat(self, index: Sequence[int]) -> int:
        """The row-major number of `index` in the whole tensor."""
        found = 0
        for i, size in zip(index, self.shape, strict=True):
            found = found * size + i
        return found


def window(shape: Index, drawn: int, limit: int) -> Window:
    """At most `limit` entries from the front: whole matrices while one fits, and of the last axes first."""
    columns = min(shape[-1], LONGEST) if drawn == 1 else min(shape[-1], max(isqrt(limit), limit // shape[-2]))
    sizes, room = [], limit
    for axis, size in enumerate(reversed(shape)):
        taken = min(columns if axis == 0 else size, max(room, 1))
        sizes.append(taken)
        room //= taken
        if axis == drawn - 1:
            room = min(room, SLICES)
    return Window(shape, (0,) * len(shape), tuple(reversed(sizes)), drawn)
