"""One spatial axis of a convolution, and the relation that every gradient rests on.

Dumoulin & Visin ("A guide to convolution arithmetic for deep learning", 2016) call the sides input and output; here
they are *positions* (the side that the kernel is put on) and *placements* (where it is put), because a transposed
convolution swaps input and output and changes nothing else:

    position = placement * stride + tap * dilation - padding

Fix one of the three indices, and the other two run through ascending slices. This module knows one axis; it knows
nothing of channels, batches or numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd


@dataclass(frozen=True, slots=True)
class Span:
    """`count` ascending indices `start, start + step, ...` on an axis of `size` entries."""

    start: int
    count: int
    step: int
    size: int

    @property
    def stop(self) -> int:
        """The end of the slice, as Python writes it."""
        return self.start + (self.count - 1) * self.step + 1

    @property
    def indices(self) -> range:
        return range(self.start, self.stop, self.step)

    def as_slice(self) -> slice:
        return slice(self.start, self.stop, self.step)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __str__(self) -> str:
        return f"{self.start}:{self.stop}" + (f":{self.step}" if self.step > 1 else "")


@dataclass(frozen=True, slots=True)
class Whole(Span):
    """Every index of a batch or channel axis, written `:`; spatial axes always show where they start and stop."""

    def __str__(self) -> str:
        return ":"


def whole(size: int) -> Whole:
    """All indices of an axis of `size` entries."""
    return Whole(0, size, 1, size)


Pair = tuple[Span, Span]


@dataclass(frozen=True, slots=True)
class Axis:
    """One spatial axis: how many positions, placements and taps there are, and how they meet.

    `padding` is the number of padded positions before the first one; it may be negative (cropping).
    """

    positions: int
    placements: int
    taps: int
    stride: int
    dilation: int
    padding: int

    def at_tap(self, tap: int) -> Pair | None:
        """The (placements, positions) that meet at `tap`, running together; None where nothing meets."""
        offset = tap * self.dilation - self.padding
        first = max(0, -(offset // self.stride))
        last = min(self.placements - 1, (self.positions - 1 - offset) // self.stride)
        if first > last:
            return None
        count = last - first + 1
        return (
            _span(first, count, 1, self.placements),
            _span(first * self.stride + offset, count, self.stride, self.positions),
        )

    def at_placement(self, placement: int) -> Pair | None:
        """The (taps, positions) that meet at `placement`, running together; None where nothing meets."""
        offset = placement * self.stride - self.padding
        first = max(0, -(offset // self.dilation))
        last = min(self.taps - 1, (self.positions - 1 - offset) // self.dilation)
        if first > last:
            return None
        count = last - first + 1
        return (
            _span(first, count, 1, self.taps),
            _span(first * self.dilation + offset, count, self.dilation, self.positions),
        )

    def at_position(self, position: int) -> Pair | None:
        """The (taps, placements) that meet at `position`, running *against* each other; None where nothing meets.

        Solves tap * dilation = position + padding (mod stride): without a common divisor of stride and dilation in
        position + padding there is no meeting; otherwise taps advance by stride / common while placements fall back
        by dilation / common.
        """
        padded = position + self.padding
        common = gcd(self.stride, self.dilation)
        if padded % common:
            return None
        tap_step, placement_step = self.stride // common, self.dilation // common
        tap = padded // common * pow(placement_step, -1, tap_step) % tap_step
        placement = (padded - tap * self.dilation) // self.stride
        # Meeting number j is (tap + j * tap_step, placement - j * placement_step); keep those on both axes.
        first = max(0, -((self.placements - 1 - placement) // placement_step))
        last = min((self.taps - 1 - tap) // tap_step, placement // placement_step)
        if first > last:
            return None
        count = last - first + 1
        return (
            _span(tap + first * tap_step, count, tap_step, self.taps),
            _span(placement - last * placement_step, count, placement_step, self.placements),
        )

    def unreached(self, position: int) -> str:
        """Why no placement of the kernel touches `position`."""
        padded = position + self.padding
        common = gcd(self.stride, self.dilation)
        if padded < 0:
            return f"negative padding puts position {position} before the kernel's first placement"
        if padded % common:
            return (
                f"stride {self.stride} and dilation {self.dilation} share the divisor {common}, "
                f"and position + padding = {padded} is not a multiple of it"
            )
        if padded > (self.placements - 1) * self.stride + (self.taps - 1) * self.dilation:
            return f"the kernel's last placement ends before position {position}"
        return f"with stride {self.stride} and dilation {self.dilation} no kernel entry lands on position {position}"


def _span(start: int, count: int, step: int, size: int) -> Span:
    return Span(start, count, step if count > 1 else 1, size)
