"""torch's own route: run the layer, call backward, read the gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.tensors.operands import Operands, Tensor

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def forward(spec: ConvSpec, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """torch's convolution of this layer; padding that torch cannot say itself is padded or cropped around it."""
    if spec.transposed:
        return _transposed(spec, input, weight, bias)
    pads = [before for before, after in spec.padding if before == after and before >= 0]
    if len(pads) < spec.dims or spec.has_padded_input:
        # F.pad lists the last axis first.
        flat = [amount for pair in reversed(spec.padding) for amount in pair]
        input = F.pad(input, flat, mode=PAD_MODES[spec.padding_mode])
        pads = [0] * spec.dims
    convolution = CONVOLUTIONS[spec.dims]
    return convolution(input, weight, bias, spec.stride, pads, spec.dilation, spec.groups)


def _transposed(spec: ConvSpec, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    convolution = TRANSPOSED[spec.dims]
    pads = [before for before, after in spec.padding if before == after and before >= 0]
    if len(pads) == spec.dims:
        return convolution(input, weight, bias, spec.stride, pads, spec.output_padding, spec.groups, spec.dilation)
    zeros = [0] * spec.dims
    output = convolution(input, weight, None, spec.stride, zeros, spec.output_padding, spec.groups, spec.dilation)
    flat = [-amount for pair in reversed(spec.padding) for amount in pair]
    output = F.pad(output, flat)
    return output if bias is None else output + bias.view(-1, *[1] * spec.dims)


@contextmanager
def _without_tf32(device: torch.device) -> Iterator[None]:
    """On CUDA torch's default rounds float32 inputs of convolutions to TF32's 11 bits; here float32 means float32."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def autograd(spec: ConvSpec, operands: Operands) -> Gradients:
    """Output and gradients as torch computes them, in the operands' dtype and on their device, with TF32 off."""
    given = [operands.input, operands.weight] + ([] if operands.bias is None else [operands.bias])
    # Whoever calls this may have gradients switched off, or be in inference mode.
    with torch.inference_mode(False), torch.enable_grad(), _without_tf32(operands.input.device):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in given]
        output = forward(spec, leaves[0], leaves[1], leaves[2] if len(leaves) > 2 else None)
        # Handing grad_output to torch.autograd.grad itself makes torch import sympy: half a second, 40 MB.
        loss = output.sum() if operands.ones else (output * operands.grad_output).sum()
        grads = torch.autograd.grad(loss, leaves)
    return Gradients(output.detach(), grads[0], grads[1], grads[2] if len(grads) > 2 else None)
