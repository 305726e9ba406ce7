"""One problem of a suite, in the process that does it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import cache, partial
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
from convgrad_cli.geometry.derivation import require_tellable
from convgrad_cli.geometry.problem_list import Listed
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.target import Target
from convgrad_cli.report import Comparison, Row
from convgrad_cli.tensors.memory import require_memory
from convgrad_cli.tensors.problem import Problem, make_operands, make_problem, run_device
from convgrad_cli.tensors.sources import Fill
from convgrad_cli.verdict.bounds import ARITHMETICS
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.choices import choose_arithmetic, choose_conditions
from convgrad_cli.verdict.examine import examine
from convgrad_cli.verdict.reference import references
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
    make = partial(make_operands, problem, gradients=False)
    judged = sample(spec, make, target, ARITHMETICS[arithmetic], settings.sample, problem.seed, only)
    return describe_sample(target.name, arithmetic, judged)


def _target(problem: Problem, settings: Settings) -> Target:
    key = settings.asked, settings.device
    if key not in _kept:
        _kept[key] = make_target(problem, settings.asked)
    return _kept[key]


def _inspected(problem: Problem, settings: Settings, listed: Listed) -> Row:
    if problem.dtype == "float64":  # is compared with sums that are no better; the reference of a check does not fit it
        found = tuple(map(_told, inspect_problem(problem).comparisons))
    else:
        found = tuple(_compared(problem))
    reason = "; ".join(f"{one.tensor}: {one.reason}" for one in found if one.verdict == "FAIL")
    row = row_of(settings, listed, f"torch {torch.__version__} autograd", "FAIL" if reason else "PASS", reason)
    return replace(row, verdicts=found)


def _compared(problem: Problem) -> Iterator[Verdict]:
    """What `inspect` compares, autograd and the slice sums, without the tables that it shows."""
    spec, operands, device = problem.spec, make_operands(problem), run_device(problem)
    require_tellable(spec)
    there = autograd(spec, operands.map(lambda t: t.to(device))).named()
    right = references(spec, operands, list(there))
    for name, actual in there.items():
        certificate = Certificate(spec, operands, name, actual.cpu(), right[name])
        wrong, [worst] = certificate.wrong(ARITHMETICS["direct"]), certificate.worst(ARITHMETICS["direct"], 1)
        tensor = name if name == "output" else f"grad_{name}"
        yield _verdict(tensor, actual.numel(), len(wrong), worst.ratio, worst.index if worst.ratio > 0 else None)


def _told(one: Comparison) -> Verdict:
    return _verdict(one.tensor, one.elements, one.elements - one.agreeing, one.ratio, one.worst)


def _verdict(tensor: str, elements: int, wrong: int, ratio: float, worst: tuple[int, ...] | None) -> Verdict:
    reason = f"{wrong:,} elements differ from the slice sums" if wrong else ""
    return Verdict(tensor, "FAIL" if wrong else "PASS", reason, elements, wrong, ratio, worst)
