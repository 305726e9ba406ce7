"""One problem of a suite, in the process that does it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from math import prod
from time import perf_counter

import torch

from convgrad_cli.commands.inspect import inspect_problem
from convgrad_cli.commands.suite import row_of, without_answer
from convgrad_cli.commands.suite_settings import Settings
from convgrad_cli.commands.target_options import TargetOptions
from convgrad_cli.commands.targets import make_target
from convgrad_cli.commands.verdicts import describe_check, describe_sample
from convgrad_cli.findings import Check, Verdict
from convgrad_cli.geometry.problem_list import Listed
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.target import Target
from convgrad_cli.report import Comparison, Row
from convgrad_cli.tensors.memory import require_memory
from convgrad_cli.tensors.problem import Problem, make_operands, make_problem
from convgrad_cli.tensors.sources import Fill
from convgrad_cli.verdict.bounds import ARITHMETICS
from convgrad_cli.verdict.choices import choose_arithmetic, choose_conditions
from convgrad_cli.verdict.examine import examine
from convgrad_cli.verdict.sample import sample

ALONE = 10**7  # multiply-adds that one thread does as fast as several
_kept: dict[tuple[TargetOptions, str], Target] = {}  # what was started for one problem serves the next


def judge_problem(settings: Settings, listed: Listed) -> Row:
    """The Row of one problem. Nothing that goes wrong with it ends the others."""
    begun, spec = perf_counter(), settings.spec(listed)
    try:
        _use_threads(spec)
        problem = make_problem(
            {name: getattr(spec, name) for name in spec.__dataclass_fields__},
            {} if settings.summary else {"grad_output": Fill("randn")},
            dtype=settings.dtype_of(listed),
            device=settings.device,
            seed=settings.seed,
        )
        row = (_inspected if settings.summary else _checked)(problem, settings, listed)
    except Exception as error:
        row = without_answer(settings, listed, error)
    return replace(row, seconds=perf_counter() - begun)


@cache
def _threads() -> int:
    return torch.get_num_threads()


def _use_threads(spec: ConvSpec) -> None:
    """One thread for what is so small that sharing it out takes longer; its numbers do not depend on --jobs then."""
    most = _threads()
    if torch.get_num_threads() != (wanted := 1 if spec.macs <= ALONE else most):
        torch.set_num_threads(wanted)


def _checked(problem: Problem, settings: Settings, listed: Listed) -> Row:
    only = [name.removeprefix("grad_") for name in listed.directions]
    arithmetic = choose_arithmetic(settings.arithmetic, problem.dtype)
    target, is_sampled = _target(problem, settings), settings.is_sampled(problem.spec)
    if is_sampled:
        check = _sampled(problem, settings, target, arithmetic, only)
    else:
        operands, names = make_operands(problem), choose_conditions(settings.conditions)
        found = examine(problem.spec, operands, target, arithmetic, names, problem.seed, only=only)
        check = describe_check(target.name, arithmetic, target.callable, found)
    row = row_of(settings, listed, check.target, check.verdict, "" if check.verdict == "PASS" else check.reason)
    sampled = settings.sample if is_sampled else 0
    return replace(row, verdicts=check.verdicts, conditions=check.conditions, sampled=sampled)


def _sampled(problem: Problem, settings: Settings, target: Target, arithmetic: str, only: Collection[str]) -> Check:
    spec, width = problem.spec, getattr(torch, problem.dtype).itemsize
    entries = sum(prod(spec.shape_of(name)) for name in ("input", "weight", "output"))
    require_memory(5 * width * entries, spec.layer_text(), "use a smaller --mb")
    operands = make_operands(problem, gradients=False)
    judged = sample(spec, operands, target, ARITHMETICS[arithmetic], settings.sample, problem.seed, only)
    return describe_sample(target.name, arithmetic, judged)


def _target(problem: Problem, settings: Settings) -> Target:
    key = settings.asked, settings.device
    if key not in _kept:
        _kept[key] = make_target(problem, settings.asked)
    return _kept[key]


def _inspected(problem: Problem, settings: Settings, listed: Listed) -> Row:
    found = tuple(map(_compared, inspect_problem(problem).comparisons))
    reason = "; ".join(f"{one.tensor}: {one.reason}" for one in found if one.verdict == "FAIL")
    row = row_of(settings, listed, f"torch {torch.__version__} autograd", "FAIL" if reason else "PASS", reason)
    return replace(row, verdicts=found)


def _compared(one: Comparison) -> Verdict:
    wrong = one.elements - one.agreeing
    reason = f"{wrong:,} elements differ from the slice sums" if wrong else ""
    return Verdict(one.tensor, "FAIL" if wrong else "PASS", reason, one.elements, wrong, one.ratio, one.worst)
