"""One element of a large layer, against the whole gradient by hand that it is an element of."""

from __future__ import annotations

import statistics
import time
from unittest.mock import patch

from measure import Aim, Outcome, Settings, in_turns, timed

LARGE = {"in_channels": 512, "out_channels": 512, "input_size": 56, "kernel_size": 3, "batch_size": 64}
TINY = {"in_channels": 64, "out_channels": 64, "input_size": 28, "kernel_size": 3, "batch_size": 2}
ELEMENTS = {"weight": (0, 0, 0, 1), "input": (0, 0, 1, 1), "output": (0, 0, 0, 1)}
TIMES = 1000


def element(settings: Settings) -> Outcome:
    """Seconds of `explain --at`, with and without making the numbers, and of the gradient it saves."""
    import torch

    from convgrad_cli.commands.explain import explain_problem
    from convgrad_cli.gradients.by_hand import by_hand
    from convgrad_cli.tensors.problem import make_operands, make_problem

    torch.set_num_threads(1)
    problem = make_problem({**(TINY if settings.tiny else LARGE), "dims": 2}, {})
    spec = problem.spec
    operands = make_operands(problem, gradients=False)
    steps = {}
    for name, index in ELEMENTS.items():
        steps[f"{name}, numbers made too"] = lambda at=(name, index): explain_problem(problem, at)
        steps[name] = lambda at=(name, index): _explain_with(operands, lambda: explain_problem(problem, at))
    samples = in_turns({case: timed(step, time.process_time) for case, step in steps.items()}, settings.runs)
    double = operands.map(lambda t: t.double())
    whole = {name: timed(lambda n=name: by_hand(spec, double, only=(n,)), time.process_time)() for name in ELEMENTS}
    cases, aims = [], []
    for case, seconds in samples.items():
        name, median = case.split(",")[0], statistics.median(seconds)
        cheaper = whole[name] / median
        cases.append(
            {
                "case": case,
                "unit": "s",
                "element": median,
                "whole": whole[name],
                "times_cheaper": cheaper,
                "samples": {"element": seconds, "whole": [whole[name]]},
            }
        )
        if case == name:
            aims.append(Aim(f"{name}: times cheaper than the whole of it", cheaper, TIMES, at_most=False))
    shape = "x".join(map(str, spec.input_shape))
    return Outcome(
        f"explain --at on {spec.layer_text()}, input {shape}, in one process, beside the whole output or gradient "
        f"by hand in float64, run once in full; processor time of one thread",
        aims,
        cases,
        [
            "the aim is about the work on numbers that are there; making them (randn of the whole input) takes far "
            "longer than explaining one element, and is in the cases that say so"
        ],
    )


def _explain_with(operands: object, explain: object) -> None:
    # In the module that calls it, which has a name of its own for it.
    with patch("convgrad_cli.commands.element.make_operands", return_value=operands):
        explain()
