"""What tensors, elements and routes are called where people read them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from convgrad_cli.geometry import formula
from convgrad_cli.render.numbers import number, stored
from convgrad_cli.report import Element, Report
from convgrad_cli.safe import safe

TITLES = {"output": "output", "grad_weight": "weight.grad", "grad_input": "x.grad", "grad_bias": "bias.grad"}
TITLES |= {"grad_grad_output": "g.grad"}
LETTERS = {tensor: formula.LETTERS[tensor.removeprefix("grad_")] for tensor in TITLES}


def letter_of(tensor: str) -> str:
    """What a tensor is called where operands and gradients stand side by side: x, w.grad."""
    return formula.LETTERS.get(tensor) or f"{LETTERS[tensor]}.grad"


def element_name(element: Element) -> str:
    """The element as expressions write it: w[0,0,0,1]."""
    return indexed(element.tensor, element.index)


def indexed(tensor: str, index: Sequence[int]) -> str:
    return f"{LETTERS[tensor]}[{','.join(map(str, index))}]"


def route_name(route: str, tensor: str) -> str:
    """The head of a column of numbers of this route."""
    return "forward" if (route, tensor) == ("autograd", "output") else route.replace("_", " ")


def loss_text(report: Report, precision: int) -> str:
    """The loss, and its value where it was computed; of the second order what is differentiated in its place."""
    return "; ".join(loss_lines(report, precision))


def loss_lines(report: Report, precision: int) -> list[str]:
    """The same where a line is no longer than a terminal's."""
    value = "" if report.loss_value is None else f" = {number(stored(report.loss_value, report.dtype), precision)}"
    if report.second_order:
        return [f"S = {report.second_order}{value}", f"L = {safe(report.loss)}, and each .grad is that of S"]
    return [f"loss = {safe(report.loss)}{value}"]


def distance(ratio: float) -> str:
    """How far the worst of elements that differ is off."""
    return f"off by {ratio:.3g} times its rounding bound" if isfinite(ratio) else "infinitely far off"


def closeness(report: Report) -> str:
    """How close routes that agree are: bit for bit, or the largest error in units of its bound."""
    ratio = max(comparison.ratio for comparison in report.comparisons)
    if ratio:
        return f"largest error {ratio:.1g} of its rounding bound"
    compared = [report.tensors[c.tensor] for c in report.comparisons if c.tensor in report.tensors]
    single = [element for table in report.tables if len(table.elements) == 1 for element in table.elements]
    infinite = any(tensor.summary.nonfinite for tensor in compared)
    infinite = infinite or not all(isfinite(value) for element in single for value in element.values.values())
    return "all finite ones bit for bit" if infinite else "all bit for bit"
