"""Gradients: what every route gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Gradients:
    """The output and the gradients of the operands, each named like the operand and in its shape; None: not given.

    `grad_output` is the gradient of that operand, which only the second order has.
    """

    output: torch.Tensor | None = None
    input: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    grad_output: torch.Tensor | None = None

    def named(self) -> dict[str, torch.Tensor]:
        """What is there, by name: output, then the gradients as learners meet them."""
        names = ("output", "grad_output", "weight", "input", "bias")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
