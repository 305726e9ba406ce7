"""Why an element is NaN or infinite, from its own terms.

A NaN or an infinity comes from a factor, from a product (inf * 0), from a sum (inf - inf), or from finite terms: the
value is beyond the largest number of its dtype, or something on the way to it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isinf, isnan

import torch

from convgrad_cli.geometry.formula import Formula
from convgrad_cli.gradients.by_hand import terms
from convgrad_cli.tensors.operands import Tensor, is_finite
from convgrad_cli.verdict.bounds import ACCUMULATE

Term = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Cause:
    """`kind` is one of KINDS, `terms` those that do it (none where they all are harmless), `value` their exact sum.

    `magnitude` is the sum of the absolute values of all terms, which no partial sum passes.
    """

    kind: str
    terms: tuple[Term, ...]
    value: float
    magnitude: float


KINDS = {
    "nan": "a factor is NaN",
    "inf * 0": "an infinity is multiplied with 0",
    "inf - inf": "infinities of both signs are added",
    "inf": "a factor is infinite",
    "term": "a product of finite numbers is too large for the dtype",
    "sum": "the sum of finite terms is too large for the dtype",
    "cast": "the sum is finite in float32 and too large for the 16-bit dtype that it is cast to",
    "partial": "the sum is small enough, but a partial sum in this dtype may not be",
    "mixed": "no sum of some of its terms is too large: other terms were mixed in",
}


def cause_of(found: Formula, letters: dict[str, Tensor], dtype: torch.dtype) -> Cause:
    """Why the element with this formula is not finite, or would be none in `dtype`; at the cost of its own terms."""
    numbers = terms(found, letters)
    total, magnitude = float(numbers.sum()), float(numbers.abs().sum())
    plus, minus, neither = (_first(found, mask) for mask in (numbers == _INF, numbers == -_INF, numbers.isnan()))

    def made(kind: str, *some: Term) -> Cause:
        return Cause(kind, some, total, magnitude)

    if neither:
        return made("nan" if any(map(isnan, values(neither, letters))) else "inf * 0", neither)
    if plus and minus:
        return made("inf - inf", plus, minus)
    infinite = plus or minus
    if infinite and any(map(isinf, values(infinite, letters))):
        return made("inf", infinite)
    largest = torch.finfo(dtype).max
    beyond = infinite or _first(found, numbers.abs() > torch.finfo(ACCUMULATE.get(dtype, dtype)).max)
    if beyond:
        return made("term", beyond)
    if not isfinite(total) or abs(total) > largest:
        wide = dtype in ACCUMULATE and abs(total) <= torch.finfo(ACCUMULATE[dtype]).max
        return made("cast" if wide else "sum")
    # A value that rounds past the largest number, or partial sums that do.
    return made("partial" if magnitude >= largest * (1 - 2.0**-8) else "mixed")


def values(term: Term, letters: dict[str, Tensor]) -> list[float]:
    """The factors of one term."""
    return [float(letters[name][at]) for name, at in term]


_INF = float("inf")


def _first(found: Formula, mask: Tensor) -> Term | None:
    return found.term(int(mask.int().argmax())) if bool(mask.any()) else None


def first_odd(tensor: Tensor, count: int) -> tuple[int, int, list[tuple[int, ...]]]:
    """How many entries are NaN and how many infinite, and the indices of the first `count` of them."""
    if is_finite(tensor):
        return 0, 0, []
    nans, infinities = tensor.isnan(), tensor.isinf()
    flat = (nans | infinities).flatten().nonzero()[:count, 0].tolist()
    found = [tuple(int(i) for i in torch.unravel_index(torch.tensor(at), tensor.shape)) for at in flat]
    return int(nans.sum()), int(infinities.sum()), found
