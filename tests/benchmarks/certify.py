"""The verdict of `check`: against torch's own float64 gradients of the same layers, and against gradcheck."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from layers import BATCH, RESNET_50, TINY
from measure import THREADS, Aim, Outcome, Settings, compare, in_turns, measured_by, timed

MEMORY = {"in_channels": 64, "out_channels": 64, "input_size": 112, "kernel_size": 3, "padding": 1, "batch_size": 8}
SMALL = {"in_channels": 8, "out_channels": 8, "input_size": 14, "kernel_size": 3, "batch_size": 2}


class Both:
    """torch's two gradients of a 2-D layer as a target, and nothing else to judge.

    They come from the backward pass alone, as those of a backward function under test do, or from autograd, which runs
    the forward pass before it.
    """

    name, facts, callable, allows = "both", (), True, frozenset[str]()

    def __init__(self, stride: int = 1, padding: int = 0, forward: bool = False) -> None:
        self.stride, self.padding, self.forward = stride, padding, forward

    def run(self, spec: Any, operands: Any, call: Any = None) -> Any:
        import torch

        from convgrad_cli.gradients.gradients import Gradients
        from convgrad_cli.gradients.target import Answer

        x, w, g = operands.input.detach(), operands.weight.detach(), operands.grad_output
        if self.forward:
            x, w = x.requires_grad_(), w.requires_grad_()
            of_x, of_w = torch.autograd.grad(torch.conv2d(x, w, None, self.stride, self.padding), (x, w), g)
        else:
            sizes = [self.stride] * 2, [self.padding] * 2, [1, 1]
            backward = torch.ops.aten.convolution_backward
            of_x, of_w, _ = backward(g, x, w, None, *sizes, False, [0, 0], 1, [True, True, False])
        return Answer(Gradients(input=of_x, weight=of_w))

    def close(self) -> None:
        """Nothing was started."""


def certify(settings: Settings) -> Outcome:
    """Seconds of the verdict on both gradients, with and without probes, and the memory that it needs."""
    layers = TINY if settings.tiny else RESNET_50
    found = {name: _layer(*layer, settings.runs) for name, layer in layers.items()}
    cases, aims = [], []
    for what, limit in (("bounds", 1.0), ("bounds and probes", 2.5), ("the same of autograd", 2.5)):
        rows = [compare(f"{name}, {what}", "s", samples[what], samples["torch"]) for name, samples in found.items()]
        ours, theirs = (
            [sum(run) for run in zip(*(samples[key] for samples in found.values()), strict=True)]
            for key in (what, "torch")
        )
        total = compare(f"total, {what}", "s", ours, theirs)
        cases += [*rows, total]
        aims.append(Aim(f"{what}: times torch's float64 forward and backward", total["ratio"], limit))
    memory = _memory(settings)
    aims.append(Aim("memory beyond the operands, over the largest of them in float64", memory, 4.0))
    return Outcome(
        f"The verdict on float32 gradients of weight and input, beside torch's forward and backward in float64; the 20 "
        f"convolutions of ResNet-50 at batch {BATCH}, {THREADS} threads",
        aims,
        cases,
        [
            "bounds: exact reference, magnitudes where they are needed, every element decided",
            "probes call the target twice more: a backward pass, or with autograd a forward and a backward pass",
        ],
    )


def gradcheck(settings: Settings) -> Outcome:
    """Seconds of the verdict, probes and bounds, beside torch.autograd.gradcheck on the same small layer."""
    import torch

    from convgrad_cli.geometry.spec import make_spec
    from convgrad_cli.tensors.operands import Operands
    from convgrad_cli.verdict.examine import examine

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    spec = make_spec(**(SMALL | ({"input_size": 5} if settings.tiny else {})))
    operands = Operands(
        *(torch.randn(spec.shape_of(n)) for n in ("input", "weight")), None, torch.randn(spec.output_shape)
    )
    target = Both()
    leaves = [t.double().requires_grad_() for t in (operands.input, operands.weight)]

    def theirs(fast: bool) -> bool:
        checked: bool = torch.autograd.gradcheck(torch.nn.functional.conv2d, leaves, fast_mode=fast)
        return checked

    steps = {
        "slow": lambda: theirs(False),
        "fast": lambda: theirs(True),
        # gradcheck leaves caches and memory to itself, and then works in them for thousands of calls of its own.
        "first": lambda: examine(spec, operands, target),
        "ours": lambda: examine(spec, operands, target),
    }
    samples = in_turns({name: timed(step, time.perf_counter) for name, step in steps.items()}, settings.runs)
    cases = [compare(f"gradcheck, {mode} mode", "s", samples["ours"], samples[mode]) for mode in ("slow", "fast")]
    cases.append(compare("gradcheck, slow mode; the first call after it", "s", samples["first"], samples["slow"]))
    faster, at_first = (statistics.median(samples["slow"]) / statistics.median(samples[n]) for n in ("ours", "first"))
    return Outcome(
        f"The verdict on {spec.layer_text()}, input {'x'.join(map(str, spec.input_shape))}, beside gradcheck",
        [
            Aim("times faster than gradcheck's slow mode", faster, 200.0, at_most=False),
            Aim("the same, in the first call after gradcheck", at_first, 200.0, at_most=False),
        ],
        cases,
    )


def _layer(
    in_channels: int, out_channels: int, size: int, kernel: int, stride: int, padding: int, runs: int
) -> dict[str, list[float]]:
    """The samples of torch's float64 gradients, of the verdict by bounds, and of the one with probes."""
    import torch
    from torch.nn.functional import conv2d

    from convgrad_cli.geometry.spec import make_spec
    from convgrad_cli.tensors.operands import Operands
    from convgrad_cli.verdict.bounds import ARITHMETICS
    from convgrad_cli.verdict.certify import Certificate
    from convgrad_cli.verdict.examine import examine
    from convgrad_cli.verdict.reference import references

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    spec = make_spec(
        in_channels=in_channels, out_channels=out_channels, input_size=(size, size), kernel_size=kernel,
        stride=stride, padding=padding, batch_size=BATCH,
    )  # fmt: skip
    x, w, g = (torch.randn(spec.shape_of(name)) for name in ("input", "weight", "output"))
    operands = Operands(x, w, None, g)
    wide, wide_g = [x.double().requires_grad_(), w.double().requires_grad_()], g.double()

    target, autograd = Both(stride, padding), Both(stride, padding, forward=True)
    actual = target.run(spec, operands).gradients.named()

    def bounds() -> None:
        for name, exact in references(spec, operands, tuple(actual)).items():
            wrong = Certificate(spec, operands, name, actual[name], exact).wrong(ARITHMETICS["direct"])
            assert not len(wrong)

    def probes(target: Both) -> None:
        assert examine(spec, operands, target).verdict == "PASS"

    steps = {
        "torch": lambda: torch.autograd.grad(conv2d(*wide, None, stride, padding), wide, wide_g),
        "bounds": bounds,
        "bounds and probes": lambda: probes(target),
        "the same of autograd": lambda: probes(autograd),
    }
    return in_turns({name: timed(step, time.perf_counter) for name, step in steps.items()}, runs)


def _memory(settings: Settings) -> float:
    """How far a process's memory rises above the operands and the gradients, in largest operands of float64."""
    layer = MEMORY | ({"input_size": 56, "batch_size": 2} if settings.tiny else {})
    return float(measured_by("certify_memory.py", json.dumps(layer)))
