"""Formulas as compact data for a page: which parts of which operands an element is made of.

A part of an index is [text, start, count, step]; a head is [letter, dimensions that run backwards]. Both are pooled,
and a factor is the number of its head and then those of its parts. An element is a list of products, each a list of
factors; where nothing meets it, its reason stands at the end. Nothing here or on the page computes where anything lies.
"""

from __future__ import annotations

from typing import Any

from convgrad_cli.geometry.axis import Span
from convgrad_cli.geometry.formula import Factor, Formula


class Coder:
    """Formulas coded with one pool of heads and one of parts."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, tuple[int, ...]], int] = {}
        self._parts: dict[tuple[str, int, int, int], int] = {}

    def coded(self, formula: Formula) -> list[Any]:
        products: list[Any] = [[self._factor(factor) for factor in product.factors] for product in formula.products]
        return [*products, formula.reason] if formula.reason else products

    @property
    def pools(self) -> dict[str, list[Any]]:
        """What the numbers in the factors stand for."""
        return {"heads": [[letter, list(flip)] for letter, flip in self._heads], "parts": list(map(list, self._parts))}

    def _factor(self, factor: Factor) -> list[int]:
        head = self._heads.setdefault((factor.operand, factor.flip), len(self._heads))
        return [head, *(self._parts.setdefault(_part(part), len(self._parts)) for part in factor.index)]


def _part(part: int | Span) -> tuple[str, int, int, int]:
    if isinstance(part, Span):
        return str(part), part.start, part.count, part.step
    return str(part), part, 1, 1
