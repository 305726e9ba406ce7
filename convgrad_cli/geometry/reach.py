"""Where an entry goes: the elements that one entry of an operand has a part in.

Entries of x, w and y meet in threes. The formula of an entry's own gradient (`derivation.py`) lists the other two of
each meeting, so it is read in both directions: x[i] has a part in the outputs y and in the gradients of the w that it
meets there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Factor, Formula, Product
from convgrad_cli.geometry.spec import ConvSpec, Sizes

# The gradient whose formula lists what an entry meets, and the tensors that each of its factors stands for.
OWN = {"input": "input", "weight": "weight", "grad_output": "output"}
REACHED = {
    "input": {"g": "output", "w": "weight"},
    "weight": {"g": "output", "x": "input"},
    "grad_output": {"w": "weight", "x": "input"},
}


@dataclass(frozen=True)
class Reach:
    """The elements of `tensor` ("output", "weight", ...: its gradient) that an entry reaches, and `of` how many.

    They are all combinations of the indices in `places`, one an axis. `met` pairs the first of them with the entry that
    the given one is multiplied with there, as (operand, index) in the letters of expressions; None where with none.
    """

    tensor: str
    places: tuple[Sizes, ...]
    of: int
    met: tuple[tuple[Sizes, tuple[str, Sizes] | None], ...]

    @property
    def count(self) -> int:
        return prod(map(len, self.places))


def reach(spec: ConvSpec, operand: str, index: Sequence[int], *, listed: int = 2) -> tuple[Reach, ...]:
    """What the entry of `operand` ("input", "weight", "bias" or "grad_output") at `index` reaches, tensor by tensor.

    A tensor that it does not reach is left out; the first `listed` elements of the others come with what they meet.
    """
    lead = len(spec.batch_shape)
    if operand == "bias":
        places = (*(tuple(range(n)) for n in spec.output_shape),)
        places = (*places[:lead], (index[0],), *places[lead + 1 :])
        return (Reach("output", places, prod(spec.output_shape), ((tuple(p[0] for p in places), None),)),)
    found = formula(spec, OWN[operand], index)
    sums = Formula(tuple(product for product in found.products if product.factors[0].operand != "b"))
    reached = [_reach(spec, sums, letter, tensor, listed) for letter, tensor in REACHED[operand].items()]
    if operand == "grad_output" and spec.bias:
        reached.append(Reach("bias", ((index[lead],),), spec.out_channels, (((index[lead],), None),)))
    return tuple(one for one in reached if one.count)


def _reach(spec: ConvSpec, sums: Formula, letter: str, tensor: str, listed: int) -> Reach:
    """The entries called `letter` in the products, which are those of each axis in all combinations."""
    factors = [factor for product in sums.products for factor in product.factors if _plain(factor) == letter]
    dimensions = len(spec.shape_of(tensor))
    places = tuple(
        tuple(sorted({at for factor in factors for at in _indices(spec, factor, axis)})) for axis in range(dimensions)
    )
    return Reach(tensor, places if factors else ((),), prod(spec.shape_of(tensor)), _met(spec, sums, letter, listed))


def _met(spec: ConvSpec, sums: Formula, letter: str, listed: int) -> tuple[tuple[Sizes, tuple[str, Sizes] | None], ...]:
    pairs: list[tuple[Sizes, tuple[str, Sizes] | None]] = []
    for product, number in _first(sums.products, listed):
        own, other = product.factors if _plain(product.factors[0]) == letter else product.factors[::-1]
        here, there = (factor.entry(number) for factor in (own, other))
        element = tuple(_source(spec, own, axis, at) for axis, at in enumerate(here))
        pairs.append((element, (other.operand, there)))
    return tuple(pairs)


def _first(products: Sequence[Product], count: int) -> Iterator[tuple[Product, int]]:
    for product in products:
        for number in range(min(count, product.count)):
            yield product, number
        count -= min(count, product.count)


def _indices(spec: ConvSpec, factor: Factor, axis: int) -> Iterator[int]:
    part = factor.index[axis]
    for at in part if isinstance(part, Span) else (part,):
        yield _source(spec, factor, axis, at)


def _source(spec: ConvSpec, factor: Factor, axis: int, at: int) -> int:
    """The index on an axis of the operand itself, where the factor is its padded copy."""
    spatial = axis - len(factor.index) + spec.dims
    if factor.operand != "xp" or spatial < 0:
        return at
    source: int = spec.border_source(spatial, at - spec.padding[spatial][0])
    return source


def _plain(factor: Factor) -> str:
    return "x" if factor.operand == LETTERS["padded_input"] else factor.operand
