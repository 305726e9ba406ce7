"""The target that options describe: torch under flags, the user's function or command, or saved gradients."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.gradients.target import Target
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
    raise ConvGradError("not yet")
