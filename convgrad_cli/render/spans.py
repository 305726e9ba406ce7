"""Formulas as compact data for a page: which parts of which operands an element is made of.

A part of an index is [text, start, count, step]; a factor is [letter, dimensions that run backwards, part, part, ...],
its parts told by their numbers in the pool. An element is a list of products, each a list of numbers of factors, with
those that are all ones in a list of their own at the end; where nothing meets it, its reason stands at the end.
Nothing here or on the page computes where anything lies.
"""

from __future__ import annotations

from typing import Any

from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.formula import Factor, Formula


class Coder:
    """Formulas coded with one pool of factors, which many elements share, and one of parts."""

    def __init__(self) -> None:
        self._factors: dict[Factor, int] = {}
        self._parts: dict[tuple[str, int, int, int], int] = {}

    def coded(self, formula: Formula) -> list[Any]:
        products: list[Any] = []
        for product in formula.products:
            factors, ones = ([self._factor(factor) for factor in some] for some in (product.factors, product.ones))
            products.append([*factors, ones] if ones else factors)
        return [*products, formula.reason] if formula.reason else products

    @property
    def pools(self) -> dict[str, list[Any]]:
        """What the numbers in products and factors stand for."""
        factors = [[factor.operand, factor.flip, *map(self._number, factor.index)] for factor in self._factors]
        return {"factors": factors, "parts": list(self._parts)}

    def _factor(self, factor: Factor) -> int:
        return self._factors.setdefault(factor, len(self._factors))

    def _number(self, part: int | Span) -> int:
        known = (str(part), part.start, part.count, part.step) if isinstance(part, Span) else (str(part), part, 1, 1)
        return self._parts.setdefault(known, len(self._parts))
