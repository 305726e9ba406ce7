"""The independent route: slice, multiply, sum, one kernel tap at a time.

It calls no convolution, unfold or fold. Everything here is multilinear in the operands, so the same code on their
absolute values gives sum|t| of every element.

Inside, tensors are channels last with the groups in front: [groups, N, *spatial, channels / groups]. One tap is then
one matrix product per gradient between two slices of `geometry/axis.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from itertools import product as every
from math import prod

import torch

from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.formula import Formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.tensors.operands import Operands, Tensor, pad_input

ALL = ("output", "weight", "input", "bias")
CHUNK = 2**21  # entries gathered at a time: 16 MiB of float64, and large enough for a fast matrix product
FEW_CHANNELS = 16  # below this, one product over all taps at once is faster than one per tap

Index = tuple[slice | int, ...]
ANY = (slice(None), slice(None))  # every group and sample


@dataclass(frozen=True)
class _Sides:
    """The layer as the relation sees it: positions [G, N, *, a], placements [G, N, *, b], weight [*taps, G, b, a]."""

    positions: Tensor
    placements: Tensor
    weight: Tensor

    def zeros(self) -> _Sides:
        return _Sides(*(torch.zeros_like(t) for t in (self.positions, self.placements, self.weight)))


def by_hand(
    spec: ConvSpec,
    operands: Operands,
    only: Collection[str] = ALL,
    progress: Callable[[float], None] | None = None,
) -> Gradients:
    """Output and gradients of the layer, or those in `only`, in the dtype and on the device of the operands.

    Time is linear in the multiply-adds; memory beyond operands and results is one chunk. `progress` is called with
    the share done, from 0 to 1.
    """
    input = pad_input(spec, operands.input) if spec.has_padded_input else operands.input
    x, g = _channels_last(spec, input), _channels_last(spec, operands.grad_output)
    w = _split_groups(spec, operands.weight, 0).permute(*range(3, 3 + spec.dims), 0, 1, 2).contiguous()
    sides = _Sides(g, x, w) if spec.transposed else _Sides(x, g, w)
    sums = sides.zeros()
    # A transposed layer has its input where the kernel is put, a plain one its output.
    wanted = {"weight": "weight" in only}
    wanted["placements"] = ("input" if spec.transposed else "output") in only
    wanted["positions"] = ("output" if spec.transposed else "input") in only
    chunks = list(_chunks(spec, sides, sums))
    for done, (part, total, axes) in enumerate(chunks, start=1):
        _accumulate(part, total, axes, wanted)
        if progress:
            progress(done / len(chunks))
    grad_input, output = (sums.placements, sums.positions) if spec.transposed else (sums.positions, sums.placements)
    return Gradients(
        output=_add_bias(spec, _channels_first(spec, output), operands.bias) if "output" in only else None,
        weight=sums.weight.permute(spec.dims, spec.dims + 1, spec.dims + 2, *range(spec.dims))
        .flatten(0, 1)
        .contiguous()
        if "weight" in only
        else None,
        input=_unpad(spec, _channels_first(spec, grad_input)) if "input" in only else None,
        bias=_sum_per_channel(spec, operands.grad_output) if spec.bias and "bias" in only else None,
    )


def element(formula: Formula, letters: dict[str, Tensor]) -> float:
    """The value of one element, in float64, at the cost of its own terms."""
    total = 0.0
    for product in formula.products:
        parts = []
        for factor in product.factors:
            index = tuple(part if isinstance(part, int) else part.as_slice() for part in factor.index)
            part = letters[factor.operand][index].double()
            parts.append(part.flip(factor.flip) if factor.flip else part)
        total += float(parts[0].sum() if len(parts) == 1 else (parts[0] * parts[1]).sum())
    return total


def _accumulate(part: _Sides, total: _Sides, axes: tuple[Axis, ...], wanted: dict[str, bool]) -> None:
    # Gathering leaves zeros where the kernel hangs over the border; 0 * inf would be NaN, so those data go tap by tap.
    few = part.positions.shape[-1] <= FEW_CHANNELS and len(part.weight) > 1
    step = _all_taps if few and _is_finite(part) else _tap_by_tap
    step(part, total, axes, wanted)


def _tap_by_tap(part: _Sides, total: _Sides, axes: tuple[Axis, ...], wanted: dict[str, bool]) -> None:
    groups, b, a = part.weight.shape[len(axes) :]
    for tap, placed, met in _meetings(axes):
        w = part.weight[tap]
        at_positions, at_placements = part.positions[met], part.placements[placed]
        p, q = at_positions.reshape(groups, -1, a), at_placements.reshape(groups, -1, b)
        if wanted["weight"]:
            total.weight[tap] += q.mT @ p
        if wanted["positions"]:
            total.positions[met] += (q @ w).view(at_positions.shape)
        if wanted["placements"]:
            total.placements[placed] += (p @ w.mT).view(at_placements.shape)


def _all_taps(part: _Sides, total: _Sides, axes: tuple[Axis, ...], wanted: dict[str, bool]) -> None:
    groups, b, a = part.weight.shape[len(axes) :]
    taps, meetings = part.weight.shape[: len(axes)], list(_meetings(axes))
    w = part.weight.flatten(0, len(axes) - 1).permute(1, 2, 0, 3).reshape(groups, b, -1)
    q = part.placements.reshape(groups, -1, b)
    shape = (*part.placements.shape[:-1], *taps, a)
    if wanted["weight"] or wanted["placements"]:
        columns = part.positions.new_zeros(shape)
        for tap, placed, met in meetings:
            columns[(*placed, *tap)] = part.positions[met]
        p = columns.view(groups, -1, prod(taps) * a)
        if wanted["weight"]:
            grads = (q.mT @ p).view(groups, b, *taps, a)
            total.weight.add_(grads.permute(*range(2, 2 + len(taps)), 0, 1, -1))
        if wanted["placements"]:
            total.placements.add_((p @ w.mT).view(part.placements.shape))
    if wanted["positions"]:
        spread = (q @ w).view(shape)
        for tap, placed, met in meetings:
            total.positions[met] += spread[(*placed, *tap)]


def _meetings(axes: tuple[Axis, ...]) -> Iterator[tuple[Index, Index, Index]]:
    """For each tap that meets anything: the tap, its placements and its positions, of all groups and samples."""
    for tap in every(*[range(axis.taps) for axis in axes]):
        pairs = [axis.at_tap(t) for axis, t in zip(axes, tap, strict=True)]
        found = [pair for pair in pairs if pair is not None]
        if len(found) == len(pairs):
            yield tap, (*ANY, *(p.as_slice() for p, _ in found)), (*ANY, *(q.as_slice() for _, q in found))


def _chunks(spec: ConvSpec, sides: _Sides, sums: _Sides) -> Iterator[tuple[_Sides, _Sides, tuple[Axis, ...]]]:
    """Views of a few samples, or of a few rows of placements of one sample, with the axes that hold for them."""
    batch, rows = sides.placements.shape[1:3]
    few = sides.positions.shape[-1] <= FEW_CHANNELS
    width = sides.positions.shape[-1] * (prod(spec.kernel_size) if few else 1) + sides.placements.shape[-1]
    row = spec.groups * prod(sides.placements.shape[3:-1]) * width
    rows_at_once = min(rows, max(1, CHUNK // row))
    samples = max(1, CHUNK // (row * rows)) if rows_at_once == rows else 1
    for n in range(0, batch, samples):
        for top in range(0, rows, rows_at_once):
            here = slice(top, top + rows_at_once)
            parts = [
                _Sides(s.positions[:, n : n + samples], s.placements[:, n : n + samples, here], s.weight)
                for s in (sides, sums)
            ]
            first = spec.axes[0]
            # Starting at placement `top` shifts every position by top * stride: less padding, nothing else.
            shifted = replace(
                first, placements=parts[0].placements.shape[2], padding=first.padding - top * first.stride
            )
            yield parts[0], parts[1], (shifted, *spec.axes[1:])


def _is_finite(part: _Sides) -> bool:
    # A sum is finite only if every entry is, and it needs no tensor of booleans.
    return all(bool(torch.isfinite(t.sum())) for t in (part.positions, part.placements, part.weight))


def _split_groups(spec: ConvSpec, tensor: Tensor, dimension: int) -> Tensor:
    sizes = tensor.shape
    per_group = sizes[dimension] // spec.groups
    return tensor.reshape(*sizes[:dimension], spec.groups, per_group, *sizes[dimension + 1 :])


def _channels_last(spec: ConvSpec, tensor: Tensor) -> Tensor:
    if spec.batch_size is None:
        tensor = tensor.unsqueeze(0)
    return _split_groups(spec, tensor, 1).permute(1, 0, *range(3, 3 + spec.dims), 2).contiguous()


def _channels_first(spec: ConvSpec, tensor: Tensor) -> Tensor:
    tensor = tensor.permute(1, 0, -1, *range(2, 2 + spec.dims)).flatten(1, 2)
    return (tensor.squeeze(0) if spec.batch_size is None else tensor).contiguous()


def _unpad(spec: ConvSpec, grad_padded: Tensor) -> Tensor:
    """Adds the gradient of every padded copy to the input entry that it is a copy of."""
    if not spec.has_padded_input:
        return grad_padded
    for axis, size in enumerate(spec.input_size):
        dimension = grad_padded.dim() - spec.dims + axis
        source = torch.tensor(spec.padded_source(axis), device=grad_padded.device)
        shape = list(grad_padded.shape)
        shape[dimension] = size
        grad_padded = grad_padded.new_zeros(shape).index_add_(dimension, source, grad_padded)
    return grad_padded


def _add_bias(spec: ConvSpec, output: Tensor, bias: Tensor | None) -> Tensor:
    return output if bias is None else output + bias.view(-1, *[1] * spec.dims)


def _sum_per_channel(spec: ConvSpec, grad_output: Tensor) -> Tensor:
    channel = grad_output.dim() - spec.dims - 1
    return grad_output.sum([d for d in range(grad_output.dim()) if d != channel])
