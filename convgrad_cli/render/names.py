"""What tensors, elements and routes are called where people read them."""

from __future__ import annotations

from collections.abc import Sequence

from convgrad_cli.geometry import formula
from convgrad_cli.report import Element

TITLES = {"output": "output", "grad_weight": "weight.grad", "grad_input": "x.grad", "grad_bias": "bias.grad"}
LETTERS = {tensor: formula.LETTERS[tensor.removeprefix("grad_")] for tensor in TITLES}


def element_name(element: Element) -> str:
    """The element as expressions write it: w[0,0,0,1]."""
    return indexed(element.tensor, element.index)


def indexed(tensor: str, index: Sequence[int]) -> str:
    return f"{LETTERS[tensor]}[{','.join(map(str, index))}]"


def route_name(route: str, tensor: str) -> str:
    """The head of a column of numbers of this route."""
    return "forward" if (route, tensor) == ("autograd", "output") else route.replace("_", " ")
