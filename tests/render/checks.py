"""Reports of `check` built by hand: right code, a wrong formula, bad rounding, doubt, no answer, hostile words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from render.samples import HOSTILE, make_report

from convgrad_cli.findings import Check, Diagnosis, ErrorMap, Fault, Finding, Recovery, Verdict
from convgrad_cli.report import Element, Report, Table

PROBES = ("logic", "digits of x", "digits of g", "digits of w", "sums")
CONDITIONS = tuple(
    Finding(name, "PASS")
    for name in (
        "repeat", "repeat after another shape", "stride-0 g", "channels_last x, w, g", "sliced x, w, g",
        "transposed x, w, g", "6 request masks", "operands untouched",
    )
)  # fmt: skip
FAULT = "50 of 54 elements differ; w[0,0,0,0] is 24, exactly 13"
FAULT_OF_X = "1 of 32 elements differ; x[0,1,3,3] is nan, exactly -3"
LAYER = {"input_size": 4, "kernel_size": 3, "padding": 1, "in_channels": 2, "out_channels": 3, "bias": True}


def passing() -> Report:
    """A target that is right in all respects."""
    return _check(_layer(), {})


def failing() -> Report:
    """A weight gradient whose formula is wrong, beside an input gradient that is wrong in one element."""
    report = _layer()
    wrong = {(o, i, 0, k): 24.0 + o for o in range(3) for i in range(2) for k in range(3)}
    changed = {"grad_weight": wrong, "grad_input": {(0, 1, 3, 3): math.nan}}
    patterns = {"grad_weight": "the first of 3 kernel rows", "grad_input": "a single element"}
    found = _check(
        report,
        changed,
        patterns=patterns,
        probes={"grad_weight": FAULT, "grad_input": FAULT_OF_X},
    )
    return replace(found, notes=("mine.py has the hash 1f2e",))


def one_failing() -> Report:
    """What most people see: one gradient is wrong."""
    wrong = {(o, i, 0, k): 24.0 + o for o in range(3) for i in range(2) for k in range(3)}
    return _check(
        _layer(),
        {"grad_weight": wrong},
        patterns={"grad_weight": "the first of 3 kernel rows"},
        probes={"grad_weight": FAULT},
    )


def rounding() -> Report:
    """Numbers that agree in six digits and are proved wrong all the same; no probe could be made."""
    report = replace(make_report({"input_size": 3, "kernel_size": 2}, [i / 8 for i in range(9)], [1, 2, 3, 4]))
    exact = {e.index: e.values["by_hand"] for e in _table(report, "grad_weight").elements}
    found = _check(report, {"grad_weight": {at: v * (1 + 3e-7) for at, v in exact.items()}}, bits=21.6)
    verdicts = tuple(replace(verdict, probes=()) for verdict in _of(found).verdicts)
    unchecked = ("saved numbers cannot be probed: bounds and the reading of precision are all there is",)
    return _with(found, verdicts=verdicts, unchecked=unchecked, conditions=(), target="gw.npy")


def on_a_probe() -> Report:
    """Only a probe shows the fault: the elements are the probe's, whose bound is 0."""
    found = one_failing()
    verdicts = tuple(replace(verdict, wrong=0, ratio=0.4) for verdict in _of(found).verdicts)
    tables = tuple(
        replace(table, elements=tuple(replace(e, bound=0.0) for e in table.elements)) for table in found.tables
    )
    return replace(_with(found, verdicts=verdicts), tables=tables)


def suspect() -> Report:
    """Nothing is proved wrong, but the errors read as a lower precision; one gradient can't be judged at all."""
    found = _check(_layer(), {}, verdict="SUSPECT")
    reason = "errors are 812 times what rounding gives; they read as operands of about 10.9 bits, as in TF32"
    weak = "the test could not have failed: no probe reaches it"
    changes: dict[str, dict[str, Any]] = {
        "grad_weight": {"verdict": "SUSPECT", "reason": reason, "bits": 11.2, "arithmetic": "operands rounded to TF32"},
        "grad_bias": {"verdict": "MISTRUSTED", "reason": weak},
    }
    verdicts = tuple(replace(v, **changes.get(v.tensor, {})) for v in _of(found).verdicts)
    return _with(found, verdicts=verdicts, reason=f"grad_weight: {reason}")


def mistrusted() -> Report:
    found = _check(_layer(), {}, verdict="MISTRUSTED")
    reason = "the test could not have failed: every number is 0"
    verdicts = tuple(
        replace(v, verdict="MISTRUSTED", reason=reason, probes=(), ratio=0.0)
        for v in _of(found).verdicts
        if v.tensor == "grad_weight"
    )
    report = _with(found, verdicts=verdicts, reason=f"grad_weight: {reason}", conditions=())
    return replace(report, tables=(_table(report, "grad_weight"),))


def no_answer() -> Report:
    """All numbers are right, but under some conditions there are none; and one condition gives wrong ones."""
    conditions = (
        Finding("probe overflow", "ERROR", "mine.py::backward raised ZeroDivisionError: division by zero"),
        *CONDITIONS[:3],
        Finding("channels_last x", "FAIL", "differs from the exact numbers", ("grad_input", "grad_weight")),
    )
    found = _check(_layer(), {}, verdict="FAIL")
    return _with(found, conditions=conditions, reason="channels_last x: grad_input, grad_weight")


def only_an_error() -> Report:
    conditions = (Finding("batch 17", "ERROR", "mine.py::backward ran longer than 60 s"), *CONDITIONS[:3])
    found = _check(_layer(), {}, verdict="ERROR")
    return _with(found, conditions=conditions, reason="batch 17: mine.py::backward ran longer than 60 s")


def misshapen() -> Report:
    """A gradient came in another shape, so that it has no elements to judge."""
    found = _check(_layer(), {}, verdict="FAIL")
    reason = "its shape is 3x2x9, not 3x2x3x3"
    verdicts = tuple(
        Verdict(v.tensor, "FAIL", reason, 0, 0, math.inf, None) if v.tensor == "grad_weight" else v
        for v in _of(found).verdicts
    )
    tables = tuple(table for table in found.tables if table.tensor != "grad_weight")
    unchecked = ("output: the target gives none", "other conditions for grad_weight, wrong without them")
    return replace(_with(found, verdicts=verdicts, unchecked=unchecked, reason=f"grad_weight: {reason}"), tables=tables)


def hostile_check() -> Report:
    """Text that attacks every format wherever the code under test can put it, and numbers that are not finite."""
    evil = " ".join(HOSTILE)
    found = failing()
    conditions = tuple(
        Finding(text, outcome, text, ("grad_input",))
        for text, outcome in zip(HOSTILE, ("FAIL", "ERROR", "PASS") * len(HOSTILE), strict=False)
    )
    odd = {0: (math.inf, -math.inf), 1: (math.nan, 1e300), 2: (-0.0, 1e-300), 3: (1e300, math.nan)}
    verdicts, tables = [], []
    for verdict in _of(found).verdicts:
        probes = tuple(replace(probe, name=evil, detail=evil, outcome="FAIL") for probe in verdict.probes[:2])
        words = {"reason": evil, "pattern": evil, "arithmetic": HOSTILE[1], "probes": probes}
        verdicts.append(replace(verdict, **words, verdict="FAIL", wrong=4, ratio=math.nan, bits=-math.inf))
    for table in found.tables:
        elements = list(table.elements)
        for i, (actual, expected) in odd.items():
            values = {"actual": actual, "expected": expected}
            elements[i % len(elements)] = replace(
                elements[i % len(elements)], values=values, difference=math.nan, bound=math.inf
            )
        tables.append(replace(table, elements=tuple(elements), important=(0, 1, 2)))
    report = _with(
        found,
        target=evil,
        reason=evil,
        arithmetic=evil,
        conditions=conditions,
        unchecked=HOSTILE,
        verdicts=tuple(verdicts),
    )
    return replace(report, tables=tuple(tables), notes=HOSTILE, device="cuda:0 [/x]\x1b[2J", dtype="float32")


SHOWN = "Conv2d(2, 3, (3, 3))"


def diagnosed() -> Report:
    """What is wrong is known: the mistake, and of one element the right sum and the one that the code computes."""
    fault = Fault(
        "grad_weight", ("F2",), "with stride 1: the stride is ignored", "how the stride spreads the placements"
    )
    right, yours = "(x[:,0,0:3,0:3] * g[:,0,1:4,1:4]).sum()", "(x[:,0,0:2,0:3] * g[:,0,1:3,1:4]).sum()"
    recovery = Recovery("grad_weight", (0, 0, 0, 0), right, yours, "3 missing: x[0,0,2,0] * g[0,0,3,1], ...", SHOWN)
    drawn = ErrorMap("grad_weight", "w[0,0,:,:]", "the first of 3 kernel rows", ("###", "...", "..."))
    smallest = "convgrad check mine.py::backward --size 2 --kernel 1 --stride 2 --x ones --w ones"
    boundary = ("wrong only if stride > 1",)
    found = Diagnosis(SHOWN, (drawn,), (fault,), (recovery,), (), smallest, boundary, 88)
    return _with(one_failing(), diagnosis=found)


BUILDERS = (
    passing, failing, one_failing, rounding, on_a_probe, suspect, mistrusted, no_answer, only_an_error, misshapen,
    hostile_check,
)  # fmt: skip
CHECKS = tuple(builder.__name__ for builder in BUILDERS)
TAME = CHECKS[:-1]
"""Those whose numbers were computed and whose words are their own."""


@cache
def check(name: str) -> Report:
    return next(builder for builder in BUILDERS if builder.__name__ == name)()


def _layer() -> Report:
    g = [float((5 * i + 2) % 7 - 3) for i in range(48)]
    return make_report(
        LAYER, [float(i % 5) for i in range(32)], [float(i % 4 - 1) for i in range(54)], b=[1, 2, 3], g=g
    )


def _check(
    report: Report,
    changed: Mapping[str, Mapping[tuple[int, ...], float]],
    verdict: str = "",
    patterns: Mapping[str, str] | None = None,
    probes: Mapping[str, str] | None = None,
    bits: float | None = None,
) -> Report:
    """The report as that of a check whose target gave `changed` elements; `probes` says what its logic probe found."""
    verdicts, tables = [], []
    for table in report.tables:
        wrong = changed.get(table.tensor, {})
        elements = tuple(_judged(e, wrong.get(e.index, e.values["by_hand"])) for e in table.elements)
        important = sorted(range(len(elements)), key=lambda i: _rank(elements[i]))[:5]
        tables.append(Table(table.tensor, table.shape, elements, tuple(important)))
        worst = elements[important[0]]
        ratio = 0.0 if not wrong else (worst.difference or 0) / (worst.bound or 1)
        fault = (probes or {}).get(table.tensor, "")
        findings = [Finding(name, "PASS") for name in PROBES]
        if fault:
            findings[0] = Finding("logic", "FAIL", fault, (table.tensor,))
        verdicts.append(
            Verdict(
                tensor=table.tensor,
                verdict="FAIL" if wrong else "PASS",
                reason=_reason(fault) if wrong else "",
                elements=len(elements),
                wrong=len(wrong),
                ratio=ratio if wrong else 0.21,
                worst=worst.index if wrong else None,
                probes=tuple(findings),
                arithmetic="" if wrong else "correctly rounded",
                bits=bits if wrong else None,
                pattern=(patterns or {}).get(table.tensor, "every element" if wrong else ""),
            )
        )
    overall = verdict or ("FAIL" if changed else "PASS")
    reason = "exact on every probe, and every element is proved within its rounding bound"
    if changed:
        reason = "; ".join(f"{v.tensor}: {v.reason}" for v in verdicts if v.verdict == "FAIL")
    found = Check("mine.py::backward", overall, reason, "any order of summation", tuple(verdicts), CONDITIONS)
    return replace(
        report, command="check", check=found, tables=tuple(tables), comparisons=(), dtype="float32", loss_value=None
    )


def _judged(element: Element, actual: float) -> Element:
    expected = element.values["by_hand"]
    difference = 0.0 if actual == expected else abs(actual - expected)
    values = {"actual": actual, "expected": expected}
    return replace(element, values=values, difference=difference, bound=2.0**-24 * max(1.0, abs(expected)))


def _rank(element: Element) -> float:
    difference = element.difference or 0.0
    return -math.inf if math.isnan(difference) else -difference


def _reason(fault: str) -> str:
    if not fault:
        return "3 of 4 elements are proved outside the rounding bound; operands rounded to TF32 would explain it"
    return f"the formula is wrong: {fault.partition(';')[0].removesuffix(' differ')} differ on exact integers"


def _table(report: Report, tensor: str) -> Table:
    return next(table for table in report.tables if table.tensor == tensor)


def _of(report: Report) -> Check:
    assert report.check is not None
    return report.check


def _with(report: Report, **changes: Any) -> Report:
    return replace(report, check=replace(_of(report), **changes))
