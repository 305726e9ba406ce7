"""The gradients of a convolution's gradients as tensors of the first order, on other layers and operands.

See `geometry/derivation.py`: dS/dw and dS/dx are gradients of the same layer on the cotangents. dS/dg is the output of
one with twice the input channels, which has ggx beside x and, where that meets them, w beside ggw; the bias is ggb.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import ALL, Each, by_hand
from convgrad_cli.tensors.operands import Operands, Tensor


@dataclass(frozen=True)
class Part:
    """Tensors of a problem as first-order ones of `spec` on `operands`.

    `names` says what those are called in the problem: {"output": "grad_output"}.
    """

    spec: ConvSpec
    operands: Operands
    names: Mapping[str, str]


def parts(spec: ConvSpec, operands: Operands) -> tuple[Part, ...]:
    """All tensors of a problem of either order."""
    if operands.cotangents is None:
        return (Part(spec, operands, {name: name for name in ALL}),)
    return (
        Part(*side_by_side(spec, operands), {"output": "grad_output"}),
        Part(spec, operands.cotangents, {"weight": "weight", "input": "input"}),
    )


def by_parts(
    found: tuple[Part, ...], progress: Callable[[float], None], each: Each = torch.Tensor.double
) -> dict[str, Tensor]:
    """The tensors of all parts by hand, under their names in the problem; the arguments as for `by_hand`."""
    tensors: dict[str, Tensor] = {}
    for done, part in enumerate(found):

        def tell(share: float, done: int = done) -> None:
            progress((done + share) / len(found))

        here = by_hand(part.spec, part.operands, part.names, tell, each).named()
        tensors |= {part.names[name]: tensor for name, tensor in here.items()}
    return tensors


def side_by_side(spec: ConvSpec, operands: Operands) -> tuple[ConvSpec, Operands]:
    """The layer with twice the input channels whose output is dS/dg, and its operands."""
    second = operands.cotangents
    assert second is not None
    return replace(spec, in_channels=2 * spec.in_channels), Operands(
        _paired(second.input, operands.input, _channels(spec)),
        _paired(operands.weight, second.weight, _weight_channels(spec)),
        second.bias,
        operands.grad_output,
        operands.ones,
    )


def apart(spec: ConvSpec, operands: Operands, bias: Tensor | None) -> tuple[ConvSpec, Operands]:
    """What `side_by_side` was made of; `bias` is that of the layer, which has no part in it."""
    grad_grad_input, input = _unpaired(operands.input, _channels(spec))
    weight, grad_grad_weight = _unpaired(operands.weight, _weight_channels(spec))
    second = Operands(grad_grad_input, grad_grad_weight, operands.bias, operands.grad_output, operands.ones)
    given = Operands(input, weight, bias, operands.grad_output, operands.ones, cotangents=second)
    return replace(spec, in_channels=spec.in_channels // 2), given


def _channels(spec: ConvSpec) -> int:
    return len(spec.batch_shape)


def _weight_channels(spec: ConvSpec) -> int:
    """The axis of the weight that runs through the input channels of a group."""
    return 0 if spec.transposed else 1


def _paired(one: Tensor, other: Tensor, axis: int) -> Tensor:
    """Channels of the two in turn, so that those of a group stay together."""
    return torch.stack([one, other], axis + 1).flatten(axis, axis + 1)


def _unpaired(both: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    one, other = torch.unflatten(both, axis, (-1, 2)).unbind(axis + 1)
    return one.contiguous(), other.contiguous()
