"""Peak memory of a step of ResNet-50, plain and with every layer judged: `model_memory.py SIZE` prints it as JSON.

A process of its own, so that nothing else was ever held. Reads /proc, so it runs on Linux.
"""

from __future__ import annotations

import json
import math
import sys

import torch
from growth_point import ENTRY, _forget_peak, _status
from model import captured, image, network, step

from convgrad_cli import capture

MB, TINY = 1e6, 32


def measure(size: int) -> dict[str, float]:
    """The peak of the plain step in MB, what judging adds to it, and that in the largest layer held as float64."""
    net, x = network(), image(size)
    plain, judged = step(net, x), captured(net, x)
    captured(net, image(TINY))()  # threads, imports, buffers
    net.zero_grad(set_to_none=True)
    held = _forget_peak()
    plain()
    peak = _status("VmHWM")
    net.zero_grad(set_to_none=True)
    _forget_peak()
    judged()
    beyond = max(0, _status("VmHWM") - peak)
    with capture(net) as layers:
        plain()
    # A layer: what autograd holds of it and what is judged, x, w and g, and the gradients of x and w.
    entries = max(
        sum(count * math.prod(row.spec.shape_of(name)) for name, count in (("input", 2), ("weight", 2), ("output", 1)))
        for row in layers
    )
    return {"step": (peak - held) / MB, "beyond": beyond / MB, "layers": beyond / (entries * ENTRY)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(int(sys.argv[1]))))
