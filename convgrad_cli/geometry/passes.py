"""The placements of a kernel one by one: how many there are, and how many anyone can follow."""

from __future__ import annotations

from math import prod

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.spec import ConvSpec

PLACEMENTS, PRODUCTS = 1_000, 100_000  # a second each is a quarter of an hour; sums are kept for going back


def placed_on(spec: ConvSpec) -> str:
    """The tensor whose entries are the placements: the output, or the input of a transposed convolution."""
    return "input" if spec.transposed else "output"


def require_playable(spec: ConvSpec) -> None:
    """SpecError where the kernel is put in more places, or on more entries, than can be shown one by one."""
    count = prod(spec.shape_of(placed_on(spec)))
    repair = "use a smaller --size, --batch or number of channels, or --at for one element"
    if count > PLACEMENTS:
        raise SpecError(f"the kernel is put in {count:,} places; at most {PLACEMENTS:,} can be played: {repair}")
    if spec.macs > PRODUCTS:
        raise SpecError(f"the layer multiplies {spec.macs:,} times; at most {PRODUCTS:,} can be played: {repair}")
