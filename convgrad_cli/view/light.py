"""What lights up: the entries of every tensor that an element is made of, read from the spans of its formula."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from itertools import product as every
from math import prod

from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.formula import LETTERS, Factor
from convgrad_cli.report import Element, Step

Index = tuple[int, ...]
Runs = tuple[range, ...]
TENSORS = {letter: name for name, letter in LETTERS.items()}


@dataclass(frozen=True)
class Light:
    """The lit blocks of each tensor, by its name: for every axis the indices that a block holds."""

    blocks: Mapping[str, Sequence[Runs]]

    def holds(self, tensor: str, index: Index) -> bool:
        return any(all(i in run for i, run in zip(index, block, strict=True)) for block in self.blocks.get(tensor, ()))

    def leads(self, tensor: str, count: int) -> int:
        """How many matrices of `tensor`, whose index has `count` parts, hold something that is lit."""
        return sum(prod(map(len, lead)) for lead in {block[:count] for block in self.blocks.get(tensor, ())})

    def lead(self, tensor: str, count: int, number: int) -> Index | None:
        """The index of one of these matrices; the first follows the last."""
        total = self.leads(tensor, count)
        if not total:
            return None
        distinct = dict.fromkeys(block[:count] for block in self.blocks[tensor])
        found: Iterator[Index] = (lead for runs in distinct for lead in every(*runs))
        return next(islice(found, number % total, None))

    def reach(self, tensor: str, lead: Index) -> Runs | None:
        """The rows and columns of the first block in the matrix at `lead`."""
        for block in self.blocks.get(tensor, ()):
            if all(i in run for i, run in zip(lead, block, strict=False)):
                return block[len(lead) :]
        return None


def light_of(element: Element) -> Light:
    """What an element is made of."""
    return light(factor for product in element.formula.products for factor in (*product.factors, *product.ones))


def light(factors: Iterable[Factor]) -> Light:
    """The light of factors on their own operands."""
    blocks: dict[str, list[Runs]] = {}
    for factor in factors:
        blocks.setdefault(TENSORS[factor.operand], []).append(_runs(factor))
    return Light(blocks)


def written_to(step: Step) -> Light:
    """The entries that a step adds to."""
    return Light({step.tensor: [_runs(factor) for factor in step.writes]})


def light_at(tensor: str, index: Index) -> Light:
    """A single entry."""
    return Light({tensor: [tuple(range(i, i + 1) for i in index)]})


def _runs(factor: Factor) -> Runs:
    return tuple(part.indices if isinstance(part, Span) else range(part, part + 1) for part in factor.index)
