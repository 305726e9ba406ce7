"""Saved gradients as a Target that cannot be called: they belong to the one set of operands that they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import Answer, Call, TargetError
from convgrad_cli.tensors.numbers import Numbers
from convgrad_cli.tensors.operands import Operands, Tensor


def saved_target(saved: Mapping[str, Numbers]) -> SavedTarget:
    """What was saved, by operand ("input", "weight", "bias") or "output", as a Target.

    Its numbers keep their dtype; text and integers, which have none, become the dtype of the operands, integers only
    where it holds them exactly and float64 otherwise.
    """
    return SavedTarget(dict(saved))


@dataclass(frozen=True, eq=False)
class SavedTarget:
    """See `saved_target`."""

    saved: Mapping[str, Numbers]

    callable: ClassVar[bool] = False
    allows: ClassVar[frozenset[str]] = frozenset()

    @property
    def name(self) -> str:
        return f"saved {' and '.join(map(_tensor, self.saved))}"

    @property
    def facts(self) -> tuple[str, ...]:
        read = ", ".join(f"{_tensor(name)} from {numbers.where}" for name, numbers in self.saved.items())
        return (f"{read}: read, not run, so that other numbers can't be tried",)

    def run(self, spec: ConvSpec, operands: Operands, call: Call | None = None) -> Answer:
        fits: dict[str, Tensor] = {}
        misshapen: dict[str, tuple[int, ...]] = {}
        if "bias" in self.saved and not spec.bias:
            raise TargetError("there is a saved grad_bias, and this layer has no bias; add --bias")
        for name, numbers in self.saved.items():
            if numbers.array.shape == spec.shape_of(name):
                fits[name] = _tensor_of(numbers, operands.input.dtype)
            else:
                misshapen[name] = numbers.array.shape
        return Answer(Gradients(**fits), misshapen)

    def close(self) -> None:
        """Nothing was started."""


def _tensor_of(numbers: Numbers, dtype: torch.dtype) -> Tensor:
    if numbers.dtype:
        return torch.tensor(numbers.array).to(getattr(torch, numbers.dtype))
    if numbers.array.dtype.kind == "f":
        return torch.tensor(numbers.array).to(dtype)
    wide = torch.tensor(numbers.array.astype("float64"))
    return wide.to(dtype) if torch.equal(wide.to(dtype).double(), wide) else wide


def _tensor(name: str) -> str:
    return name if name == "output" else f"grad_{name}"
