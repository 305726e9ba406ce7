"""Which elements of a computed tensor are proved right or wrong under an arithmetic, on the real data.

With E the error of the reference and B the bound of the arithmetic, an element is right if error + E <= B and wrong if
error - E > B; in between it is computed again without any rounding. B needs S = sum|t|, which costs as much as the
tensor itself; but S is at least |exact|, and at least any part of itself, which is enough for nearly all elements.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import log2

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import BITS, Arithmetic, Sums, arithmetics_of, partial_sums, term_counts
from convgrad_cli.verdict.reference import exact_element, magnitude, part_of_magnitude, reference

CHEAP = 10**7  # multiply-adds up to which every magnitude is there at once


class Certificate:
    """One tensor of one call beside its exact values; magnitudes are found as far as they are needed.

    `error` is |actual - exact| in float64, infinite or NaN where `actual` is and the exact value is not. `actual` is
    judged as a tensor of the operands' dtype, whatever dtype it came in.
    """

    def __init__(
        self,
        spec: ConvSpec,
        operands: Operands,
        operand: str,
        actual: Tensor,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.spec, self.operands, self.operand, self.actual = spec, operands, operand, actual
        self.dtype = operands.input.dtype
        self.terms = term_counts(spec, operand)
        self.reference = reference(spec, operands, operand, progress)
        self.exact = self.reference.value
        self.error = self.reference.error_of(actual)
        self._least = self.exact.abs()
        self._refinements = [self._whole] if spec.macs <= CHEAP else [self._part, self._whole]

    def bound(self, arithmetic: Arithmetic) -> Tensor:
        """The bound on each error; where the magnitude was never needed, less than that."""
        products = self.operand != "bias"
        sums = Sums(self.terms, self._least, self.exact, partial_sums(self.spec, self.operand), products)
        return arithmetic.bound(sums, self.dtype)

    def wrong(self, arithmetic: Arithmetic) -> Tensor:
        """Which elements are proved wrong, in the tensor's shape."""
        self._refine(arithmetic)
        wrong = self._beyond(arithmetic, 1)
        undecided = self._beyond(arithmetic, -1) & ~wrong
        for index in undecided.nonzero().tolist():
            wrong[tuple(index)] = self._is_wrong(tuple(index), arithmetic)
        return wrong

    def narrowest(self) -> str:
        """The first arithmetic whose bound every error keeps to, as far as the reference can tell; "" if none."""
        for arithmetic in arithmetics_of(self.dtype):
            # The bound of correct rounding does not depend on magnitudes.
            if arithmetic.name != "exact":
                self._refine(arithmetic)
            if not bool(self._beyond(arithmetic, 1).any()):
                return arithmetic.name
        return ""

    def ratio(self, arithmetic: Arithmetic) -> Tensor:
        """The errors in units of their bounds, or more where a magnitude was never needed; NaN counts as infinite."""
        error = torch.where(self._overflows(self.bound(arithmetic)), 0.0, self.error)
        return torch.where(error == 0, 0.0, error / self.bound(arithmetic)).nan_to_num(nan=float("inf"))

    def bits(self, index: tuple[int, ...]) -> float:
        """Effective bits of one element: log2 S - log2 error, no more than the dtype has."""
        error, size = float(self.error[index]), float(self._magnitude_at(index))
        if error == 0 or size == 0:
            return float(BITS[self.dtype]) if error == 0 else 0.0
        return max(0.0, min(float(BITS[self.dtype]), log2(size) - log2(error))) if error < float("inf") else 0.0

    def _refine(self, arithmetic: Arithmetic) -> None:
        """Finds magnitudes until no error could be within its bound for want of them."""
        while self._refinements and bool(self._beyond(arithmetic, -1).any()):
            self._refinements.pop(0)()

    def _beyond(self, arithmetic: Arithmetic, sign: int) -> Tensor:
        """Where the error is beyond the bound less (sign -1) or plus (sign 1) what the reference may be off."""
        bound = self.bound(arithmetic)
        allowed = bound + sign * self.reference.roundoff * self.terms * self._least
        return ~((self.error <= allowed) | self._overflows(bound))

    def _overflows(self, bound: Tensor) -> Tensor:
        """Where an infinity is right: a correct computation may round the value past the largest number."""
        if bool(self.actual.isfinite().all()):
            return torch.zeros(self.actual.shape, dtype=torch.bool)
        same = self.actual.isinf() & (self.actual.double().sign() == self.exact.sign())
        return same & (self.exact.abs() + bound >= torch.finfo(self.dtype).max)

    def _part(self) -> None:
        part = part_of_magnitude(self.spec, self.operands, self.operand)
        if part is not None:
            self._least = torch.maximum(self._least, part)

    def _whole(self) -> None:
        self._least = magnitude(self.spec, self.operands, self.operand)

    def _magnitude_at(self, index: tuple[int, ...]) -> Fraction:
        letters = {name: tensor.abs() for name, tensor in self.operands.letters(self.spec).items()}
        return exact_element(self.spec, letters, self.operand, index)

    def _is_wrong(self, index: tuple[int, ...], arithmetic: Arithmetic) -> bool:
        exact = exact_element(self.spec, self.operands.letters(self.spec), self.operand, index)
        one = torch.tensor([float(self._magnitude_at(index))], dtype=torch.float64)
        terms = self.terms.expand(self.actual.shape)[index]
        sums = Sums(
            terms, one, torch.tensor([float(exact)], dtype=torch.float64), partial_sums(self.spec, self.operand)
        )
        bound = Fraction(float(arithmetic.bound(sums, self.dtype)))
        return abs(Fraction(float(self.actual[index])) - exact) > bound
