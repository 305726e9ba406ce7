"""What a tensor really is: its exact values, their magnitudes, and both of a single element without any rounding.

Products of numbers narrower than float64 are exact in it, and the route by hand adds them up with an error far below
any bound. float64 itself is cut into slices so short that every sum over them is exact (Ozaki, Ogita, Oishi & Rump,
"Error-free transformations of matrix multiplication", 2012), and the sums are added in pairs of float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
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
PART = 64  # a magnitude is first taken over one in so many terms, and no fewer than ...
LEAST = 8  # ... so many channels, or rows of so many; that proves nearly all elements


@dataclass(frozen=True)
class Reference:
    """The exact tensor as `value + low`, both float64, but for `roundoff` * n * S of each element (S = sum|t|)."""

    value: Tensor
    low: Tensor | None
    roundoff: float


def references(
    spec: ConvSpec, operands: Operands, names: Collection[str], progress: Callable[[float], None] | None = None
) -> dict[str, Reference]:
    """The exact tensors called `names` ("output", "weight", "input", "bias"); `operands` in the dtype that was run."""
    tell = progress or (lambda share: None)
    if operands.input.dtype != torch.float64:
        values = by_hand(spec, operands, names, tell).named()
        return {name: Reference(value, None, ROUNDOFF[torch.float64]) for name, value in values.items()}
    found = {}
    for done, name in enumerate(names):
        pair = _sliced(spec, operands, name, partial(_tell, tell, done, len(names)))
        found[name] = Reference(*pair, 2.0**-98)
    return found


def _tell(tell: Callable[[float], None], done: int, count: int, share: float) -> None:
    tell((done + share) / count)


def magnitude(spec: ConvSpec, operands: Operands, operand: str) -> Tensor:
    """sum|t| of every element, in float64."""
    return by_hand(spec, operands, (operand,), each=lambda t: t.double().abs()).named()[operand]


def part_of_magnitude(spec: ConvSpec, operands: Operands, operand: str) -> Tensor | None:
    """A lower limit of sum|t| of every element, from some of its terms and in float32; None where that saves nothing.

    The weight's gradient is taken over the first rows of one sample, the input's and the output over a part of the
    channels that they are summed over.
    """
    summed = {"output": spec.in_channels, "input": spec.out_channels}.get(operand, 0)
    if operand == "weight":
        some, given = _first_rows(*part_of(spec, operands, samples=slice(1)))
    elif summed > LEAST and spec.groups == 1:
        axis = "in_channels" if operand == "output" else "out_channels"
        some, given = part_of(spec, operands, **{axis: slice(max(LEAST, summed // PART))})
    else:
        return None
    least = by_hand(some, given, (operand,), each=lambda t: t.float().abs()).named()[operand]
    # float32 adds positive numbers with a relative error of at most n * u; not finite: it was too narrow.
    short = 1 - float(term_counts(some, operand).max()) * 2.0**-23
    return least.mul_(max(0.0, short)).nan_to_num_(nan=0.0, posinf=0.0)


def _first_rows(spec: ConvSpec, operands: Operands) -> tuple[ConvSpec, Operands]:
    """The layer as far as it makes the first quarter of the output's rows, or a few more of a small one."""
    (before, _), sizes = spec.padding[0], spec.output_size
    rows = max(sizes[0] // 4, min(sizes[0], -(-4 * LEAST // prod(sizes[1:]))))
    needed = (rows - 1) * spec.stride[0] + spec.kernel_extent[0] - before
    if spec.transposed or spec.has_padded_input or min(rows, needed, before + 1) < 1:
        return spec, operands
    kept = min(needed, spec.input_size[0])
    axis = len(spec.batch_shape) + 1
    cut = replace(
        operands, input=operands.input.narrow(axis, 0, kept), grad_output=operands.grad_output.narrow(axis, 0, rows)
    )
    pads = ((before, needed - kept), *spec.padding[1:])
    return replace(spec, input_size=(kept, *spec.input_size[1:]), padding=pads), cut


def part_of(
    spec: ConvSpec,
    operands: Operands,
    samples: slice | None = None,
    in_channels: slice | None = None,
    out_channels: slice | None = None,
) -> tuple[ConvSpec, Operands]:
    """The layer on some samples, or on some channels of its first group; without bias."""
    x, w, g = operands.input, operands.weight, operands.grad_output
    lead = (slice(None),) * len(spec.batch_shape)
    groups = spec.groups
    if in_channels is not None or out_channels is not None:
        groups = 1
        inside, outside = (slice(c // spec.groups) for c in (spec.in_channels, spec.out_channels))
        w = w[: spec.placement_channels // spec.groups]
        x, g = x[(*lead, inside)], g[(*lead, outside)]
    ins, outs = in_channels or slice(None), out_channels or slice(None)
    if samples is not None and spec.batch_size is not None:
        x, g = x[samples], g[samples]
    x, g = x[(*lead, ins)], g[(*lead, outs)]
    w = w[(ins, outs) if spec.transposed else (outs, ins)] if groups == 1 else w
    smaller = replace(
        spec,
        batch_size=None if spec.batch_size is None else x.shape[0],
        in_channels=x.shape[len(lead)],
        out_channels=g.shape[len(lead)],
        groups=groups,
        bias=False,
    )
    return smaller, Operands(x, w, None, g)


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
