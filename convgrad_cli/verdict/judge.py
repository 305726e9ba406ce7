"""Whether two routes to the same tensor agree, element by element, within the bound of a correct computation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import direct_bound, term_counts


@dataclass(frozen=True)
class Judgement:
    """Per element of one tensor, in float64: the difference of two routes and the bound D1 on it."""

    difference: Tensor
    bound: Tensor

    @property
    def agreeing(self) -> int:
        return int((self.difference <= self.bound).sum())

    @property
    def ratio(self) -> Tensor:
        """The difference in units of its bound; 0 where there is none, infinite or NaN where nothing explains it."""
        return torch.where(self.difference == 0, 0.0, self.difference / self.bound)


def judge(
    spec: ConvSpec,
    operand: str,
    actual: Tensor,
    expected: Tensor,
    magnitude: Tensor,
    arithmetic: str = "direct",
) -> Judgement:
    """Compare `actual`, in its own dtype, with `expected` and `magnitude` (the sum of |terms|), both float64."""
    return compare(
        actual, expected, direct_bound(term_counts(spec, operand), magnitude, expected, actual.dtype, arithmetic)
    )


def compare(actual: Tensor, expected: Tensor, bound: Tensor) -> Judgement:
    """The differences of `actual`, in its own dtype, from `expected`, beside the `bound` on them.

    Non-finite numbers agree with their like only: NaN with NaN, an infinity with the same one, or with a finite value
    that a correct computation may already round past the largest number of the dtype.
    """
    bound = torch.where(bound.isfinite(), bound, 0.0)
    wide = actual.double()
    difference = (wide - expected).abs()
    overflow = wide.isinf() & (wide.sign() == expected.sign())
    overflow &= expected.abs() + bound >= torch.finfo(actual.dtype).max
    same = (wide == expected) | (wide.isnan() & expected.isnan()) | overflow
    return Judgement(torch.where(same, 0.0, difference), bound)
