"""How time and memory of the gradients by hand grow with the layer: size, channels, batch and kernel, each alone."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import Aim, Outcome, Settings

HALF_DECADES = (5, 9, 15, 27, 47, 84, 148, 264, 468, 832, 1473)
GROWING = {
    "size": [
        {"input_size": n, "in_channels": 16, "out_channels": 16, "kernel_size": 3, "padding": 1} for n in HALF_DECADES
    ],
    "channels": [
        {"in_channels": n, "out_channels": n, "input_size": 16, "kernel_size": 3, "padding": 1} for n in HALF_DECADES
    ],
    "batch": [
        {"batch_size": n, "in_channels": 8, "out_channels": 8, "input_size": 8, "kernel_size": 3, "padding": 1}
        for n in (2, 4, 14, 43, 136, 429, 1356, 4289, 13563, 42890, 135633)
    ],
    "kernel": [
        {"kernel_size": n, "padding": n // 2, "in_channels": 16, "out_channels": 16, "input_size": 96}
        for n in (1, 3, 5, 9, 17, 31, 57)
    ],
}
"""The layers; the first setting of each is the one that grows."""

TINY = {"size": GROWING["size"][:1], "kernel": GROWING["kernel"][:1]}

LINEAR_FROM = 1e8  # multiply-adds; below, the fixed cost of a call is seen beside the work
LINEAR = 1.1  # the exponent of time over multiply-adds up to which growth is linear; caches end on the way
CHUNKS = 4  # what by_hand may hold beyond operands and results: so many chunks, and weight and gradient once more


def growth(settings: Settings) -> Outcome:
    """Seconds and bytes of each layer, and a plot of them all."""
    cases, aims = [], []
    for varied, layers in TINY.items() if settings.tiny else GROWING.items():
        points = [_point(varied, layer, settings.runs) for layer in layers]
        cases += points
        if not settings.tiny:
            aims.append(Aim(f"{varied}: time grows as multiply-adds to the power of", _exponent(points), LINEAR))
    shares = [p["bytes_beyond"] / (CHUNKS * p["chunk_bytes"] + 2 * p["weight_bytes"]) for p in cases]
    aims.append(Aim(f"memory beyond operands and results, over {CHUNKS} chunks and the weight twice", max(shares), 1.0))
    notes = [
        "multiply-adds are those of both gradients, with the kernel clipped at the border; operands are input, weight "
        "and grad_output, results the two gradients, all of float64; seconds are processor time of one thread",
        f"powers are fitted from {LINEAR_FROM:.0e} multiply-adds on; below, the fixed cost of a call shows",
    ]
    try:
        _draw(cases, settings.results / "growth.svg")
    except ImportError:
        notes.append("no plot without matplotlib: pip install 'convgrad[bench]'")
    return Outcome(
        "Time and memory of the gradients of weight and input by hand, a process a point", aims, cases, notes
    )


def _point(varied: str, layer: dict[str, int], runs: int) -> dict[str, Any]:
    child = [sys.executable, str(Path(__file__).with_name("growth_point.py")), json.dumps(layer), str(runs)]
    measured = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout)
    return {"case": f"{varied} {next(iter(layer.values()))}", "varied": varied, **measured}


def _exponent(points: list[dict[str, Any]]) -> float:
    """The slope of log time over log multiply-adds, by least squares."""
    large = [point for point in points if point["multiply_adds"] >= LINEAR_FROM]
    logs = ([math.log(point[key]) for point in large] for key in ("multiply_adds", "seconds"))
    return statistics.linear_regression(*logs).slope


def _draw(cases: list[dict[str, Any]], path: Path) -> None:
    """Time over multiply-adds and memory over the operands' own, log-log, beside lines of proportion."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "convgrad", "svg.fonttype": "none", "font.size": 9, "axes.grid": True})
    pyplot.rcParams.update({"grid.color": "#dddddd", "axes.axisbelow": True})
    figure, (time, memory) = pyplot.subplots(1, 2, figsize=(9, 3.8), facecolor="white", layout="constrained")
    for varied, marker in zip(GROWING, "osD^", strict=True):
        points = [case for case in cases if case["varied"] == varied]
        style = {"marker": marker, "markersize": 4, "linewidth": 1.2, "label": varied}
        time.plot(*_columns(points, "multiply_adds", "seconds"), **style)
        memory.plot([p["operand_bytes"] + p["result_bytes"] for p in points], [_held(p) for p in points], **style)
    fastest = min(case["seconds"] / case["multiply_adds"] for case in cases)
    counts = [min(c["multiply_adds"] for c in cases), max(c["multiply_adds"] for c in cases)]
    time.plot(counts, [fastest * n for n in counts], color="#888888", linestyle=":", label="proportional")
    sizes = [min(c["operand_bytes"] + c["result_bytes"] for c in cases), max(map(_held, cases))]
    memory.plot(sizes, sizes, color="#888888", linestyle=":", label="operands and results alone")
    time.set(xscale="log", yscale="log", xlabel="multiply-adds", ylabel="seconds", title="Time")
    memory.set(xscale="log", yscale="log", xlabel="bytes of operands and results", ylabel="bytes held", title="Memory")
    for axes in (time, memory):
        axes.minorticks_off()
        axes.legend(fontsize=8, title="what grows")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def _columns(points: list[dict[str, Any]], *keys: str) -> list[list[float]]:
    return [[point[key] for point in points] for key in keys]


def _held(point: dict[str, Any]) -> int:
    held: int = point["operand_bytes"] + point["result_bytes"] + point["bytes_beyond"]
    return held
