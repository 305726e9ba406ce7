"""What kind of wrong a wrong tensor is, read from how it answered the probes: a formula, or an arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, frexp, log2
from statistics import median

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import ARITHMETICS, BITS
from convgrad_cli.verdict.probes import Difference

SMALL = 0.01  # an integer that is off by less was not miscounted but rounded on the way
LAST = 2.0  # units in the last place
SEVERAL = 3  # elements: a transform spreads a number over a tile
COARSE = 4  # bits; what keeps fewer of an operand does something else than round it
FORMATS = {11: "TF32", 10: "TF32", 8: "bfloat16", 7: "bfloat16"}
DECLARED = {"TF32": "tf32", "bfloat16": "bf16"}
PLAIN = 2.0**-20  # beyond what products of tiny numbers come to
RESULTS = {8: "bfloat16", 11: "float16", 24: "float32"}
FEW = 10  # an arithmetic makes more than one of so many elements wrong
CLIPPED, ADDED, SINGLE = "clipped", "a constant added", "too few for an arithmetic"
NO_ARITHMETIC = (CLIPPED, ADDED, SINGLE)  # what sentences begin with that tell of something done to right results
TRANSFORM = "the formula is right, but numbers leak to where every term is 0: as from a transform (Winograd or FFT)"


def signature(
    spec: ConvSpec, operand: str, failed: Sequence[Difference], narrowest: str, declared: str = "direct"
) -> str:
    """One sentence on a wrong tensor from the probes that it `failed`; `narrowest` explains it on the real data."""
    wrong = torch.cat([one.actual[one.wrong] for one in failed])
    if bool((~wrong.isfinite()).all()) and not any(one.probe.name == "overflow" for one in failed):
        return f"{_share(failed[0])} come back as {'NaN' if bool(wrong.isnan().any()) else 'an infinity'}"
    logic = next((one for one in failed if one.probe.name == "logic"), None)
    limit = _clipped(failed)
    if narrowest and limit:  # it was right on the real data
        return f"{CLIPPED}: results beyond {limit:.9g} come back as {limit:.9g}"
    digits = [one for one in failed if one.probe.name in ("digits", "impulse")]
    if logic is not None and not is_small(logic):
        return f"the formula is wrong: {_share(logic)} differ on exact integers"
    # The more zeros a right answer has, the clearer a leak shows how far it goes.
    leaking = max((one for one in failed if _leaks(one)), key=lambda one: int((one.expected == 0).sum()), default=None)
    if leaking is not None:
        out = leaking.actual.double()[leaking.expected == 0]
        if bool((out == out[0]).all()):
            return f"{ADDED}: {float(out[0]):.3g} comes out wherever every term is 0"
        return _transform(spec, operand, leaking)
    integers = next((one for one in failed if one.probe.name in ("logic", "sums") and _is_slight(one)), None)
    if integers is not None and (logic is not None or digits):
        return f"no term is wrong, but {_share(integers)} differ by {_off(integers)} on exact integers"
    if digits:
        wholes = not any(one.probe.name == "sums" for one in failed)
        return _rounded(operand, digits, narrowest, declared, wholes)
    return _sums(failed, narrowest)


def outside(actual: Tensor, dtype: torch.dtype, wrong: int, narrowest: str) -> str:
    """One sentence on a tensor of which the bound proves `wrong` elements wrong, where no probe says more."""
    said = f"{wrong:,} of {actual.numel():,} elements {'is' if wrong == 1 else 'are'} proved outside the rounding bound"
    if wrong < SEVERAL:  # an arithmetic would show in more
        return said
    rounded = fewer_bits(actual, dtype)
    if rounded:
        return f"{said}; {rounded}"
    return f"{said}; {ARITHMETICS[narrowest].title} would explain it" if narrowest else said


def fewer_bits(actual: Tensor, dtype: torch.dtype) -> str:
    """That all results are numbers of a shorter dtype than that of the operands, if they are."""
    bits = next((n for n in RESULTS if _has_bits(actual.double().flatten(), n)), BITS[dtype])
    said = f"all results have no more than {bits} bits, as if rounded to "
    return f"{said}{RESULTS[bits]}" if bits < BITS[dtype] else ""


def _rounded(operand: str, failed: Sequence[Difference], narrowest: str, declared: str, wholes: bool) -> str:
    """What elements of a single term, with all its digits, say about what was rounded; `wholes`: integers are right."""
    one, dtype = failed[0], failed[0].probe.operands.input.dtype
    actual, expected = (torch.cat([getattr(f, n).double()[f.wrong] for f in failed]) for n in ("actual", "expected"))
    if not bool(expected.any()):
        return f"{_share(one)} are not 0, where every term is"
    if not bool(actual.any()):
        return f"{_lost(failed, expected)} back as 0: {_share(one)}, the largest of which must be {_largest(expected)}"
    if bool((actual == -expected).all()):
        return f"{_lost(failed, expected)} back with the other sign: {_share(one)}"
    # Where tiny numbers are lost, the others say how many bits are kept.
    plain = expected.abs() > PLAIN
    if not bool(plain.any()):
        return f"only small numbers are wrong: {_share(one)}, none of them larger than {expected.abs().max():.2g}"
    plain |= bool(actual.all())
    actual, expected = actual[plain], expected[plain]
    kept = _kept(actual, expected, BITS[dtype])
    if len(actual) >= SEVERAL and bool((actual == actual.round()).all()):
        return f"the results are whole numbers, where {_share(one)} must not be: an integer type, or a rounding to one"
    if kept < COARSE:
        said = "right on integers, but not on numbers with all their digits" if wholes else "the formula is wrong"
        return f"{said}: {_share(one)} differ"
    bits = next((n for n in RESULTS if _has_bits(actual, n)), BITS[dtype])
    if len(actual) >= SEVERAL and bits < BITS[dtype] and operand != "bias":  # whose only factor is g
        allowed = "which no --arithmetic allows: those round operands"
        return f"the results are rounded to {bits} bits, {allowed}; --dtype {RESULTS[bits]} would explain it"
    # A product of two rounded numbers has twice their bits.
    if 2 * kept >= BITS[dtype] or not _has_bits(actual, min(2 * (kept + 1), BITS[dtype] - 1)):
        return f"{_share(one)} differ as if only about {kept} bits of the operands came back"
    name = FORMATS.get(kept, "")
    said = f"operands are rounded: about {kept} bits of them come back{', as in ' if name else ''}{name}"
    fits = narrowest and name and DECLARED[name] != declared
    return f"{said}; --arithmetic {DECLARED[name]} would explain it" if fits else said


def _clipped(failed: Sequence[Difference]) -> float:
    """The largest magnitude that comes back, where all that is wrong should be larger; else 0.

    No power of 2: that is where sums stick to which a narrow accumulator can add no more.
    """
    actual, expected = (torch.cat([getattr(f, n).double()[f.wrong] for f in failed]) for n in ("actual", "expected"))
    limit = float(actual.abs().max())
    if len(actual) < SEVERAL or bool((actual.abs() != limit).any()) or bool((actual.sign() != expected.sign()).any()):
        return 0.0
    return limit if bool((expected.abs() > limit).all()) and frexp(limit)[0] != 0.5 else 0.0


def _has_bits(numbers: Tensor, count: int) -> bool:
    """Whether none of them has more bits from the first that is set to the last."""
    return bool((torch.frexp(numbers).mantissa * 2.0**count % 1 == 0).all())


def _kept(actual: Tensor, expected: Tensor, most: int) -> int:
    """How many bits are right in the worst of these elements, none of which should be 0."""
    largest = float(((actual - expected).abs() / expected.abs()).max())
    return max(0, min(most, floor(-log2(largest)))) if 0 < largest < 1 else 0


def _units(one: Difference) -> float:
    """The largest difference in units in the last place."""
    error, dtype = (one.actual.double() - one.expected).abs()[one.wrong], one.actual.dtype
    exponents = torch.frexp(one.expected.double()[one.wrong]).exponent
    return float((error / torch.ldexp(torch.ones_like(error), exponents - BITS[dtype])).max())


def _off(one: Difference) -> str:
    """By how much, at most."""
    units = _units(one)
    if units > LAST:
        return f"up to {float((one.actual.double() - one.expected).abs()[one.wrong].max()):.2g}"
    return f"{'one unit' if units <= 1 else 'two units'} in the last place"


def _sums(failed: Sequence[Difference], narrowest: str) -> str:
    if any(one.probe.name == "overflow" and not bool(one.actual[one.wrong].isfinite().all()) for one in failed):
        return "sums leave the range of float16 on the way, where the result itself would fit"
    if is_single(failed[0].wrong):
        return f"{SINGLE}: {_share(failed[0])} differ by {_off(failed[0])} on exact integers"
    wide = "float64" if failed[0].probe.operands.input.dtype == torch.float64 else "float32"
    title = f" ({ARITHMETICS[narrowest].title})" if narrowest in ("partial", "short") else ""
    return f"sums are not kept in {wide}: {_share(failed[0])} are rounded on the way{title}"


def _lost(failed: Sequence[Difference], expected: Tensor) -> str:
    """Which numbers those are of which nothing came back, beside the others that are right."""
    right = torch.cat([f.expected.double()[~f.wrong] for f in failed if f.wrong.dim()])
    for sign, name in ((-1, "negative"), (1, "positive")):
        if bool((expected.sign() == sign).all()) and not bool((right.sign() == sign).any()):
            return f"{name} numbers come"
    right = right[right != 0].abs()
    return "small numbers come" if not len(right) or expected.abs().max() <= right.min() else "some numbers come"


def _largest(expected: Tensor) -> str:
    return f"{expected[expected.abs().argmax()]:.2g}"


def _share(one: Difference) -> str:
    return f"{int(one.wrong.sum()):,} of {one.wrong.numel():,} elements"


def is_small(one: Difference) -> bool:
    """Whether no integer is off by more than what rounding on the way makes of it."""
    off = (one.actual.double() - one.expected).abs()[one.wrong]
    return bool(off.isfinite().all()) and float(off.max()) < SMALL


def is_single(wrong: Tensor) -> bool:
    """Whether so few elements are wrong that no arithmetic makes them so."""
    return int(wrong.sum()) < min(SEVERAL, wrong.numel() / FEW)


def _is_slight(one: Difference) -> bool:
    return is_small(one) or _units(one) <= LAST


def _leaks(one: Difference) -> bool:
    """Whether small numbers come out where every term is 0; a bit that was flipped there is smaller still."""
    leaked = one.actual.double()[one.wrong & (one.expected == 0)].abs()
    leaked = leaked[leaked >= torch.finfo(one.probe.operands.input.dtype).tiny]
    return len(leaked) >= SEVERAL and float(leaked.max()) < SMALL


def _transform(spec: ConvSpec, operand: str, one: Difference) -> str:
    """Also how large the tiles are: so far a number leaks, and then a kernel less one."""
    leaked = one.wrong & (one.expected == 0)
    if operand in ("weight", "bias"):
        return TRANSFORM
    planes = leaked.flatten(0, -spec.dims - 1)
    sizes = [_extent(plane, axis) for plane in planes for axis in range(spec.dims) if bool(plane.any())]
    # The median: where tiles overlap, a number leaks into both.
    tiles = [int(median(sizes[axis :: spec.dims])) + spec.kernel_size[axis] - 1 for axis in range(spec.dims)]
    return f"{TRANSFORM} over tiles of about {'x'.join(map(str, tiles))}"


def _extent(plane: Tensor, axis: int) -> int:
    places = plane.nonzero()[:, axis]
    return int(places.max() - places.min()) + 1
