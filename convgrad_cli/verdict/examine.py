"""The verdict on code under test: exact probes, then bounds on the real data, then what its errors look like.

PASS: all probes exact and the declared bound proved for every element. FAIL: a probe differs, or an element is proved
outside the bound. SUSPECT: nothing proved wrong, but the errors read as a lower precision. MISTRUSTED: the test could
not have failed. ERROR: no answer to judge under some condition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.target import Answer, Target, TargetError
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ACCUMULATE, ARITHMETICS, BITS, Arithmetic, term_counts
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.conditions import Trial, Tried
from convgrad_cli.verdict.pattern import pattern
from convgrad_cli.verdict.precision import Reading, read_precision
from convgrad_cli.verdict.probes import (
    TENSORS,
    Probe,
    Probed,
    digits_probes,
    impulse_probes,
    logic_probes,
    single_digits_probes,
    sums_probes,
)
from convgrad_cli.verdict.reference import references
from convgrad_cli.verdict.signature import signature

SEVERITY = ("FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS")
MANY = 64  # elements whose digits were asked for: so many can't all hide that operands were rounded
RETRIES = 3
POWER = 0.3  # of the elements that anything meets must have been tested by some probe with a result other than 0
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Judged:
    """All that is known of one tensor; `certificate` is None where it came in a wrong shape.

    `declared` is the arithmetic that it is held to, `narrowest` the one that explains it; `pattern` says which elements
    are wrong.
    """

    operand: str
    declared: str
    verdict: str
    reason: str
    probed: tuple[Probed, ...]
    certificate: Certificate | None = None
    narrowest: str = ""
    reading: Reading | None = None
    pattern: str = ""


@dataclass(frozen=True)
class Examination:
    """The verdict on a target, one on each tensor it gave, and what each condition showed."""

    verdict: str
    answer: Answer
    judged: tuple[Judged, ...]
    conditions: tuple[Tried, ...]
    refused: tuple[tuple[str, str], ...] = ()  # probes without an answer, and why
    unjudged: tuple[str, ...] = field(default=())  # tensors that the target does not give


def examine(
    spec: ConvSpec,
    operands: Operands,
    target: Target,
    arithmetic: str = "direct",
    conditions: Sequence[str] = (),
    seed: int = 0,
    progress: Tell | None = None,
    only: Collection[str] = TENSORS,
) -> Examination:
    """The verdict on `target` for this layer and these numbers, as far as it concerns the tensors in `only`.

    Raises TargetError where it gives none of them, or no gradient where gradients are among them.
    """
    tell, declared = progress or (lambda share: None), ARITHMETICS[arithmetic]
    tell(0)
    answer = target.run(spec, operands)
    there = answer.gradients.named()
    names = tuple(name for name in TENSORS if name in only and (name in there or name in answer.misshapen))
    if not set(names) & (set(only) - {"output"} or {"output"}):
        raise TargetError(f"{target.name} gives no gradient to judge")
    run = _Probing(spec, target, names)
    if target.callable:
        for done, probe in enumerate(_probes(run, operands.input.dtype, declared, seed), start=1):
            run.answer(probe)
            tell(0.4 * done / (done + 1))
    right = references(spec, operands, [name for name in names if name in there], lambda s: tell(0.4 + 0.3 * s))
    judged = []
    for done, name in enumerate(names, start=1):
        certificate = Certificate(spec, operands, name, there[name], right[name]) if name in there else None
        judged.append(_judge(answer, name, declared, certificate, run))
        tell(0.7 + 0.2 * done / len(names))
    # What is wrong already shows nothing more under other conditions.
    sound = tuple(n for n in names if n in there and not any(one.failed for one in run.probed[n]))
    trial = Trial(spec, target, declared, operands.input.dtype, seed, sound)
    tried = tuple(trial.run(conditions)) if target.callable and sound and conditions else ()
    tell(1)
    unjudged = tuple(n for n in TENSORS if n in only and n not in names and (spec.bias or n != "bias"))
    verdict = _overall(judged, tried, run.refused)
    return Examination(verdict, answer, tuple(judged), tried, tuple(run.refused), unjudged)


class _Probing:
    """The answers of a target to probes, and whether those could have shown a fault."""

    def __init__(self, spec: ConvSpec, target: Target, names: Sequence[str]) -> None:
        self.spec, self.target = spec, target
        self.probed: dict[str, list[Probed]] = {name: [] for name in names}
        self.refused: list[tuple[str, str]] = []
        self._tested: dict[str, Tensor] = {}
        self._powerful: set[str] = set()
        self._digits: Counter[str] = Counter()

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
            self.probed[name].append(Probed(probe, wrong, actual, expected))
            if probe.name == "digits":
                asked = expected != 0 if certified is None else certified & (expected != 0)
                self._digits[name] += int(asked.sum())
            self._count(name, expected, certified)

    def has(self, kind: str) -> bool:
        """Whether any tensor was asked by a probe called `kind`."""
        return any(one.probe.name == kind for found in self.probed.values() for one in found)

    def failed(self, kind: str) -> bool:
        """Whether any tensor differed on a probe called `kind`."""
        return any(one.failed for found in self.probed.values() for one in found if one.probe.name == kind)

    def few_digits(self) -> bool:
        """Whether the digits of fewer than MANY elements of some tensor were asked for."""
        return any(self._digits[name] < MANY for name in self.probed)

    def is_weak(self, name: str) -> bool:
        """Whether no probe of this tensor could have failed in every channel, and on enough of its elements."""
        return self.target.callable and name not in self._powerful

    def _count(self, name: str, expected: Tensor, certified: Tensor | None) -> None:
        if name in self._powerful:
            return
        tested = torch.zeros(self.spec.shape_of(name), dtype=torch.bool)
        tested[: len(expected)] = expected != 0 if certified is None else certified & (expected != 0)
        tested = tested | self._tested[name] if name in self._tested else tested
        self._tested[name] = tested
        axis = 0 if name in ("weight", "bias") else len(self.spec.batch_shape)
        others = [other for other in range(tested.dim()) if other != axis]
        met = (term_counts(self.spec, name) > 0).expand(tested.shape)
        channels, reachable = (some.sum(dim=others) if others else some.int() for some in (tested, met))
        if bool(((channels > 0) | (reachable == 0)).all()) and int(channels.sum()) >= POWER * int(reachable.sum()):
            self._powerful.add(name)


def _probes(run: _Probing, dtype: torch.dtype, declared: Arithmetic, seed: int) -> Iterator[Probe]:
    """The probes one after another, as what the last ones showed makes them necessary."""
    yield from sums_probes(run.spec, dtype, declared, seed)
    # Exact sums of random numbers leave no fault of the formula unseen, but where a rounding follows.
    if dtype in ACCUMULATE or not run.has("sums") or run.failed("sums"):
        yield from logic_probes(run.spec, dtype, declared, seed)
    yield from digits_probes(run.spec, dtype, declared, seed)
    if run.few_digits() and not run.failed("digits"):
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


def _judge(answer: Answer, name: str, declared: Arithmetic, certificate: Certificate | None, run: _Probing) -> Judged:
    probed = tuple(run.probed[name])
    if certificate is None:
        came, right = ("x".join(map(str, shape)) for shape in (answer.misshapen[name], run.spec.shape_of(name)))
        return Judged(name, declared.name, "FAIL", f"its shape is {came}, not {right}", probed)
    failed = [one for one in probed if one.failed]
    wrong, narrowest = certificate.wrong(declared), certificate.narrowest()
    if failed or len(wrong):
        mask = certificate.mask(declared) if len(wrong) else failed[0].wrong
        reason, where = signature(run.spec, name, failed, narrowest), pattern(run.spec, name, mask)
        return Judged(name, declared.name, "FAIL", reason, probed, certificate, narrowest, pattern=where)
    verdict, reason, reading = "PASS", "", None
    # Where all digits of operands were asked for, and came back, there is nothing left to suspect.
    if not any(one.probe.name == "digits" for one in probed) and not _explains(declared):
        reading = read_precision(certificate)
    if reading is not None and reading.suspicious:
        verdict, reason = "SUSPECT", str(reading)
    elif run.is_weak(name):
        verdict, reason = "MISTRUSTED", "the test could not have failed: no probe reaches enough of its elements"
    elif not probed and not bool(certificate.exact.any()):
        verdict, reason = "MISTRUSTED", "the test could not have failed: every number is 0"
    return Judged(name, declared.name, verdict, reason, probed, certificate, narrowest, reading)


def _explains(declared: Arithmetic) -> bool:
    """Whether the arithmetic that was declared makes larger errors than those of summing."""
    return declared.input_bits is not None or not declared.exact_sums


def _overall(judged: Sequence[Judged], tried: Sequence[Tried], refused: Sequence[tuple[str, str]]) -> str:
    found = [one.verdict for one in judged] + ["ERROR"] * bool(refused)
    found += ["FAIL" if one.tensors else "ERROR" for one in tried if one.tensors or one.refused]
    return min(found, key=SEVERITY.index)
