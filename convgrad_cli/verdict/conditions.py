"""The same exact numbers under other conditions: memory formats, requests, repeats, buffers, sizes.

What a right gradient is does not depend on any of them, so every answer must be bit for bit the exact one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product as every

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import WANTED, Answer, Call, Target, TargetError
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.bounds import Arithmetic
from convgrad_cli.verdict.choices import LAYOUT_NAMES
from convgrad_cli.verdict.probes import Probe, logic_probes

UNTOUCHED = "operands untouched"
MOVED = ("input", "weight", "grad_output")
AROUND = (8, 15, 16, 17)  # where vector tails and blocks begin and end
LARGEST = 2 * 10**9  # multiply-adds of a layer whose batch or channels were changed
NEEDS = {  # what a target must allow for a condition; what it is called where it doesn't, and why
    **dict.fromkeys((*LAYOUT_NAMES, "stride-0"), ("layouts", "memory formats of x, w, g", "it gets them as files")),
    "masks": ("wanted", "request masks", "it takes no output_mask"),
    "poison": ("poison", "poisoned buffers", "it takes no out"),
    "accumulate": ("accumulate", "gradients that are there already", "it returns new ones"),
}


@dataclass(frozen=True)
class Tried:
    """One condition: the tensors that were not the exact ones there, and why in a sentence; or what was refused.

    `untried`: why it could not be tried at all.
    """

    name: str
    tensors: tuple[str, ...] = ()
    detail: str = ""
    refused: bool = False
    untried: str = ""


@dataclass(frozen=True)
class Asked:
    """A probe of a layer with the right tensors, which are the same under every condition."""

    spec: ConvSpec
    probe: Probe
    right: Mapping[str, tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Trial:
    """A target, and the numbers that it is tried on; `judged` are the tensors that it gives."""

    spec: ConvSpec
    target: Target
    arithmetic: Arithmetic
    dtype: torch.dtype
    seed: int
    judged: tuple[str, ...]

    def run(self, names: Sequence[str]) -> Iterator[Tried]:
        """Each condition of `names`, or why it can't be tried; a combination that fails is tried in its parts."""
        asked, skipped = self._ask(self.spec), set[str]()
        tries: dict[str, Callable[[Asked], Iterator[Tried]]] = {
            "repeat": self._repeat,
            "stride-0": self._constant,
            **{layout: partial(self._layout, layout=layout) for layout in LAYOUT_NAMES},
            "masks": self._masks,
            "inputs": self._inputs,
            "poison": partial(self._one, name="buffers of NaN", call=Call(poison=True)),
            "accumulate": self._accumulate,
            "sizes": self._sizes,
        }
        for name in names:
            needed, words, why = NEEDS.get(name, ("", "", ""))
            if not needed or needed in self.target.allows:
                yield from tries[name](asked)
            elif words not in skipped:
                skipped.add(words)
                yield Tried(words, untried=why)

    def _probe(self, spec: ConvSpec) -> Probe:
        return next(logic_probes(spec, self.dtype, self.arithmetic, self.seed))

    def _ask(self, spec: ConvSpec, probe: Probe | None = None) -> Asked:
        probe = probe or self._probe(spec)
        return Asked(spec, probe, probe.expected(spec, [name for name in self.judged if name in probe.proves]))

    def _one(self, asked: Asked, name: str, call: Call, offset: float = 0.0) -> Iterator[Tried]:
        """One call; what it asks for must be exactly what the probe says, plus `offset`."""
        try:
            answer = self.target.run(asked.spec, asked.probe.operands, call)
        except TargetError as error:
            yield Tried(name, detail=str(error), refused=True)
            return
        wrong = tuple(
            n
            for n, right in asked.right.items()
            if (n == "output" or n in call.wanted) and not _exact(answer, n, right, 0.0 if n == "output" else offset)
        )
        yield Tried(name, wrong, _detail(answer, wrong))

    def _repeat(self, asked: Asked) -> Iterator[Tried]:
        """Three times the same call, the last after one of another shape: bit for bit the same."""
        spec, operands = asked.spec, asked.probe.operands
        other = replace(spec, batch_size=2 if spec.batch_size == 1 else 1)
        try:
            first = self.target.run(spec, operands)
            second = self.target.run(spec, operands)
            self.target.run(other, self._probe(other).operands)
            third = self.target.run(spec, operands)
        except TargetError as error:
            yield Tried("repeat", detail=str(error), refused=True)
            return
        for name, again in (("repeat", second), ("repeat after another shape", third)):
            wrong = tuple(n for n in self.judged if not _same(first.gradients, again.gradients, n))
            yield Tried(name, wrong, "the same call gave other numbers" if wrong else "")

    def _constant(self, asked: Asked) -> Iterator[Tried]:
        """An upstream gradient of one number with stride 0, as the backward of `y.sum()` hands it over."""
        operands = asked.probe.operands
        operands = replace(operands, grad_output=torch.ones_like(operands.grad_output))
        constant = self._ask(asked.spec, replace(asked.probe, operands=operands))
        yield from self._one(constant, "stride-0 g", Call(layouts={"grad_output": "expanded"}))

    def _layout(self, asked: Asked, layout: str) -> Iterator[Tried]:
        """All operands in this memory format; where that fails, each of them alone."""
        [together] = self._one(asked, f"{layout} x, w, g", Call(layouts=dict.fromkeys(MOVED, layout)))
        alone = [
            tried
            for operand, letter in zip(MOVED, "xwg", strict=True)
            if together.tensors or together.refused
            for tried in self._one(asked, f"{layout} {letter}", Call(layouts={operand: layout}))
        ]
        failing = [tried for tried in alone if tried.tensors or tried.refused]
        yield from failing or [together]

    def _masks(self, asked: Asked) -> Iterator[Tried]:
        """Every choice of gradients that may be asked for, but the whole."""
        there = [name for name in WANTED if name in self.judged]
        bad: list[Tried] = []
        for chosen in every((False, True), repeat=len(there)):
            wanted = tuple(name for name, is_wanted in zip(there, chosen, strict=True) if is_wanted)
            if wanted and len(wanted) < len(there):
                bad += self._one(asked, f"only {' and '.join(wanted)} asked for", Call(wanted=wanted))
        failing = [tried for tried in bad if tried.tensors or tried.refused]
        alone = "" if len(there) > 1 else "one gradient alone is judged, so there is nothing to leave out"
        yield from failing or [Tried(f"{len(bad)} request masks" if bad else "request masks", untried=alone)]

    def _inputs(self, asked: Asked) -> Iterator[Tried]:
        """Whether the operands are left as they were."""
        try:
            changed = self.target.run(asked.spec, asked.probe.operands).changed
        except TargetError as error:
            yield Tried(UNTOUCHED, detail=str(error), refused=True)
            return
        yield Tried(UNTOUCHED, changed, f"writes to {', '.join(changed)}" if changed else "")

    def _accumulate(self, asked: Asked) -> Iterator[Tried]:
        """Leaves that already hold a gradient of ones."""
        yield from self._one(asked, "gradients already there", Call(accumulate=True), offset=1.0)

    def _sizes(self, _: Asked) -> Iterator[Tried]:
        """Batches and channels around the sizes of vectors and blocks."""
        spec, groups = self.spec, self.spec.groups
        changed = [(f"batch {n}", replace(spec, batch_size=n)) for n in AROUND if spec.batch_size is not None]
        for n in AROUND:
            both = replace(spec, in_channels=n * groups, out_channels=n * groups)
            changed.append((f"{n} channels a group", both))
            if "groups" in self.target.allows:
                changed.append((f"{n} groups of one channel", replace(spec, in_channels=n, out_channels=n, groups=n)))
        for name, other in changed:
            if other.macs <= LARGEST:
                yield from self._one(self._ask(other), name, Call())
            else:
                yield Tried(name, untried=f"it would take {other.macs:.1e} multiply-adds")
        if "groups" not in self.target.allows:
            yield Tried("groups of one channel", untried="it takes no groups")


def _exact(answer: Answer, name: str, right: tuple[Tensor, Tensor | None], offset: float) -> bool:
    actual, (expected, certified) = answer.gradients.named().get(name), right
    if actual is None:
        return False
    if not offset and actual.dtype == expected.dtype and torch.equal(actual, expected):
        return True
    same = actual.double() == expected.double() + offset
    return bool((same if certified is None else same | ~certified).all())


def _same(first: Gradients, again: Gradients, name: str) -> bool:
    one, other = first.named().get(name), again.named().get(name)
    return one is None or (other is not None and torch.equal(one.nan_to_num(), other.nan_to_num()))


def _detail(answer: Answer, wrong: Sequence[str]) -> str:
    there = answer.gradients.named()
    for name in wrong:
        if name in answer.misshapen:
            return f"{name} has shape {'x'.join(map(str, answer.misshapen[name]))}"
        if name not in there:
            return f"{name} is missing"
        if not bool(there[name].isfinite().all()):
            return f"{name} has NaN or infinities"
    return ""
