"""Data of many kinds for the judge: what correct code must never be blamed on."""

from __future__ import annotations

from collections.abc import Callable

import torch

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Operands

Tensor = torch.Tensor
Shape = tuple[int, ...]


def _normal(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _uniform(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def _wide(shape: Shape, generator: torch.Generator) -> Tensor:
    return _normal(shape, generator) * torch.exp2(torch.randint(-6, 3, shape, generator=generator).double())


def _tiny(shape: Shape, generator: torch.Generator) -> Tensor:
    return _normal(shape, generator) * 2.0**-10


def _sorted(shape: Shape, generator: torch.Generator) -> Tensor:
    return _normal(shape, generator).flatten().sort().values.view(shape)


DISTRIBUTIONS: dict[str, Callable[[Shape, torch.Generator], Tensor]] = {
    "normal": _normal,
    "uniform": _uniform,
    "relu": lambda shape, generator: _normal(shape, generator).clamp(min=0),
    "offset": lambda shape, generator: _normal(shape, generator) * 0.1 + 1,
    "log-normal": lambda shape, generator: _normal(shape, generator).exp(),
    "wide range": _wide,
    "tiny": _tiny,
    "sorted": _sorted,
    "constant": lambda shape, generator: torch.full(shape, 0.1, dtype=torch.float64),
}
ZERO_MEAN = ("normal", "uniform", "wide range", "tiny")


def operands_of(spec: ConvSpec, kind: str, dtype: torch.dtype, seed: int) -> Operands:
    """Operands of this kind for a layer, rounded to `dtype`."""
    generator = torch.Generator().manual_seed(seed)

    def make(name: str) -> Tensor:
        return DISTRIBUTIONS[kind](spec.shape_of(name), generator).to(dtype)

    return Operands(make("input"), make("weight"), make("bias") if spec.bias else None, make("grad_output"))
