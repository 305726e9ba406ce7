"""A diagnosis as the plain data of a Report, as much of it as a learner asks for, and the line that shows the fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from convgrad_cli.commands.target_options import TargetOptions
from convgrad_cli.commands.typed import command_line, python_line
from convgrad_cli.findings import Check, Diagnosis, ErrorMap, Fault, Finding, Recovery
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.report import Report
from convgrad_cli.tensors.index import index_at
from convgrad_cli.verdict.diagnose import Diagnosis as Found
from convgrad_cli.verdict.diagnose import Graded
from convgrad_cli.verdict.pattern import pattern

CONCEPTS = {
    "F0": "which entries take part in the sum, for which entry, and that nothing more is done to it",
    "F1": "what the floor in the output size leaves over: rows that the last placement does not reach",
    "F2": "how the stride spreads the placements: position = placement * stride + tap * dilation - padding",
    "F3": "stride moves the kernel, dilation spreads its taps; they are not the same",
    "F4": "how the dilation spreads the taps of the kernel",
    "F5": "a group's outputs see only the channels of that group",
    "F6": "the border: which rows and columns are the last, and that padding is 0 in sums and cropped from results",
    "F7": "which axis is which: height and width have settings and sizes of their own",
    "F8": "the order in which w and its memory are read: the input gradient needs the kernel rotated, axes transposed",
    "F9": "the loss: its gradient is g as it comes, not a multiple of it",
    "F10": "what is in the buffer before: it starts at 0, and every term is added",
    "F11": "that the same numbers give the same result each time",
    "F12": "how tensors lie in memory: strides are not always those of a contiguous one",
    "F13": "what happens beyond a certain size",
    "F14": "the arithmetic: in how many bits the sums are kept",
    "F15": "what happens where vectors end",
    "F16": "that one gradient does not depend on whether another is asked for",
}
LARGEST = 40  # rows and columns of a map
EVERYTHING = 4  # the last hint


def describe_diagnosis(found: Found, asked: TargetOptions, dtype: str, seed: int) -> Diagnosis:
    """The diagnosis in words."""
    return Diagnosis(
        layer=_layer(found.shown),
        maps=tuple(_map(found.shown, operand, wrong) for operand, wrong in found.wrong.items()),
        faults=tuple(
            Fault(_tensor(one.operand), one.kinds, one.words, CONCEPTS[one.kinds[0]], one.equals, one.others)
            for one in found.named
        ),
        recovered=tuple(
            Recovery(_tensor(one.operand), one.index, one.right, one.yours, one.difference, _layer(one.spec))
            for one in found.recovered
        ),
        hidden=tuple(f"{_tensor(operand)}: {why}" for operand, why in found.hidden),
        smallest=_line(found, asked, dtype, seed),
        boundary=found.boundary,
        calls=found.calls,
    )


def _layer(spec: ConvSpec) -> str:
    return f"{spec.layer_text()} on {by_x(spec.input_shape)}"


def _line(found: Found, asked: TargetOptions, dtype: str, seed: int) -> str:
    """What to type, or to call where the target is a function of this process, to see the fault on a smallest layer."""
    if found.smallest is None:
        return ""
    said = (asked, found.smallest, found.fills, dtype, seed)
    return command_line(*said) or python_line(*said)


def graded_check(check: Check, graded: Sequence[Graded]) -> Check:
    """The check with how the code did on each class of layers; a class without an answer makes it an ERROR."""
    found = []
    for one in graded:
        outcome = "FAIL" if one.wrong else "ERROR" if one.refused else "PASS"
        found.append(Finding(one.name, outcome, one.refused, tuple(map(_tensor, one.wrong))))
    check = replace(check, classes=tuple(found))
    failed = [one for one in found if one.outcome == "ERROR"]
    if check.verdict != "PASS" or not failed:
        return check
    reason = f"no answer on {len(failed)} of {len(found)} classes of layers: {failed[0].name}: {failed[0].detail}"
    return replace(check, verdict="ERROR", reason=reason)


def sweep_note(spec: ConvSpec, graded: Sequence[Graded]) -> str:
    """What is said where no layer was given."""
    if not graded:
        return "no layer was given; this one was taken"
    here = next((one.name for one in graded if one.spec == spec and one.wrong), "")
    shown = f"this is the first on which it is wrong: {here}" if here else "the plain one is shown"
    return f"no layer was given; {len(graded)} classes of layers were tried on integers, and {shown}"


def hinted(report: Report, level: int) -> Report:
    """Only as much as hint `level` gives away: 1 where, 2 the concept, 3 the fault, 4 everything."""
    check = report.check
    if level >= EVERYTHING or check is None or check.diagnosis is None:
        return report
    known = check.diagnosis
    faults = [
        replace(one, words="" if level < 3 else one.words, others=() if level < 3 else one.others)
        for one in known.faults
    ]
    told = replace(
        known,
        faults=tuple(faults) if level > 1 else (),
        recovered=(),
        hidden=(),
        smallest=known.smallest if level > 2 else "",
        boundary=known.boundary if level > 2 else (),
    )
    return replace(report, check=replace(check, diagnosis=told), tables=())


def _map(spec: ConvSpec, operand: str, wrong: torch.Tensor) -> ErrorMap:
    """The plane with the most wrong elements."""
    where = pattern(spec, operand, wrong)
    letter, name = LETTERS[operand], _tensor(operand)
    if wrong.dim() < 2:
        return ErrorMap(name, letter, where, (_row(wrong),))
    axes = 2 if spec.dims > 1 else 1
    planes = wrong.flatten(0, -axes - 1)
    most = int(planes.flatten(1).sum(1).argmax())
    lead = index_at(most, wrong.shape[:-axes])
    plane = planes[most] if axes == 2 else planes[most].unsqueeze(0)
    label = f"{letter}[{','.join(map(str, lead))}{',:' * axes}]"
    return ErrorMap(name, label, where, tuple(_row(row) for row in plane[:LARGEST]))


def _row(row: torch.Tensor) -> str:
    return "".join("#" if bad else "." for bad in row[:LARGEST].tolist())


def _tensor(operand: str) -> str:
    return operand if operand == "output" else f"grad_{operand}"
