"""Peak memory of the verdict on one layer: `certify_memory.py LAYER-AS-JSON` prints it in largest operands of float64.

A process of its own, so that the peak is that of this layer alone. Reads /proc, so it runs on Linux.
"""

from __future__ import annotations

import json
import math
import sys

import torch
from growth_point import ENTRY, _forget_peak, _status

from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients.autograd import Flags, TorchTarget
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.bounds import ARITHMETICS
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.reference import references


def measure(spec: ConvSpec) -> float:
    """Bytes beyond operands and gradients, over those of the largest operand in float64."""
    torch.manual_seed(0)
    x, w, g = (torch.randn(spec.shape_of(name)) for name in ("input", "weight", "grad_output"))
    operands = Operands(x, w, None, g)
    actual = TorchTarget(torch.device("cpu"), Flags()).run(spec, operands).gradients.named()
    held = _forget_peak()
    for name, exact in references(spec, operands, ("weight", "input")).items():
        assert not len(Certificate(spec, operands, name, actual[name], exact).wrong(ARITHMETICS["direct"]))
    largest = max(math.prod(spec.shape_of(name)) for name in ("input", "weight", "output")) * ENTRY
    return max(0, _status("VmHWM") - held) / largest


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(make_spec(in_channels=8, out_channels=8, input_size=20, kernel_size=3))  # threads, buffers
    print(measure(make_spec(**json.loads(sys.argv[1]), dims=2)))
