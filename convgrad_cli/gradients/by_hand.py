"""The independent route: slice, multiply, sum, one kernel tap at a time.

It calls no convolution, unfold or fold. Everything here is multilinear in the operands, so the same code on their
absolute values gives sum|t| of every element.

Inside, tensors have the groups in front and the samples beside the space: views [groups, channels, N, *spatial]. One
tap is then one matrix product per gradient between two slices of `geometry/axis.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product as every
from math import ceil, gcd, prod
from types import EllipsisType

import torch

from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.formula import Formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.tensors.operands import Operands, Tensor, fold_border, is_finite, pad_input

ALL = ("output", "weight", "input", "bias")
CHUNK = 2**20  # entries multiplied at a time: 8 MiB of float64, and large enough for a fast matrix product
DENSE = 1.2  # a grid of up to so many entries for each placement is faster than copies of what every tap meets, ...
FEW_CHANNELS = 32  # ... but for so few channels, where a product for each tap is too small a one
WIDEST = 8192  # rows of such copies; more would leave a chunk too few columns
NARROW = 128  # columns up to which the transposed product is the faster one

Index = tuple[slice | int | EllipsisType, ...]
ANY = (slice(None), slice(None), slice(None))  # every group, channel and sample

Sides = dict[str, Tensor]
"""What the relation joins: positions [G, a, N, *], placements [G, b, N, *] and weight [G, b, a, *taps].

Either the operands, or sums over them; of sums, those that are wanted.
"""

Each = Callable[[Tensor], Tensor]
Axes = tuple[Axis, ...]
Chunk = tuple[dict[str, Index], Axes]
Way = Callable[[Sides, Sides, Axes, Tensor], None]
"""How the sums of a chunk are added to the totals: `way(part, total, axes, room)`."""


def by_hand(
    spec: ConvSpec,
    operands: Operands,
    only: Collection[str] = ALL,
    progress: Callable[[float], None] | None = None,
    each: Each = torch.Tensor.double,
) -> Gradients:
    """Output and gradients of the layer, or those in `only`, in float64, on the device of the operands.

    Time is linear in the multiply-adds; memory beyond operands and results is a few chunks, and the weight once more.
    `progress` is called with the share done, from 0 to 1. `each` is applied to the operands first, entry by entry and a
    chunk at a time, so that no copy of them is ever whole; the results have the dtype that it makes.
    """
    # A transposed layer has its input where the kernel is put, a plain one its output.
    x, y = ("placements", "positions") if spec.transposed else ("positions", "placements")
    input = pad_input(spec, operands.input) if spec.has_padded_input else operands.input
    given = {x: input, y: operands.grad_output, "weight": operands.weight}
    names = {x: "input", y: "output", "weight": "weight"}
    dtype = each(operands.weight.flatten()[:1]).dtype
    way, chunks = _way(spec, _sides(spec, given))
    given["weight"] = operands.weight.contiguous() if way is _all_taps else _matrices(operands.weight)
    # Zeros arranged in memory as the weight is; the sides of positions and placements in order.
    totals = {
        side: torch.zeros_like(t, dtype=dtype) if side == "weight" else t.new_zeros(t.shape, dtype=dtype)
        for side, t in given.items()
        if names[side] in only
    }
    _add_all(_sides(spec, given), _sides(spec, totals), way, chunks, progress or (lambda share: None), each)
    bias = None if operands.bias is None else each(operands.bias)
    return Gradients(
        output=_add_bias(spec, totals[y], bias) if y in totals else None,
        weight=totals["weight"].contiguous() if "weight" in totals else None,
        input=_unpad(spec, totals[x]) if x in totals else None,
        bias=_sum_per_channel(spec, each(operands.grad_output)) if spec.bias and "bias" in only else None,
    )


def terms(formula: Formula, letters: dict[str, Tensor]) -> Tensor:
    """The terms of one element, in float64, [formula.count]."""
    found = []
    for product in formula.products:
        parts = []
        for factor in product.factors:
            index = tuple(part if isinstance(part, int) else part.as_slice() for part in factor.index)
            part = letters[factor.operand][index].double()
            parts.append(part.flip(factor.flip) if factor.flip else part)
        found.append((parts[0] if len(parts) == 1 else parts[0] * parts[1]).reshape(-1))
    return found[0] if len(found) == 1 else torch.cat([torch.zeros(0, dtype=torch.float64), *found])


def element(formula: Formula, letters: dict[str, Tensor]) -> float:
    """The value of one element, in float64, at the cost of its own terms."""
    return float(terms(formula, letters).sum())


def _way(spec: ConvSpec, sides: Sides) -> tuple[Way, Sequence[Chunk]]:
    """The fastest way to add up such a layer, and the chunks for it."""
    groups, b, a, *taps = sides["weight"].shape
    chunks = _chunks(spec, CHUNK // (groups * (b + a)))
    # The other two ways multiply zeros as well, and 0 * inf would be NaN: such data go tap by tap.
    if prod(taps) == 1 or not all(map(is_finite, sides.values())):
        return _tap_by_tap, chunks
    rows, dense = a * prod(taps), _is_dense(chunks[0][1])
    narrow = _chunks(spec, CHUNK // (groups * (b + rows)))
    if rows <= WIDEST and _is_close(narrow[0][1]) and (a <= FEW_CHANNELS or not dense):
        return _all_taps, narrow
    return _on_a_grid if dense else _tap_by_tap, chunks


def _add_all(
    sides: Sides, sums: Sides, way: Way, chunks: Sequence[Chunk], progress: Callable[[float], None], each: Each
) -> None:
    """Adds to `sums` what the two other sides make of each other, a chunk at a time."""
    sides = {**sides, "weight": each(sides["weight"])}  # every chunk reads it again
    # One room for the columns of every chunk (the first is the largest): memory given back and taken anew each time is
    # mapped page by page each time, which took longer than the sums.
    rows, widest = sides["weight"][:, 0].numel(), sides["placements"][chunks[0][0]["placements"]][0, 0].numel()
    room = sides["weight"].new_empty(rows * widest if way is _all_taps else 0)
    for done, (where, axes) in enumerate(chunks, start=1):
        total = {side: t[where[side]] for side, t in sums.items()}
        part = {side: t[where[side]] for side, t in sides.items()}
        # In order, so that the matrices of one sample or several lie in memory as they are multiplied.
        part |= {side: each(part[side].contiguous()) for side in ("positions", "placements")}
        way(part, total, axes, room)
        progress(done / len(chunks))


def _tap_by_tap(part: Sides, total: Sides, axes: Axes, room: Tensor) -> None:
    for tap, placed, met in _meetings(axes):
        w, at_positions, at_placements = _at(part["weight"], tap), part["positions"][met], part["placements"][placed]
        p, q = at_positions.flatten(2), at_placements.flatten(2)  # [G, a, M] and [G, b, M]
        if "weight" in total:
            _at(total["weight"], tap).baddbmm_(q, p.mT)  # += q @ p.mT, without a tensor between
        if "positions" in total:
            _add_product(total["positions"][met], w.mT, q)
        if "placements" in total:
            _add_product(total["placements"][placed], w, p)


def _at(weight: Tensor, tap: Index) -> Tensor:
    """The matrix of one tap, [G, b, a]."""
    return weight[(..., *tap)]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, [G, c, M]; without a tensor between where `total` lies in memory as the product would."""
    flat = total.flatten(2)
    if right.shape[-1] <= NARROW:
        total += (right.mT @ left.mT).mT.reshape(total.shape)
    elif flat.data_ptr() == total.data_ptr():
        flat.baddbmm_(left, right)
    else:
        total += (left @ right).view(total.shape)


def _is_dense(axes: Axes) -> bool:
    """Whether a grid on which a tap is a shift has few entries besides the placements."""
    return all(axis.stride == 1 for axis in axes) and _spread(axes) <= DENSE


def _is_close(axes: Axes) -> bool:
    """Whether the grid takes no more memory than what is copied for each tap, or than what strides pass over anyway."""
    return _spread(axes) <= prod(max(axis.taps, axis.stride) for axis in axes)


def _spread(axes: Axes) -> float:
    """Entries of the grid that the kernel moves on, padding included, for each placement."""
    return prod(map(_extent, axes)) / prod(axis.placements for axis in axes)


def _extent(axis: Axis) -> int:
    """Entries from the first that the kernel meets to the last."""
    return (axis.placements - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1


def _on_a_grid(part: Sides, total: Sides, axes: Axes, room: Tensor) -> None:
    """Positions and placements on the same grid with zeros around: a tap is a shift of all of it, and nothing moves."""
    sizes = [_extent(axis) for axis in axes]
    places = {
        "positions": (*ANY, *(slice(axis.padding, axis.padding + axis.positions) for axis in axes)),
        "placements": (*ANY, *(slice(axis.placements) for axis in axes)),
    }
    grids = {side: part[side].new_zeros(*part[side].shape[:3], *sizes) for side in places}
    sums = {side: torch.zeros_like(grids[side]) for side in places if side in total}
    for side, place in places.items():
        grids[side][place] = part[side]
    steps = [axis.dilation * prod(sizes[number:]) for number, axis in enumerate(axes, start=1)]
    # As far as the last placement, where the last shift still ends on the grid.
    length = grids["placements"][0, 0].numel() - sum((a.taps - 1) * step for a, step in zip(axes, steps, strict=True))
    q = grids["placements"].flatten(2)[..., :length]
    for tap in every(*(range(axis.taps) for axis in axes)):
        start = sum(t * step for t, step in zip(tap, steps, strict=True))
        w, p = _at(part["weight"], tap), grids["positions"].flatten(2)[..., start : start + length]
        if "weight" in total:
            _at(total["weight"], tap).baddbmm_(q, p.mT)
        if "positions" in total:
            sums["positions"].flatten(2)[..., start : start + length].baddbmm_(w.mT, q)
        if "placements" in total:
            sums["placements"].flatten(2)[..., :length].baddbmm_(w, p)
    for side, found in sums.items():
        total[side] += found[places[side]]


def _all_taps(part: Sides, total: Sides, axes: Axes, room: Tensor) -> None:
    """Copies of what every tap meets, one product for all of them; `room` is memory for the copies."""
    groups, _, a, *taps = part["weight"].shape
    placements = part["placements"]
    w = part["weight"].flatten(2)  # [G, b, a * taps]
    q = placements.flatten(2)  # [G, b, M]
    p = room[: groups * w.shape[-1] * q.shape[-1]].view(groups, w.shape[-1], -1)
    by_tap = p.view(groups, a, *taps, *placements.shape[2:])
    if "weight" in total or "placements" in total:
        cuts = list(_cut_grid(part["positions"], axes))
        for row, there, which in cuts:
            row[there] = part["positions"][which]
        for last in range(taps[-1]):
            by_tap.select(len(taps) + 1, last).copy_(_windows(cuts, axes, last))
        if "weight" in total:
            total["weight"].flatten(2).baddbmm_(q, p.mT)
        if "placements" in total:
            total["placements"] += (w @ p).view(placements.shape)
    if "positions" in total:
        if q.shape[-1] <= NARROW:
            p.copy_((q.mT @ w).mT)
        else:
            torch.matmul(w.mT, q, out=p)
        cuts = list(_cut_grid(part["positions"], axes))
        for last in range(taps[-1]):
            met, found = _windows(cuts, axes, last), by_tap.select(len(taps) + 1, last)
            for tap in every(*map(range, taps[:-1])):
                one: Index = (slice(None), slice(None), *tap)
                met[one].add_(found[one])
        for row, there, which in cuts:
            total["positions"][which] += row[there]


def _cut_grid(positions: Tensor, axes: Axes) -> Iterator[tuple[Tensor, Index, Index]]:
    """For each rest of the last axis's stride: zeros for that part of the grid, where in it positions are, and which.

    A stride would be read again for each tap; what it passes over is read once, and lies together.
    """
    *others, last = axes
    size = (*positions.shape[:3], *map(_extent, others), ceil(_extent(last) / last.stride))
    inside = [slice(axis.padding, axis.padding + axis.positions) for axis in others]
    for rest in range(last.stride):
        first = (rest - last.padding) % last.stride
        top, count = (first + last.padding) // last.stride, len(range(first, last.positions, last.stride))
        yield (
            positions.new_zeros(size),
            (*ANY, *inside, slice(top, top + count)),
            (..., slice(first, None, last.stride)),
        )


def _windows(cuts: Sequence[tuple[Tensor, Index, Index]], axes: Axes, tap: int) -> Tensor:
    """What the taps of all axes but the last meet with one `tap` of that, as views: [G, a, *taps, N, *placements]."""
    *others, last = axes
    start, rest = divmod(tap * last.dilation, last.stride)
    row = cuts[rest][0]
    group, channel, sample, *steps, one = row.stride()
    by_tap = [axis.dilation * step for axis, step in zip(others, steps, strict=True)]
    by_placement = [axis.stride * step for axis, step in zip(others, steps, strict=True)]
    size = [*row.shape[:2], *(axis.taps for axis in others), row.shape[2], *(axis.placements for axis in axes)]
    return row.as_strided(size, [group, channel, *by_tap, sample, *by_placement, one], start)


def _meetings(axes: Axes) -> Iterator[tuple[Index, Index, Index]]:
    """For each tap that meets anything: the tap, its placements and its positions, of all groups, channels, samples."""
    on_axes = [
        [(tap, pair[0].as_slice(), pair[1].as_slice()) for tap in range(axis.taps) if (pair := axis.at_tap(tap))]
        for axis in axes
    ]
    for meeting in every(*on_axes):
        tap, placed, met = zip(*meeting, strict=True)
        yield tap, (*ANY, *placed), (*ANY, *met)


@lru_cache(maxsize=64)
def _chunks(spec: ConvSpec, left: int) -> tuple[Chunk, ...]:
    """Where blocks of up to `left` placements are, and the axes that hold for such a block. Nobody may write here."""
    return tuple(_cut(spec, left))


def _cut(spec: ConvSpec, left: int) -> Iterator[Chunk]:
    sizes = [1 if spec.batch_size is None else spec.batch_size, *(axis.placements for axis in spec.axes)]
    counts: list[int] = []
    for size in reversed(sizes):
        counts.insert(0, max(1, min(size, left)))
        left //= counts[0]
    for tops in every(*(range(0, size, count) for size, count in zip(sizes, counts, strict=True))):
        samples, *placed = (
            slice(top, min(top + count, size)) for top, count, size in zip(tops, counts, sizes, strict=True)
        )
        met, axes = zip(*(_band(axis, s) for axis, s in zip(spec.axes, placed, strict=True)), strict=True)
        some = (slice(None), slice(None), samples)
        yield {"placements": (*some, *placed), "positions": (*some, *met), "weight": ()}, axes


def _band(axis: Axis, placed: slice) -> tuple[slice, Axis]:
    """The positions that some placements meet, and the axis of these alone."""
    # Starting at placement `start` shifts every position by start * stride: less padding, nothing else.
    padding = axis.padding - placed.start * axis.stride
    part = replace(axis, placements=placed.stop - placed.start, padding=padding)
    met = [pair[1] for tap in range(axis.taps) if (pair := part.at_tap(tap))]
    start, stop = min((m.start for m in met), default=0), max((m.stop for m in met), default=0)
    # What stride and dilation have in common passes over positions; a single tap is never dilated.
    step = gcd(part.stride, part.dilation if part.taps > 1 else 0)
    positions = slice(start, stop, step)
    part = replace(part, positions=len(range(start, stop, step)), padding=(padding + start) // step)
    return positions, replace(part, stride=part.stride // step, dilation=part.dilation // step)


def _sides(spec: ConvSpec, tensors: Mapping[str, Tensor]) -> Sides:
    """Views in the layout of Sides."""
    return {
        side: torch.unflatten(t, 0, (spec.groups, -1)) if side == "weight" else _groups_first(spec, t)
        for side, t in tensors.items()
    }


def _matrices(weight: Tensor) -> Tensor:
    """The same weight with the matrix of each tap in one piece of memory."""
    return weight.movedim((0, 1), (-2, -1)).contiguous().movedim((-2, -1), (0, 1))


def _groups_first(spec: ConvSpec, tensor: Tensor) -> Tensor:
    tensor = tensor.unsqueeze(0) if spec.batch_size is None else tensor
    return torch.unflatten(tensor, 1, (spec.groups, -1)).movedim(0, 2)


def _unpad(spec: ConvSpec, grad_padded: Tensor) -> Tensor:
    """Adds the gradient of every padded copy to the input entry that it is a copy of."""
    if not spec.has_padded_input:
        return grad_padded
    for axis in range(spec.dims):
        grad_padded = fold_border(spec, axis, grad_padded, grad_padded.dim() - spec.dims + axis)
    return grad_padded


def _add_bias(spec: ConvSpec, output: Tensor, bias: Tensor | None) -> Tensor:
    return output if bias is None else output + bias.view(-1, *[1] * spec.dims)


def _sum_per_channel(spec: ConvSpec, grad_output: Tensor) -> Tensor:
    channel = grad_output.dim() - spec.dims - 1
    return grad_output.sum([d for d in range(grad_output.dim()) if d != channel])
