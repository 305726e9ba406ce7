"""Target: code under test, as something that answers calls. What it answers is judged elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.tensors.operands import Operands, Tensor

SETTINGS = ("stride", "padding", "dilation", "groups")
WANTED = ("input", "weight", "bias")
SECOND = ("grad_output", "input", "weight")
"""What the second order asks for, in the order of PyTorch's own double backward."""
LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed", "expanded")


class TargetError(ConvGradError):
    """The code under test gave no gradients: it raised, ended, hung, or returned something else."""


class OtherLayerError(TargetError):
    """The layer is none that the code is meant for, or could be told of in the way in which it is called."""


@dataclass(frozen=True)
class Call:
    """How a target is to be called, beside its operands.

    `wanted` names the gradients asked for; `layouts` says how an operand ("input", "weight", "grad_output") lies in
    memory, contiguous unless it is named. `poison`: output buffers, where the target takes them, come filled with NaN.
    `accumulate`: leaves, where the target has them, already hold a gradient of ones, to which a new one is added.
    """

    wanted: tuple[str, ...] = WANTED
    layouts: Mapping[str, str] = field(default_factory=dict)
    poison: bool = False
    accumulate: bool = False


@dataclass(frozen=True)
class Answer:
    """What a target gave: tensors on the CPU, named and shaped like those of the spec; a missing one is None.

    `misshapen` says of a tensor that came in another shape which one that was (it is None in `gradients`); `changed`
    names the operands that the target wrote to, `missing` those that autograd found no way to (their gradient is 0),
    `unasked` those that the layer has not, and of which there was a gradient all the same.
    """

    gradients: Gradients
    misshapen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()


class Target(Protocol):
    """Code under test. `name` is what a report calls it; `facts` are sentences about what exactly was run.

    `callable` says whether it takes other numbers than the user's: a saved gradient does not. `allows` names what of a
    Call it understands beyond plain operands ("layouts", "wanted", "poison", "accumulate"), and which of SETTINGS
    it can be told.
    """

    @property
    def name(self) -> str: ...
    @property
    def facts(self) -> tuple[str, ...]: ...
    @property
    def callable(self) -> bool: ...
    @property
    def allows(self) -> frozenset[str]: ...

    def run(self, spec: ConvSpec, operands: Operands, call: Call = ...) -> Answer:
        """Run it on `operands` (CPU tensors). Raises TargetError where there is no answer.

        With cotangents among the operands it is asked for gradients of gradients: SECOND, or those that are wanted.
        """

    def close(self) -> None:
        """End what it started."""


def lay_out(tensor: Tensor, layout: str) -> Tensor:
    """The numbers of `tensor` in memory as `layout` says.

    "sliced" is every second entry of a larger buffer, whose other entries are NaN; "transposed" has its axes in reverse
    order in memory; "expanded" repeats the first number with stride 0, as the backward of `y.sum()` hands over g.
    """
    if layout == "channels_last":
        axis = 1 if tensor.dim() > 2 else 0
        return tensor.movedim(axis, -1).contiguous().movedim(-1, axis)
    if layout == "sliced":
        wide = tensor.new_full((*tensor.shape[:-1], 2 * tensor.shape[-1]), float("nan"))
        wide[..., ::2] = tensor
        return wide[..., ::2]
    if layout == "transposed":
        reverse = tuple(range(tensor.dim() - 1, -1, -1))
        return tensor.permute(reverse).contiguous().permute(reverse)
    if layout == "expanded":
        return tensor.flatten()[0].clone().expand(tensor.shape)  # of a buffer that holds nothing else
    return tensor.contiguous()
