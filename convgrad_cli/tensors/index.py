"""Where an entry stands in a tensor whose entries are counted in a row.

`torch.unravel_index` says it too, but imports sympy first, which takes half a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from convgrad_cli.tensors.operands import Tensor


def index_at(flat: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The index of entry number `flat` of a tensor of this shape."""
    index: list[int] = []
    for size in reversed(shape):
        flat, last = divmod(flat, size)
        index.append(last)
    return tuple(reversed(index))


def indices_at(flat: Tensor, shape: Sequence[int]) -> list[Tensor]:
    """The same for many entries at once: a tensor for each axis."""
    index: list[Tensor] = []
    for size in reversed(shape):
        index.insert(0, flat % size)
        flat = flat.div(size, rounding_mode="floor")
    return index
