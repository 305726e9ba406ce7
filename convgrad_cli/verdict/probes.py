"""Exact probes: operands on which a right gradient has one possible answer, whatever the order of its sums.

"logic" is non-zero random integers so small that no sum leaves the integers that every accumulator holds exactly: a
mismatch is a wrong formula. "digits" leaves at most one term in an element, so that it must return a number of the
operand with all its digits: rounded operands, Winograd and FFT show. "sums" brings totals close to the largest integer
that the accumulator holds: short accumulators and partial sums show. "overflow" lets 16-bit sums leave their range on
the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isqrt

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ACCUMULATE, BITS, Arithmetic, term_counts

TENSORS = ("output", "weight", "input", "bias")
DENSE = 3  # the largest integer of a dense probe
FEWEST = 4.0  # terms that an element should keep, on average, where a probe is thinned


@dataclass(frozen=True)
class Probe:
    """Operands in the dtype under test, and for each tensor in `proves` what makes its elements exact.

    `certificate` "always" holds by construction; "sum" where sum|t| is at most `limit`; "single" where at most one term
    is not 0. `rounded`: the exact sum may need a rounding to the dtype.
    """

    name: str
    operands: Operands
    proves: tuple[str, ...]
    certificate: str = "always"
    limit: float = 0.0
    rounded: bool = False

    def expected(self, spec: ConvSpec, operand: str) -> tuple[Tensor, Tensor]:
        """The exact tensor in float64, and which of its elements the probe certifies."""
        # float32 is exact here too, and takes half the time.
        wide = torch.float64 if self.operands.input.dtype == torch.float64 else torch.float32
        given = self.operands.map(lambda t: t.to(wide))
        value = by_hand(spec, given, (operand,)).named()[operand].double()
        if self.certificate == "always":
            return value, torch.ones(value.shape, dtype=torch.bool)
        if self.certificate == "sum":
            size = by_hand(spec, given.map(torch.abs), (operand,)).named()[operand]
            return value, size <= self.limit
        count = by_hand(spec, given.map(lambda t: (t != 0).to(wide)), (operand,)).named()[operand]
        return value, count <= 1


@dataclass(frozen=True)
class Probed:
    """How one tensor answered one probe: which certified elements differ, and the numbers."""

    probe: Probe
    wrong: Tensor
    actual: Tensor
    expected: Tensor

    @property
    def failed(self) -> bool:
        return bool(self.wrong.any())


def probes(spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int) -> Iterator[Probe]:
    """The probes that code of this `arithmetic` must answer bit for bit."""
    make = _Numbers(spec, dtype, torch.Generator().manual_seed(seed))
    bits = min(BITS[dtype], arithmetic.input_bits or BITS[dtype])
    yield from _logic(spec, make, bits)
    yield from _digits(spec, make, bits)
    if arithmetic.exact_sums:
        yield from _sums(spec, make, bits)


def logic_probe(spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int) -> Probe:
    """The first logic probe, for trying the same numbers under other conditions."""
    return next(probes(spec, dtype, arithmetic, seed))


@dataclass(frozen=True)
class _Numbers:
    """Random tensors in the shapes of a layer."""

    spec: ConvSpec
    dtype: torch.dtype
    generator: torch.Generator

    def integers(self, name: str, low: int, high: int, density: float = 1.0) -> Tensor:
        """Integers from `low` to `high` of either sign, each kept with probability `density` and else 0."""
        shape = self.spec.shape_of(name)
        sizes = torch.randint(low, high + 1, shape, generator=self.generator)
        signs = torch.randint(0, 2, shape, generator=self.generator) * 2 - 1
        if density < 1:
            signs *= torch.rand(shape, generator=self.generator) < density
        return (sizes * signs).to(self.dtype)

    def counts(self, name: str, most: int) -> Tensor:
        """Positive integers near `most`."""
        low = max(1, 3 * most // 4)
        return torch.randint(low, most + 1, self.spec.shape_of(name), generator=self.generator).to(self.dtype)

    def full(self, name: str, bits: int) -> Tensor:
        """Numbers whose significand has exactly `bits` bits, the last of them set."""
        shape = self.spec.shape_of(name)
        odd = torch.randint(2 ** (bits - 2), 2 ** (bits - 1), shape, generator=self.generator) * 2 + 1
        signs = torch.randint(0, 2, shape, generator=self.generator) * 2 - 1
        exponents = torch.randint(-3, 4, shape, generator=self.generator) - (bits - 1)
        return torch.ldexp((odd * signs).double(), exponents).to(self.dtype)

    def zeros(self, name: str) -> Tensor:
        return torch.zeros(self.spec.shape_of(name), dtype=self.dtype)

    def sign(self) -> int:
        return 1 if self.below(2) else -1

    def below(self, most: int) -> int:
        return int(torch.randint(0, most, (), generator=self.generator))


def _logic(spec: ConvSpec, make: _Numbers, bits: int) -> Iterator[Probe]:
    """Dense integers while all sums fit; else one call for tensors of about the same length, thinned until they do."""
    most = {name: float(term_counts(spec, name).max()) for name in TENSORS if spec.bias or name != "bias"}
    limit = 2.0**bits
    waiting = sorted(most, key=lambda name: -most[name])
    for high in (DENSE, 1):
        if most[waiting[0]] * high * high <= limit:
            yield Probe("logic", _integers(spec, make, high, 1.0, 1.0), tuple(waiting))
            return
    while waiting:
        density = min(1.0, limit / 2 / most[waiting[0]])
        here = tuple(n for n in waiting if density == 1 or n == waiting[0] or most[n] * density >= FEWEST)
        waiting = [name for name in waiting if name not in here]
        # The gradients all contain g; the output contains x, which would thin the weight's gradient twice.
        if "output" in here and len(here) > 1:
            here = tuple(name for name in here if name != "output")
            waiting.append("output")
        thin = (density, 1.0) if here == ("output",) else (1.0, density)
        yield Probe("logic", _integers(spec, make, 1, *thin), here, "sum", limit)


def _integers(spec: ConvSpec, make: _Numbers, high: int, input_density: float, output_density: float) -> Operands:
    return Operands(
        make.integers("input", 1, high, input_density),
        make.integers("weight", 1, high),
        make.integers("bias", 1, high) if spec.bias else None,
        make.integers("grad_output", 1, high, output_density),
    )


def _digits(spec: ConvSpec, make: _Numbers, bits: int) -> Iterator[Probe]:
    """Each operand is once the one that picks and once the one that is picked from, in three calls."""
    # Padding copies numbers of the input, and then a single one may come twice.
    certificate = "single" if spec.has_padded_input else "always"
    bias = torch.zeros(spec.bias_shape, dtype=make.dtype) if spec.bias else None
    x, w, g = (make.full(name, bits) for name in ("input", "weight", "grad_output"))
    proved = ("output", "weight", "bias") if spec.bias else ("output", "weight")
    by_row = Operands(x, _pick_taps(spec, make, rows=True), bias, _pick_channels(spec, make, "grad_output"))
    yield Probe("digits of x", by_row, proved, certificate)
    by_column = Operands(_pick_channels(spec, make, "input"), _pick_taps(spec, make, rows=False), bias, g)
    yield Probe("digits of g", by_column, ("weight", "input"), certificate)
    by_group = Operands(_pick_groups(spec, make, "input"), w, bias, _pick_groups(spec, make, "grad_output"))
    yield Probe("digits of w", by_group, ("output", "input"), certificate)
    if bias is not None:
        picked = _pick_channels(spec, make, "grad_output", each=1) * g
        yield Probe("digits of g", Operands(make.zeros("input"), w, bias, picked), ("bias",), certificate)


def _pick_taps(spec: ConvSpec, make: _Numbers, *, rows: bool) -> Tensor:
    """A weight with one number for each output channel (`rows`), or for each input channel of a group.

    Then no element of the output, or of the input's gradient, adds more than one term.
    """
    weight = make.zeros("weight").view(spec.groups, -1, *spec.weight_shape[1:])
    outer, inner = weight.shape[1:3]
    along_outer = rows != spec.transposed
    for group in range(spec.groups):
        for channel in range(outer if along_outer else inner):
            other = channel % (inner if along_outer else outer)
            taps = tuple(make.below(size) for size in spec.kernel_size)
            place = (channel, other) if along_outer else (other, channel)
            weight[(group, *place, *taps)] = make.sign()
    return weight.view(spec.weight_shape)


def _pick_channels(spec: ConvSpec, make: _Numbers, name: str, each: int | None = None) -> Tensor:
    """Zeros but for one number a channel, in any sample; on the side of positions one for each remainder of stride.

    No element of the weight's gradient adds more than one term then: a tap meets one remainder alone. `each`: so many
    on every axis instead.
    """
    tensor = make.zeros(name)
    on_positions = (name == "input") != spec.transposed
    blocks = (each,) * spec.dims if each else spec.stride if on_positions else (1,) * spec.dims
    flat = tensor if spec.batch_size is not None else tensor.unsqueeze(0)
    for channel in range(flat.shape[1]):
        starts = [_middle(make, size, width) for size, width in zip(flat.shape[2:], blocks, strict=True)]
        place = tuple(slice(start, start + width) for start, width in zip(starts, blocks, strict=True))
        flat[make.below(flat.shape[0]), channel][place] = make.sign()
    return tensor


def _pick_groups(spec: ConvSpec, make: _Numbers, name: str) -> Tensor:
    """Zeros but for one number for each sample and group."""
    tensor = make.zeros(name)
    flat = tensor if spec.batch_size is not None else tensor.unsqueeze(0)
    share = flat.shape[1] // spec.groups
    for sample in range(flat.shape[0]):
        for group in range(spec.groups):
            place = tuple(_middle(make, size, 1) for size in flat.shape[2:])
            flat[(sample, group * share + make.below(share), *place)] = make.sign()
    return tensor


def _middle(make: _Numbers, size: int, width: int) -> int:
    """The start of `width` entries in the middle half of `size`, where the kernel meets most."""
    return max(0, min(size - width, size // 4 + make.below(max(1, size // 2))))


def _sums(spec: ConvSpec, make: _Numbers, bits: int) -> Iterator[Probe]:
    """Totals just under what the accumulator holds, and for float16 sums that overflow it on the way to a small one."""
    accumulator = 2.0 ** BITS[ACCUMULATE.get(make.dtype, make.dtype)]
    narrow = make.dtype == torch.float16
    most = min(accumulator, torch.finfo(make.dtype).max)
    operands = _near(spec, make, bits, most)
    proved = tuple(name for name in TENSORS if spec.bias or name != "bias")
    if operands is not None:
        yield Probe("sums", operands, proved, "sum", most, rounded=True)
    operands = _near(spec, make, bits, accumulator) if narrow else None
    if operands is not None:
        yield Probe("overflow", _half_negative(operands), proved, "sum", accumulator, rounded=True)


def _near(spec: ConvSpec, make: _Numbers, bits: int, most: float) -> Operands | None:
    """Positive integers whose sums come near `most`; None where already ones pass it."""
    n = {name: float(term_counts(spec, name).max()) for name in TENSORS}
    cap = 2**bits
    g = min(cap, isqrt(int(most // n["weight"])), int(most // n["bias"]))
    x = min(cap, int(most // (n["weight"] * g))) if g else 0
    w = min(cap, int(most // max(n["input"] * g, n["output"] * x))) if x else 0
    if not w:
        return None
    bias = torch.ones(spec.bias_shape, dtype=make.dtype) if spec.bias else None
    return Operands(make.counts("input", x), make.counts("weight", w), bias, make.counts("grad_output", g))


def _half_negative(operands: Operands) -> Operands:
    """Second halves of g (in space) and of w (among channels that are summed over) made negative."""
    g, w = operands.grad_output.clone(), operands.weight.clone()
    g[..., g.shape[-1] // 2 :] *= -1
    w[w.shape[0] // 2 :] *= -1
    return replace(operands, weight=w, grad_output=g)
