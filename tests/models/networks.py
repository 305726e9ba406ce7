"""Networks that tests run: the ResNet-50 of He et al. (2016), with random weights, and small ones with a quirk each."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """1x1 down, 3x3 (where the stride is, as in most implementations), 1x1 up, and the shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x), inplace=True)


class ResNet50(nn.Module):
    """53 convolutions: the stem, 16 blocks of three, and four shortcuts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        blocks: list[nn.Module] = []
        channels = 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(count):
                blocks.append(Bottleneck(channels, width, stride if number == 0 else 1))
                channels = 4 * width
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y = F.max_pool2d(F.relu(self.bn(self.stem(x)), inplace=True), 3, 2, 1)
        return self.head(self.blocks(y).mean((2, 3)))


class Small(nn.Module):
    """Three layers of three kinds; prints, and writes to what it was given."""

    def __init__(self, width: int = 4, *, bias: bool = True) -> None:
        super().__init__()
        print("Small is built")
        self.first = nn.Conv2d(3, width, 3, padding=1, bias=bias)
        self.grouped = nn.Conv2d(width, 6, (3, 2), stride=2, groups=2)
        self.up = nn.ConvTranspose2d(6, 2, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.grouped(self.first(x.sub_(0.5)).relu_()).tanh_())


class Shared(nn.Module):
    """One layer used twice, one functional call with a parameter, one without, and a layer that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv1d(2, 2, 3, padding=1)
        self.kernel = nn.Parameter(torch.randn(4, 2, 3))
        self.unused = nn.Conv3d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.twice(self.twice(x).relu_())
        return F.conv1d(F.conv1d(y, self.kernel, padding="same"), self.kernel.flip(0).repeat(1, 2, 1), stride=2)


def small() -> Small:
    return Small(6, bias=False)


def square(y: Tensor) -> Tensor:
    return (y**2).mean()


def exits() -> nn.Module:
    raise SystemExit(0)


def dies() -> nn.Module:
    import os

    os._exit(0)


def number() -> int:
    return 3
