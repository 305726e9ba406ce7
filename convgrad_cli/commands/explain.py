"""`explain`: why a gradient is what it is, as a story for a whole small layer or for one element of any layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.derivation import formula, require_tellable
from convgrad_cli.geometry.notation import parse_element, plain_element
from convgrad_cli.safe import safe

if TYPE_CHECKING:
    from convgrad_cli.report import Report
    from convgrad_cli.tensors.problem import Problem


At = tuple[str, tuple[int, ...]]


def explain(
    layer: Any = None, *, at: str | tuple[str, Sequence[int]] | None = None, autograd: bool = False, **options: Any
) -> Report:
    """Why the gradients of a layer are what they are, step by step; with `at`, one element such as "weight:0,0,0,1".

    `at` may also be written ("weight", (0, 0, 0, 1)).
    `layer` and `options` as in `inspect`. With `at` only the terms of that element are computed; autograd's number is
    added if the layer is small or `autograd` is true. With `second_order` it is an element of "g", "w" or "x": see
    `inspect`. Raises ConvGradError.

    >>> explain(input_size=3, kernel_size=2, at="weight:0,0,0,1").tables[0].elements[0].expression
    'x[0,0,0:2,1:3].sum()'
    """
    from convgrad_cli.commands.arguments import problem_from

    problem = problem_from(layer, options)
    element = None if at is None else _element(at, second_order=problem.second_order)
    return explain_problem(problem, element, autograd=autograd)


def _element(at: Any, *, second_order: bool) -> At:
    if isinstance(at, str):
        return parse_element(at, second_order=second_order)
    if not isinstance(at, (tuple, list)) or len(at) != 2:
        raise SpecError(
            f"at is an element such as 'weight:0,0,0,1' or ('weight', (0, 0, 0, 1)), not {safe(repr(at), 60)}"
        )
    return plain_element(*at, second_order=second_order)


def explain_problem(
    problem: Problem,
    at: At | None,
    *,
    autograd: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Report:
    """The Report of `convgrad explain`, of the element `at` or of the whole layer; `progress` as in `inspect`."""
    # Before torch is imported.
    if at is None and problem.second_order:
        raise SpecError("--second-order explains one element, of g, w or x; add --at g:0,0,0,0 or the like")
    if at is None or at[0] == "input":
        require_tellable(problem.spec)
    if at is not None:
        _require_element(problem, *at)
    from convgrad_cli.commands.element import element_story
    from convgrad_cli.commands.story import layer_story

    return layer_story(problem, progress) if at is None else element_story(problem, *at, autograd=autograd)


def _require_element(problem: Problem, operand: str, index: tuple[int, ...]) -> None:
    if operand == "bias" and not problem.spec.bias and not problem.second_order:
        raise SpecError("--at names an element of the bias, and the layer has none; add --bias")
    formula(problem.spec, operand, index, second_order=problem.second_order)
