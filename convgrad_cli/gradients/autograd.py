"""torch's own route: run the layer, call backward, read the gradients."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from convgrad_cli.geometry.spec import ConvSpec, Pads
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import SECOND, SETTINGS, WANTED, Answer, Call, TargetError, lay_out
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
        input = _pad(input, spec.padding, PAD_MODES[spec.padding_mode])
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
    output = _pad(output, tuple((-before, -after) for before, after in spec.padding), "constant")
    return output if bias is None else output + bias.view(-1, *[1] * spec.dims)


def _pad(tensor: Tensor, pairs: Pads, mode: str) -> Tensor:
    """Padded, then cropped where `pairs` are negative; at once, F.pad refuses to crop more than there was before."""
    # F.pad lists the last axis first.
    flat = [amount for pair in reversed(pairs) for amount in pair]
    tensor = F.pad(tensor, [max(0, amount) for amount in flat], mode=mode)
    return F.pad(tensor, [min(0, amount) for amount in flat]) if min(flat) < 0 else tensor


@dataclass(frozen=True)
class Flags:
    """What torch may do in a convolution; None leaves a setting as it is. `compile` runs the layer through Inductor."""

    tf32: bool | None = None
    channels_last: bool = False
    deterministic: bool = False
    mkldnn: bool | None = None
    cudnn: bool | None = None
    benchmark: bool = False
    compile: bool = False

    def said(self) -> str:
        """The flags in words, those that are set: "tf32 on, mkldnn off"."""
        states = {f.name: getattr(self, f.name) for f in fields(self)}
        words = [f"{name} {'on' if state else 'off'}" for name, state in states.items() if state not in (None, False)]
        words += [f"{name} off" for name in ("tf32", "mkldnn", "cudnn") if states[name] is False]
        return ", ".join(words)


# On CUDA torch's default rounds float32 inputs of convolutions to TF32's 11 bits; here float32 means float32.
PLAIN = Flags(tf32=False)


@contextmanager
def _set(flags: Flags) -> Iterator[None]:
    """torch's global settings as `flags` says, and afterwards as they were."""
    cudnn = torch.backends.cudnn
    before = (cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic)
    strict = torch.are_deterministic_algorithms_enabled()
    # torch.backends.mkldnn.flags would set three more things, and warn of one of them.
    mkldnn = torch._C._get_mkldnn_enabled()
    try:
        cudnn.allow_tf32 = before[0] if flags.tf32 is None else flags.tf32
        cudnn.enabled = before[1] if flags.cudnn is None else flags.cudnn
        cudnn.benchmark, cudnn.deterministic = before[2] or flags.benchmark, before[3] or flags.deterministic
        if flags.deterministic:  # or not even called: it imports torch's compiler, which takes two seconds
            torch.use_deterministic_algorithms(True)
        if flags.mkldnn is not None:
            torch._C._set_mkldnn_enabled(flags.mkldnn)
        yield
    finally:
        torch._C._set_mkldnn_enabled(mkldnn)
        cudnn.allow_tf32, cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before
        if flags.deterministic:
            torch.use_deterministic_algorithms(strict)


class _HandOver(torch.autograd.Function):
    """A scalar whose gradient is exactly the tensor given, as it lies in memory.

    Handing grad_output to torch.autograd.grad itself makes torch import sympy: half a second, 40 MB.
    """

    @staticmethod
    def forward(context: Any, output: Tensor, grad_output: Tensor) -> Tensor:
        context.grad_output = grad_output
        return output.new_zeros(())

    @staticmethod
    def backward(context: Any, *_: Tensor) -> tuple[Tensor, None]:
        return context.grad_output, None


def autograd(spec: ConvSpec, operands: Operands, flags: Flags = PLAIN, wanted: Collection[str] = WANTED) -> Gradients:
    """Output and the `wanted` gradients as torch computes them, in the operands' dtype, on their device.

    With cotangents the gradients of the gradients, all of them.
    """
    if operands.cotangents is not None:
        return _run_twice(partial(forward, spec), operands, operands.cotangents, flags, SECOND)
    return _run(partial(forward, spec), operands, flags, wanted, accumulate=False)


def _run(
    layer: Callable[..., Tensor], operands: Operands, flags: Flags, wanted: Collection[str], *, accumulate: bool
) -> Gradients:
    # Whoever calls this may have gradients switched off, or be in inference mode.
    with torch.inference_mode(False), torch.enable_grad(), _set(flags):
        given = {"input": operands.input, "weight": operands.weight, "bias": operands.bias}
        leaves = {n: None if t is None else _leaf(t).requires_grad_(n in wanted) for n, t in given.items()}
        output = layer(leaves["input"], leaves["weight"], leaves["bias"])
        asked = {name: leaf for name, leaf in leaves.items() if leaf is not None and leaf.requires_grad}
        loss = output.sum() if operands.ones else _HandOver.apply(output, operands.grad_output)  # type: ignore[no-untyped-call]
        if accumulate:
            for leaf in asked.values():
                leaf.grad = torch.ones_like(leaf)
            loss.backward()
            grads = {name: leaf.grad for name, leaf in asked.items()}
        else:
            grads = dict(zip(asked, torch.autograd.grad(loss, list(asked.values())), strict=True)) if asked else {}
    return Gradients(output.detach(), **grads)


def _run_twice(
    layer: Callable[..., Tensor], operands: Operands, cotangents: Operands, flags: Flags, wanted: Collection[str]
) -> Gradients:
    with torch.inference_mode(False), torch.enable_grad(), _set(flags):
        given = {name: getattr(operands, name) for name in ("input", "weight", "bias")}
        leaves = {name: _leaf(t).requires_grad_() for name, t in given.items() if t is not None}
        grad_output = _leaf(operands.grad_output).requires_grad_()
        output = layer(leaves["input"], leaves["weight"], leaves.get("bias"))
        loss = _HandOver.apply(output, grad_output)  # type: ignore[no-untyped-call]
        first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        along = zip(first, (getattr(cotangents, name) for name in leaves), strict=True)
        total = torch.stack([_HandOver.apply(*pair) for pair in along]).sum()  # type: ignore[no-untyped-call]
        asked = {name: leaf for name, leaf in {**leaves, "grad_output": grad_output}.items() if name in wanted}
        grads = torch.autograd.grad(total, list(asked.values())) if asked else ()
    return Gradients(**dict(zip(asked, grads, strict=True)))


def _leaf(tensor: Tensor) -> Tensor:
    # A clone would not keep every stride, and strides may be what is tested.
    return tensor.clone() if tensor.is_inference() else tensor.detach()


@dataclass(frozen=True)
class TorchTarget:
    """torch's own convolution on `device` under `flags`, as code under test."""

    device: torch.device
    flags: Flags

    callable: ClassVar[bool] = True
    allows: ClassVar[frozenset[str]] = frozenset({"layouts", "wanted", "accumulate", *SETTINGS})

    @property
    def name(self) -> str:
        said = self.flags.said()
        return f"torch {torch.__version__} autograd on {self.device}{', ' if said else ''}{said}"

    @property
    def facts(self) -> tuple[str, ...]:
        return ()

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        call = call or Call()
        layouts = {"input": "channels_last", "weight": "channels_last"} if self.flags.channels_last else {}
        given = self._moved(operands, layouts | dict(call.layouts))
        layer: Callable[..., Tensor] = partial(forward, spec)
        try:
            layer = torch.compile(layer, dynamic=False) if self.flags.compile else layer
            if operands.cotangents is not None:
                second = self._moved(operands.cotangents, layouts | dict(call.layouts))
                found = _run_twice(layer, given, second, self.flags, call.wanted)
            else:
                found = _run(layer, given, self.flags, call.wanted, accumulate=call.accumulate)
        except (RuntimeError, NotImplementedError) as error:
            raise TargetError(f"torch cannot run this layer so: {str(error).splitlines()[0]}") from error
        return Answer(Gradients(**{name: tensor.cpu() for name, tensor in found.named().items()}))

    def _moved(self, operands: Operands, layouts: Mapping[str, str]) -> Operands:
        names = {"input": operands.input, "weight": operands.weight, "grad_output": operands.grad_output}
        moved = {
            n: lay_out(t.to(self.device), layouts[n]) if n in layouts else t.to(self.device) for n, t in names.items()
        }
        bias = None if operands.bias is None else operands.bias.to(self.device)
        return Operands(moved["input"], moved["weight"], bias, moved["grad_output"])

    def close(self) -> None:
        """Nothing was started."""
