"""The precision that errors look like: a reading of their size over a part of the elements, never a proof.

Errors of a correct computation behave like independent roundings: sigma is what their size should be, so the root mean
square of error / sigma is about 1. Rounding the operands first makes every term wrong on its own, which grows with
sqrt(sum t^2), and its size says how many bits were kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2, sqrt

import torch

from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import ACCUMULATE, BITS, ROUNDOFF, UNDERFLOW, term_counts
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.reference import part_of

ENOUGH = 512  # elements read
ROUNDING = 0.4247  # root mean square of a relative rounding error, in units of u
INPUT_ROUNDING = 0.60  # the same for a product of two rounded operands
CENTRED = 3.0  # deviations of a sum from 0, in units of sqrt(sum t^2); beyond, the data do not have mean 0
KNOWN = {(10.4, 11.3): "TF32", (7.3, 8.4): "bfloat16"}


@dataclass(frozen=True)
class Reading:
    """`factor` is how much larger than expected the errors are, `limit` what chance explains, `bits` those kept."""

    factor: float
    limit: float
    bits: float | None

    @property
    def suspicious(self) -> bool:
        return self.factor > self.limit and self.bits is not None

    def __str__(self) -> str:
        said = f"errors are {self.factor:.3g} times what rounding gives"
        if self.bits is None:
            return said
        name = next((name for (low, high), name in KNOWN.items() if low <= self.bits <= high), "")
        return f"{said}; they read as operands of about {self.bits:.1f} bits" + (f", as in {name}" if name else "")


def read_precision(case: Certificate, apart: Tensor | None = None) -> Reading | None:
    """The reading of a part of the tensor; None where errors can't be read, as on data whose mean is not 0.

    `apart`: elements that are left out.
    """
    where, squares, count = _part(case)
    total, error = case.exact[where].flatten(), case.error_of(where).flatten()
    spread, accumulate = squares.sqrt(), ACCUMULATE.get(case.dtype, case.dtype)
    fit = (squares > 0) & error.isfinite() & (total.abs() <= CENTRED * spread)
    if apart is not None:
        fit &= ~apart[where].flatten()
    # Among subnormal numbers errors say nothing of digits.
    fit &= spread * ROUNDOFF[case.dtype] > count * UNDERFLOW[accumulate] + UNDERFLOW[case.dtype]
    if int(fit.sum()) < max(4, len(fit) / 2):
        return None
    return _read(error[fit], total[fit], squares[fit], count[fit], case.dtype)


def _part(case: Certificate) -> tuple[tuple[slice, ...], Tensor, Tensor]:
    """Which elements are read, with sum t^2 and the number of terms of each."""
    spec, operand = case.spec, case.operand
    lead = (slice(None),) * len(spec.batch_shape)
    shape = spec.shape_of(operand)
    if operand == "bias":
        squares = by_hand(spec, case.operands, ("bias",), each=_squared).bias
        assert squares is not None
        return (slice(None),), squares, term_counts(spec, operand)
    share = max(1, shape[0 if operand == "weight" else len(lead)] // spec.groups)
    some = slice(min(share, ceil(ENOUGH / case.exact[(0,) * (case.exact.dim() - spec.dims)].numel())))
    if operand == "weight":
        few = slice(ceil(sqrt(some.stop)))
        part, given = part_of(spec, case.operands, in_channels=few, out_channels=few)
        where: tuple[slice, ...] = (few, few)
    else:
        axis = "in_channels" if operand == "input" else "out_channels"
        part, given = part_of(spec, case.operands, samples=slice(1), **{axis: some})
        where = (*(slice(1) for _ in lead), some)
    squares = by_hand(part, given, (operand,), each=_squared).named()[operand]
    if operand == "output" and case.operands.bias is not None:
        squares = squares + case.operands.bias[some].double().view(-1, *[1] * spec.dims) ** 2
    counts = term_counts(replace(part, bias=spec.bias), operand).expand(squares.shape)
    return where, squares.flatten(), counts.flatten()


def _squared(tensor: Tensor) -> Tensor:
    return tensor.double() ** 2


def _read(error: Tensor, total: Tensor, squares: Tensor, n: Tensor, dtype: torch.dtype) -> Reading:
    accumulate = ROUNDOFF[ACCUMULATE.get(dtype, dtype)]
    within = n * total**2 / 3 + n / 6 * (squares - total**2 / n).clamp(min=0) + squares + total**2
    variance = (ROUNDING * accumulate) ** 2 * within + (ROUNDING * ROUNDOFF[dtype] * total) ** 2 * (dtype in ACCUMULATE)
    factor = float((error**2 / variance).mean().sqrt())
    a = 2 / (9 * len(error))
    limit = 2 * max(1.0, (1 - a + 6 * sqrt(a)) ** 1.5)
    spread = float((error**2 / squares).mean().sqrt())
    bits = -log2(spread / INPUT_ROUNDING) if spread > 0 else None
    # Beyond this the errors of summing hide those of the operands.
    resolvable = BITS[dtype] - log2(1.5 * sqrt(float(n.mean())))
    return Reading(factor, limit, bits if bits is not None and bits < resolvable else None)
