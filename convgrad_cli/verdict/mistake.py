"""One step away from the right formula, and the tensor that code with such steps computes.

A Mistake changes one place of the by-hand route: a setting of the layer, an operand before it, the result after it, or
the way that it adds up. Whatever the mistake, what comes out is a formula that can be computed, and so compared with
what the code under test gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands, Tensor

FACTORS = {  # what each tensor is made of
    "output": ("input", "weight", "bias"),
    "weight": ("input", "grad_output"),
    "input": ("weight", "grad_output"),
    "bias": ("grad_output",),
}


WHOLE = "every"  # in a key: on all spatial axes at once


@dataclass(frozen=True)
class Past:
    """Earlier calls on a layer: the operands of the first and of the last, and the answer to the last in float64."""

    first: Operands
    last: Operands | None
    answer: Mapping[str, Tensor]


@dataclass(frozen=True)
class Setup:
    """A layer and its operands as the code under test has them in mind."""

    spec: ConvSpec
    operands: Operands


def with_operand(setup: Setup, operand: str, tensor: Tensor) -> Setup:
    """The same with another `operand`."""
    there: dict[str, Any] = {operand: tensor}
    return replace(setup, operands=replace(setup.operands, **there))


Before = Callable[[Setup], Setup]
Route = Callable[[Setup], Tensor]
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Mistake:
    """One step away from the right formula.

    `key` names it on every layer; `kind` is its class; `words` complete "equals the reference ...". `site` is the place
    that it changes: two mistakes in one place are not combined. `common`: worth trying together with another.
    """

    key: str
    kind: str
    words: str
    site: str
    before: Before | None = None
    route: Route | None = None
    after: Change | None = None
    common: bool = True


def reproduce(spec: ConvSpec, operands: Operands, name: str, mistakes: Sequence[Mistake]) -> Tensor | None:
    """The tensor `name` in float64 as code with these mistakes computes it; None where it can't."""
    setup = Setup(spec, operands)
    try:
        for mistake in mistakes:
            setup = mistake.before(setup) if mistake.before else setup
    except SpecError:
        return None
    bias = setup.operands.bias if name == "output" else None
    if bias is not None:  # what happens to the sums happens before it is added
        setup = Setup(replace(setup.spec, bias=False), replace(setup.operands, bias=None))
    route = next((mistake.route for mistake in mistakes if mistake.route), None)
    found = route(setup) if route else by_hand(setup.spec, setup.operands, (name,)).named()[name]
    found = changed(found, mistakes)
    return found if bias is None else found + bias.double().view(-1, *[1] * spec.dims)


def changed(found: Tensor, mistakes: Sequence[Mistake]) -> Tensor:
    """`found` after what the mistakes do to a result."""
    for mistake in mistakes:
        found = mistake.after(found) if mistake.after else found
    return found


def axis_names(spec: ConvSpec, operand: str) -> tuple[str, ...]:
    """What each axis of an operand, gradient or output is called."""
    space = AXIS_NAMES[spec.dims]
    if operand == "bias":
        return ("channel",)
    if operand == "weight":
        lead = ("input channel", "output channel") if spec.transposed else ("output channel", "input channel")
        return (*lead, *space)
    return (*(("sample",) if spec.batch_size is not None else ()), "channel", *space)


def rows_of_axes(spec: ConvSpec) -> Iterator[tuple[int, tuple[int, int], int, int]]:
    yield from zip(spec.input_size, spec.padding, spec.kernel_extent, spec.stride, strict=True)


def said_numbers(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))
