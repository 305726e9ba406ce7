"""Which mistake explains numbers that can't be computed again: the formula whose rounding bound holds them all.

Of saved gradients there is one set, on real data. The named wrong formula then fits and does not equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from time import perf_counter

import torch

from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import ROUNDOFF, Arithmetic, Sums, partial_sums, term_counts
from convgrad_cli.verdict.faults import Asked, Hypothesis, factor_of, pairs, singles
from convgrad_cli.verdict.layers import MOST
from convgrad_cli.verdict.wrong_results import factors

SECONDS = 40.0
NOTHING = 1e-12  # of the largest element: two ways to add up the same terms in float64
FEW = 4  # elements: with fewer, some factor always fits
LOOSE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.1}


def fitting(asked: Asked, name: str, declared: Arithmetic) -> list[Hypothesis]:
    """What the tensor `name` is up to the rounding of the `declared` arithmetic: one mistake, else two."""
    begun = perf_counter()
    # Of magnitudes a formula makes sum|t|, and of ones the number of its terms.
    three = (asked, *(replace(asked, operands=asked.operands.map(of)) for of in (torch.abs, torch.ones_like)))
    steps = (singles, pairs) if asked.spec.macs <= MOST else (singles,)
    for candidates in (step(asked, name) for step in steps):
        found: list[Hypothesis] = []
        for keys, tensor in candidates:
            if perf_counter() - begun > SECONDS:
                break
            found += [guess for guess in _guesses(asked, name, keys, tensor) if _holds(three, name, guess, declared)]
        if found:
            return found
    return []


def _guesses(asked: Asked, name: str, keys: tuple[str, ...], found: Tensor | None) -> Iterator[Hypothesis]:
    """The candidate, and it times a constant factor, as far as the largest element leaves them possible."""
    actual, loose = asked.actual[name], LOOSE[asked.operands.input.dtype]
    if found is None or found.shape != actual.shape:
        return
    if keys and float((found - asked.right[name]).abs().max()) <= NOTHING * float(found.abs().max()):
        return  # what changes nothing on this layer explains nothing
    at = int(actual.flatten().nan_to_num().abs().argmax())
    peak, here = float(actual.flatten()[at]), float(found.flatten()[at])
    if not here or not peak or not isfinite(peak) or not isfinite(here):
        return
    ratio = peak / here
    known = {label: n for label, (n, _) in factors(asked.spec).items() if abs(n) != 1 or label == "-1"}
    labels = [label for label, n in known.items() if abs(n / ratio - 1) < loose]
    yield from (Hypothesis(keys, label) for label in ([""] if abs(ratio - 1) < loose else []) + labels)
    if not keys and not labels and actual.numel() >= FEW:
        yield Hypothesis(keys, repr(float((actual * found).sum() / (found * found).sum())))


def _holds(three: Sequence[Asked], name: str, guess: Hypothesis, declared: Arithmetic) -> bool:
    """Whether every element is within the rounding bound of the wrong formula; `three`: also of |numbers| and ones."""
    asked, (exact, size, terms) = three[0], (guess.predict(one, name) for one in three)
    if exact is None or size is None or terms is None:
        return False
    dtype, size = asked.operands.input.dtype, size.abs()
    plain = abs(factor_of(asked.spec, guess.factor)) if guess.factor else 1.0
    right = term_counts(asked.spec, name).reshape(-1)
    right = right.repeat(terms.numel() // len(right)).view(terms.shape)
    sums = Sums(torch.maximum(terms.abs() / plain, right), partial_sums(asked.spec, name), name != "bias")
    bound = declared.bound(sums, dtype).at(size, exact)
    # A factor may be applied to each term; the formula itself was computed in float64.
    bound = bound + (2 * ROUNDOFF[dtype] * bool(guess.factor) + ROUNDOFF[torch.float64] * sums.terms) * size
    return bool(((asked.actual[name] - exact).abs() <= bound).all())
