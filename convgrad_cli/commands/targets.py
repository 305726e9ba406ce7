"""The target that options describe: torch under flags, the user's function or command, or saved gradients."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from convgrad_cli.commands.arguments import as_source
from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.gradients.command import command_target
from convgrad_cli.gradients.foreign import function_target, local_target
from convgrad_cli.gradients.saved import saved_target
from convgrad_cli.gradients.target import Target
from convgrad_cli.safe import safe
from convgrad_cli.tensors.numbers import Numbers
from convgrad_cli.tensors.problem import Problem, run_device


@dataclass(frozen=True)
class TargetOptions:
    """What is to be judged, and how it wants to be called; the words are those of the command line.

    `target` is a function or its name, `command` is --exec, `framework` is --as. `tf32` and the fields after it are
    flags for torch, as in `gradients.autograd.Flags`.
    """

    target: Any = None
    forward: Any = None
    convention: str | None = None
    command: str | None = None
    grad_input: Any = None
    grad_weight: Any = None
    grad_bias: Any = None
    framework: str = "numpy"
    layout: str | None = None
    weight_layout: str | None = None
    scalars: bool = False
    timeout: float = 60.0
    tf32: bool | None = None
    channels_last: bool = False
    deterministic: bool = False
    mkldnn: bool | None = None
    cudnn: bool | None = None
    benchmark: bool = False
    compile: bool = False

    def kinds(self) -> list[str]:
        """Which kinds of target were named."""
        saved = [name for name in ("grad_input", "grad_weight", "grad_bias") if getattr(self, name) is not None]
        named = [name for name in ("target", "forward", "command") if getattr(self, name) is not None]
        return named + (["saved gradients"] if saved else [])


def make_target(problem: Problem, asked: TargetOptions) -> Target:
    """The target; ConvGradError where the options contradict each other."""
    kinds = asked.kinds()
    if len(kinds) > 1:
        raise ConvGradError(f"only one thing can be checked at a time, not {' and '.join(kinds)}")
    if not kinds:
        flags = {field.name: getattr(asked, field.name) for field in fields(Flags)}
        return TorchTarget(run_device(problem), Flags(**flags))
    if problem.device not in ("cpu", "auto"):
        raise ConvGradError(
            f"--device {problem.device} is for torch's own gradients; your code gets tensors of the CPU"
        )
    if asked.command is not None:
        return command_target(asked.command, asked.timeout)
    if asked.target is None and asked.forward is None:
        names = ("input", "weight", "bias")
        given = {name: getattr(asked, f"grad_{name}") for name in names}
        return saved_target({n: _numbers(f"grad_{n}", value) for n, value in given.items() if value is not None})
    return _function(asked)


def _function(asked: TargetOptions) -> Target:
    if asked.convention not in (None, "cs231n"):
        raise ConvGradError(f"--convention {safe(str(asked.convention))!r} is not known; there is cs231n")
    code = asked.forward if asked.target is None else asked.target
    how: dict[str, Any] = {
        "kind": "forward" if asked.target is None else asked.convention or "backward",
        "framework": asked.framework,
        "layout": asked.layout,
        "weight_layout": asked.weight_layout,
        "scalars": asked.scalars,
    }
    return function_target(code, timeout=asked.timeout, **how) if isinstance(code, str) else local_target(code, **how)


def _numbers(name: str, value: Any) -> Numbers:
    found = as_source(name, value)
    if not isinstance(found, Numbers):
        raise ConvGradError(f"--{name.replace('_', '-')} takes saved numbers, no fill; name a file")
    return found
