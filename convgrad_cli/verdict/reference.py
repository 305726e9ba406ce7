"""What a tensor really is: its exact values, their magnitudes, and both of a single element without any rounding.

Products of numbers narrower than float64 are exact in it, and the route by hand adds them up with an error far below
any bound. float64 itself is cut into slices so short that every sum over them is exact (Ozaki, Ogita, Oishi & Rump,
"Error-free transformations of matrix multiplication", 2012), and the sums are added in pairs of float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product as every
from math import ceil, frexp, isfinite, log2, prod

import torch

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ROUNDOFF, term_counts

FACTORS = {"output": ("input", "weight"), "weight": ("input", "grad_output"), "input": ("weight", "grad_output")}
SLICES = 14  # of about 20 bits: beyond them a number has no part in any sum that float64 could tell from another
PART = 8  # a magnitude is first taken over one in so many terms; that proves nearly all elements


@dataclass(frozen=True)
class Reference:
    """The exact tensor as `value + low`, both float64, but for `roundoff` * n * S of each element (S = sum|t|)."""

    value: Tensor
    low: Tensor | None
    roundoff: float

    def error_of(self, actual: Tensor) -> Tensor:
        """|actual - exact| of each element."""
        difference = actual.double() - self.value
        return (difference if self.low is None else difference - self.low).abs()


def reference(
    spec: ConvSpec, operands: Operands, operand: str, progress: Callable[[float], None] | None = None
) -> Reference:
    """The exact tensor for `operand` ("output", "weight", "input", "bias"); `operands` in the dtype that was run."""
    if operands.input.dtype != torch.float64:
        wide = operands.map(lambda t: t.double())
        return Reference(by_hand(spec, wide, (operand,), progress).named()[operand], None, ROUNDOFF[torch.float64])
    high, low = _sliced(spec, operands, operand, progress or (lambda share: None))
    return Reference(high, low, 2.0**-98)


def magnitude(spec: ConvSpec, operands: Operands, operand: str) -> Tensor:
    """sum|t| of every element, in float64."""
    return by_hand(spec, operands.map(lambda t: t.double().abs()), (operand,)).named()[operand]


def part_of_magnitude(spec: ConvSpec, operands: Operands, operand: str) -> Tensor | None:
    """A lower limit of sum|t| of every element, from some of its terms and in float32; None where that saves nothing.

    The weight's gradient is taken over a part of the samples, the input's and the output over a part of the channels
    that they are summed over.
    """
    if operand == "bias":
        return None
    wide = operands.map(lambda t: t.float().abs())
    batch, summed = spec.batch_size or 1, "out_channels" if operand == "input" else "in_channels"
    channels = getattr(spec, summed)
    if operand == "weight" and batch > 1:
        some = replace(spec, batch_size=max(1, batch // PART), bias=False)
        n = some.batch_size
        wide = Operands(wide.input[:n], wide.weight, None, wide.grad_output[:n])
    elif operand != "weight" and spec.groups == 1 and channels >= 2:
        n = max(1, channels // PART)
        some = replace(spec, bias=False, **{summed: n})
        axis = 0 if (operand == "input") != spec.transposed else 1  # of the weight
        lead = (slice(None),) * (spec.batch_size is not None)
        x, g = wide.input, wide.grad_output
        x, g = (x, g[(*lead, slice(n))]) if operand == "input" else (x[(*lead, slice(n))], g)
        wide = Operands(x, wide.weight.narrow(axis, 0, n), None, g)
    else:
        return None
    least = by_hand(some, wide, (operand,)).named()[operand].double()
    # Not finite: float32 was too narrow, and nothing is known.
    return torch.where(least.isfinite(), least * (1 - term_counts(some, operand) * 2.0**-22), 0.0).clamp_(min=0)


def exact_element(spec: ConvSpec, letters: dict[str, Tensor], operand: str, index: tuple[int, ...]) -> Fraction:
    """One element without any rounding; with `letters` of absolute values, its magnitude."""
    total = Fraction(0)
    for term in formula(spec, operand, index).terms():
        numbers = [Fraction(float(letters[name][at])) for name, at in term]
        total += prod(numbers, start=Fraction(1))
    return total


def _sliced(
    spec: ConvSpec, operands: Operands, operand: str, progress: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """The exact tensor in two float64, from sums over slices of the operands, the smallest first."""
    most = max(2.0, float(term_counts(spec, operand).max()))
    bits = int(53 - ceil(log2(most))) // (1 if operand == "bias" else 2)
    names = ("grad_output",) if operand == "bias" else FACTORS[operand]
    cuts = [list(_slices(getattr(operands, name), bits)) for name in names]
    high = low = torch.zeros(spec.shape_of(operand), dtype=torch.float64, device=operands.input.device)
    pairs = sorted(every(*(range(len(cut)) for cut in cuts)), key=lambda pair: -sum(pair))
    for done, pair in enumerate(pairs, start=1):
        some = {name: cut[number] for name, cut, number in zip(names, cuts, pair, strict=True)}
        given = replace(operands, bias=None, **some)  # type: ignore[arg-type]
        part = by_hand(replace(spec, bias=operand == "bias"), given, (operand,)).named()[operand]
        high, low = _add(high, low, part)
        progress(done / len(pairs))
    if spec.bias and operand == "output" and operands.bias is not None:
        bias = operands.bias.double().view(-1, *[1] * spec.dims)
        high, low = _add(high, low, bias.expand(high.shape))
    return high, low


def _slices(tensor: Tensor, bits: int) -> Iterator[Tensor]:
    """Tensors that add up to `tensor` exactly, each a multiple of its own unit with no more than `bits` bits."""
    largest = float(tensor.abs().max())
    if not isfinite(largest):
        raise ValueError("infinities have no slices")
    rest, exponent = tensor, frexp(largest)[1]
    for number in range(SLICES):
        unit = 2.0 ** max(exponent - bits * (number + 1), -1022)
        piece = (rest / unit).round_() * unit
        yield piece
        rest = rest - piece
        if not rest.any():
            return


def _add(high: Tensor, low: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    """`high + low + more` as a pair again (Knuth's TwoSum, then renormalised)."""
    total = high + more
    part = total - high
    low = low + ((high - (total - part)) + (more - part))
    high = total + low
    return high, low - (high - total)
