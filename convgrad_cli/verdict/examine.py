"""The verdict on code under test: exact probes, then bounds on the real data, then what its errors look like.

PASS: all probes exact and the declared bound proved for every element. FAIL: a probe differs, or an element is proved
outside the bound. SUSPECT: nothing proved wrong, but the errors read as a lower precision. MISTRUSTED: the test could
not have failed. ERROR: no answer to judge under some condition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.target import Answer, Target, TargetError
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ARITHMETICS, Arithmetic
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.conditions import Trial, Tried
from convgrad_cli.verdict.pattern import pattern
from convgrad_cli.verdict.precision import Reading, read_precision
from convgrad_cli.verdict.probes import TENSORS, Difference, Probed
from convgrad_cli.verdict.probing import Probing, misshapen, probes_for
from convgrad_cli.verdict.reference import references
from convgrad_cli.verdict.signature import is_single, outside, signature

FEW = 10  # a wrong element in so many, or fewer, may be wrong alone
SEVERITY = ("FAIL", "ERROR", "SUSPECT", "MISTRUSTED", "PASS")
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

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What the probes showed to be wrong, in the order in which they were put."""
        return tuple(one.difference for one in self.probed if one.difference)


@dataclass(frozen=True)
class Examination:
    """The verdict on a target, one on each tensor it gave, and what each condition showed."""

    verdict: str
    answer: Answer
    judged: tuple[Judged, ...]
    conditions: tuple[Tried, ...]
    refused: tuple[tuple[str, str], ...] = ()  # probes without an answer, and why
    unjudged: tuple[str, ...] = ()  # tensors that the target does not give
    untried: tuple[Tried, ...] = ()  # conditions under which it can't be called


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
    run = Probing(spec, target, [name for name in names if name in there])
    if target.callable:
        for done, probe in enumerate(probes_for(run, operands.input.dtype, declared, seed), start=1):
            run.answer(probe)
            tell(0.4 * done / (done + 1))
    unjudged = tuple(n for n in TENSORS if n in only and n not in names and (spec.bias or n != "bias"))
    run.refuse_late(unjudged)
    unsteady = run.unsteady(operands, answer)
    right = references(spec, operands, list(run.probed), lambda s: tell(0.4 + 0.3 * s))
    judged = []
    for done, name in enumerate(names, start=1):
        certificate = Certificate(spec, operands, name, there[name], right[name]) if name in there else None
        judged.append(_judge(answer, name, declared, certificate, run, unsteady.get(name, "")))
        tell(0.7 + 0.2 * done / len(names))
    # What is wrong already shows nothing more under other conditions.
    sound = tuple(name for name in run.probed if not run.differences(name))
    trial = Trial(spec, target, declared, operands.input.dtype, seed, sound)
    tried = list(trial.run(conditions)) if target.callable and sound and conditions else []
    untried = tuple(one for one in tried if one.untried)
    tried = [one for one in tried if not one.untried]
    tell(1)
    verdict = _overall(judged, tried, run.refused)
    return Examination(verdict, answer, tuple(judged), tuple(tried), tuple(run.refused), unjudged, untried)


def _judge(
    answer: Answer, name: str, declared: Arithmetic, certificate: Certificate | None, run: Probing, unsteady: str
) -> Judged:
    """The verdict on one tensor; `unsteady` says that it does not follow from the operands, if it does not."""
    if certificate is None:
        return Judged(name, declared.name, "FAIL", misshapen(answer, run.spec, name), ())
    probed = tuple(run.probed[name])
    failed = run.differences(name)
    wrong, narrowest = certificate.wrong(declared), certificate.narrowest()
    if failed or len(wrong) or name in answer.missing:
        mask = certificate.mask(declared) if len(wrong) or not failed else failed[0].wrong
        if is_single(mask) if probed else not _is_everywhere(certificate, mask):
            narrowest = ""
        absent = next((f"on other numbers {one.absent}" for one in failed if one.absent), "")
        reason = absent or unsteady
        if not reason and failed:
            reason = signature(run.spec, name, failed, narrowest, declared.name)
        elif not reason:
            reason = outside(certificate.actual, certificate.dtype, len(wrong), narrowest)
        if name in answer.missing:
            reason = f"no gradient for {LETTERS[name]}: the output does not depend on it for autograd"
        where = pattern(run.spec, name, mask)
        return Judged(name, declared.name, "FAIL", reason, probed, certificate, narrowest, pattern=where)
    verdict, reason, reading = "PASS", "", None
    # Where all digits of operands were asked for, and came back, there is nothing left to suspect.
    if not any(one.name == "digits" for one in probed) and not _explains(declared):
        reading = read_precision(certificate)
    if reading is not None and reading.suspicious:
        verdict, reason = "SUSPECT", str(reading)
    elif run.is_weak(name):
        verdict, reason = "MISTRUSTED", "the test could not have failed: no probe reaches enough of its elements"
    elif not probed and certificate.is_zero:
        verdict, reason = "MISTRUSTED", "the test could not have failed: every number is 0"
    return Judged(name, declared.name, verdict, reason, probed, certificate, narrowest, reading)


def _is_everywhere(certificate: Certificate, wrong: Tensor) -> bool:
    """Whether the elements that are not wrong have too large errors as well, as those of an arithmetic have."""
    if FEW * int(wrong.sum()) >= wrong.numel():
        return True
    others = read_precision(certificate, apart=wrong)
    return others is not None and others.suspicious


def _explains(declared: Arithmetic) -> bool:
    """Whether the arithmetic that was declared makes larger errors than those of summing."""
    return declared.input_bits is not None or not declared.exact_sums


def _overall(judged: Sequence[Judged], tried: Sequence[Tried], refused: Sequence[tuple[str, str]]) -> str:
    found = [one.verdict for one in judged] + ["ERROR"] * bool(refused)
    found += ["FAIL" if one.tensors else "ERROR" for one in tried if one.tensors or one.refused]
    return min(found, key=SEVERITY.index)
