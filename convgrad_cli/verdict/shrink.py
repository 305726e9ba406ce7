"""The smallest layer and the simplest numbers that show a fault, and what sets apart the layers on which it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import combinations
from itertools import product as every
from math import prod
from time import perf_counter

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.problem import LOSSES, Problem, make_operands
from convgrad_cli.tensors.sources import Fill
from convgrad_cli.verdict.faults import Asked, Bench, Hypothesis
from convgrad_cli.verdict.layers import MOST, features, smaller

SECONDS = 12.0  # each search ends long before, but for code that takes a large part of a second a call
SIMPLE = ("ones", "ramp", "integers")  # fills, the simplest first
SIMPLE_CONDITION = re.compile(r"[^>=!]+ (> 0|> 1|!= \w+|>= \w+)")
OPPOSITE = {"> 0": "= 0", "> 1": "= 1", "!=": "=", ">=": "<"}

Same = Callable[[Asked | None], bool]


def same_fault(wrong: tuple[str, ...], guesses: Mapping[str, list[Hypothesis]]) -> Same:
    """Whether an answer shows the fault of the first wrong tensor: that formula, or where it has no name, as much.

    Of two mistakes made together, both have to show.
    """
    first = wrong[0]
    named = guesses.get(first)

    def same(asked: Asked | None) -> bool:
        if asked is None or not asked.wrong:
            return False
        if not named:
            return asked.wrong == wrong
        return first in asked.wrong and named[0].holds(asked, first) and named[0].shows(asked, first)

    return same


def studied(bench: Bench, spec: ConvSpec) -> ConvSpec:
    """`spec`, or one that is small enough to be asked often and still wrong."""
    for _ in range(40):
        if spec.macs <= MOST:
            return spec
        asked = bench.ask(spec)
        wrong = asked.wrong if asked else ()
        for other in sorted(smaller(spec), key=lambda one: one.macs < MOST / 4):
            if other.macs < 0.7 * spec.macs:
                answer = bench.ask(other)
                if answer and answer.wrong == wrong:
                    spec = other
                    break
        else:
            return spec
    return spec


def shrunk(bench: Bench, spec: ConvSpec, same: Same) -> ConvSpec:
    """The smallest layer that the steps of `smaller` lead to with the fault still the same one."""
    begun = perf_counter()
    while perf_counter() - begun < SECONDS:
        steps = (other for other in smaller(spec) if _size(other) < _size(spec))
        step = next((other for other in steps if same(bench.ask(other))), None)
        if step is None:
            return spec
        spec = step
    return spec


def _size(spec: ConvSpec) -> int:
    """What a smaller layer has less of."""
    entries = sum(prod(spec.shape_of(name)) for name in ("input", "weight", "output"))
    settings = sum(spec.stride) + sum(spec.dilation) + sum(map(sum, spec.padding)) + spec.groups + spec.bias
    return entries + 3 * settings + sum(spec.output_padding)


def simplest_fills(bench: Bench, spec: ConvSpec, same: Same) -> dict[str, str]:
    """The simplest fill for each operand that still shows the fault; {} where only other numbers do."""
    operands = ("input", "weight", *(("bias",) if spec.bias else ()), "grad_output")
    dtype, begun = str(bench.dtype).removeprefix("torch."), perf_counter()
    for choice in sorted(every(SIMPLE, repeat=len(operands)), key=lambda names: sum(map(SIMPLE.index, names))):
        if perf_counter() - begun > SECONDS:
            break
        fills = dict(zip(operands, choice, strict=True))
        sources = {operand: Fill(name) for operand, name in fills.items()}
        problem = Problem(spec, sources, dtype, "cpu", bench.seed, LOSSES["sum"], ())
        if same(bench.call(spec, make_operands(problem))):
            return fills
    return {}


def boundary(bench: Bench, wrong: tuple[str, ...]) -> tuple[str, ...]:
    """What sets the layers apart on which the first wrong tensor is wrong, of all that were asked about."""
    first = wrong[0]
    wrong_on: dict[ConvSpec, bool] = {}
    for asked in bench.answers():
        wrong_on[asked.spec] = wrong_on.get(asked.spec, False) or first in asked.wrong
    seen = [(features(spec), is_wrong) for spec, is_wrong in wrong_on.items()]
    bad, good = [f for f, is_wrong in seen if is_wrong], [f for f, is_wrong in seen if not is_wrong]
    if not good:
        return (f"wrong on all {len(bad)} layers that were tried",)
    always = [name for name in seen[0][0] if all(f[name] for f in bad)]
    for count in (1, 2):
        for names in combinations(always, count):
            if not any(all(f[name] for name in names) for f in good):
                return (_right(names), f"wrong on all {len(bad)} others that were tried")
    needed: list[str] = []
    for name in sorted(always, key=lambda name: sum(f[name] for f in good)):
        left = [f for f in good if not f[name]]
        if left and len(needed) < 2:
            needed.append(name)
            good = [f for f in good if f[name]]
    return (f"wrong only if {' and '.join(needed)}, of the {len(seen)} layers that were tried",) if needed else ()


def _right(names: tuple[str, ...]) -> str:
    """Where code is right that is wrong wherever all of these hold."""
    if not all(map(SIMPLE_CONDITION.fullmatch, names)):
        return f"right unless {' and '.join(names)}"
    said = []
    for name in names:
        sign = next(sign for sign in OPPOSITE if sign in name)
        said.append(name.replace(sign, OPPOSITE[sign]))
    return f"right whenever {' or '.join(said)}"
