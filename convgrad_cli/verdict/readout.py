"""What the code under test really sums: its terms, read out one by one.

A gradient is bilinear: with one entry of an operand 1 and all others 0, and codes in the other operand, each element
answers with the code of the entry that it uses. Two sets of codes tell every entry apart, and its weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import prod
from time import perf_counter

import torch

from convgrad_cli.geometry.axis import Span, whole
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Factor, Formula, Product
from convgrad_cli.geometry.spec import ConvSpec, Sizes
from convgrad_cli.tensors.index import index_at
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import BITS
from convgrad_cli.verdict.faults import Asked, Bench
from convgrad_cli.verdict.mistake import FACTORS

MOST_CALLS = 300
MOST_SECONDS = 12.0
ROUNDED = 1e-4  # of a sum: weights are read to six digits
SIMPLE = 100  # denominators
LISTED = 4  # terms written one by one

Term = tuple[Sizes, ...]  # the entry of each factor
Terms = Mapping[Term, float]  # with the weight of each


@dataclass(frozen=True)
class Recovered:
    """One wrong element of `spec`: the right expression and that of the code, in {x, w, g}, and how they differ."""

    spec: ConvSpec
    operand: str
    index: Sizes
    right: str
    yours: str
    difference: str


class NotRead(Exception):
    """Why the terms cannot be read out."""


def recover(bench: Bench, spec: ConvSpec, name: str) -> Recovered:
    """The wrong element of the tensor `name` that says most. Raises NotRead if its terms stay hidden."""
    asked = bench.ask(spec)
    if asked is None or name not in asked.actual:
        raise NotRead("there is no answer to read")
    found = _terms(bench, spec, name)
    wrong = [tuple(map(int, at)) for at in (asked.actual[name] != asked.right[name]).nonzero()]
    best: tuple[tuple[int, ...], Recovered] | None = None
    for index in wrong[:200]:
        yours, right = found.get(index, {}), _right(spec, name, index)
        if yours == right:
            continue
        folded = fold(spec, name, yours)
        whole = formula(spec, name, index)
        sums = Formula(tuple(product for product in whole.products if product.factors[0].operand != "b"))
        bias = _bias(asked, index, yours) if name == "output" and spec.bias else ""
        told = Recovered(
            spec,
            name,
            index,
            str(whole),
            _text(spec, name, yours, right, sums) + bias,
            _compared(name, yours, right),
        )
        rank = (folded is not None, len(yours) > 1, bool(yours), -len(yours))
        if best is None or rank > best[0]:
            best = rank, told
    if best is None:
        raise NotRead("term by term it is right: what is wrong shows only on full operands")
    if name != "output":
        _require_sum(asked, name, best[1].index, found.get(best[1].index, {}))
    return best[1]


def _require_sum(asked: Asked, name: str, index: Sizes, terms: Terms) -> None:
    """Raise NotRead unless the terms add up to what the code gave on other numbers."""
    parts = _parts(asked, name, terms)
    if not abs(sum(parts) - float(asked.actual[name][index])) <= ROUNDED * max(1.0, sum(map(abs, parts))):
        raise NotRead("they do not add up to what it gives on other numbers: it is not bilinear")


def _parts(asked: Asked, name: str, terms: Terms) -> list[float]:
    """What the terms come to on the numbers that were asked, one by one."""
    tensors = [getattr(asked.operands, operand) for operand in _factors(name)]
    return [
        weight * prod(float(t[entry]) for t, entry in zip(tensors, term, strict=True)) for term, weight in terms.items()
    ]


def _bias(asked: Asked, index: Sizes, terms: Terms) -> str:
    """What the code adds to the terms of an output, if that is its bias; the terms are read out with a bias of 0."""
    assert asked.operands.bias is not None
    channel = index[len(asked.spec.batch_shape)]
    added = float(asked.actual["output"][index]) - sum(_parts(asked, "output", terms))
    return f" + b[{channel}]" if abs(added - float(asked.operands.bias[channel])) < 0.5 else ""


def _right(spec: ConvSpec, name: str, index: Sizes) -> dict[Term, float]:
    """The terms that the element should have; those of the bias and of copies in the border are left aside."""
    found: dict[Term, float] = {}
    for term in formula(spec, name, index).terms():
        entries = dict(term)
        if "b" not in entries:
            key = tuple(entries[LETTERS[operand]] for operand in _factors(name))
            found[key] = found.get(key, 0.0) + 1.0
    return found


def _factors(name: str) -> tuple[str, ...]:
    return tuple(operand for operand in FACTORS[name] if operand != "bias")


def _terms(bench: Bench, spec: ConvSpec, name: str) -> dict[Sizes, dict[Term, float]]:
    """All terms of every element."""
    if spec.has_padded_input:
        raise NotRead(f"padding_mode {spec.padding_mode} copies entries, and a term stands for several")
    if bench.dtype == torch.bfloat16:
        raise NotRead("bfloat16 has too few digits for codes")
    asked = bench.ask(spec)
    assert asked is not None
    factors = _factors(name)
    counts = [prod(spec.shape_of(operand)) for operand in factors]
    picked = min(range(len(factors)), key=counts.__getitem__)
    calls = counts[picked] * (2 if len(factors) > 1 else 1) + 2
    base = asked.operands
    begun = perf_counter()
    zero = _ask(bench, spec, name, base, {factors[picked]: torch.zeros_like(getattr(base, factors[picked]))})
    seconds = (perf_counter() - begun) * calls
    if calls > MOST_CALLS or seconds > MOST_SECONDS:
        raise NotRead(f"it would take {calls:,} calls")
    if bool(zero.any()):
        raise NotRead(f"it does not vanish where {LETTERS[factors[picked]]} is 0: it is not linear in it")
    others = {n: torch.ones_like(getattr(base, n)) for n in ("input", "weight") if n not in factors}
    if others and not torch.equal(_ask(bench, spec, name, base, others), asked.actual[name]):
        raise NotRead(f"it depends on {', '.join(LETTERS[n] for n in others)}, which no right one does")
    if len(factors) == 1:
        return _linear(bench, spec, name, base, factors[0])
    return _bilinear(bench, spec, name, base, factors, picked)


def _ask(bench: Bench, spec: ConvSpec, name: str, base: Operands, changes: Mapping[str, Tensor]) -> Tensor:
    bias = None if base.bias is None else torch.zeros_like(base.bias)
    given = {n: changes.get(n, getattr(base, n)) for n in ("input", "weight", "grad_output")}
    answer = bench.call(spec, Operands(given["input"], given["weight"], bias, given["grad_output"]))
    if answer is None or name not in answer.actual:
        raise NotRead(f"no answer on other numbers: {bench.refused.get(spec, '')}")
    return answer.actual[name]


def _linear(bench: Bench, spec: ConvSpec, name: str, base: Operands, operand: str) -> dict[Sizes, dict[Term, float]]:
    found: dict[Sizes, dict[Term, float]] = {}
    shape = spec.shape_of(operand)
    for flat in range(prod(shape)):
        actual = _ask(bench, spec, name, base, {operand: _one_hot(shape, flat, bench.dtype)})
        for at in actual.nonzero():
            index = tuple(map(int, at))
            found.setdefault(index, {})[(index_at(flat, shape),)] = _weight(actual[index])
    return found


def _bilinear(
    bench: Bench, spec: ConvSpec, name: str, base: Operands, factors: Sequence[str], picked: int
) -> dict[Sizes, dict[Term, float]]:
    hot, coded = factors[picked], factors[1 - picked]
    shape, other = spec.shape_of(hot), spec.shape_of(coded)
    codes = _codes(prod(other), bench.dtype)
    found: dict[Sizes, dict[Term, float]] = {}
    for flat in range(prod(shape)):
        one = _one_hot(shape, flat, bench.dtype)
        answers = [_ask(bench, spec, name, base, {hot: one, coded: code.view(other).to(bench.dtype)}) for code in codes]
        for at in (answers[0] != 0).logical_or(answers[1] != 0).nonzero():
            index = tuple(map(int, at))
            weights = torch.stack([answer[index] / code for answer, code in zip(answers, codes, strict=True)])
            fits = ((weights[0] - weights[1]).abs() <= 1e-6 * weights[0].abs()).nonzero().flatten().tolist()
            if len(fits) != 1:
                raise NotRead("one entry of an operand meets several of the other in one element")
            entry = index_at(fits[0], other)
            here = index_at(flat, shape)
            term = (here, entry) if picked == 0 else (entry, here)
            found.setdefault(index, {})[term] = _weight(weights[0][fits[0]])
    return found


def _weight(number: Tensor) -> float:
    """To the digits that are shown; the last ones come of rounding."""
    return float(f"{float(number):.6g}")


def _codes(count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two random integers for each entry, spread so far apart that no two entries have one ratio of them."""
    generator = torch.Generator().manual_seed(1)
    most = 2 ** min(BITS[dtype], 16)
    if count > most - 2:
        raise NotRead(f"an operand has {count:,} entries, more than there are numbers to tell them apart")
    first, second = (torch.randperm(most - 2, generator=generator)[:count] + 2 for _ in range(2))
    return first.double(), second.double()


def _one_hot(shape: Sizes, flat: int, dtype: torch.dtype) -> Tensor:
    found = torch.zeros(prod(shape), dtype=dtype)
    found[flat] = 1
    return found.view(shape)


def fold(spec: ConvSpec, name: str, terms: Terms) -> tuple[Formula, float] | None:
    """The terms as one product of slices and the weight that all of them have; None where they form none."""
    weights = set(terms.values())
    if len(weights) != 1:
        return None
    factors, entries = _factors(name), list(terms)
    for base in range(len(factors)):
        grid = _grid([term[base] for term in entries])
        if grid is None:
            continue
        parts: list[Factor | None] = [None] * len(factors)
        runs = [axis for axis, values in enumerate(grid) if len(values) > 1]
        parts[base] = _factor(spec, factors[base], grid, [False] * len(grid))
        if len(factors) > 1:
            along = {term[base]: term[1 - base] for term in entries}
            parts[1 - base] = _beside(spec, factors[1 - base], grid, runs, along)
        if any(part is None for part in parts):
            continue
        found = Formula((Product(tuple(part for part in parts if part is not None)),))
        said = [tuple(dict(term)[LETTERS[operand]] for operand in factors) for term in found.terms()]
        if sorted(said) == sorted(entries):
            return found, weights.pop()
    return None


def _grid(entries: Sequence[Sizes]) -> list[list[int]] | None:
    """The indices on each axis, if the entries are all combinations of evenly spaced ones."""
    axes = [sorted(set(values)) for values in zip(*entries, strict=True)]
    even = all(len({b - a for a, b in pairwise(v)}) <= 1 for v in axes)
    return axes if even and prod(map(len, axes)) == len(set(entries)) == len(entries) else None


def _beside(
    spec: ConvSpec, operand: str, grid: list[list[int]], runs: Sequence[int], along: Mapping[Sizes, Sizes]
) -> Factor | None:
    """The slice of the other operand that runs with the grid of the first, axis by axis in the same order."""
    corner = tuple(values[0] for values in grid)
    start = along[corner]
    indices: list[list[int]] = [[at] for at in start]
    flips = [False] * len(start)
    used = -1
    for axis in runs:
        stepped = tuple(values[1 if i == axis else 0] for i, values in enumerate(grid))
        moved = [i for i, (a, b) in enumerate(zip(start, along[stepped], strict=True)) if a != b]
        if len(moved) != 1 or moved[0] <= used:
            return None
        used = moved[0]
        step = along[stepped][used] - start[used]
        values = [start[used] + step * i for i in range(len(grid[axis]))]
        indices[used], flips[used] = sorted(values), step < 0
    return _factor(spec, operand, indices, flips)


def _factor(spec: ConvSpec, operand: str, indices: Sequence[Sequence[int]], flips: Sequence[bool]) -> Factor | None:
    shape = spec.shape_of(operand)
    lead = len(shape) - spec.dims
    parts: list[int | Span] = []
    runs: list[int] = []
    for axis, (values, size) in enumerate(zip(indices, shape, strict=True)):
        if values[0] < 0 or values[-1] >= size:
            return None
        if len(values) == 1:
            parts.append(values[0])
            continue
        if flips[axis]:
            runs.append(sum(isinstance(part, Span) for part in parts))
        every = axis < lead and len(values) == size
        parts.append(whole(size) if every else Span(values[0], len(values), values[1] - values[0], size))
    return Factor(LETTERS[operand], tuple(parts), tuple(runs))


def _text(spec: ConvSpec, name: str, terms: Terms, right: Terms, sums: Formula) -> str:
    """Python for the sum of the terms: a slice where they form one, else how they differ from the right `sums`."""
    if not terms:
        return "0"
    folded = fold(spec, name, terms)
    if folded is not None:
        found, weight = folded
        return str(found) if weight == 1 else f"{_coefficient(weight)} * {found}"
    apart = {term: terms.get(term, 0.0) - right.get(term, 0.0) for term in (*right, *terms)}
    others = {term: weight for term, weight in apart.items() if weight}
    if len(others) < len(terms) > LISTED:
        told = [f"{'-' if weight < 0 else '+'} {_term(name, term, abs(weight))}" for term, weight in others.items()]
        return " ".join([str(sums), *told])
    return " + ".join(_term(name, term, weight) for term, weight in terms.items())


def _coefficient(weight: float) -> str:
    """A weight that was read to six digits, as the fraction that it is if it is a simple one."""
    simple = Fraction(weight).limit_denominator(SIMPLE)
    if simple.denominator > 1 and abs(simple - Fraction(weight)) <= 2e-6 * abs(weight):
        return str(simple)
    return f"{weight:g}"


def _term(name: str, term: Term, weight: float) -> str:
    shown = [f"{LETTERS[o]}[{','.join(map(str, at))}]" for o, at in zip(_factors(name), term, strict=True)]
    return " * ".join(([_coefficient(weight)] if weight != 1 else []) + shown)


def _compared(name: str, yours: Terms, right: Terms) -> str:
    """Which terms are missing, extra or weighted."""
    missing = {term: weight for term, weight in right.items() if term not in yours}
    extra = {term: weight for term, weight in yours.items() if term not in right}
    weighted = {term: weight for term, weight in yours.items() if term in right and weight != right[term]}
    said = []
    for word, some in (("missing", missing), ("extra", extra), ("weighted", weighted)):
        if some:
            listed = ", ".join(_term(name, term, weight) for term, weight in list(some.items())[:2])
            said.append(f"{len(some)} {word}: {listed}{', ...' if len(some) > 2 else ''}")
    return "; ".join(said)
