"""Time and peak memory of both gradients of one layer: `growth_point.py LAYER-AS-JSON RUNS` prints them as JSON.

A process of its own, so that the peak is that of this layer alone; one thread and its processor time, so that the work
is measured and not what else the machine does. Reads /proc, so it runs on Linux.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients.by_hand import CHUNK, by_hand
from convgrad_cli.tensors.operands import Operands

GRADIENTS = ("weight", "input")
PATIENCE = 2.0  # seconds of repetitions beyond the fewest
FEWEST = 3  # a virtual machine may be given memory when it first uses it, which took longer than the sums
ENTRY = 8  # bytes of float64


def measure(spec: ConvSpec, runs: int) -> dict[str, Any]:
    """Seconds, and bytes beyond operands and results, of by_hand on random numbers."""
    _gradients(make_spec(in_channels=40, out_channels=40, input_size=40, kernel_size=3), 1)  # threads, buffers
    seconds, results, beyond = _gradients(spec, runs)
    operands = sum(math.prod(spec.shape_of(name)) * ENTRY for name in ("input", "weight", "output"))
    count, median = multiply_adds(spec), statistics.median(seconds)
    return {
        "layer": f"{spec.layer_text()} on {'x'.join(map(str, spec.input_shape))}",
        "multiply_adds": count,
        "seconds": median,
        "nanoseconds_per_multiply_add": median / count * 1e9,
        "operand_bytes": operands,
        "result_bytes": results,
        "weight_bytes": math.prod(spec.weight_shape) * ENTRY,
        "chunk_bytes": CHUNK * ENTRY,
        "bytes_beyond": beyond,
        "bytes_beyond_per_element": beyond / ((operands + results) / ENTRY),
        "samples": {"seconds": seconds},
    }


def multiply_adds(spec: ConvSpec) -> int:
    """Those of both gradients; the kernel's entries beyond the border multiply nothing."""
    met = [sum(pair[0].count for tap in range(a.taps) if (pair := a.at_tap(tap))) for a in spec.axes]
    return len(GRADIENTS) * (spec.batch_size or 1) * math.prod(spec.weight_shape[:2]) * math.prod(met)


def _gradients(spec: ConvSpec, runs: int) -> tuple[list[float], int, int]:
    """The seconds of each run, the bytes of the results, and how far memory rose above operands and results."""
    torch.manual_seed(0)
    x, w, g = (torch.randn(spec.shape_of(n), dtype=torch.float64) for n in ("input", "weight", "grad_output"))
    seconds: list[float] = []
    while len(seconds) < min(FEWEST, runs) or (len(seconds) < runs and sum(seconds) < PATIENCE):
        held = _forget_peak()
        begun = time.process_time()
        results = by_hand(spec, Operands(x, w, None, g), GRADIENTS).named()
        seconds.append(time.process_time() - begun)
        if len(seconds) == 1:
            size = sum(tensor.nbytes for tensor in results.values())
            beyond = max(0, _status("VmHWM") - held - size)
        del results
    return seconds, size, beyond


def _forget_peak() -> int:
    """Starts the peak of memory anew, and returns the bytes held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(make_spec(**json.loads(sys.argv[1]), dims=2), int(sys.argv[2]))))
