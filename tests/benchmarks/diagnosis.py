"""How long it takes from FAIL to the complete diagnosis, and how often the code is called for it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Aim, Outcome, Settings

if TYPE_CHECKING:
    from convgrad_cli.verdict.diagnose import Named

PLANTED = Path(__file__).parents[1] / "planted"
SECONDS = 15.0
LAYER = {
    "in_channels": 3,
    "out_channels": 4,
    "input_size": (7, 7),
    "kernel_size": 3,
    "stride": 2,
    "padding": 1,
    "batch_size": 2,
}
MISTAKES = (
    "im2col_forgets_padding",
    "g_taken_as_ones",
    "weight_reshaped_not_transposed",
    "col2im_overwrites",
    "reshaped_and_averaged",
)
MORE = ("reshaped_and_averaged",)


def diagnose(settings: Settings) -> Outcome:
    """Wrong NumPy im2col code on a layer as homework has them: N=2, C=3, O=4, 7x7, kernel 3, stride 2, padding 1.

    It is named as on the command line, and so runs in a process of its own.
    """
    import torch

    torch.set_num_threads(2)
    cases: list[dict[str, Any]] = []
    for name in MISTAKES[: 1 if settings.tiny else None]:
        file = "im2col_more.py" if name in MORE else "im2col.py"
        rows = [_once(f"{PLANTED / file}::{name}") for _ in range(settings.runs)]
        samples = {"verdict": [row[0] for row in rows], "diagnosis": [row[1] for row in rows]}
        medians = {f"{part} s": statistics.median(seconds) for part, seconds in samples.items()}
        cases.append({"case": name, **medians, "calls": rows[0][2], "said": rows[0][3], "samples": samples})
    slowest = max(cases, key=lambda case: case["diagnosis s"])
    aims = [Aim(f"seconds from FAIL, {slowest['calls']} calls", slowest["diagnosis s"], SECONDS)]
    return Outcome("seconds from FAIL to the complete diagnosis; NumPy im2col, 2x3x7x7, 4 filters of 3x3", aims, cases)


def _once(target: str) -> tuple[float, float, int, str]:
    """Seconds of the verdict and of the diagnosis, how often the code was called, and what is said."""
    from convgrad_cli.commands.target_options import TargetOptions
    from convgrad_cli.commands.targets import make_target
    from convgrad_cli.tensors.problem import make_operands, make_problem
    from convgrad_cli.tensors.sources import read_source
    from convgrad_cli.verdict.choices import choose_conditions
    from convgrad_cli.verdict.diagnose import diagnose as diagnosed
    from convgrad_cli.verdict.examine import examine
    from convgrad_cli.verdict.faults import Bench

    problem = make_problem({**LAYER, "dims": 2}, {"grad_output": read_source("randn", "g")})
    operands, code = make_operands(problem), make_target(problem, TargetOptions(target=target))
    try:
        begun = time.perf_counter()
        found = examine(problem.spec, operands, code, "direct", choose_conditions(None), problem.seed, None)
        assert found.verdict == "FAIL"
        failed = time.perf_counter()
        told = diagnosed(Bench(code, operands.input.dtype, problem.seed, (problem.spec, operands)), problem.spec, found)
        assert told is not None
        return failed - begun, time.perf_counter() - failed, told.calls, _said(told.named)
    finally:
        code.close()


def _said(named: Sequence[Named]) -> str:
    return "; ".join(f"{one.operand} {one.words}" for one in named)
