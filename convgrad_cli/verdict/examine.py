"""The verdict on code under test: exact probes, then bounds on the real data, then what its errors look like.

PASS: all probes exact and the declared bound proved for every element. FAIL: a probe differs, or an element is proved
outside the bound. SUSPECT: nothing proved wrong, but the errors read as a lower precision. MISTRUSTED: the test could
not have failed. ERROR: no answer to judge under some condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.target import Answer, Target, TargetError
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ARITHMETICS, BITS, Arithmetic, term_counts
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.conditions import Trial, Tried
from convgrad_cli.verdict.pattern import pattern
from convgrad_cli.verdict.precision import Reading, read_precision
from convgrad_cli.verdict.probes import TENSORS, Probe, Probed, probes
from convgrad_cli.verdict.signature import signature

SEVERITY = ("FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS")
POWER = 0.3  # of the elements that anything meets must have been tested by some probe with a result other than 0
Tell = Callable[[float], None]


@dataclass(frozen=True)
class Judged:
    """All that is known of one tensor; `certificate` is None where it came in a wrong shape.

    `declared` is the arithmetic that it is held to, `narrowest` the one that explains it.
    """

    operand: str
    declared: str
    verdict: str
    reason: str
    probed: tuple[Probed, ...]
    certificate: Certificate | None
    wrong: Tensor | None
    narrowest: str
    reading: Reading | None
    pattern: str


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
) -> Examination:
    """The verdict on `target` for this layer and these numbers. Raises TargetError where it gives none at all."""
    tell, declared = progress or (lambda share: None), ARITHMETICS[arithmetic]
    tell(0)
    answer = target.run(spec, operands)
    there = answer.gradients.named()
    names = tuple(name for name in TENSORS if name in there or name in answer.misshapen)
    if not any(name != "output" for name in names):
        raise TargetError(f"{target.name} gives no gradient to judge")
    probed: dict[str, list[Probed]] = {name: [] for name in names}
    power = {name: torch.zeros(spec.shape_of(name), dtype=torch.bool) for name in names}
    refused = []
    for done, probe in enumerate(_usable(spec, operands, target, declared, seed), start=1):
        try:
            _answer(spec, target, probe, probed, power)
        except TargetError as error:
            refused.append((probe.name, str(error)))
        tell(0.5 * done / (done + 1))
    judged = []
    for done, name in enumerate(names, start=1):
        weak = target.callable and not _has_power(spec, name, power[name])
        judged.append(_judge(spec, operands, answer, name, declared, tuple(probed[name]), weak=weak))
        tell(0.5 + 0.4 * done / len(names))
    # What is wrong already shows nothing more under other conditions.
    sound = tuple(n for n in names if n not in answer.misshapen and not any(one.failed for one in probed[n]))
    trial = Trial(spec, target, declared, operands.input.dtype, seed, sound)
    tried = tuple(trial.run(conditions)) if target.callable and sound else ()
    tell(1)
    unjudged = tuple(n for n in TENSORS if n not in names and (spec.bias or n != "bias"))
    return Examination(_overall(judged, tried, refused), answer, tuple(judged), tried, tuple(refused), unjudged)


def _usable(spec: ConvSpec, operands: Operands, target: Target, declared: Arithmetic, seed: int) -> Iterator[Probe]:
    if target.callable:
        yield from probes(spec, operands.input.dtype, declared, seed)


def _answer(
    spec: ConvSpec, target: Target, probe: Probe, probed: dict[str, list[Probed]], power: dict[str, Tensor]
) -> None:
    """Runs `probe`, and adds what it shows of each tensor to `probed` and what it could have shown to `power`."""
    answer = target.run(spec, probe.operands)
    there = answer.gradients.named()
    for name in (name for name in probe.proves if name in probed):
        expected, certified = probe.expected(spec, name)
        actual = there.get(name)
        if actual is None:  # it was there on the real data
            actual = torch.full(expected.shape, float("nan"))
        expected = _in_dtype(expected, actual.dtype, probe)
        wrong = (actual.double() != expected) & certified
        power[name] |= certified & (expected != 0)
        probed[name].append(Probed(probe, wrong, actual, expected))


def _in_dtype(expected: Tensor, actual: torch.dtype, probe: Probe) -> Tensor:
    """`expected` as the right answer has it: rounded to the dtype under test, or left alone in a wider one."""
    dtype = probe.operands.input.dtype
    wider = BITS.get(actual, 0) > BITS[dtype]
    return expected if wider or not probe.rounded else expected.to(dtype).double()


def _has_power(spec: ConvSpec, name: str, power: Tensor) -> bool:
    """Whether the probes could have failed: in every channel, and on enough of the elements that anything meets."""
    axis = 0 if name in ("weight", "bias") else len(spec.batch_shape)
    met = (term_counts(spec, name) > 0).expand(power.shape)
    others = [other for other in range(power.dim()) if other != axis]
    channels = power.any(dim=others) if others else power
    reachable = met.any(dim=others) if others else met
    return bool((channels | ~reachable).all()) and int(power.sum()) >= POWER * int(met.sum())


def _judge(
    spec: ConvSpec,
    operands: Operands,
    answer: Answer,
    name: str,
    declared: Arithmetic,
    probed: tuple[Probed, ...],
    *,
    weak: bool,
) -> Judged:
    failed = [one for one in probed if one.failed]
    if name in answer.misshapen:
        came, right = ("x".join(map(str, shape)) for shape in (answer.misshapen[name], spec.shape_of(name)))
        return Judged(
            name, declared.name, "FAIL", f"its shape is {came}, not {right}", probed, None, None, "", None, ""
        )
    certificate = Certificate(spec, operands, name, answer.gradients.named()[name])
    wrong = certificate.wrong(declared)
    narrowest, reading = certificate.narrowest(), read_precision(certificate)
    count = int(wrong.sum())
    where = pattern(spec, name, wrong if count or not failed else failed[0].wrong)
    verdict, reason = "PASS", ""
    if failed or count:
        verdict, reason = "FAIL", signature(spec, name, failed, narrowest)
    elif reading is not None and reading.suspicious and not _explains(declared):
        verdict, reason = "SUSPECT", str(reading)
    elif weak or (not probed and not bool(certificate.exact.any())):
        verdict = "MISTRUSTED"
        reason = "the test could not have failed: " + ("no probe reaches it" if weak else "every number is 0")
    return Judged(name, declared.name, verdict, reason, probed, certificate, wrong, narrowest, reading, where)


def _explains(declared: Arithmetic) -> bool:
    """Whether the arithmetic that was declared makes larger errors than those of summing."""
    return declared.input_bits is not None or not declared.exact_sums


def _overall(judged: Sequence[Judged], tried: Sequence[Tried], refused: Sequence[tuple[str, str]]) -> str:
    found = [one.verdict for one in judged] + ["ERROR"] * bool(refused)
    found += ["FAIL" if one.tensors else "ERROR" for one in tried if one.tensors or one.refused]
    return min(found, key=SEVERITY.index)
