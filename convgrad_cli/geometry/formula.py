"""One element of an output or a gradient as executable slice sums: text, highlight and arithmetic from one object.

A Formula is a sum of Products, a Product a multiply-add of Factors, a Factor one operand at one slice. `str()` is
Python that evaluates to the element in the namespace {x, w, b, g} of torch tensors (plus `xp`, the padded input, for a
padding mode other than zeros). The letters are those of textbooks: y = conv(x, w) + b, and g = dL/dy. For gradients of
gradients there are ggx, ggw and ggb as well (and ggxp): see `derivation.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product as every
from math import prod

from convgrad_cli.geometry.axis import Span, Whole

Index = tuple[int | Span, ...]

LETTERS = {"input": "x", "weight": "w", "bias": "b", "output": "y", "grad_output": "g", "padded_input": "xp"}
COTANGENTS = {"x": "ggx", "xp": "ggxp", "w": "ggw", "b": "ggb"}
"""Of the gradient of each letter; PyTorch's double backward calls them ggI, ggW and ggb."""
LETTERS |= {
    "grad_grad_input": "ggx",
    "padded_grad_grad_input": "ggxp",
    "grad_grad_weight": "ggw",
    "grad_grad_bias": "ggb",
}


@dataclass(frozen=True, slots=True)
class Factor:
    """The operand `operand` at `index`; `flip` counts the dimensions of the slice that run backwards."""

    operand: str
    index: Index
    flip: tuple[int, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(part for part in self.index if isinstance(part, Span))

    def entries(self) -> Iterator[tuple[int, ...]]:
        """The index of every entry, in the order in which a product meets them."""
        runs: list[range] = []
        dimension = 0
        for part in self.index:
            if isinstance(part, Span):
                runs.append(part.indices[::-1] if dimension in self.flip else part.indices)
                dimension += 1
            else:
                runs.append(range(part, part + 1))
        return every(*runs)

    def entry(self, number: int) -> tuple[int, ...]:
        """The index of one entry, counted in that order."""
        found: list[int] = []
        dimension = len(self.spans)
        for part in reversed(self.index):
            if isinstance(part, Span):
                dimension -= 1
                number, at = divmod(number, part.count)
                found.append(part.indices[-1 - at if dimension in self.flip else at])
            else:
                found.append(part)
        return tuple(reversed(found))

    def __str__(self) -> str:
        shown = list(self.index)
        while isinstance(shown[-1], Whole):
            shown.pop()
        flipped = f".flip({','.join(map(str, self.flip))})" if self.flip else ""
        return f"{self.operand}[{','.join(map(str, shown))}]{flipped}"


@dataclass(frozen=True, slots=True)
class Product:
    """Slices of equal shape, multiplied entry by entry and added up.

    `ones` are factors that are left out of the text, since each of their entries is 1.
    """

    factors: tuple[Factor, ...]
    ones: tuple[Factor, ...] = ()

    @property
    def count(self) -> int:
        """The number of terms."""
        return prod(span.count for span in self.factors[0].spans)

    def terms(self) -> Iterator[tuple[tuple[int, ...], ...]]:
        """Term by term, the index into each factor's operand."""
        return zip(*(factor.entries() for factor in self.factors), strict=True)

    def __str__(self) -> str:
        text = " * ".join(map(str, self.factors))
        if not self.factors[0].spans:
            return text
        return f"({text}).sum()" if len(self.factors) > 1 else f"{text}.sum()"


@dataclass(frozen=True, slots=True)
class Formula:
    """A sum of products. Without any, the element is 0 and `reason` says why nothing meets it."""

    products: tuple[Product, ...]
    reason: str = ""

    @property
    def count(self) -> int:
        """The number of terms."""
        return sum(product.count for product in self.products)

    def terms(self) -> Iterator[tuple[tuple[str, tuple[int, ...]], ...]]:
        """Every term as (operand, index) pairs to be multiplied."""
        for product in self.products:
            operands = [factor.operand for factor in product.factors]
            for indices in product.terms():
                yield tuple(zip(operands, indices, strict=True))

    def term(self, number: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """One of `terms`, at once."""
        for product in self.products:
            if number < product.count:
                return tuple((factor.operand, factor.entry(number)) for factor in product.factors)
            number -= product.count
        raise IndexError(number)

    def __str__(self) -> str:
        return " + ".join(map(str, self.products)) or "0"
