"""What a tensor really is: its exact values, their magnitudes, and both of a single element without any rounding.

Products of numbers narrower than float64 are exact in it, and the route by hand adds them up with an error far below
any bound. float64 itself is cut into slices so short that every sum over them is exact (Ozaki, Ogita, Oishi & Rump,
"Error-free transformations of matrix multiplication", 2012), and the sums are added in pairs of float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial
from itertools import product as every
from math import ceil, frexp, isfinite, log2, prod

import torch

from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.index import indices_at
from convgrad_cli.tensors.operands import Operands, Tensor, pad_input
from convgrad_cli.verdict.bounds import ROUNDOFF, UNDERFLOW, term_counts

FACTORS = {"output": ("input", "weight"), "weight": ("input", "grad_output"), "input": ("weight", "grad_output")}
SLICES = 14  # of about 20 bits: beyond them a number has no part in any sum that float64 could tell from another
CHEAP = 10**6  # multiply-adds up to which every magnitude is computed at once
RAISED = 480  # the exponent that small numbers are raised to: products of two, summed up, are still finite
TOGETHER = 2**20  # terms gathered at a time


@dataclass(frozen=True)
class Reference:
    """The exact tensor as `value + low`, both float64, but for `roundoff` * n * S + `underflow` of each element.

    S = sum|t|; `magnitude` is S where it was cheap enough to be computed with the rest.
    """

    value: Tensor
    low: Tensor | None
    roundoff: float
    magnitude: Tensor | None = None
    underflow: float = 0.0


def references(
    spec: ConvSpec, operands: Operands, names: Collection[str], progress: Callable[[float], None] | None = None
) -> dict[str, Reference]:
    """The exact tensors called `names` ("output", "weight", "input", "bias"); `operands` in the dtype that was run."""
    tell = progress or (lambda share: None)
    sizes = magnitudes(spec, operands, names) if spec.macs <= CHEAP else {}
    if operands.input.dtype != torch.float64:
        values = by_hand(spec, operands, names, tell).named()
        unit = ROUNDOFF[torch.float64]
        return {name: Reference(value, None, unit, sizes.get(name)) for name, value in values.items()}
    found = {}
    for done, name in enumerate(names):
        pair = _sliced(spec, operands, name, partial(_tell, tell, done, len(names)))
        found[name] = Reference(*pair, 2.0**-98, sizes.get(name), UNDERFLOW[torch.float64])
    return found


def _tell(tell: Callable[[float], None], done: int, count: int, share: float) -> None:
    tell((done + share) / count)


def magnitudes(spec: ConvSpec, operands: Operands, names: Collection[str]) -> dict[str, Tensor]:
    """sum|t| of every element of the tensors called `names`, in float64."""
    return by_hand(spec, operands, names, each=lambda t: t.double().abs()).named()


def part_of_magnitude(spec: ConvSpec, operands: Operands, operand: str, flat: Tensor, count: int) -> Tensor:
    """A lower limit of sum|t| of the elements at flat indices, from up to `count` of their terms.

    Those are at one tap, over the first channels; for the weight's gradient, at the first placements, sample by sample.
    """
    if operand == "bias":
        return torch.zeros(flat.shape, dtype=torch.float64)
    x = pad_input(spec, operands.input) if spec.has_padded_input else operands.input
    sides = (operands.grad_output, x) if spec.transposed else (x, operands.grad_output)
    terms = _terms_of_weight if operand == "weight" else partial(_terms_of_side, operand=operand)
    found = [torch.zeros(0, dtype=torch.float64)]
    for some in torch.split(flat, TOGETHER // count):
        index = [i.unsqueeze(1) for i in indices_at(some, spec.shape_of(operand))]
        left, right, there = terms(spec, *sides, operands.weight, index, count)
        found.append((left.double() * right).abs_().mul_(there).sum(1))
    # float64 adds few positive numbers with a relative error far below this; not finite: they were too large.
    return torch.cat(found).mul_(1 - 2.0**-40).nan_to_num_(nan=0.0, posinf=0.0)


def _terms_of_weight(
    spec: ConvSpec, positions: Tensor, placements: Tensor, weight: Tensor, index: list[Tensor], most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The factors of up to `most` terms of each element, [element, term], and which of them there are."""
    row, column, *taps = index
    tables = [_starts(axis, "tap") for axis in spec.axes]
    # As many along each axis as every tap has that has any: which ones, is then the same for all elements.
    fewest = [min(filter(None, counts.tolist()), default=1) for _, _, counts in tables]
    there, left = torch.ones(1, dtype=torch.bool), torch.arange(min(most, (spec.batch_size or 1) * prod(fewest)))
    placed: list[Tensor] = []
    met: list[Tensor] = []
    for axis, table, tap, count in reversed(list(zip(spec.axes, tables, taps, fewest, strict=True))):
        first_placed, first_met, met_at_all = (part[tap] for part in table)
        there = there & (met_at_all > 0)
        step, left = left % count, left // count
        placed.insert(0, first_placed + step)
        met.insert(0, first_met + step * axis.stride)
    lead = [left] * len(spec.batch_shape)
    group = row // (weight.shape[0] // spec.groups)
    return positions[(*lead, group * weight.shape[1] + column, *met)], placements[(*lead, row, *placed)], there


def _terms_of_side(
    spec: ConvSpec, positions: Tensor, placements: Tensor, weight: Tensor, index: list[Tensor], most: int, operand: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for elements of the output or the input's gradient."""
    on_positions = (operand == "input") != spec.transposed
    (*lead, channel), sites = index[: -spec.dims], index[-spec.dims :]
    if on_positions and spec.has_padded_input:
        sites = [site + before for site, (before, _) in zip(sites, spec.padding, strict=True)]
    tables = [_starts(axis, "position" if on_positions else "placement") for axis in spec.axes]
    taps, others, count = zip(
        *([part[site] for part in table] for table, site in zip(tables, sites, strict=True)), strict=True
    )
    there = torch.stack([c > 0 for c in count]).all(0)
    own, far = (spec.position_channels, placements) if on_positions else (spec.placement_channels, positions)
    summed = far.shape[len(lead)] // spec.groups
    some = torch.arange(min(summed, most))
    group = channel // (own // spec.groups)
    other = group * summed + some
    place = (other, channel % weight.shape[1]) if on_positions else (channel, some)
    return far[(*lead, other, *others)], weight[(*place, *taps)], there


@lru_cache(maxsize=256)
def _starts(axis: Axis, side: str) -> tuple[Tensor, ...]:
    """Where the meetings of each index of one side start on the two others, and how many there are.

    The tensors are kept and given to everyone who asks: nobody may write to them.
    """
    find, size = {
        "tap": (axis.at_tap, axis.taps),
        "position": (axis.at_position, axis.positions),
        "placement": (axis.at_placement, axis.placements),
    }[side]
    pairs = (find(i) for i in range(size))
    against = side == "position"
    rows = [(p[0].start, p[1].stop - 1 if against else p[1].start, p[0].count) if p else (0, 0, 0) for p in pairs]
    return torch.tensor(rows).unbind(1)


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
    tensors = [getattr(operands, name) for name in names]
    raised = _raises(tensors)
    cuts = [list(_slices(_scaled(tensor, by), bits)) for tensor, by in zip(tensors, raised, strict=True)]
    high = low = torch.zeros(spec.shape_of(operand), dtype=torch.float64, device=operands.input.device)
    pairs = sorted(every(*(range(len(cut)) for cut in cuts)), key=lambda pair: -sum(pair))
    for done, pair in enumerate(pairs, start=1):
        some = {name: cut[number] for name, cut, number in zip(names, cuts, pair, strict=True)}
        given = replace(operands, bias=None, **some)  # type: ignore[arg-type]
        part = by_hand(replace(spec, bias=operand == "bias"), given, (operand,)).named()[operand]
        high, low = _add(high, low, part)
        progress(done / len(pairs))
    high, low = (_scaled(tensor, -sum(raised)) for tensor in (high, low))
    if spec.bias and operand == "output" and operands.bias is not None:
        bias = operands.bias.double().view(-1, *[1] * spec.dims)
        high, low = _add(high, low, bias.expand(high.shape))
    return high, low


def _raises(tensors: Sequence[Tensor]) -> list[int]:
    """By which powers of 2 to raise one or two factors, so that neither their slices nor products of these underflow.

    Nothing is made smaller, which could lose the last of it, and nothing so large that products overflow.
    """
    exponents = [frexp(largest)[1] if isfinite(largest := float(t.abs().max())) else RAISED for t in tensors]
    limits = [2 * RAISED - max(RAISED, *exponents[:i], *exponents[i + 1 :], 0) for i in range(len(exponents))]
    return [max(0, limit - exponent) for limit, exponent in zip(limits, exponents, strict=True)]


def _scaled(tensor: Tensor, exponent: int) -> Tensor:
    """`tensor` times a power of 2 that may itself be beyond the range of float64."""
    while exponent:
        step = max(-1000, min(1000, exponent))
        tensor, exponent = tensor * 2.0**step, exponent - step
    return tensor


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
