"""Gradients: what every route gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Gradients:
    """The output and the gradients of the operands, each named like the operand and in its shape; None: not given."""

    output: torch.Tensor | None = None
    input: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    def named(self) -> dict[str, torch.Tensor]:
        """What is there, by name: output, then the gradients as learners meet them."""
        values = {"output": self.output, "weight": self.weight, "input": self.input, "bias": self.bias}
        return {name: value for name, value in values.items() if value is not None}
