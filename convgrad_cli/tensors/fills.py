"""Ready-made numbers by name. The names are known without torch, so that a wrong one is answered at once."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

KERNELS = {
    "sobel-x": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "sobel-y": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "prewitt-x": ((-1, 0, 1), (-1, 0, 1), (-1, 0, 1)),
    "prewitt-y": ((-1, -1, -1), (0, 0, 0), (1, 1, 1)),
    "laplacian": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "gaussian": ((1 / 16, 2 / 16, 1 / 16), (2 / 16, 4 / 16, 2 / 16), (1 / 16, 2 / 16, 1 / 16)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
}
"""3x3 kernels of image processing, used as every filter of the weight."""

CENTRED = ("delta", "eye")
FILLS = {
    "randn": "normal, mean 0 and deviation 1",
    "uniform": "uniform between -1 and 1",
    "ramp": "1, 2, 3, ... in order",
    "ones": "1 everywhere",
    "zeros": "0 everywhere",
    "integers": "random integers from -9 to 9 without 0",
    "delta": "1 at the centre, from each channel to itself; 0 elsewhere",
    "eye": "the same as delta",
    **dict.fromkeys(KERNELS, "3x3 kernel"),
}


def fill(
    name: str, operand: str, shape: tuple[int, ...], dims: int, dtype: torch.dtype, generator: torch.Generator
) -> torch.Tensor:
    """The fill `name` for `operand` in `shape`, whose last `dims` axes are spatial; random ones draw on `generator`."""
    import torch

    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def integers() -> torch.Tensor:
        sizes = torch.randint(1, 10, shape, generator=generator)
        return torch.where(torch.rand(shape, generator=generator) < 0.5, -sizes, sizes).to(dtype)

    def delta() -> torch.Tensor:
        tensor = torch.zeros(shape, dtype=dtype)
        centre = tuple((size - 1) // 2 for size in shape[-dims:])
        channels = tensor.flatten(0, -dims - 1)  # a view: one row a filter and input channel, or a sample and channel
        own = [i * shape[1] + i % shape[1] for i in range(shape[0])]
        for i in own if operand == "weight" else range(len(channels)):
            channels[i][centre] = 1
        return tensor

    makers: dict[str, Callable[[], torch.Tensor]] = {
        "randn": lambda: torch.randn(shape, generator=generator, dtype=wide).to(dtype),
        "uniform": lambda: (torch.rand(shape, generator=generator, dtype=wide) * 2 - 1).to(dtype),
        "ramp": lambda: torch.arange(1, prod(shape) + 1).reshape(shape).to(dtype),
        "ones": lambda: torch.ones(shape, dtype=dtype),
        "zeros": lambda: torch.zeros(shape, dtype=dtype),
        "integers": integers,
        "delta": delta,
        "eye": delta,
    }
    if name in KERNELS:
        return torch.tensor(KERNELS[name], dtype=dtype).expand(shape).contiguous()
    return makers[name]()
