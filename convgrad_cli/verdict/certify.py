"""Which elements of a computed tensor are proved right or wrong under an arithmetic, on the real data.

With E the error of the reference and B the bound of the arithmetic, an element is right if error + E <= B and wrong if
error - E > B; in between it is computed again without any rounding. B needs S = sum|t|, which costs as much as the
tensor itself; but S is at least |exact|, and at least any part of itself, which is enough for nearly all elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, log2

import numpy
import torch

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import terms
from convgrad_cli.tensors.index import index_at
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import BITS, Arithmetic, Bound, Sums, arithmetics_of, partial_sums, term_counts
from convgrad_cli.verdict.reference import Reference, exact_element, magnitudes, part_of_magnitude

TERMS = (4, 256)  # of an element that are added up to see whether they are enough, first few and then more, ...
AT_ONCE = 2**14  # ... but as many as this of all elements together, which take hardly longer than one
FEW = 128  # elements whose terms are added up one by one; for more the whole magnitude is cheaper
BLOCK = 2**17  # elements looked at together, so that they stay in the processor's cache


@dataclass(frozen=True)
class At:
    """One element: its error, the bound on it, and the effective bits (log2 S - log2 error, at most the dtype's)."""

    index: tuple[int, ...]
    error: float
    bound: float
    bits: float

    @property
    def ratio(self) -> float:
        """The error in units of its bound; infinite where it is no number."""
        if self.error == 0:
            return 0.0
        return self.error / self.bound if self.error < float("inf") and self.bound > 0 else float("inf")


class Certificate:
    """One tensor of one call beside its exact values; magnitudes are found as far as they are needed.

    `actual` is judged as a tensor of the operands' dtype, whatever dtype it came in.
    """

    def __init__(self, spec: ConvSpec, operands: Operands, operand: str, actual: Tensor, reference: Reference) -> None:
        self.spec, self.operands, self.operand = spec, operands, operand
        self.actual, self.reference, self.exact = actual, reference, reference.value
        self.dtype = operands.input.dtype
        self._wrong: dict[str, Tensor] = {}
        self._bounds: dict[str, Bound] = {}
        self._candidates = torch.zeros(0, dtype=torch.long)  # for the largest error: one of each block
        self._whole = None if reference.magnitude is None else reference.magnitude.flatten()
        self._terms = term_counts(spec, operand).flatten()  # they repeat along the tensor
        low = None if reference.low is None else reference.low.flatten()
        self._flat = (actual.flatten(), self.exact.flatten(), low)

    def wrong(self, arithmetic: Arithmetic) -> Tensor:
        """The flat indices of the elements that are proved wrong."""
        if arithmetic.name not in self._wrong:
            self._wrong[arithmetic.name] = self._find_wrong(arithmetic)
        return self._wrong[arithmetic.name]

    def mask(self, arithmetic: Arithmetic) -> Tensor:
        """The same as a tensor of booleans in the tensor's shape."""
        found = torch.zeros(self.exact.numel(), dtype=torch.bool)
        found[self.wrong(arithmetic)] = True
        return found.view(self.exact.shape)

    def narrowest(self) -> str:
        """The first arithmetic under which no element is wrong; "" if there is none."""
        for arithmetic in arithmetics_of(self.dtype):
            # Sums are hardly ever rounded once, which the first elements tell.
            if arithmetic.name == "exact" and any(len(found) for found, _ in self._blocks(arithmetic, 1, BLOCK // 64)):
                continue
            if not len(self.wrong(arithmetic)):
                return arithmetic.name
        return ""

    def worst(self, arithmetic: Arithmetic, count: int) -> list[At]:
        """The wrong elements that are farthest beyond their bounds; where none is, those with the largest errors."""
        wrong = self.wrong(arithmetic)
        if len(wrong) or self.reference.magnitude is not None:
            chosen = wrong if len(wrong) else torch.arange(self.exact.numel())
            order = self._error(chosen) / self._bound_at(arithmetic, chosen, self._magnitudes(chosen))
            # What is no number is wrong, or else it is 0 / 0 or an infinity that is right.
            order = order.nan_to_num(nan=float("inf")) if len(wrong) else order.nan_to_num(nan=0.0, posinf=0.0)
            chosen = chosen[_largest(order, count)]
        else:
            chosen = self._largest_errors(count)
        return [self.at(arithmetic, int(flat)) for flat in chosen]

    def at(self, arithmetic: Arithmetic, flat: int) -> At:
        """The element at flat index `flat`, at the cost of its own terms."""
        one = torch.tensor([flat])
        size = self._magnitudes(one)
        error, bound = float(self._error(one)), float(self._bound_at(arithmetic, one, size))
        if not isfinite(error) and bool(self._overflows(one, torch.tensor([bound]))):
            error = 0.0
        bits = float(BITS[self.dtype])
        if error != 0:
            bits = 0.0 if not 0 < error < float("inf") else min(bits, log2(float(size) or error) - log2(error))
        return At(self._index(flat), error, bound, max(0.0, bits))

    @property
    def is_zero(self) -> bool:
        """Whether every element is exactly 0."""
        return not any(bool(block.any()) for block in torch.split(self._flat[1], BLOCK // 64))

    def error_of(self, where: tuple[slice, ...]) -> Tensor:
        """|actual - exact| in float64, of the elements in a part of the tensor."""
        low = self.reference.low
        return _distance(self.actual[where], self.exact[where], None if low is None else low[where])

    def _largest_errors(self, count: int) -> Tensor:
        """Flat indices of the largest errors where none is wrong, a block at a time: an infinity is then right."""
        actual, exact, low = self._flat
        if count == 1 and len(self._candidates):
            error = self._error(self._candidates)
            if bool(error.isfinite().all()):
                return self._candidates[_largest(error, 1)]
        sizes, places = [], []
        for top in range(0, len(exact), BLOCK):
            here = slice(top, top + BLOCK)
            error = _distance(actual[here], exact[here], None if low is None else low[here])
            largest = _largest(error.nan_to_num_(nan=0.0, posinf=0.0), count)
            sizes.append(error[largest])
            places.append(largest + top)
        return torch.cat(places)[_largest(torch.cat(sizes), count)]

    def _find_wrong(self, arithmetic: Arithmetic) -> Tensor:
        beyond, largest = zip(*self._blocks(arithmetic, -1), strict=True)
        found, self._candidates, added = torch.cat(beyond), torch.tensor(largest), 0
        for least in TERMS:
            count = min(TERMS[-1], max(least, AT_ONCE // max(1, len(found))))
            # For more the whole magnitude is cheaper.
            if self._whole is None and added < count and 0 < count * len(found) <= self.exact.numel():
                part = part_of_magnitude(self.spec, self.operands, self.operand, found, count)
                found, added = found[self._beyond(arithmetic, found, part, -1)], count
        if not len(found):
            return found
        sizes = self._magnitudes(found)
        undecided = self._beyond(arithmetic, found, sizes, -1)
        if not bool(undecided.any()):
            return found[:0]
        found, sizes = found[undecided], sizes[undecided]
        wrong = self._beyond(arithmetic, found, sizes, 1)
        for place in (~wrong).nonzero().flatten().tolist():
            wrong[place] = self._is_wrong(int(found[place]), arithmetic)
        return found[wrong]

    def _blocks(self, arithmetic: Arithmetic, sign: int, block: int = BLOCK) -> Iterator[tuple[Tensor, int]]:
        """Flat indices, block by block, of elements beyond their bounds as far as |exact| alone gives them.

        With sign -1 some may be among them that are within. And that of the largest error, as near as float32 tells it.
        """
        actual, exact, low = self._flat
        bound = self._bound(arithmetic)
        factor = bound.magnitude + bound.value + sign * self.reference.roundoff * self._terms
        constant = bound.constant + sign * self.reference.underflow * (self._terms > 0)
        look: Callable[..., tuple[Tensor, Tensor]] = _room
        if sign < 0 and low is None and actual.dtype == torch.float32:
            factor = (factor * (1 - 2.0**-20) - 2.0**-23).float().clamp_(min=0)
            look, constant = _room_in_float32, constant[:1]
        # Whole repetitions of the counts of terms, and each factor as long as a block: what is broadcast along a few
        # entries at a time takes several times as long.
        size = max(1, min(block, len(exact)) // len(self._terms)) * len(self._terms)
        factor, constant = (
            part if len(part) == 1 else part.repeat(size // len(self._terms)) for part in (factor, constant)
        )
        for top in range(0, len(exact), size):
            here = slice(top, top + size)
            count = len(exact[here])
            off = None if low is None else low[here]
            room, error = look(actual[here], exact[here], off, factor[:count], constant[:count])
            # NumPy takes a third of the time of torch for these steps. What is no number is beyond.
            found = numpy.flatnonzero(~(room.numpy() >= 0))
            yield torch.from_numpy(found + top), int(error.numpy().argmax()) + top

    def _beyond(self, arithmetic: Arithmetic, flat: Tensor, size: Tensor, sign: int) -> Tensor:
        """Which elements are beyond their bounds, less or plus what the reference may be off; `size`: at most S."""
        exact = self._flat[1][flat]
        size = torch.maximum(size, exact.abs())
        bound = self._bound(arithmetic).select(flat).at(size, exact)
        terms = self._terms[flat % len(self._terms)]
        off = self.reference.roundoff * terms * size + self.reference.underflow * (terms > 0)  # a sum of nothing is 0
        allowed = bound + sign * off
        beyond = ~(self._error(flat) <= allowed)
        some = beyond.nonzero().flatten()
        beyond[some] = ~self._overflows(flat[some], bound[some])
        return beyond

    def _bound(self, arithmetic: Arithmetic) -> Bound:
        if arithmetic.name not in self._bounds:
            sums = Sums(self._terms, partial_sums(self.spec, self.operand), self.operand != "bias")
            self._bounds[arithmetic.name] = arithmetic.bound(sums, self.dtype)
        return self._bounds[arithmetic.name]

    def _magnitudes(self, flat: Tensor) -> Tensor:
        if self._whole is None and len(flat) <= FEW:
            letters = self.operands.letters(self.spec)
            found = [formula(self.spec, self.operand, self._index(int(i))) for i in flat]
            return torch.tensor([float(terms(one, letters).abs().sum()) for one in found], dtype=torch.float64)
        if self._whole is None:
            self._whole = magnitudes(self.spec, self.operands, (self.operand,))[self.operand].flatten()
        return self._whole[flat]

    def _bound_at(self, arithmetic: Arithmetic, flat: Tensor, size: Tensor) -> Tensor:
        return self._bound(arithmetic).select(flat).at(size, self._flat[1][flat])

    def _error(self, flat: Tensor) -> Tensor:
        actual, exact, low = self._flat
        return _distance(actual[flat], exact[flat], None if low is None else low[flat])

    def _overflows(self, flat: Tensor, bound: Tensor) -> Tensor:
        """Where an infinity is right: a correct computation may round the value past the largest number."""
        actual, exact = self._flat[0][flat].double(), self._flat[1][flat]
        same = actual.isinf() & (actual.sign() == exact.sign())
        return same & (exact.abs() + bound >= torch.finfo(self.dtype).max)

    def _is_wrong(self, flat: int, arithmetic: Arithmetic) -> bool:
        """Settled without any rounding."""
        index, letters = self._index(flat), self.operands.letters(self.spec)
        exact = exact_element(self.spec, letters, self.operand, index)
        size = exact_element(self.spec, {k: t.abs() for k, t in letters.items()}, self.operand, index)
        one = (torch.tensor([float(number)], dtype=torch.float64) for number in (size, exact))
        bound = Fraction(float(self._bound(arithmetic).select(torch.tensor([flat])).at(*one)))
        return abs(Fraction(float(self.actual[index])) - exact) > bound

    def _index(self, flat: int) -> tuple[int, ...]:
        return index_at(flat, self.exact.shape)


def _largest(sizes: Tensor, count: int) -> Tensor:
    # The largest alone is found ten times as fast, by NumPy.
    return torch.tensor([sizes.numpy().argmax()]) if count == 1 else sizes.topk(min(count, len(sizes))).indices


def _distance(actual: Tensor, exact: Tensor, low: Tensor | None) -> Tensor:
    error = actual - exact  # in float64, whatever `actual` is
    return (error if low is None else error.sub_(low)).abs_()


def _room(actual: Tensor, exact: Tensor, low: Tensor | None, factor: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    """How far |actual - exact| is within factor * |exact| + constant, where less than 0 is beyond; and that error."""
    error = _distance(actual, exact, low)
    return exact.abs().mul_(factor).add_(constant).sub_(error), error


def _room_in_float32(
    actual: Tensor, exact: Tensor, low: None, factor: Tensor, constant: Tensor
) -> tuple[Tensor, Tensor]:
    """The same in half the time, with a `factor` that leaves room for rounding `exact` and for what is computed here.

    Where `exact` is so small that rounding it is no longer a matter of its last bits, the constant left out is larger.
    """
    near = exact.float()
    error = (actual - near).abs_()
    return near.abs_().mul_(factor).sub_(error), error
