"""How far a correct gradient may be from the exact one: unit roundoffs, term counts, and the bound D1.

D1 holds for any order of summation, with or without FMA, blocking or threads (Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 4.2): accumulating n terms t in a format of unit roundoff u_a and storing in one
of u_o errs by at most A + u_o * (|exact| + A) with A = n * u_a * sum|t| (+ n * eta_a for underflow).
"""

from __future__ import annotations

from math import prod

import torch

from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor, fold_border

# Unit roundoff and half of the smallest subnormal number.
ROUNDOFF = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
UNDERFLOW = {torch.float64: 2.0**-1075, torch.float32: 2.0**-150, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-134}
ACCUMULATE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}


def direct_bound(
    terms: Tensor, magnitude: Tensor, exact: Tensor, dtype: torch.dtype, accumulate: torch.dtype | None = None
) -> Tensor:
    """D1 for each element: `terms` n, `magnitude` sum|t| and `exact` in float64, `dtype` that of the gradient.

    `accumulate` is the format of the partial sums: float32 for 16-bit types unless given, else `dtype` itself. Adds
    the error of an `exact` that was itself summed in float64.
    """
    accumulate = accumulate or ACCUMULATE.get(dtype, dtype)
    summing = terms * (ROUNDOFF[accumulate] * magnitude + UNDERFLOW[accumulate])
    bound = summing
    if accumulate != dtype:
        bound = summing + ROUNDOFF[dtype] * (exact.abs() + summing) + UNDERFLOW[dtype]
    return bound + terms * ROUNDOFF[torch.float64] * magnitude


def term_counts(spec: ConvSpec, operand: str) -> Tensor:
    """How many products each element of the gradient of `operand` (or of "output") adds up, in its shape or 1s."""
    if operand == "bias":
        return torch.full(spec.bias_shape, float(prod(spec.batch_shape) * prod(spec.output_size)), dtype=torch.float64)
    if operand == "weight":
        channels = prod(spec.batch_shape)
        axes = [_per_tap(axis) for axis in spec.axes]
    elif (operand == "output") == spec.transposed:
        channels = spec.placement_channels // spec.groups
        axes = [_per_index(axis, axis.positions, side=1) for axis in spec.axes]
        if spec.has_padded_input:
            axes = [fold_border(spec, number, counts, 0) for number, counts in enumerate(axes)]
    else:
        channels = spec.position_channels // spec.groups
        axes = [_per_index(axis, axis.placements, side=0) for axis in spec.axes]
    counts = torch.tensor(float(channels), dtype=torch.float64)
    for axis in axes:
        counts = counts.unsqueeze(-1) * axis
    return counts + float(spec.bias and operand == "output")


def _per_tap(axis: Axis) -> Tensor:
    pairs = [axis.at_tap(tap) for tap in range(axis.taps)]
    return torch.tensor([pair[0].count if pair else 0 for pair in pairs], dtype=torch.float64)


def _per_index(axis: Axis, size: int, side: int) -> Tensor:
    """How many taps meet each placement (side 0) or position (side 1)."""
    counts = torch.zeros(size, dtype=torch.float64)
    for tap in range(axis.taps):
        pair = axis.at_tap(tap)
        if pair:
            counts[pair[side].as_slice()] += 1
    return counts
