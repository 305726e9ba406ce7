"""`check`: whether code that computes gradients is right, by exact probes and rigorous bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from convgrad_cli.commands.arguments import LAYER as LAYER_KEYWORDS
from convgrad_cli.commands.arguments import problem_from
from convgrad_cli.commands.describe import tensor_data
from convgrad_cli.commands.diagnosis import EVERYTHING, describe_diagnosis, graded_check, hinted, sweep_note
from convgrad_cli.commands.inspect import operands_by_name, setting
from convgrad_cli.commands.target_options import SAVED, TargetOptions
from convgrad_cli.commands.targets import make_target
from convgrad_cli.commands.verdicts import describe_check, tables_of
from convgrad_cli.errors import ConvGradError
from convgrad_cli.findings import Check
from convgrad_cli.gradients.saved import saved_target
from convgrad_cli.gradients.target import Target
from convgrad_cli.report import Report
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.tensors.problem import Problem, make_operands
from convgrad_cli.verdict.choices import (
    OF_EVERY_CLASS,
    choose_arithmetic,
    choose_conditions,
    choose_hint,
    complete_layer,
)
from convgrad_cli.verdict.diagnose import diagnose, grade
from convgrad_cli.verdict.examine import Examination, examine
from convgrad_cli.verdict.faults import Bench
from convgrad_cli.verdict.nonfinite import first_odd
from convgrad_cli.verdict.second_order import examine_second

SMALL = 10**4  # entries up to which the operands are part of the report
TARGET_KEYWORDS = tuple(TargetOptions.__dataclass_fields__)


def check(
    target: Any = None,
    layer: Any = None,
    *,
    arithmetic: str = "direct",
    conditions: str | None = None,
    hint: int = EVERYTHING,
    **options: Any,
) -> Report:
    """The verdict on code that computes the gradients of a convolution; `report.check` holds it.

    `target` is a Python function, `"file.py::function"`, `"package.module:function"`, or None for torch's autograd;
    `layer` and the numbers are given as for `inspect`; g is random unless it or `loss` is given, and all ones for saved
    gradients. `conditions` is "all", "none" or a list such as "repeat, masks". Without a layer, classes of layers are
    tried. `hint` from 1 to 4 says how much of a diagnosis is given away: where, the concept, the fault, everything.
    With `second_order`, or cotangents as `inspect` takes them, gradients of gradients are judged: torch's own, those of
    a `forward`, or a function(x, w, b, g, ggx, ggw, ggb, *, ...) -> (grad_grad_output, grad_input, grad_weight).
    Further keywords are those of TargetOptions: `forward`, `convention`, `command`, `grad_input`, `grad_weight`,
    `grad_bias`, `framework`, `layout`, `weight_layout`, `scalars`, `timeout`, and torch's flags. Raises ConvGradError
    where there is nothing to judge.

    >>> check(layer="Conv2d(2, 3, 3)", input_size=5).check.verdict
    'PASS'
    """
    asked = {name: options.pop(name) for name in TARGET_KEYWORDS if name in options}
    saved = any(asked.get(name) is not None for name in SAVED)
    if options.get("grad_output") is None and options.get("loss") is None and not saved:
        options["grad_output"] = "randn"
    named = {name for name in (*LAYER_KEYWORDS, "input", "weight") if options.get(name) is not None}
    bare = layer is None and named <= OF_EVERY_CLASS
    # A saved gradient is that of one layer, which is said.
    complete = None if saved and not bare else partial(complete_layer, convention=asked.get("convention"))
    problem = problem_from(layer, options, complete)
    return check_problem(problem, TargetOptions(target=target, **asked), arithmetic, conditions, hint, sweep=bare)


def check_problem(
    problem: Problem,
    asked: TargetOptions,
    arithmetic: str = "direct",
    conditions: str | None = None,
    hint: int = EVERYTHING,
    progress: Callable[[float], None] | None = None,
    *,
    sweep: bool = False,
) -> Report:
    """The Report of `convgrad check`; `progress` is called with the share done, from 0 to 1.

    With `sweep` the problem is only the first of many: classes of layers are tried as well, and if it is right itself
    the report is about the first class that is wrong.
    """
    arithmetic, names = choose_arithmetic(arithmetic, problem.dtype), choose_conditions(conditions)
    hint = choose_hint(hint)
    operands = make_operands(problem)
    _require_finite(operands)
    target = _left(problem, asked, operands, arithmetic) or make_target(problem, asked)
    if problem.second_order:
        return _check_second(problem, operands, target, arithmetic, names, progress)
    try:
        found = examine(problem.spec, operands, target, arithmetic, names, problem.seed, progress)
        bench = Bench(target, operands.input.dtype, problem.seed, (problem.spec, operands))
        graded = grade(bench, problem.spec) if sweep and target.callable else ()
        bad = next((one.spec for one in graded if one.wrong), None)
        if bad is not None and found.verdict == "PASS":
            problem = replace(problem, spec=bad)
            operands = make_operands(problem)
            found = examine(bad, operands, target, arithmetic, names, problem.seed, progress)
        known = diagnose(bench, problem.spec, found)
        check = describe_check(target.name, arithmetic, target.callable, found)
    finally:
        target.close()
    told = None if known is None else describe_diagnosis(known, asked, problem.dtype, problem.seed)
    check = graded_check(replace(check, diagnosis=told), graded)
    notes = [sweep_note(problem.spec, graded)] if sweep else []
    if check.verdict == "FAIL" and asked.kinds() == ["saved gradients"] and "grad_output" not in problem.sources:
        notes.append("g is all ones, as y.sum() makes it; where the loss was another, give its gradient as --g")
    return hinted(_report(replace(problem, notes=(*problem.notes, *notes)), operands, target, check, found), hint)


def _left(problem: Problem, asked: TargetOptions, operands: Operands, arithmetic: str) -> Target | None:
    """The gradients that a model left, where nothing else is asked for and they are wrong: torch may do better here."""
    if not problem.left or asked != TargetOptions():
        return None
    left = saved_target(problem.left)
    found = examine(problem.spec, operands, left, arithmetic, (), problem.seed)
    return left if found.verdict in ("FAIL", "SUSPECT") else None


def _check_second(
    problem: Problem,
    operands: Operands,
    target: Target,
    arithmetic: str,
    conditions: Sequence[str],
    progress: Callable[[float], None] | None,
) -> Report:
    try:
        found = examine_second(problem.spec, operands, target, arithmetic, conditions, problem.seed, progress)
        check = describe_check(f"{target.name}, second order", arithmetic, target.callable, found)
        return _report(problem, operands, target, check, found)
    finally:
        target.close()


def _report(problem: Problem, operands: Operands, target: Target, check: Check, found: Examination) -> Report:
    spec = problem.spec
    few = sum(tensor.numel() for tensor in operands.letters(spec).values()) <= SMALL
    tensors = operands_by_name(spec, operands) if few else {}
    answers = found.answer.gradients.named() if few else {}
    tensors |= {name if name == "output" else f"grad_{name}": value for name, value in answers.items()}
    return Report(
        command="check",
        **{**setting(problem, operands.input.device), "device": problem.device},
        loss_value=None,
        tensors={name: tensor_data(name, value) for name, value in tensors.items() if value is not None},
        tables=tables_of(spec, operands, found),
        notes=(*problem.notes, *target.facts),
        check=check,
    )


def _require_finite(operands: Operands) -> None:
    names = {"x": operands.input, "w": operands.weight, "b": operands.bias, "g": operands.grad_output}
    if operands.cotangents is not None:
        second = operands.cotangents
        names |= {"ggx": second.input, "ggw": second.weight, "ggb": second.bias}
    for letter, tensor in names.items():
        nans, infinities, places = (0, 0, []) if tensor is None else first_odd(tensor, 1)
        if places:
            at = f"{letter}[{','.join(map(str, places[0]))}]"
            first = at if nans + infinities == 1 else f"the first of {nans + infinities:,} at {at}"
            raise ConvGradError(
                f"{letter} has NaN or infinities ({first}), which no bound can judge; give finite numbers; "
                "`convgrad inspect` says what they do to each gradient"
            )
