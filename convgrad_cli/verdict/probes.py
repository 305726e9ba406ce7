"""Exact probes: operands on which a right gradient has one possible answer, whatever the order of its sums.

"sums" is positive integers whose totals come close to the largest that the accumulator holds: wrong terms, short
accumulators and partial sums show. "logic" is integers so small that no sum leaves what every arithmetic holds exactly:
a mismatch is a wrong formula. "digits" leaves at most one term in an element, a product of numbers with all their
digits, rounded once: rounded operands, Winograd and FFT show; some are tiny, so that small ones being dropped, or
something added to them, shows as well. "overflow" lets 16-bit sums leave their range on the way
to a small total.

Random numbers come from a short stock that repeats with a prime period, which no stride of a tensor shares: making new
ones would take longer than the gradients.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import product as every
from math import ceil, isqrt, lcm, prod

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ACCUMULATE, BITS, Arithmetic, term_counts

TENSORS = ("output", "weight", "input", "bias")
DENSE = 3  # the largest integer of a dense probe
STOCK = 16_381  # random numbers before they repeat
PICKED = 521  # the same for those that pick others
TINY = {torch.float64: -400, torch.float32: -50, torch.bfloat16: -50, torch.float16: 0}
"""Exponents of tiny numbers. Products of two are no subnormals: those may be flushed to 0, and have fewer digits."""
RARE = 4  # one number in so many is tiny
FEWEST = 4.0  # terms that an element should keep, on average, where a probe is thinned


@dataclass(frozen=True)
class Probe:
    """Operands in the dtype under test, and for each tensor in `proves` what makes its elements exact.

    `certificate` "always" holds by construction; "sum" where sum|t| is at most `limit`; "single" where at most one term
    is not 0. The right answer is the exact number rounded to the dtype. `first`: only the first sample is certified,
    and the gradients of weight and bias come from it alone.
    """

    name: str
    operands: Operands
    proves: tuple[str, ...]
    certificate: str = "always"
    limit: float = 0.0
    first: bool = False

    def expected(self, spec: ConvSpec, names: Collection[str]) -> dict[str, tuple[Tensor, Tensor | None]]:
        """The right tensors by name, of the first sample or all, and which elements are certified (None: all)."""
        given, dtype = self.operands, self.operands.input.dtype
        if self.first and spec.batch_size is not None:
            spec = replace(spec, batch_size=1)
            given = replace(given, input=given.input[:1], grad_output=given.grad_output[:1])
        # All sums are exact in float32 too, which takes half the time; a single product is then rounded once.
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        values = by_hand(spec, given, names, each=lambda t: t.to(wide)).named()
        measured: dict[str, Tensor] = {}
        if self.certificate == "sum":
            measured = by_hand(spec, given, names, each=lambda t: t.to(wide).abs()).named()
        elif self.certificate == "single":
            measured = by_hand(spec, given, names, each=lambda t: (t != 0).to(wide)).named()
        most = self.limit if self.certificate == "sum" else 1
        return {name: (values[name], measured[name] <= most if measured else None) for name in names}


@dataclass(frozen=True)
class Difference:
    """How one tensor differed on one probe: which certified elements, and the numbers.

    `absent`: why there are none, where the tensor came on the real data and not here; then all of them are NaN.
    """

    probe: Probe
    wrong: Tensor
    actual: Tensor
    expected: Tensor
    absent: str = ""


@dataclass(frozen=True)
class Probed:
    """That one tensor was asked by a probe called `name`, and how it differed, if it did.

    Of right answers nothing is kept: memory taken anew for every probe would cost a fifth of the time of a check.
    """

    name: str
    difference: Difference | None = None


def sums_probes(spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int) -> Iterator[Probe]:
    """The probes of the accumulator: none where the arithmetic does not keep sums exact."""
    return _sums(spec, _Numbers(spec, dtype, seed), _bits(dtype, arithmetic)) if arithmetic.exact_sums else iter(())


def logic_probes(spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int) -> Iterator[Probe]:
    """The probes of the formula: one, or several thinned ones where dense sums would be too long."""
    return _logic(spec, _Numbers(spec, dtype, seed + 1), _bits(dtype, arithmetic))


def digits_probes(
    spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int, only: Collection[str] = TENSORS
) -> Iterator[Probe]:
    """The probes of the operands' precision: for the gradients of weight and input, and for output and bias.

    What proves nothing about the tensors in `only` is left out.
    """
    return _digits(spec, _Numbers(spec, dtype, seed + 2), _bits(dtype, arithmetic), only)


def single_digits_probes(spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int) -> Iterator[Probe]:
    """The same for few elements, in which two rounded operands may make up for each other: one of them is 1 or -1."""
    make, bits = _Numbers(spec, dtype, seed + 4), _bits(dtype, arithmetic)
    bias = torch.zeros(spec.bias_shape, dtype=dtype) if spec.bias else None
    full, ones = make.picks(bits), make.integers("weight", 1, 1).flatten()[:1].repeat(PICKED)
    x, unit_x = make.full("input", bits), make.integers("input", 1, 1)
    proved = ("output", "weight", "bias") if spec.bias else ("output", "weight")
    for data, picking in ((x, ones), (unit_x, full)):
        g = _pick_channels(spec, make, "grad_output", picking, single=True)
        by_row = Operands(data, _pick_taps(spec, make, picking, rows=True), bias, g)
        yield Probe("digits", by_row, proved, first=True)
    for w, g in ((full, ones), (ones, full)):
        picked = _pick_groups(spec, make, "grad_output") * g[0]
        by_column = Operands(unit_x, _pick_taps(spec, make, w, rows=False), bias, picked)
        yield Probe("digits", by_column, ("input",))


def impulse_probes(spec: ConvSpec, dtype: torch.dtype, arithmetic: Arithmetic, seed: int) -> Iterator[Probe]:
    """One number a sample and group in x and in g: nearly everything must stay 0, and what does not, leaks."""
    make = _Numbers(spec, dtype, seed + 3)
    bits, bias = _bits(dtype, arithmetic), torch.zeros(spec.bias_shape, dtype=dtype) if spec.bias else None
    x, g = (_pick_groups(spec, make, name) for name in ("input", "grad_output"))
    certificate = "single" if spec.has_padded_input else "always"
    yield Probe("impulse", Operands(x, make.full("weight", bits), bias, g), ("output", "input"), certificate)


def _bits(dtype: torch.dtype, arithmetic: Arithmetic) -> int:
    return min(BITS[dtype], arithmetic.input_bits or BITS[dtype])


class _Numbers:
    """Random tensors in the shapes of a layer."""

    def __init__(self, spec: ConvSpec, dtype: torch.dtype, seed: int) -> None:
        self.spec, self.dtype = spec, dtype
        self.generator = torch.Generator().manual_seed(seed % 2**63)

    def integers(self, name: str, low: int, high: int, density: float = 1.0) -> Tensor:
        """Integers from `low` to `high` of either sign, each kept with probability `density` and else 0."""
        count = self._count(name)
        stock = self._uniform(low, high + 1, count) * self._signs(count)
        if density < 1:
            stock *= torch.rand(count, generator=self.generator) < density
        return self._spread(stock, name)

    def counts(self, name: str, most: int) -> Tensor:
        """Positive integers near `most`."""
        return self._spread(self._uniform(max(1, 3 * most // 4), most + 1, self._count(name)), name)

    def full(self, name: str, bits: int) -> Tensor:
        """Numbers whose significand has exactly `bits` bits, the last of them set."""
        return self._spread(self.full_stock(bits, self._count(name)), name)

    def picks(self, bits: int) -> Tensor:
        """The same for operands that pick: every second one is tiny, so that two channels have both kinds."""
        return self.full_stock(bits, PICKED, torch.arange(PICKED) % 2 == 1)

    def full_stock(self, bits: int, count: int, tiny: Tensor | None = None) -> Tensor:
        odd = self._uniform(2 ** (bits - 2), 2 ** (bits - 1), count) * 2 + 1
        exponents = self._uniform(-3, 4, count) - (bits - 1)
        exponents += TINY[self.dtype] * (self._uniform(0, RARE, count) == 0 if tiny is None else tiny)
        return torch.ldexp((odd * self._signs(count)).double(), exponents).to(self.dtype)

    def zeros(self, name: str) -> Tensor:
        return torch.zeros(self.spec.shape_of(name), dtype=self.dtype)

    def _count(self, name: str) -> int:
        return min(STOCK, prod(self.spec.shape_of(name)))

    def _uniform(self, low: int, high: int, count: int) -> Tensor:
        return torch.randint(low, high, (count,), generator=self.generator)

    def _signs(self, count: int) -> Tensor:
        return self._uniform(0, 2, count) * 2 - 1

    def _spread(self, stock: Tensor, name: str) -> Tensor:
        shape = self.spec.shape_of(name)
        count = prod(shape)
        stock = stock.to(self.dtype)
        return (stock if len(stock) == count else stock.repeat(ceil(count / STOCK))[:count]).view(shape)


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


def _digits(spec: ConvSpec, make: _Numbers, bits: int, only: Collection[str]) -> Iterator[Probe]:
    """In each sum one operand picks a single entry of the other, and both have all their digits."""
    # Padding copies numbers of the input, and then a single one may come twice.
    certificate = "single" if spec.has_padded_input else "always"
    bias = torch.zeros(spec.bias_shape, dtype=make.dtype) if spec.bias else None
    stock = make.picks(bits)
    # A single channel picks with a single number, so it does so once with a tiny one as well.
    both = [stock, stock.roll(-1)] if TINY[make.dtype] else [stock]
    for picks in both[: 2 if spec.in_channels == 1 else 1] if "weight" in only or "input" in only else ():
        taps = _pick_taps(spec, make, picks, rows=False)
        picked = Operands(_pick_channels(spec, make, "input", picks), taps, bias, make.full("grad_output", bits))
        yield Probe("digits", picked, ("weight", "input"), certificate, first=True)
    for picks in both[: 2 if spec.out_channels == 1 else 1] if "output" in only or "bias" in only else ():
        hot = _pick_channels(spec, make, "grad_output", picks, single=True)
        picked = Operands(make.full("input", bits), _pick_taps(spec, make, picks, rows=True), bias, hot)
        yield Probe("digits", picked, ("output", "bias") if spec.bias else ("output",), certificate, first=True)


def _pick_taps(spec: ConvSpec, make: _Numbers, stock: Tensor, *, rows: bool) -> Tensor:
    """A weight with one number for each output channel (`rows`), or for each input channel of a group.

    Then no element of the output, or of the input's gradient, adds more than one term.
    """
    weight = make.zeros("weight").view(spec.groups, -1, *spec.weight_shape[1:])
    outer, inner = weight.shape[1:3]
    along_outer = rows != spec.transposed
    each = outer if along_outer else inner
    channel = torch.arange(each).repeat(spec.groups)
    other = channel % (inner if along_outer else outer)
    group = torch.arange(spec.groups).repeat_interleave(each)
    place = (channel, other) if along_outer else (other, channel)
    taps = tuple(torch.randint(0, size, channel.shape, generator=make.generator) for size in spec.kernel_size)
    weight[(group, *place, *taps)] = stock[torch.arange(len(channel)) % PICKED]
    return weight.view(spec.weight_shape)


def _pick_channels(spec: ConvSpec, make: _Numbers, name: str, stock: Tensor, *, single: bool = False) -> Tensor:
    """Zeros but for one number a channel, in the first sample; on the side of positions one for each rest of stride.

    No element of the weight's gradient adds more than one term then: a tap meets one rest alone. `single`: one number
    a channel on either side.
    """
    tensor = make.zeros(name)
    flat = tensor if spec.batch_size is not None else tensor.unsqueeze(0)
    channels, *sizes = flat.shape[1:]
    on_positions = (name == "input") != spec.transposed and not single
    widths = [min(s, size) for s, size in zip(spec.stride, sizes, strict=True)] if on_positions else [1] * spec.dims
    starts = [_middle(make, size, width, channels) for size, width in zip(sizes, widths, strict=True)]
    for number, steps in enumerate(every(*map(range, widths))):
        place = (start + step for start, step in zip(starts, steps, strict=True))
        flat[0][(torch.arange(channels), *place)] = stock[(torch.arange(channels) + number) % PICKED]
    return tensor


def _pick_groups(spec: ConvSpec, make: _Numbers, name: str) -> Tensor:
    """Zeros but for a 1 in each sample and group."""
    tensor = make.zeros(name)
    flat = tensor if spec.batch_size is not None else tensor.unsqueeze(0)
    samples, channels, *sizes = flat.shape
    share, count = channels // spec.groups, samples * spec.groups
    sample = torch.arange(samples).repeat_interleave(spec.groups)
    channel = torch.arange(spec.groups).repeat(samples) * share
    channel += torch.randint(0, share, (count,), generator=make.generator)
    flat[(sample, channel, *(_middle(make, size, 1, count) for size in sizes))] = 1
    return tensor


def _middle(make: _Numbers, size: int, width: int, count: int) -> Tensor:
    """Where `count` runs of `width` entries start, in the middle half of `size`, where the kernel meets most."""
    start = size // 4 + torch.randint(0, max(1, size // 2), (count,), generator=make.generator)
    return start.clamp(max=size - width)


def _sums(spec: ConvSpec, make: _Numbers, bits: int) -> Iterator[Probe]:
    """Totals just under what the accumulator holds, and for float16 sums that overflow it on the way to a small one."""
    accumulator = 2.0 ** BITS[ACCUMULATE.get(make.dtype, make.dtype)]
    narrow = make.dtype == torch.float16
    most = min(accumulator, torch.finfo(make.dtype).max)
    operands = _near(spec, make, bits, most)
    proved = tuple(name for name in TENSORS if spec.bias or name != "bias")
    if operands is not None:
        yield Probe("sums", operands, proved)
    if operands is not None and narrow and spec.bias:
        # The range of float16 leaves g so small where x multiplies it that its own sums stay exact in 16 bits.
        most_each = int(most // float(term_counts(spec, "bias").max()))
        g = make.counts("grad_output", min(2**bits, most_each))
        yield Probe("sums", replace(operands, grad_output=g), ("bias",))
    operands = _near(spec, make, bits, accumulator) if narrow else None
    if operands is not None:
        yield Probe("overflow", _half_negative(operands), proved)


def _near(spec: ConvSpec, make: _Numbers, bits: int, most: float) -> Operands | None:
    """Positive integers whose sums come near `most`; None where already ones pass it."""
    n = {name: max(1.0, float(term_counts(spec, name).max())) for name in TENSORS}
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


def dense(spec: ConvSpec, dtype: torch.dtype, seed: int) -> Operands:
    """Operands of small integers without a 0, whose sums every arithmetic of this dtype holds exactly.

    g is a multiple of what gradients come to be divided by, where that still fits, so that a mean is exact as well.
    """
    make = _Numbers(spec, dtype, seed)
    longest = max(1.0, *(float(term_counts(spec, n).max()) for n in TENSORS if spec.bias or n != "bias"))
    room = 2.0 ** BITS[dtype] / longest
    high = DENSE if room >= DENSE**2 else 1
    found = _integers(spec, make, high, 1.0, 1.0)
    divisor = lcm(prod(spec.output_size) * (spec.batch_size or 1), spec.groups, 2)
    if 8 * divisor * high**2 <= room:  # where state is left over, several are added
        found = replace(found, grad_output=found.grad_output * divisor)
    return found
