"""benchdnn descriptors by a rule of our own, each with the layer that it must stand for.

Every axis is chosen by its kernel, stride, dilation, output size and both paddings, and the input size follows; then
it is written as people write it: entries in any order, underscores, and leaving out what follows from the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

LARGEST = {1: 24, 2: 9, 3: 5}  # of an input size; so that thousands are checked in minutes


@dataclass(frozen=True)
class Axis:
    """One spatial axis as oneDNN counts: dilation from 0, `back` padding at the end."""

    size: int
    output: int
    kernel: int
    stride: int
    dilation: int
    front: int
    back: int

    @property
    def extent(self) -> int:
        return (self.kernel - 1) * (self.dilation + 1) + 1


@dataclass(frozen=True)
class Described:
    """A descriptor and what it was made from."""

    text: str
    transposed: bool
    batch_size: int
    in_channels: int
    out_channels: int
    groups: int
    axes: tuple[Axis, ...]


def descriptors(count: int, seed: int) -> list[str]:
    """`count` different descriptors; the same for the same seed."""
    return [described.text for described in generate(count, seed)]


def generate(count: int, seed: int) -> Iterator[Described]:
    """`count` different descriptors with their layers, evenly over 1-D to 3-D, every fourth one transposed."""
    draw, seen, made = random.Random(seed), set[str](), 0
    while made < count:
        found = _described(draw, dims=1 + made % 3, transposed=made % 4 == 3)
        if found.text not in seen:
            seen.add(found.text)
            made += 1
            yield found


def _described(draw: random.Random, dims: int, transposed: bool) -> Described:
    groups = draw.choice((1, 1, 2, 3))
    axes = tuple(_axis(draw, dims, transposed) for _ in range(dims))
    if draw.random() < 0.2:
        axes = axes[:1] * dims
    channels = [groups * draw.randint(1, 3) for _ in range(2)]
    batch = draw.choice((1, 2, 2, 3))
    entries = [f"ic{channels[0]}", f"oc{channels[1]}"]
    entries += [f"g{groups}"] * (groups > 1 or draw.random() < 0.2)
    entries += [f"mb{batch}"] * (batch != 2 or draw.random() < 0.3)
    told = axes[:1] if len(set(axes)) == 1 and draw.random() < 0.7 else axes
    # With one axis told, d stands for three of them, h for two.
    for letter, axis in zip("dhw"[-dims:], told, strict=False):
        entries += _entries(draw, axis, letter, transposed)
    draw.shuffle(entries)
    text = "".join(entry + "_" * (draw.random() < 0.3) for entry in entries)
    name = f'n"drawn:{draw.randrange(10**6)}"' if draw.random() < 0.3 else ""
    return Described("deconv:" * transposed + text + name, transposed, batch, *channels, groups, axes)


def _axis(draw: random.Random, dims: int, transposed: bool) -> Axis:
    while True:
        kernel, stride = draw.choice((1, 2, 3, 3, 4)), draw.choice((1, 1, 2, 3))
        dilation = draw.choice((0, 0, 1, 2))
        extent = (kernel - 1) * (dilation + 1) + 1
        small = draw.randint(1, 4)
        front = draw.choice((0, 0, 1, 1, 2, extent, extent + 1))
        back = draw.choice((front, front, front - 1, front + 1, 0, -1, -2))
        large = (small - 1) * stride + extent - front - back
        size, output = (small, large) if transposed else (large, small)
        if 1 <= large <= LARGEST[dims]:
            return Axis(size, output, kernel, stride, dilation, front, back)


def _entries(draw: random.Random, axis: Axis, letter: str, transposed: bool) -> list[str]:
    """The entries of an axis, without some of those that follow from the others."""
    told = {"i": axis.size, "k": axis.kernel, "o": axis.output, "p": axis.front}
    told |= {"s": axis.stride} if axis.stride > 1 or draw.random() < 0.2 else {}
    told |= {"d": axis.dilation} if axis.dilation or draw.random() < 0.2 else {}
    if axis.front == axis.back and draw.random() < 0.5:
        del told[draw.choice("op")]
    return [f"{kind}{letter}{number}" for kind, number in told.items()]
