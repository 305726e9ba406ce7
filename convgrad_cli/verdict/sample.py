"""A part of the elements, each at the cost of its own terms: for layers whose whole gradients would take too long.

The code under test runs twice, on integers whose sums are exact and on the real data; of each tensor some elements are
then added up without rounding. What is proved wrong is wrong; what is right is right in what was looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import fsum, prod
from random import Random
from typing import NamedTuple

import torch

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import terms
from convgrad_cli.gradients.target import Target, TargetError
from convgrad_cli.tensors.index import index_at
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import BITS, ROUNDOFF, Arithmetic, Sums, partial_sums
from convgrad_cli.verdict.probes import TENSORS, Probe, logic_probes, sums_probes
from convgrad_cli.verdict.reference import exact_element

Index = tuple[int, ...]


@dataclass
class Sampled:
    """What the looked-at elements of one tensor showed; `probes` are the names of probes with wrong elements in each.

    `worst` is the element with the largest `ratio` of error to bound on the real data.
    """

    operand: str
    elements: int
    wrong: int = 0
    ratio: float = 0.0
    worst: Index | None = None
    reason: str = ""
    probes: dict[str, int] = field(default_factory=dict)
    nonzero: bool = False

    @property
    def verdict(self) -> str:
        if self.reason or self.wrong or any(self.probes.values()):
            return "FAIL"
        return "PASS" if self.nonzero else "MISTRUSTED"

    @property
    def said(self) -> str:
        """Why it is not right, in words."""
        if self.verdict == "MISTRUSTED":
            return f"the test could not have failed: all of {self.elements:,} sampled elements are 0"
        wrong = f"{self.wrong:,} of {self.elements:,} sampled elements are beyond their bounds" if self.wrong else ""
        failed = [
            f"{count:,} of {self.elements:,} sampled elements differ on probe {name}"
            for name, count in self.probes.items()
            if count
        ]
        return self.reason or "; ".join([wrong] * bool(wrong) + failed)


def sample(
    spec: ConvSpec,
    make: Callable[[], Operands],
    target: Target,
    declared: Arithmetic,
    count: int,
    seed: int,
    only: Collection[str] = TENSORS,
) -> tuple[Sampled, ...]:
    """The verdict on `count` elements of each tensor that `target` gives for the operands that `make` makes.

    No more is held at a time than one call needs: its operands, and of what it gave the chosen elements. Raises
    TargetError where it gives nothing to judge.
    """
    operands = make()
    chosen = {name: list(_chosen(spec.shape_of(name), count, seed)) for name in TENSORS if name in only}
    taken, misshapen = _taken(target, spec, operands, chosen)
    found = {name: Sampled(name, len(chosen[name])) for name in taken}
    for name in (name for name in misshapen if name in only):
        came, right = ("x".join(map(str, sizes)) for sizes in (misshapen[name], spec.shape_of(name)))
        found[name] = Sampled(name, 0, reason=f"its shape is {came}, not {right}")
    if not set(found) & (set(only) - {"output"} or {"output"}):
        raise TargetError(f"{target.name} gives no gradient to judge")
    for name, values in taken.items():
        _compare(spec, operands, values.numbers, declared, chosen[name], found[name])
    dtype = operands.input.dtype
    del operands
    for probe in _probes(spec, dtype, declared, seed) if target.callable else ():
        there, _ = _taken(target, spec, probe.operands, chosen)
        for name in (name for name in probe.proves if name in taken):
            wrong, met = _missed(spec, probe, there.get(name), name, chosen[name])
            found[name].probes[probe.name] = found[name].probes.get(probe.name, 0) + wrong
            found[name].nonzero |= met
    return tuple(found[name] for name in TENSORS if name in found)


class Taken(NamedTuple):
    """The chosen elements of one tensor, and the dtype that it came in."""

    numbers: list[float]
    dtype: torch.dtype


def _taken(
    target: Target, spec: ConvSpec, operands: Operands, chosen: Mapping[str, list[Index]]
) -> tuple[dict[str, Taken], Mapping[str, tuple[int, ...]]]:
    """What a call gives at the chosen places, and the shapes that are wrong; all else of it is forgotten."""
    answer = target.run(spec, operands)
    there = answer.gradients.named()
    taken = {
        name: Taken([float(there[name][index]) for index in places], there[name].dtype)
        for name, places in chosen.items()
        if name in there
    }
    return taken, answer.misshapen


def _probes(spec: ConvSpec, dtype: torch.dtype, declared: Arithmetic, seed: int) -> Iterator[Probe]:
    sums = list(sums_probes(spec, dtype, declared, seed))
    yield from sums or logic_probes(spec, dtype, declared, seed)


def _chosen(shape: tuple[int, ...], count: int, seed: int) -> Iterator[Index]:
    """The first and the last element, and others at random; all of them where there are no more than `count`."""
    total = prod(shape)
    inner = range(1, total - 1) if total > count else range(total)
    drawn = Random(seed).sample(inner, max(0, count - 2)) if total > count else inner
    flat = sorted({*drawn, 0, total - 1})[:count]
    yield from (index_at(one, shape) for one in flat)


def _compare(
    spec: ConvSpec, operands: Operands, values: list[float], declared: Arithmetic, places: list[Index], found: Sampled
) -> None:
    """Adds to `found` what the real data show: |actual - exact| beside the bound of the declared arithmetic."""
    dtype, letters, name = operands.input.dtype, operands.letters(spec), found.operand
    wide = ROUNDOFF[torch.float64] if dtype == torch.float64 else 0.0  # products of narrower numbers are exact
    for index, value in zip(places, values, strict=True):
        told = formula(spec, name, index)
        parts = terms(told, letters)
        exact, size = fsum(parts.tolist()), float(parts.abs().sum()) * (1 + 2.0**-30)  # rounded upwards
        sums = Sums(_one(told.count), partial_sums(spec, name), name != "bias")
        bound = float(declared.bound(sums, dtype).at(_one(size), _one(exact)))
        error, doubt = abs(value - exact), ROUNDOFF[torch.float64] * abs(exact) + wide * size
        if value == exact or (abs(value) == float("inf") and abs(exact) + bound >= torch.finfo(dtype).max):
            error = 0.0
        elif abs(error - bound) <= doubt:
            error = float(abs(Fraction(value) - exact_element(spec, letters, name, index)))
        found.wrong += not error <= bound
        ratio = 0.0 if error == 0 else error / bound if bound and error < float("inf") else float("inf")
        if ratio > found.ratio:
            found.ratio, found.worst = ratio, index
        found.nonzero |= exact != 0


def _missed(spec: ConvSpec, probe: Probe, actual: Taken | None, name: str, places: list[Index]) -> tuple[int, bool]:
    """How many of the certified elements are not the exact ones, and whether any of those is other than 0."""
    letters, wrong, met = probe.operands.letters(spec), 0, False
    dtype = probe.operands.input.dtype
    for place, index in enumerate(places):
        parts = terms(formula(spec, name, index), letters)
        if probe.certificate == "sum" and float(parts.abs().sum()) > probe.limit:
            continue
        right = parts.sum()
        if actual is None or BITS.get(actual.dtype, 0) <= BITS[dtype]:
            right = right.to(dtype)
        wrong += actual is None or actual.numbers[place] != float(right)
        met |= bool(right)
    return wrong, met


def _one(value: float) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)
