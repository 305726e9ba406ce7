"""`model` on a whole ResNet-50: a step with every convolution judged, against the same step in float64; and memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from measure import THREADS, Aim, Outcome, Settings, compare, in_turns, measured_by, timed

if TYPE_CHECKING:
    from torch import Tensor, nn

SIZE, BATCH = 224, 1
LIMIT, LAYERS = 2.0, 1.0


def model(settings: Settings) -> Outcome:
    """Seconds of a step, plain in float32 and in float64, and captured; the memory that capturing adds to it."""
    import torch

    torch.set_num_threads(THREADS)
    size = SIZE // 7 if settings.tiny else SIZE
    steps = {
        "float64": step(network().double(), image(size).double()),
        "float32": step(network(), image(size)),
        "captured": captured(network(), image(size)),
    }
    samples = in_turns({name: timed(run) for name, run in steps.items()}, settings.runs)
    cases = [
        compare(f"every layer judged, beside the plain step in {dtype}", "s", samples["captured"], samples[dtype])
        for dtype in ("float64", "float32")
    ]
    held = measured_by("model_memory.py", str(size))
    return Outcome(
        f"forward and backward of ResNet-50 at {BATCH}x3x{size}x{size} in float32 with all 53 convolutions judged, "
        f"{THREADS} threads",
        [
            Aim("times its own forward and backward in float64", cases[0]["ratio"], LIMIT),
            Aim("peak memory beyond the plain step, in largest layers of float64", held["layers"], LAYERS),
        ],
        cases,
        [f"peak of the plain step {held['step']:.0f} MB, and {held['beyond']:.0f} MB more with every layer judged"],
    )


def network() -> nn.Module:
    """The tests' own ResNet-50 with random weights, as `convgrad model` runs it."""
    import torch

    sys.path.append(str(Path(__file__).parents[1]))
    from models.networks import ResNet50

    torch.manual_seed(0)
    return ResNet50().eval()


def image(size: int) -> Tensor:
    import torch

    return torch.randn(BATCH, 3, size, size)


def step(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """One forward and backward pass, as a training step has it."""

    def run() -> None:
        network.zero_grad(set_to_none=True)
        network(x).sum().backward()

    return run


def captured(network: nn.Module, x: Tensor) -> Callable[[], None]:
    """The same with every convolution judged."""
    from convgrad_cli import capture

    plain = step(network, x)

    def run() -> None:
        with capture(network) as layers:
            plain()
        assert len(layers) == 53
        assert not layers.exit_code

    return run
