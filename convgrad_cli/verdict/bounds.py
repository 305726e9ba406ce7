"""How far a correct number may be from the exact one, for every arithmetic that convolutions are computed in.

Each bound adds n terms t of magnitude S = sum|t|; u is a unit roundoff, eta half of the smallest subnormal number.
They hold for any order of summation, with or without FMA, blocking or threads (Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, sections 3.1 and 4.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import torch

from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor, fold_border

# Unit roundoff and half of the smallest subnormal number; of float64 all of it, as nothing smaller can be written.
ROUNDOFF = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
UNDERFLOW = {torch.float64: 2.0**-1074, torch.float32: 2.0**-150, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-134}
ACCUMULATE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
BITS = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}


@dataclass(frozen=True)
class Sums:
    """How one tensor is summed: `terms` is how many products n each element adds, `partials` in how many parts a sum
    may be stored on the way; `products` is False for the bias gradient, which multiplies nothing."""

    terms: Tensor
    partials: int = 1
    products: bool = True


@dataclass(frozen=True)
class Bound:
    """A bound per element: `magnitude` * S + `value` * |exact| + `constant`."""

    magnitude: Tensor
    value: Tensor
    constant: Tensor

    def at(self, magnitude: Tensor, exact: Tensor) -> Tensor:
        """The bound itself, for S = sum|t| (or less, for a bound that is then too small) and exact values."""
        return self.magnitude * magnitude + self.value * exact.abs() + self.constant

    def select(self, flat: Tensor) -> Bound:
        """That of the elements at flat indices, where the counts of terms repeat along the tensor."""
        at = flat % len(self.magnitude)
        return Bound(self.magnitude[at], self.value[at], self.constant[at])


@dataclass(frozen=True)
class Arithmetic:
    """One way to compute a sum of products. `bound` takes Sums and the dtype of the result.

    `dtypes` are those of results it can be told apart in. `input_bits` are the significant bits that operands keep,
    None for all; `exact_sums` says that sums which fit into the accumulator are exact, and the result is their rounded
    value.
    """

    name: str
    title: str
    bound: Callable[[Sums, torch.dtype], Bound]
    dtypes: tuple[torch.dtype, ...] = tuple(ROUNDOFF)
    input_bits: int | None = None
    exact_sums: bool = True


def _rounded(sums: Sums, dtype: torch.dtype) -> Bound:
    zero = torch.zeros_like(sums.terms)
    return Bound(zero, zero + ROUNDOFF[dtype], zero + UNDERFLOW[dtype])


def _direct(sums: Sums, dtype: torch.dtype) -> Bound:
    accumulate = ACCUMULATE.get(dtype, dtype)
    n, zero = sums.terms, torch.zeros_like(sums.terms)
    summing, underflow = n * ROUNDOFF[accumulate], n * UNDERFLOW[accumulate]
    if accumulate == dtype:
        return Bound(summing, zero, underflow)
    u = ROUNDOFF[dtype]
    return Bound(summing * (1 + u), zero + u, underflow * (1 + u) + UNDERFLOW[dtype])


def _partial(sums: Sums, dtype: torch.dtype) -> Bound:
    """A sum in T parts, each stored in the result's dtype: col2im, split-K, a weight gradient per sample."""
    u, stores, accumulate = ROUNDOFF[dtype], sums.partials + 1, ACCUMULATE.get(dtype, dtype)
    factor = sums.terms * ROUNDOFF[accumulate] + stores * u * (1 + sums.partials * u)
    constant = sums.terms * UNDERFLOW[accumulate] + stores * UNDERFLOW[dtype]
    return Bound(factor, torch.zeros_like(factor), constant)


def _short(sums: Sums, dtype: torch.dtype) -> Bound:
    factor = sums.terms * ROUNDOFF[dtype]
    return Bound(factor, torch.zeros_like(factor), sums.terms * UNDERFLOW[dtype])


def _narrow_inputs(roundoff: float) -> Callable[[Sums, torch.dtype], Bound]:
    def bound(sums: Sums, dtype: torch.dtype) -> Bound:
        summing = sums.terms * ROUNDOFF[ACCUMULATE.get(dtype, dtype)]
        factor = (1 + roundoff) ** 2 * (1 + summing) - 1 if sums.products else roundoff + summing
        zero = torch.zeros_like(factor)
        return Bound(factor, zero + ROUNDOFF[dtype], zero + UNDERFLOW[dtype])

    return bound


WIDE, SHORT = (torch.float32,), (torch.float16, torch.bfloat16)
ARITHMETICS = {
    found.name: found
    for found in (
        Arithmetic("exact", "correctly rounded", _rounded),
        Arithmetic("direct", "any order of summation", _direct),
        Arithmetic("partial", "partial sums stored in 16 bits", _partial, SHORT, exact_sums=False),
        Arithmetic("short", "sums kept in 16 bits", _short, SHORT, exact_sums=False),
        Arithmetic("tf32", "operands rounded to TF32", _narrow_inputs(2.0**-10), WIDE, input_bits=11),
        Arithmetic("bf16", "operands rounded to bfloat16", _narrow_inputs(2.0**-8), WIDE, input_bits=8),
    )
}
"""By name, the narrowest first."""


def arithmetics_of(dtype: torch.dtype) -> list[Arithmetic]:
    """Those that a result of `dtype` may have been computed in, the narrowest first."""
    return [arithmetic for arithmetic in ARITHMETICS.values() if dtype in arithmetic.dtypes]


def direct_bound(
    terms: Tensor, magnitude: Tensor, exact: Tensor, dtype: torch.dtype, arithmetic: str = "direct"
) -> Tensor:
    """How far a number of `dtype` may be from an `exact` that was itself summed in float64, its error included."""
    bound = ARITHMETICS[arithmetic].bound(Sums(terms), dtype).at(magnitude, exact)
    return bound + terms * ROUNDOFF[torch.float64] * magnitude


def partial_sums(spec: ConvSpec, operand: str) -> int:
    """In how many parts a sum is stored where it is not kept in one: taps for positions, samples for the rest.

    A bias is one more: it may be added to what is stored, or as in dS/dg to two outputs that were stored apart.
    """
    positions = "output" if spec.transposed else "input"
    parts = prod(spec.kernel_size) if operand == positions else spec.batch_size or 1
    return parts + (spec.bias and operand == "output")


@lru_cache(maxsize=256)
def term_counts(spec: ConvSpec, operand: str) -> Tensor:
    """How many products each element of the gradient of `operand` (or of "output") adds up, in its shape or 1s.

    The tensor is kept and given to everyone who asks: nobody may write to it.
    """
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
