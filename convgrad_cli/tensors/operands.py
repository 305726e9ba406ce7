"""Operands: the numbers that a layer runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from convgrad_cli.geometry.spec import ConvSpec

Tensor = torch.Tensor


@dataclass(frozen=True)
class Operands:
    """Input, weight, bias and upstream gradient of one layer, in the shapes of its ConvSpec.

    `ones` says that grad_output is all ones, as loss = y.sum() makes it.
    """

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    grad_output: Tensor
    ones: bool = False

    def map(self, function: Callable[[Tensor], Tensor]) -> Operands:
        """The same layer's operands with `function` applied to each tensor."""
        bias = None if self.bias is None else function(self.bias)
        return Operands(function(self.input), function(self.weight), bias, function(self.grad_output), self.ones)

    def letters(self, spec: ConvSpec) -> dict[str, Tensor]:
        """The namespace of printed expressions: x, w, b, g, and xp where padding copies input values."""
        names = {"x": self.input, "w": self.weight, "g": self.grad_output}
        if self.bias is not None:
            names["b"] = self.bias
        if spec.has_padded_input:
            names["xp"] = pad_input(spec, self.input)
        return names


def pad_input(spec: ConvSpec, input: Tensor) -> Tensor:
    """`input` [N, C, *input_size] with its border filled from its own values: [N, C, *padded_size]."""
    for axis in range(spec.dims):
        dimension = input.dim() - spec.dims + axis
        before, after = (
            torch.tensor(ends, dtype=torch.long, device=input.device) for ends in spec.border_sources(axis)
        )
        ends = input.index_select(dimension, before), input.index_select(dimension, after)
        input = torch.cat([ends[0], input, ends[1]], dimension)
    return input


def fold_border(spec: ConvSpec, axis: int, padded: Tensor, dimension: int) -> Tensor:
    """`padded` without its border along `dimension`, each border entry added to the entry that it is a copy of.

    The adjoint of `pad_input` on one axis.
    """
    before, after = (torch.tensor(ends, dtype=torch.long, device=padded.device) for ends in spec.border_sources(axis))
    first, inside, last = torch.split(padded, [len(before), spec.input_size[axis], len(after)], dimension)
    return inside.index_add(dimension, before, first).index_add(dimension, after, last)
