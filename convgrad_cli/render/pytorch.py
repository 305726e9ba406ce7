"""The layer of a report as a PyTorch program that computes the same gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite, prod

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.report import Report
from convgrad_cli.safe import safe

WRITTEN = 400  # numbers of one operand that are written out; larger ones are drawn anew
MODES = {"zeros": "constant"}


def program(report: Report) -> str:
    """Python to be run as it is; operands too large to write out are random in it."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    spec, dtype = report.spec, f"dtype=torch.{safe(report.dtype)}"
    uneven = any(before != after or before < 0 for before, after in spec.padding)
    plain = replace(spec, padding=((0, 0),) * spec.dims, padding_mode="zeros") if uneven else spec
    yield from ("import torch", "from torch import nn", "")
    yield f"layer = nn.{plain.layer_text()[:-1]}, {dtype})"
    yield f"x = {_operand(report, 'input', dtype)}.requires_grad_()"
    names = ["weight", *(["bias"] if spec.bias else [])]
    if any(name in report.tensors for name in names):
        yield "with torch.no_grad():"
        yield from (f"    layer.{name}.copy_({_operand(report, name, dtype)})" for name in names)
    yield f"y = {_forward(spec, uneven)}"
    losses = {"y.sum()": "y.sum().backward()", "y.mean()": "y.mean().backward()"}
    yield losses.get(report.loss) or f"y.backward({_operand(report, 'grad_output', dtype)})"
    yield from (f"print({name})" for name in ("y", "layer.weight.grad", "x.grad"))
    yield from ["print(layer.bias.grad)"] if spec.bias else []


def _forward(spec: ConvSpec, uneven: bool) -> str:
    """PyTorch's layers know one padding an axis; others are added before, or cropped after, by pad."""
    if not uneven:
        return "layer(x)"
    sign = -1 if spec.transposed else 1
    ends = ", ".join(str(sign * end) for pair in reversed(spec.padding) for end in pair)
    if spec.transposed:
        return f"nn.functional.pad(layer(x), ({ends}))"
    return f"layer(nn.functional.pad(x, ({ends}), mode={MODES.get(spec.padding_mode, spec.padding_mode)!r}))"


def _operand(report: Report, name: str, dtype: str) -> str:
    shape, data = report.spec.shape_of(name), report.tensors.get(name)
    if data is None or prod(shape) > WRITTEN:
        return f"torch.randn({tuple(shape)}, {dtype})"
    return f"torch.tensor({_nested(data.values, shape)}, {dtype})"


def _nested(values: Sequence[float], shape: Sequence[int], start: int = 0) -> str:
    if not shape:
        value = values[start]
        return repr(value) if isfinite(value) else f'float("{value}")'
    step = prod(shape[1:])
    return f"[{', '.join(_nested(values, shape[1:], start + i * step) for i in range(shape[0]))}]"
