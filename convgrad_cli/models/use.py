"""Use: one run of a convolution inside a model, with its own operands and its own gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import Answer, Call
from convgrad_cli.tensors.operands import Operands, Tensor

# The arguments of torch's functions after input, weight and bias, in their order.
PLAIN = ("stride", "padding", "dilation", "groups")
TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")
EITHER = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
FUNCTIONS = {
    getattr(home, name): order
    for home in (torch, torch.ops.aten)
    for names, order in (
        (("conv1d", "conv2d", "conv3d"), PLAIN),
        (("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), TRANSPOSED),
        (("convolution",), EITHER),
    )
    for name in names
}


def packet(function: Any) -> Any:
    """The function of FUNCTIONS, if any, that this is: torch.ops.aten.conv2d for torch.ops.aten.conv2d.default."""
    return getattr(function, "overloadpacket", function)


@dataclass(frozen=True)
class Use:
    """One run of a layer, `place` in the order of the forward pass; all tensors are on the CPU.

    `gradients` are those of this run alone, though the weight may be shared; one that nobody asked for is missing.
    `output_finite` says of the output, which is not kept, that it has neither NaN nor infinities.
    """

    name: str
    place: int
    spec: ConvSpec
    operands: Operands
    gradients: Gradients
    output_finite: bool = True

    def tensors(self) -> dict[str, Tensor]:
        """Operands and gradients by the names that a capture has for them."""
        given = {name: getattr(self.operands, name) for name in ("input", "weight", "bias", "grad_output")}
        left = {f"grad_{name}": value for name, value in self.gradients.named().items()}
        return {name: value for name, value in {**given, **left}.items() if value is not None}

    @property
    def target(self) -> CapturedTarget:
        return CapturedTarget(self.name, self.gradients)


@dataclass(frozen=True, eq=False)
class CapturedTarget:
    """What autograd left for one use, as a Target that can't be called again."""

    name: str
    gradients: Gradients
    facts: tuple[str, ...] = field(default=())

    callable: ClassVar[bool] = False
    allows: ClassVar[frozenset[str]] = frozenset()

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        return Answer(self.gradients)

    def close(self) -> None:
        """Nothing was started."""


def spec_of(
    function: object, input: Tensor, weight: Tensor, bias: Tensor | None, *rest: object, **more: object
) -> ConvSpec:
    """The layer that a call of one of FUNCTIONS runs. Raises SpecError where convgrad knows no such layer."""
    order = FUNCTIONS[packet(function)]
    settings = dict(zip(order, rest, strict=False)) | more
    transposed, dims = bool(settings.pop("transposed", order is TRANSPOSED)), weight.dim() - 2
    if not transposed:
        settings.pop("output_padding", None)
    groups = int(settings.get("groups", 1))  # type: ignore[call-overload]
    channels = weight.shape[0], weight.shape[1] * groups
    return make_spec(
        in_channels=channels[0 if transposed else 1],
        out_channels=channels[1 if transposed else 0],
        input_size=tuple(input.shape[-dims:]),
        kernel_size=tuple(weight.shape[2:]),
        bias=bias is not None,
        transposed=transposed,
        batch_size=input.shape[0] if input.dim() == dims + 2 else None,
        dims=dims,
        **settings,  # type: ignore[arg-type]
    )
