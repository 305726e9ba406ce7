"""Both gradients by hand, in float64, against torch's own forward and backward in float64."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from measure import THREADS, Aim, Outcome, Settings, compare, in_turns, timed

# The 20 different convolutions of ResNet-50: in_channels, out_channels, input_size, kernel_size, stride, padding.
RESNET_50 = {
    "conv1": (3, 64, 224, 7, 2, 3),
    "res2a_branch1": (64, 256, 56, 1, 1, 0),
    "res2a_branch2a": (64, 64, 56, 1, 1, 0),
    "res2a_branch2b": (64, 64, 56, 3, 1, 1),
    "res2b_branch2a": (256, 64, 56, 1, 1, 0),
    "res3a_branch1": (256, 512, 56, 1, 2, 0),
    "res3a_branch2a": (256, 128, 56, 1, 2, 0),
    "res3a_branch2b": (128, 128, 28, 3, 1, 1),
    "res3a_branch2c": (128, 512, 28, 1, 1, 0),
    "res3b_branch2a": (512, 128, 28, 1, 1, 0),
    "res4a_branch1": (512, 1024, 28, 1, 2, 0),
    "res4a_branch2a": (512, 256, 28, 1, 2, 0),
    "res4a_branch2b": (256, 256, 14, 3, 1, 1),
    "res4a_branch2c": (256, 1024, 14, 1, 1, 0),
    "res4b_branch2a": (1024, 256, 14, 1, 1, 0),
    "res5a_branch1": (1024, 2048, 14, 1, 2, 0),
    "res5a_branch2a": (1024, 512, 14, 1, 2, 0),
    "res5a_branch2b": (512, 512, 7, 3, 1, 1),
    "res5a_branch2c": (512, 2048, 7, 1, 1, 0),
    "res5b_branch2a": (2048, 512, 7, 1, 1, 0),
}
TINY = {"tiny": (8, 16, 14, 3, 1, 1)}
BATCH = 4
WHO = ("ours", "theirs")
CLOCKS = ((THREADS, time.perf_counter, f"{THREADS} threads"), (1, time.process_time, "one thread"))


def by_hand(settings: Settings) -> Outcome:
    """Seconds for the gradients of weight and input, layer by layer, on THREADS threads and on one."""
    layers = TINY if settings.tiny else RESNET_50
    cases, aims = [], []
    for threads, clock, what in CLOCKS:
        found = [_layer(name, *layer, threads, clock, settings.runs) for name, layer in layers.items()]
        ours, theirs = ([sum(run) for run in zip(*(c["samples"][who] for c in found), strict=True)] for who in WHO)
        total = compare("total", "s", ours, theirs)
        cases += [{"threads": threads, **case} for case in (*found, total)]
        aims.append(Aim(f"all layers, {what}: times torch's float64", total["ratio"], 1.0))
    return Outcome(
        "The gradients of weight and input by hand, beside torch's forward and backward; float64, "
        f"the 20 convolutions of ResNet-50 at batch {BATCH}",
        aims,
        cases,
        ["on one thread it is processor time, which other work on the machine hardly changes"],
    )


def _layer(
    name: str,
    in_channels: int,
    out_channels: int,
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    threads: int,
    clock: Callable[[], float],
    runs: int,
) -> dict[str, Any]:
    import torch
    from torch.nn.functional import conv2d

    from convgrad_cli.geometry.spec import make_spec
    from convgrad_cli.gradients.by_hand import by_hand
    from convgrad_cli.tensors.operands import Operands

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    spec = make_spec(
        in_channels=in_channels,
        out_channels=out_channels,
        input_size=(size, size),
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        batch_size=BATCH,
    )
    x, w, g = (torch.randn(spec.shape_of(name), dtype=torch.float64) for name in ("input", "weight", "output"))
    operands = Operands(x.clone(), w.clone(), None, g)
    leaves = [x.requires_grad_(), w.requires_grad_()]

    def ours() -> dict[str, torch.Tensor]:
        return by_hand(spec, operands, ("input", "weight")).named()

    def theirs() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(conv2d(*leaves, None, stride, padding), leaves, g)

    # What is compared had better be equal.
    for gradient, expected in zip(("input", "weight"), theirs(), strict=True):
        torch.testing.assert_close(ours()[gradient], expected)
    label = f"{name}: {spec.layer_text()} on {'x'.join(map(str, spec.input_shape))}"
    return compare(label, "s", **in_turns({"ours": timed(ours, clock), "theirs": timed(theirs, clock)}, runs))
