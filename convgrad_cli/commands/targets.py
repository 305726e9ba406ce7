"""The target that options describe: torch under flags, the user's function or command, or saved gradients."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import Any

from convgrad_cli.commands.arguments import as_source
from convgrad_cli.commands.target_options import TargetOptions, check_options, check_second_order
from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.gradients.command import command_target
from convgrad_cli.gradients.foreign import function_target, local_target
from convgrad_cli.gradients.saved import saved_target
from convgrad_cli.gradients.target import Target
from convgrad_cli.tensors.numbers import Numbers
from convgrad_cli.tensors.problem import Problem, run_device


def make_target(problem: Problem, asked: TargetOptions) -> Target:
    """The target; ConvGradError where the options contradict each other or the layer."""
    if problem.second_order:
        check_second_order(asked)
    check_options(asked)
    if not asked.kinds():
        flags = {field.name: getattr(asked, field.name) for field in fields(Flags)}
        return TorchTarget(run_device(problem), Flags(**flags))
    on_device = asked.command is None and (asked.forward is not None or asked.framework == "torch")
    if problem.device not in ("cpu", "auto") and not on_device:
        raise ConvGradError(
            f"--device {problem.device} is for torch's own gradients, --forward and --as torch; "
            "other code gets arrays of the CPU"
        )
    if asked.command is not None:
        return command_target(asked.command, asked.timeout)
    if asked.target is None and asked.forward is None:
        names = ("input", "weight", "bias")
        given = {name: getattr(asked, f"grad_{name}") for name in names}
        saved = {n: _numbers(f"grad_{n}", value) for n, value in given.items() if value is not None}
        _require_operands(problem, saved)
        return saved_target(saved)
    return _function(asked, str(run_device(problem)), "double_backward" if problem.second_order else "backward")


def _function(asked: TargetOptions, device: str, backward: str) -> Target:
    code = asked.forward if asked.target is None else asked.target
    how: dict[str, Any] = {
        "kind": "forward" if asked.target is None else asked.convention or backward,
        "framework": asked.framework,
        "layout": asked.layout,
        "weight_layout": asked.weight_layout,
        "scalars": asked.scalars,
        "device": device,
    }
    return function_target(code, timeout=asked.timeout, **how) if isinstance(code, str) else local_target(code, **how)


def _require_operands(problem: Problem, saved: Collection[str]) -> None:
    """Saved gradients belong to numbers that someone has; random ones in their place would make right ones wrong."""
    for name, other in (("weight", "input"), ("input", "weight")):
        if name in saved and other not in problem.sources:
            raise ConvGradError(
                f"--grad-{name} is right or wrong for the {LETTERS[other]} that it was computed with; give that as "
                f"--{LETTERS[other]}, and --g where the loss is not y.sum()"
            )


def _numbers(name: str, value: Any) -> Numbers:
    found = as_source(name, value)
    if not isinstance(found, Numbers):
        raise ConvGradError(f"--{name.replace('_', '-')} takes saved numbers, no fill; name a file")
    return found
