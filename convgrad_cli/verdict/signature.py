"""What kind of wrong a wrong tensor is, read from how it answered the probes: a formula, or an arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log2
from statistics import median

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import ARITHMETICS, BITS
from convgrad_cli.verdict.probes import Probed

SMALL = 0.01  # an integer that is off by less was not miscounted but rounded on the way
FORMATS = {11: " (as TF32)", 10: " (as TF32)", 8: " (as bfloat16)", 7: " (as bfloat16)"}


def signature(spec: ConvSpec, operand: str, failed: Sequence[Probed], narrowest: str) -> str:
    """One sentence on a wrong tensor from the probes that it `failed`; `narrowest` explains it on the real data."""
    logic = next((one for one in failed if one.probe.name == "logic"), None)
    digits = next((one for one in failed if one.probe.name == "digits"), None)
    if logic is not None and not _is_small(logic):
        return f"the formula is wrong: {_share(logic)} differ on exact integers"
    # The more zeros a right answer has, the clearer a leak shows how far it goes.
    leaking = max((one for one in failed if _leaks(one)), key=lambda one: int((one.expected == 0).sum()), default=logic)
    if leaking is not None:
        return _transform(spec, operand, leaking)
    if digits is not None:
        return f"operands are rounded: about {_bits(digits)} bits of them come back"
    return _sums(failed, narrowest)


def _sums(failed: Sequence[Probed], narrowest: str) -> str:
    if any(one.probe.name == "overflow" and not bool(one.actual[one.wrong].isfinite().all()) for one in failed):
        return "sums leave the range of float16 on the way, where the result itself would fit"
    if not failed:
        explained = f"; {ARITHMETICS[narrowest].title} would explain it" if narrowest else ""
        return f"elements are proved outside the rounding bound{explained}"
    wide = "float64" if failed[0].probe.operands.input.dtype == torch.float64 else "float32"
    title = f" ({ARITHMETICS[narrowest].title})" if narrowest in ("partial", "short") else ""
    return f"sums are not kept in {wide}: {_share(failed[0])} are rounded on the way{title}"


def _share(one: Probed) -> str:
    return f"{int(one.wrong.sum()):,} of {one.wrong.numel():,} elements"


def _is_small(one: Probed) -> bool:
    off = (one.actual.double() - one.expected).abs()[one.wrong]
    return bool(off.isfinite().all()) and float(off.max()) < SMALL


def _leaks(one: Probed) -> bool:
    """Whether small numbers come out where every term is 0."""
    leaked = one.actual.double()[one.wrong & (one.expected == 0)].abs()
    return len(leaked) > 0 and float(leaked.max()) < SMALL


def _transform(spec: ConvSpec, operand: str, one: Probed) -> str:
    """Also how large the tiles are: so far a number leaks, and then a kernel less one."""
    said = "the formula is right, but numbers leak to where every term is 0: a transform (Winograd or FFT)"
    leaked = one.wrong & (one.expected == 0)
    if operand in ("weight", "bias") or not bool(leaked.any()):
        return said
    planes = leaked.flatten(0, -spec.dims - 1)
    sizes = [_extent(plane, axis) for plane in planes for axis in range(spec.dims) if bool(plane.any())]
    # The median: where tiles overlap, a number leaks into both.
    tiles = [int(median(sizes[axis :: spec.dims])) + spec.kernel_size[axis] - 1 for axis in range(spec.dims)]
    return f"{said} over tiles of about {'x'.join(map(str, tiles))}"


def _extent(plane: Tensor, axis: int) -> int:
    places = plane.nonzero()[:, axis]
    return int(places.max() - places.min()) + 1


def _bits(one: Probed) -> str:
    relative = ((one.actual.double() - one.expected).abs() / one.expected.abs())[one.wrong & (one.expected != 0)]
    largest = float(relative.max()) if len(relative) else 1.0
    if not 0 < largest < 1:
        return "0"
    kept = max(0, min(BITS[one.probe.operands.input.dtype], floor(-log2(largest))))
    return f"{kept}{FORMATS.get(kept, '')}"
