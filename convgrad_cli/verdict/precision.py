"""The precision that errors look like: a reading of their size over a sample of elements, never a proof.

Errors of a correct computation behave like independent roundings: sigma is what their size should be, so the root mean
square of error / sigma is about 1. Rounding the operands first makes every term wrong on its own, which grows with
sqrt(sum t^2), and its size says how many bits were kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2, sqrt

import torch

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.gradients.by_hand import terms
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import ACCUMULATE, BITS, ROUNDOFF
from convgrad_cli.verdict.certify import Certificate

SAMPLE = 256  # elements read
ROUNDING = 0.4247  # root mean square of a relative rounding error, in units of u
INPUT_ROUNDING = 0.60  # the same for a product of two rounded operands
MEANINGFUL = 3.0  # terms whose mean is farther from 0 than this many of its deviations are no zero-mean data
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
        name = next((name for (low, high), name in KNOWN.items() if low <= (self.bits or 0) <= high), "")
        read = f"operands of about {self.bits:.1f} bits" + (f", as {name} has" if name else "")
        return f"errors are {self.factor:.3g} times what rounding in this dtype gives; they read as {read}"


def read_precision(case: Certificate, seed: int = 0) -> Reading | None:
    """The reading over a random sample; None where errors can't be read: too few elements, or no zero-mean data."""
    generator = torch.Generator().manual_seed(seed)
    count = case.error.numel()
    chosen = torch.randperm(count, generator=generator)[:SAMPLE] if count > SAMPLE else torch.arange(count)
    letters = case.operands.letters(case.spec)
    rows = []
    for flat in chosen.tolist():
        index = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), case.error.shape))
        found = terms(formula(case.spec, case.operand, index), letters)
        squares = float((found**2).sum())
        error, total = float(case.error[index]), float(found.sum())
        if squares > 0 and error < float("inf") and abs(total) <= MEANINGFUL * sqrt(squares):
            rows.append((error, total, squares, float(len(found))))
    if len(rows) < min(SAMPLE, count) / 2:
        return None
    return _read(torch.tensor(rows, dtype=torch.float64), case.dtype)


def _read(rows: Tensor, dtype: torch.dtype) -> Reading | None:
    error, total, squares, n = rows.unbind(1)
    accumulate = ROUNDOFF[ACCUMULATE.get(dtype, dtype)]
    within = n * total**2 / 3 + n / 6 * (squares - total**2 / n).clamp(min=0) + squares + total**2
    variance = (ROUNDING * accumulate) ** 2 * within + (ROUNDING * ROUNDOFF[dtype] * total) ** 2 * (dtype in ACCUMULATE)
    factor = float((error**2 / variance).mean().sqrt())
    a = 2 / (9 * len(rows))
    limit = 2 * max(1.0, (1 - a + 6 * sqrt(a)) ** 1.5)
    spread = float((error**2 / squares).mean().sqrt())
    bits = -log2(spread / INPUT_ROUNDING) if spread > 0 else None
    # Beyond this the errors of summing hide those of the operands.
    resolvable = BITS[dtype] - log2(1.5 * sqrt(float(n.mean())))
    return Reading(factor, limit, bits if bits is not None and bits < resolvable else None)
