"""`explain --play`: a layer as its kernel goes over it, one placement after another, forward and backward.

A placement is one formula (that of y, or of x.grad where the layer is transposed): which taps meet which positions. It
is read three times. Gather: the products of both are added into the entry of the placement. Scatter: that entry times
the taps is added where the positions are. And the entry times the positions is added where the taps are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product as every
from math import prod

from convgrad_cli.geometry.axis import whole
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Factor, Formula
from convgrad_cli.geometry.passes import placed_on, require_playable
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.report import Report, Step
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.tensors.problem import Problem, make_operands

Index = tuple[int, ...]


def played(problem: Problem, report: Report) -> Report:
    """`report`, which is that of `inspect`, with the steps of every pass. Raises SpecError where they are too many."""
    require_playable(problem.spec)
    return replace(report, command="explain", steps=tuple(_Passes(problem.spec, make_operands(problem)).steps()))


class _Passes:
    """The steps of all passes: y, the gradient of x, of w, and of b."""

    def __init__(self, spec: ConvSpec, operands: Operands) -> None:
        self._spec, self._letters = spec, operands.letters(spec)
        self._sums: dict[Index, float] = {}

    def steps(self) -> Iterator[Step]:
        spec = self._spec
        gathers, scatters = ("grad_input", "output") if spec.transposed else ("output", "grad_input")
        passes: dict[str, Callable[[str, Index], Step]] = {
            gathers: self._gather,
            scatters: self._scatter,
            "grad_weight": self._weight,
        }
        for tensor in ("output", "grad_input", "grad_weight"):
            self._sums = {}
            if spec.bias and spec.transposed and tensor == "output":
                yield self._bias_first()
            for index in every(*map(range, spec.shape_of(placed_on(spec)))):
                yield passes[tensor](tensor, index)
        if spec.bias:
            self._sums = {}
            yield from (self._bias(index) for index in every(*map(range, spec.output_shape)))

    def _gather(self, tensor: str, index: Index) -> Step:
        found = formula(self._spec, tensor.removeprefix("grad_"), index)
        terms = [term for product in found.products for term in self._terms(product.factors)]
        entry = Factor("y" if tensor == "output" else "x.grad", index)
        reads = tuple(factor for product in found.products for factor in product.factors)
        sums = {index: sum(map(prod, terms))}
        return Step(tensor, index, reads, (entry,), f"{entry} = {found}", tuple(terms), sums, True, found.reason)

    def _scatter(self, tensor: str, index: Index) -> Step:
        found, taps, positions = self._met(index)
        if taps is None or positions is None:
            return Step(tensor, index, (), (), "", (), {}, reason=found.reason)
        one = Factor("x" if self._spec.transposed else "g", index)
        letter = "y" if tensor == "output" else f"{positions.operand}.grad"
        terms = self._terms((one, taps))
        entries = [self._source(entry) for entry in positions.entries()]
        return Step(
            tensor, index, (one, taps, *([positions] if positions.operand == "xp" else [])),
            self._written(positions), f"{Factor(letter, positions.index)} += {one} * {taps}",
            tuple(terms), self._added(entries, terms),
        )  # fmt: skip

    def _weight(self, tensor: str, index: Index) -> Step:
        found, taps, positions = self._met(index)
        if taps is None or positions is None:
            return Step(tensor, index, (), (), "", (), {}, reason=found.reason)
        one = Factor("x" if self._spec.transposed else "g", index)
        into, terms = Factor("w.grad", taps.index), self._terms((one, positions))
        sums = self._added(list(taps.entries()), terms)
        return Step(tensor, index, (one, positions), (into,), f"{into} += {one} * {positions}", tuple(terms), sums)

    def _bias(self, index: Index) -> Step:
        one, channel = Factor("g", index), (index[len(self._spec.batch_shape)],)
        into, terms = Factor("b.grad", channel), self._terms((one,))
        return Step(
            "grad_bias", index, (one,), (into,), f"{into} += {one}", tuple(terms), self._added([channel], terms)
        )

    def _bias_first(self) -> Step:
        """What a transposed convolution spreads its input into: the bias, everywhere."""
        spec = self._spec
        channel = len(spec.batch_shape)
        entries = list(every(*map(range, spec.output_shape)))
        numbers = self._numbers(Factor("b", (whole(spec.out_channels),)))
        into = Factor("y", tuple(map(whole, spec.output_shape)))
        terms: list[tuple[float, ...]] = [(numbers[entry[channel]],) for entry in entries]
        statement = f"y += b.view({','.join(['-1', *['1'] * spec.dims])})"
        reads = (Factor("b", (whole(spec.out_channels),)),)
        return Step("output", (), reads, (into,), statement, tuple(terms), self._added(entries, terms))

    def _met(self, index: Index) -> tuple[Formula, Factor | None, Factor | None]:
        """The taps and the positions that meet at a placement."""
        found = formula(self._spec, placed_on(self._spec), index)
        factors = [factor for product in found.products for factor in product.factors if factor.operand != "b"]
        taps = next((factor for factor in factors if factor.operand == "w"), None)
        return found, taps, next((factor for factor in factors if factor.operand != "w"), None)

    def _numbers(self, factor: Factor) -> list[float]:
        part = tuple(i if isinstance(i, int) else i.as_slice() for i in factor.index)
        values: list[float] = self._letters[factor.operand][part].double().flatten().tolist()
        return values

    def _terms(self, factors: tuple[Factor, ...]) -> list[tuple[float, ...]]:
        """The numbers that are multiplied, entry by entry; a single one is that of every entry."""
        columns = [self._numbers(factor) for factor in factors]
        count = max(map(len, columns))
        return list(zip(*(column * (count // len(column)) for column in columns), strict=True))

    def _added(self, entries: list[Index], terms: list[tuple[float, ...]]) -> dict[Index, float]:
        """What the entries are after their terms; an entry of x that is copied may get several."""
        for entry, term in zip(entries, terms, strict=True):
            self._sums[entry] = self._sums.get(entry, 0.0) + prod(term)
        return {entry: self._sums[entry] for entry in entries}

    def _source(self, entry: Index) -> Index:
        """The entry of x whose value the padded input has at `entry`."""
        spec = self._spec
        if not spec.has_padded_input:
            return entry
        first = len(entry) - spec.dims
        inside = [spec.border_source(a, i - spec.padding[a][0]) for a, i in enumerate(entry[first:])]
        return (*entry[:first], *inside)

    def _written(self, positions: Factor) -> tuple[Factor, ...]:
        """The entries of the tensor on the side of the positions that get a part."""
        if not self._spec.has_padded_input:
            return (positions,)
        return tuple(Factor(LETTERS["input"], entry) for entry in dict.fromkeys(map(self._source, positions.entries())))
