"""An Examination as the plain data of a Report: verdicts, findings, and the elements that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from convgrad_cli.commands.describe import element
from convgrad_cli.findings import Check, Finding, Verdict
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.report import Element, Lazy, Table
from convgrad_cli.tensors.index import index_at
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.bounds import ARITHMETICS
from convgrad_cli.verdict.conditions import UNTOUCHED, Tried
from convgrad_cli.verdict.examine import SEVERITY, Examination, Judged
from convgrad_cli.verdict.probes import Probed
from convgrad_cli.verdict.sample import Sampled

WORST = 5  # elements of a tensor that stand for all that are wrong
SMALL = 10**4  # elements up to which a report lists a tensor whole


def describe_check(name: str, arithmetic: str, callable: bool, found: Examination) -> Check:
    """The verdicts of an examination in words. `callable`: whether the target could be probed."""
    verdicts = tuple(_verdict(one) for one in found.judged)
    conditions = tuple(_condition(tried) for tried in found.conditions)
    refused = tuple(Finding(f"probe {probe}", "ERROR", why) for probe, why in dict.fromkeys(found.refused))
    return Check(
        target=name,
        verdict=found.verdict,
        reason=_reason(found, verdicts, (*refused, *conditions)),
        arithmetic=f"{arithmetic} ({ARITHMETICS[arithmetic].title})",
        verdicts=verdicts,
        conditions=(*refused, *conditions),
        unchecked=_unchecked(found, callable),
    )


def describe_sample(name: str, arithmetic: str, judged: Sequence[Sampled]) -> Check:
    """The verdicts of a sample of elements in words."""
    verdicts = tuple(
        Verdict(
            tensor=_tensor(one.operand),
            verdict=one.verdict,
            reason=one.said,
            elements=one.elements,
            wrong=one.wrong,
            ratio=one.ratio,
            worst=one.worst,
            probes=tuple(
                Finding(
                    probe,
                    "FAIL" if wrong else "PASS",
                    f"{wrong:,} of {one.elements:,} sampled elements differ" if wrong else "",
                )
                for probe, wrong in one.probes.items()
            ),
            arithmetic=ARITHMETICS[arithmetic].title if one.verdict == "PASS" else "",
        )
        for one in judged
    )
    verdict = min((one.verdict for one in verdicts), key=SEVERITY.index)
    bad = [one for one in verdicts if one.verdict == verdict]
    return Check(
        target=name,
        verdict=verdict,
        reason="every sampled element is right"
        if verdict == "PASS"
        else "; ".join(f"{one.tensor}: {one.reason}" for one in bad),
        arithmetic=f"{arithmetic} ({ARITHMETICS[arithmetic].title})",
        verdicts=verdicts,
        unchecked=("all elements but a sample; the digits of the operands; other conditions",),
    )


def tables_of(spec: ConvSpec, operands: Operands, found: Examination) -> tuple[Table, ...]:
    """The elements of every tensor, or the worst of a large one: on the real data, or on the probe that shows more."""
    return tuple(_table(spec, operands, one) for one in found.judged if one.certificate is not None)


def _verdict(one: Judged) -> Verdict:
    tensor = _tensor(one.operand)
    probes = tuple(_probe_finding(probed, one.operand) for probed in one.probed)
    if one.certificate is None:
        return Verdict(tensor, one.verdict, one.reason, 0, 0, float("inf"), None, probes)
    declared = ARITHMETICS[one.declared]
    [worst] = one.certificate.worst(declared, 1)
    return Verdict(
        tensor=tensor,
        verdict=one.verdict,
        reason=one.reason,
        elements=one.certificate.exact.numel(),
        wrong=len(one.certificate.wrong(declared)),
        ratio=worst.ratio,
        worst=worst.index if worst.ratio > 0 else None,
        probes=probes,
        arithmetic=ARITHMETICS[one.narrowest].title if one.narrowest else "",
        bits=worst.bits,
        pattern=one.pattern,
    )


def _probe_finding(probed: Probed, operand: str) -> Finding:
    found = probed.difference
    if found is None:
        return Finding(probed.name, "PASS")
    if found.absent:
        return Finding(probed.name, "FAIL", found.absent, (_tensor(operand),))
    off = torch.where(found.wrong, (found.actual.double() - found.expected).abs(), 0.0).nan_to_num(nan=float("inf"))
    index = index_at(int(off.flatten().argmax()), found.wrong.shape)
    name = f"{LETTERS[operand]}[{','.join(map(str, index))}]"
    share = f"{int(found.wrong.sum()):,} of {found.wrong.numel():,} elements differ"
    return Finding(
        probed.name,
        "FAIL",
        f"{share}; {name} is {float(found.actual[index]):.9g}, exactly {float(found.expected[index]):.9g}",
        (_tensor(operand),),
    )


def _condition(tried: Tried) -> Finding:
    outcome = "ERROR" if tried.refused else "FAIL" if tried.tensors else "PASS"
    # What is written to is an operand; all else is about gradients.
    tensors = tried.tensors if tried.name == UNTOUCHED else tuple(map(_tensor, tried.tensors))
    return Finding(tried.name, outcome, tried.detail or ("differs from the exact numbers" if tensors else ""), tensors)


def _reason(found: Examination, verdicts: tuple[Verdict, ...], conditions: tuple[Finding, ...]) -> str:
    """One sentence for the overall verdict."""
    if found.verdict == "PASS":
        probes = {finding.name for verdict in verdicts for finding in verdict.probes}
        exact = "exact on every probe, and " if probes else ""
        return f"{exact}every element is proved within its rounding bound"
    bad = [v for v in verdicts if v.verdict == found.verdict]
    if bad:
        return "; ".join(f"{verdict.tensor}: {verdict.reason}" for verdict in bad)
    together: dict[str, list[str]] = {}
    for finding in conditions:
        if finding.outcome == found.verdict:
            together.setdefault(", ".join(finding.tensors) or finding.detail, []).append(finding.name)
    return "; ".join(f"{', '.join(names)}: {what}" for what, names in together.items())


def _unchecked(found: Examination, callable: bool) -> tuple[str, ...]:
    missing = tuple(f"{_tensor(name)}: the target gives none" for name in found.unjudged)
    missing += tuple(f"{_tensor(name)}: the layer has no {name}" for name in found.answer.unasked)
    if not callable:
        return (*missing, "saved numbers cannot be probed: bounds and the reading of precision are all there is")
    wrong = [one.operand for one in found.judged if one.certificate is None or one.differences]
    skipped = (f"other conditions for {', '.join(map(_tensor, wrong))}, wrong without them",) if wrong else ()
    return (*missing, *skipped, *(f"{one.name} ({one.untried})" for one in found.untried))


def _table(spec: ConvSpec, operands: Operands, one: Judged) -> Table:
    """Where only a probe shows the fault, its numbers: integers that can be followed by hand."""
    assert one.certificate is not None
    certificate, declared = one.certificate, ARITHMETICS[one.declared]
    failed = next(iter(one.differences), None)
    if failed is not None and not len(certificate.wrong(declared)):
        off = (failed.actual.double() - failed.expected.double()).abs().nan_to_num(nan=float("inf"))
        order = torch.where(failed.wrong, off, 0.0).flatten()
        worst = order.topk(min(WORST, len(order))).indices.tolist()
        routes = {"actual": failed.actual, "expected": failed.expected.double()}
        make = _maker(spec, failed.probe.operands, one.operand, routes, lambda i: (float(off.flatten()[i]), 0.0))
    else:
        worst = [_flat(at.index, certificate.exact.shape) for at in certificate.worst(declared, WORST)]
        routes = {"actual": certificate.actual, "expected": certificate.exact}

        def judged(flat: int) -> tuple[float, float]:
            at = certificate.at(declared, flat)
            return at.error, at.bound

        make = _maker(spec, operands, one.operand, routes, judged)
    tensor, shape, count = _tensor(one.operand), tuple(certificate.exact.shape), certificate.exact.numel()
    if count <= SMALL:
        return Table(tensor, shape, Lazy(count, make), tuple(worst))
    return Table(tensor, shape, Lazy(len(worst), lambda i: make(worst[i])), tuple(range(len(worst))))


def _maker(
    spec: ConvSpec,
    operands: Operands,
    operand: str,
    routes: dict[str, Tensor],
    judged: Callable[[int], tuple[float, float]],
) -> Callable[[int], Element]:
    letters = operands.letters(spec)

    def make(flat: int) -> Element:
        index = index_at(flat, routes["expected"].shape)
        return element(spec, operand, index, operands, letters, routes, *judged(flat))

    return make


def _flat(index: tuple[int, ...], shape: tuple[int, ...]) -> int:
    flat = 0
    for at, size in zip(index, shape, strict=True):
        flat = flat * size + at
    return flat


def _tensor(operand: str) -> str:
    return operand if operand == "output" else f"grad_{operand}"
