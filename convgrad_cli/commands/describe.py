"""Tensors as the plain data of a Report: shortest numbers, summaries, elements with their terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import torch

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS, Formula
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.report import Element, Lazy, Summary, TensorData
from convgrad_cli.tensors.operands import Operands

Tensor = torch.Tensor

BINS = 16
LINE = 66  # columns of an expression in a story, beside a name
LISTED_TERMS = 64  # longer sums are counted, not listed


def plain_number(value: Tensor) -> float:
    """The shortest float that reads back as `value` in its own dtype: 0.1 for float32 0.1."""
    return plain_entry(value, ())


def plain_entry(tensor: Tensor, at: tuple[int, ...]) -> float:
    """The same of the entry of `tensor` at an index. NumPy finds one in a tenth of torch's time."""
    if tensor.dtype != torch.bfloat16:
        entry = tensor.numpy()[at]
        return float(str(entry)) if isfinite(entry) and tensor.dtype != torch.float64 else float(entry)
    value = tensor[at]
    wide = float(value)
    if not isfinite(wide):
        return wide
    # Four digits tell any two bfloat16 numbers apart, fewer often do.
    tries = (float(f"{wide:.{digits}g}") for digits in range(1, 5))
    return next(number for number in tries if torch.tensor(number, dtype=torch.bfloat16) == value)


def plain_values(tensor: Tensor) -> Sequence[float]:
    """All values in row-major order, each made when it is read; `tensor` is on the CPU."""
    if tensor.dim() and not any(tensor.stride()):  # one number seen everywhere
        only = plain_number(tensor.flatten()[0])
        return Lazy(tensor.numel(), lambda _: only)
    flat = tensor.reshape(-1)
    return Lazy(flat.numel(), lambda i: plain_entry(flat, (i,)))


def tensor_data(name: str, tensor: Tensor) -> TensorData:
    return TensorData(
        name=name,
        letter=LETTERS.get(name) or LETTERS[name.removeprefix("grad_")] + ".grad",
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        values=plain_values(tensor),
        summary=summary(tensor),
    )


def summary(tensor: Tensor) -> Summary:
    """Range, mean, zeros and a histogram of the finite entries."""
    wide = tensor.flatten().to(torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype)
    finite = wide[wide.isfinite()]
    if not len(finite):
        return Summary(0.0, 0.0, 0.0, 0, len(wide), (0,) * BINS)
    low, high = float(finite.min()), float(finite.max())
    counts = torch.histc(finite, BINS, low, high) if low < high else torch.tensor([len(finite)] + [0] * (BINS - 1))
    zeros = int((finite == 0).sum())
    mean = float(finite.mean(dtype=torch.float64))
    return Summary(low, high, mean, zeros, len(wide) - len(finite), tuple(int(n) for n in counts))


def element(
    spec: ConvSpec,
    operand: str,
    index: tuple[int, ...],
    operands: Operands,
    letters: Mapping[str, Tensor],
    routes: Mapping[str, Tensor],
    difference: float | None = None,
    bound: float | None = None,
) -> Element:
    """The element of the gradient of `operand` (or of "output") at `index`, with each route's value.

    `letters` are those of the `operands`.
    """
    found = formula(spec, operand, index, ones=operands.ones, second_order=operands.cotangents is not None)
    return Element(
        tensor=operand if operand == "output" else f"grad_{operand}",
        index=index,
        values={route: plain_entry(values, index) for route, values in routes.items()},
        formula=found,
        terms=terms(found, letters) if found.count <= LISTED_TERMS else None,
        difference=difference,
        bound=bound,
    )


def slice_lines(found: Formula) -> list[str]:
    """`= ` and the expression, broken before a `+` where it is too long for a line."""
    lines = [f"= {found.products[0]}" if found.products else "= 0"]
    for product in found.products[1:]:
        if len(f"{lines[-1]} + {product}") > LINE:
            lines.append(f"+ {product}")
        else:
            lines[-1] += f" + {product}"
    return lines


def terms(found: Formula, letters: Mapping[str, Tensor]) -> tuple[tuple[float, ...], ...]:
    """The numbers that add up to the element, each a tuple of its factors."""
    return tuple(tuple(plain_entry(letters[name], at) for name, at in term) for term in found.terms())
