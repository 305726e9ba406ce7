"""Probes put to a target one after another, as its answers make them necessary, and what they could have shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.gradients.target import Answer, Target, TargetError
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ACCUMULATE, BITS, Arithmetic, term_counts
from convgrad_cli.verdict.probes import (
    Difference,
    Probe,
    Probed,
    digits_probes,
    impulse_probes,
    logic_probes,
    single_digits_probes,
    sums_probes,
)

MANY = 64  # elements: so many can't all hide that operands were rounded, or sums on the way to 16 bits
RETRIES = 3
AGAIN = 7  # times that sums of fewer elements than MANY are asked again
OTHER_NUMBERS = "the same call gave other numbers the second time"
POWER = 0.3  # of the elements that anything meets must have been tested by some probe with a result other than 0


class Probing:
    """The answers of a target to probes, and whether those could have shown a fault."""

    def __init__(self, spec: ConvSpec, target: Target, names: Sequence[str]) -> None:
        self.spec, self.target = spec, target
        self.probed: dict[str, list[Probed]] = {name: [] for name in names}
        self.refused: list[tuple[str, str]] = []
        self.came: set[str] = set()  # the tensors that any answer had
        self._tested: dict[str, Tensor] = {}
        self._powerful: set[str] = set()
        self._asked: Counter[tuple[str, str]] = Counter()  # elements that are not 0, by kind of probe and tensor

    def answer(self, probe: Probe) -> None:
        """Puts `probe` to the target, as far as it proves something about the tensors that are judged."""
        names = [name for name in probe.proves if name in self.probed]
        if not names:
            return
        try:
            answer = self.target.run(self.spec, probe.operands)
        except TargetError as error:
            self.refused.append((probe.name, str(error)))
            return
        there = answer.gradients.named()
        self.came |= set(there)
        for name, (right, certified) in probe.expected(self.spec, names).items():
            # What was there on the real data and is not now differs everywhere.
            actual = there[name][: len(right)] if name in there else torch.full(right.shape, float("nan"))
            if BITS.get(actual.dtype, 0) > BITS[right.dtype]:  # code that sums in float64 may leave its answer there
                actual = actual.to(right.dtype)
            expected = _in_dtype(right, actual.dtype, probe.operands.input.dtype)
            wrong = torch.zeros((), dtype=torch.bool)
            if actual.dtype != expected.dtype or not torch.equal(actual, expected):
                wrong = actual.double() != expected.double()
                wrong = wrong if certified is None else wrong & certified
            difference = None
            if bool(wrong.any()):
                absent = "" if name in there else misshapen(answer, self.spec, name) or "it is missing"
                difference = Difference(probe, wrong, actual, expected, absent)
            self.probed[name].append(Probed(probe.name, difference))
            if name not in self._powerful or self._asked[probe.name, name] < MANY:
                asked = expected if certified is None else certified & (expected != 0)
                self._count(probe.name, name, asked)

    def refuse_late(self, names: Sequence[str]) -> None:
        """Refuses those of the tensors in `names` that came, which they did not on the real data."""
        late = [name if name == "output" else f"grad_{name}" for name in names if name in self.came]
        if late:
            self.refused.append(("numbers", f"gave {', '.join(late)}, which it did not on the real data"))

    def unsteady(self, operands: Operands, answer: Answer) -> Mapping[str, str]:
        """Of tensors that failed, those that do not follow from the operands alone, and how that shows.

        `operands` are the real ones, and `answer` what came of them before any probe.
        """
        failed = {name: found[0] for name in self.probed if (found := self.differences(name))}
        said: dict[str, str] = {}
        for name, first in failed.items():
            if first.absent or name in said:
                continue
            try:
                again = self.target.run(self.spec, operands), self.target.run(self.spec, first.probe.operands)
            except TargetError:
                continue
            for other, one in failed.items():
                if one.probe is first.probe and other not in said:
                    real = answer.gradients.named()[other]
                    pairs = zip((real, one.actual), again, strict=True)
                    changes = filter(None, (_other_numbers(was, now, other) for was, now in pairs))
                    said[other] = next(changes, "") or _constant(real, one.actual)
        return said

    def differences(self, name: str) -> tuple[Difference, ...]:
        """What the probes showed to be wrong with a tensor, in the order in which they were put."""
        return tuple(one.difference for one in self.probed[name] if one.difference)

    def has(self, kind: str) -> bool:
        """Whether any tensor was asked by a probe called `kind`."""
        return any(one.name == kind for found in self.probed.values() for one in found)

    def failed(self, kind: str) -> bool:
        """Whether any tensor differed on a probe called `kind`."""
        return any(one.difference for found in self.probed.values() for one in found if one.name == kind)

    def few(self, kind: str) -> bool:
        """Whether fewer than MANY elements of some tensor were asked for by probes called `kind`."""
        return any(self._asked[kind, name] < MANY for name in self.probed)

    def is_weak(self, name: str) -> bool:
        """Whether no probe of this tensor could have failed in every channel, and on enough of its elements."""
        return self.target.callable and name not in self._powerful

    def _count(self, kind: str, name: str, asked: Tensor) -> None:
        """Notes that a probe called `kind` asked for the elements that are not 0."""
        # Sums of positive integers have no 0 among them, which is seen in a tenth of the time.
        count = asked.numel() if bool(asked.min() > 0) else int(asked.count_nonzero())
        shape, counts = self.spec.shape_of(name), term_counts(self.spec, name)
        self._asked[kind, name] += count
        if name in self._powerful:
            return
        if asked.shape == shape and count == int((counts > 0).sum()) * (asked.numel() // counts.numel()):
            self._powerful.add(name)
            return
        tested = torch.zeros(shape, dtype=torch.bool)
        tested[: len(asked)] = asked != 0
        tested = tested | self._tested[name] if name in self._tested else tested
        self._tested[name] = tested
        axis = 0 if name in ("weight", "bias") else len(self.spec.batch_shape)
        others = [other for other in range(len(shape)) if other != axis]
        met = (counts > 0).expand(shape)
        channels, reachable = (some.sum(dim=others) if others else some.int() for some in (tested, met))
        if bool(((channels > 0) | (reachable == 0)).all()) and int(channels.sum()) >= POWER * int(reachable.sum()):
            self._powerful.add(name)


def misshapen(answer: Answer, spec: ConvSpec, name: str) -> str:
    """The shape in which a tensor came, if that is a wrong one."""
    came = answer.misshapen.get(name)
    return "" if came is None else f"its shape is {by_x(came)}, not {by_x(spec.shape_of(name))}"


def _other_numbers(was: Tensor, answer: Answer, name: str) -> str:
    """That the same call gave other numbers this time, if it did."""
    now = answer.gradients.named().get(name)
    if now is None:
        return "the same call did not give it a second time"
    differ = ~torch.isclose(was.double(), now[: len(was)].to(was.dtype).double(), rtol=0.0, atol=0.0, equal_nan=True)
    many = f"{int(differ.sum()):,} of {differ.numel():,} elements"
    return f"{OTHER_NUMBERS}: {many} differ" if bool(differ.any()) else ""


def _constant(real: Tensor, probed: Tensor) -> str:
    """That other operands gave the same numbers, if they did and these are not all 0."""
    same = bool(probed.any()) and torch.equal(real[: len(probed)].to(probed.dtype), probed)
    return "it does not depend on the operands: other numbers gave the same" if same else ""


def probes_for(run: Probing, dtype: torch.dtype, declared: Arithmetic, seed: int) -> Iterator[Probe]:
    """The probes one after another, as what the last ones showed makes them necessary."""
    yield from sums_probes(run.spec, dtype, declared, seed)
    # Rounding to 16 bits hides one that went before it in many an element.
    for again in range(1, AGAIN + 1):
        if dtype in ACCUMULATE and run.few("sums") and not run.failed("sums"):
            yield from sums_probes(run.spec, dtype, declared, seed + 1000 * again)
    # Exact sums of random numbers leave no fault of the formula unseen, but where a rounding follows.
    if dtype in ACCUMULATE or not run.has("sums") or run.failed("sums"):
        yield from logic_probes(run.spec, dtype, declared, seed)
    yield from digits_probes(run.spec, dtype, declared, seed, run.probed)
    if run.few("digits") and not run.failed("digits"):
        yield from single_digits_probes(run.spec, dtype, declared, seed)
    if run.failed("digits"):
        yield from impulse_probes(run.spec, dtype, declared, seed)
    # In a few elements sums of either sign may have come out as 0; other numbers will not.
    for again in range(1, RETRIES + 1):
        if any(run.is_weak(name) for name in run.probed):
            yield from logic_probes(run.spec, dtype, declared, seed + 1000 * again)


def _in_dtype(right: Tensor, actual: torch.dtype, dtype: torch.dtype) -> Tensor:
    """The answer that a right target gives: rounded to the dtype under test, or left alone where it gives a wider."""
    return right if BITS.get(actual, 0) > BITS[dtype] else right.to(dtype)
