"""Networks in which a NaN or an infinity appears, each at a place of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Troubled(nn.Module):
    """Two convolutions with trouble between them, in the first one's weight, in its sums, or behind the second."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.one, self.two = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.one.weight.fill_(3e38) if where == "sums" else self.one.weight.abs_()
            if where == "weight":
                self.one.weight[1, 0, 2, 2] = float("inf")

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x.abs())
        if self.where == "mixed":
            y = y * torch.tensor([[1, torch.inf], [-torch.inf, torch.nan]])
        if self.where == "between":
            y = torch.cat([(y[:1, :1] - 10).log(), y[:1, 1:]], 1)
        y = self.two(y)
        return (y - y.detach()).sqrt() if self.where == "behind" else y
