"""The verdict on code that computes gradients of gradients: that of the first order, on each part of the problem.

A part asks for first-order tensors of some layer and operands (see `gradients/second_order.py`), so that probes,
bounds, conditions and all else are those of the first order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.second_order import Part, apart, parts
from convgrad_cli.gradients.target import SECOND, WANTED, Answer, Call, Target, TargetError
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.conditions import Tried
from convgrad_cli.verdict.examine import SEVERITY, Examination, Judged, Tell, examine
from convgrad_cli.verdict.probes import Difference

UNTRIED = ("sizes", "accumulate", "poison")  # conditions that no target of the second order is tried under
HIGH = 3  # the largest integer in operands that have no part in what is asked


def examine_second(
    spec: ConvSpec,
    operands: Operands,
    target: Target,
    arithmetic: str = "direct",
    conditions: Sequence[str] = (),
    seed: int = 0,
    progress: Tell | None = None,
) -> Examination:
    """The verdict on `target` for this layer and these numbers, which have cotangents.

    Raises TargetError where it gives no gradient of the second order.
    """
    answer = target.run(spec, operands, Call(wanted=SECOND))
    there = {*answer.gradients.named(), *answer.misshapen} & set(SECOND)
    if not there:
        raise TargetError(f"{target.name} gives no gradient to judge")
    found = []
    for done, part in enumerate(both := parts(spec, operands)):
        seen = Seen(target, part, operands, seed)
        only = [name for name, second in part.names.items() if second in there]
        if only:
            tell, names = _share(progress, done, len(both)), _applicable(part, conditions)
            found.append((seen, examine(part.spec, part.operands, seen, arithmetic, names, seed, tell, only)))
    return _joined(answer, found, [name for name in conditions if name in UNTRIED])


def _applicable(part: Part, conditions: Sequence[str]) -> list[str]:
    """Where one tensor is asked for, nothing can be left out of the request."""
    return [name for name in conditions if name not in UNTRIED and (name != "masks" or len(part.names) > 1)]


def _joined(answer: Answer, found: Sequence[tuple[Seen, Examination]], skipped: Sequence[str]) -> Examination:
    """One examination of all parts, in the words of the second order; `skipped` conditions are said to be untried."""
    wholes = [one for _, one in found]
    judged = tuple(_renamed(seen, one, answer) for seen, whole in found for one in whole.judged)
    untried = [tried for whole in wholes for tried in whole.untried]
    if skipped:
        untried.append(Tried(", ".join(skipped), untried="the second order is not tried under them"))
    return Examination(
        min((whole.verdict for whole in wholes), key=SEVERITY.index),
        answer,
        judged,
        _merged([_tried(seen, one) for seen, whole in found for one in whole.conditions]),
        tuple(dict.fromkeys(refused for whole in wholes for refused in whole.refused)),
        tuple(name for name in SECOND if name not in {one.operand for one in judged}),
        _merged(untried),
    )


@dataclass(frozen=True)
class Seen:
    """A target of the second order as one of the first that gives the tensors of `part`; `real` are all operands."""

    target: Target
    part: Part
    real: Operands
    seed: int

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def facts(self) -> tuple[str, ...]:
        return self.target.facts

    @property
    def callable(self) -> bool:
        return self.target.callable

    @property
    def allows(self) -> frozenset[str]:
        return self.target.allows

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        """Called with all operands that the second order has: see `whole`."""
        call = call or Call()
        wanted = SECOND if call.wanted == WANTED else tuple(name for name in SECOND if name in call.wanted)
        answer = self.target.run(*self.whole(spec, operands), replace(call, wanted=wanted))
        names = self.part.names
        there = answer.gradients.named()
        return Answer(
            Gradients(**{name: there[second] for name, second in names.items() if second in there}),
            {name: answer.misshapen[second] for name, second in names.items() if second in answer.misshapen},
            answer.changed,
            tuple(name for name, second in names.items() if second in answer.missing),
        )

    def whole(self, spec: ConvSpec, operands: Operands) -> tuple[ConvSpec, Operands]:
        """The layer and the operands that stand behind those of the part; what has no part in it is random integers."""
        real, drawn = self.real, _Drawn(operands.weight.dtype, self.seed)
        if "output" in self.part.names:
            bias = real.bias if operands is self.part.operands else drawn(spec.bias_shape) if spec.bias else None
            return apart(spec, operands, bias)
        if operands is self.part.operands:
            return spec, real
        bias = drawn(spec.bias_shape) if spec.bias else None
        x, w = drawn(spec.input_shape), drawn(spec.weight_shape)
        return spec, Operands(x, w, bias, operands.grad_output, operands.ones, cotangents=operands)

    def close(self) -> None:
        """The target is closed by whoever opened it."""


class _Drawn:
    """Random integers without a 0."""

    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        self._dtype, self._generator = dtype, torch.Generator().manual_seed(seed % 2**63)

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        sizes = torch.randint(1, HIGH + 1, shape, generator=self._generator)
        signs = torch.randint(0, 2, shape, generator=self._generator) * 2 - 1
        return (sizes * signs).to(self._dtype)


def _share(progress: Tell | None, done: int, count: int) -> Tell | None:
    return None if progress is None else lambda share: progress((done + share) / count)


def _renamed(seen: Seen, one: Judged, answer: Answer) -> Judged:
    """What is known of a tensor under its name in the second order, its probes with all operands."""
    operand = seen.part.names[one.operand]
    reason = one.reason
    if operand in answer.missing:
        reason = f"no gradient for {LETTERS[operand]}: the first gradients do not depend on it for autograd"
    probed = tuple(replace(p, difference=p.difference and _on_all_operands(seen, p.difference)) for p in one.probed)
    return replace(one, operand=operand, reason=reason, probed=probed)


def _on_all_operands(seen: Seen, found: Difference) -> Difference:
    operands = seen.whole(seen.part.spec, found.probe.operands)[1]
    return replace(found, probe=replace(found.probe, operands=operands))


def _tried(seen: Seen, tried: Tried) -> Tried:
    names: Mapping[str, str] = seen.part.names
    return replace(tried, tensors=tuple(names.get(name, name) for name in tried.tensors))


def _merged(tried: Collection[Tried]) -> tuple[Tried, ...]:
    """One of each name, with what any part showed under it."""
    found: dict[str, Tried] = {}
    for one in tried:
        was = found.setdefault(one.name, one)
        found[one.name] = replace(
            was,
            tensors=tuple(dict.fromkeys((*was.tensors, *one.tensors))),
            detail=was.detail or one.detail,
            refused=was.refused or one.refused,
        )
    return tuple(found.values())
