"""Operands: the numbers that a layer runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from convgrad_cli.geometry.formula import COTANGENTS
from convgrad_cli.geometry.spec import ConvSpec

Tensor = torch.Tensor


@dataclass(frozen=True)
class Operands:
    """Input, weight, bias and upstream gradient of one layer, in the shapes of its ConvSpec.

    `ones` says that grad_output is all ones, as loss = y.sum() makes it; `notes` what the dtype lost of given numbers.
    `cotangents` makes it a problem of the second order: ggx, ggw and ggb, in the places of what they are as large as,
    beside the same grad_output. They are themselves the operands that dS/dx and dS/dw are first-order gradients on.
    """

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    grad_output: Tensor
    ones: bool = False
    notes: tuple[str, ...] = ()
    cotangents: Operands | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Operands:
        """The same layer's operands with `function` applied to each tensor."""
        bias = None if self.bias is None else function(self.bias)
        input, weight, grad_output = map(function, (self.input, self.weight, self.grad_output))
        mapped = replace(self, input=input, weight=weight, bias=bias, grad_output=grad_output)
        if self.cotangents is None:
            return mapped
        return replace(mapped, cotangents=replace(self.cotangents.map(function), grad_output=grad_output))

    def letters(self, spec: ConvSpec) -> dict[str, Tensor]:
        """The namespace of printed expressions: x, w, b, g, and xp where padding copies input values.

        With cotangents also ggx, ggw, ggb and ggxp.
        """
        names = {"x": self.input, "w": self.weight, "g": self.grad_output}
        if self.bias is not None:
            names["b"] = self.bias
        if spec.has_padded_input:
            names["xp"] = pad_input(spec, self.input)
        if self.cotangents is not None:
            more = self.cotangents.letters(spec)
            names |= {COTANGENTS[letter]: tensor for letter, tensor in more.items() if letter != "g"}
        return names


def pad_input(spec: ConvSpec, input: Tensor) -> Tensor:
    """`input` [N, C, *input_size] with its border filled from its own values: [N, C, *padded_size]."""
    for axis in range(spec.dims):
        dimension = input.dim() - spec.dims + axis
        before, after = _border(spec, axis, input.device)
        ends = input.index_select(dimension, before), input.index_select(dimension, after)
        input = torch.cat([ends[0], input, ends[1]], dimension)
    return input


def _border(spec: ConvSpec, axis: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The input indices whose values fill the padding before and after the input on `axis`."""
    size, (before, after) = spec.input_size[axis], spec.padding[axis]
    places = torch.arange(-before, 0, device=device), torch.arange(size, size + after, device=device)
    return spec.border_source(axis, places[0]), spec.border_source(axis, places[1])


def fold_border(spec: ConvSpec, axis: int, padded: Tensor, dimension: int) -> Tensor:
    """`padded` without its border along `dimension`, each border entry added to the entry that it is a copy of.

    The adjoint of `pad_input` on one axis.
    """
    before, after = _border(spec, axis, padded.device)
    first, inside, last = torch.split(padded, [len(before), spec.input_size[axis], len(after)], dimension)
    return inside.index_add(dimension, before, first).index_add(dimension, after, last)


def is_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    # A sum is finite only if every entry is, and it needs no tensor of booleans; in float64 it takes ten times as long.
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return bool(total.isfinite()) or bool(tensor.isfinite().all())
