"""A user's differentiable forward in torch, in the process in which it runs: its backward is what is judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from convgrad_cli.geometry.validation import by_x
from convgrad_cli.gradients.channel import Shape
from convgrad_cli.gradients.convention import FORWARD, KEYWORDS, MORE_KEYWORDS
from convgrad_cli.gradients.results import OtherLayer, Refusal, a

Forward = Callable[..., Any]
Tensors = tuple[Any, Any, Any, Any]


def as_forward(found: Any) -> tuple[Forward, tuple[str, ...]]:
    """`found` as a function of x, w, b and keywords, and the keywords to give it. Refusal where it is none."""
    from convgrad_cli.gradients.subject import keywords_of

    if isinstance(found, type) and issubclass(found, torch.autograd.Function):
        return _apply(found)
    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        try:
            found = found()
        except Exception as error:
            raise Refusal(
                f"is a module that can't be made without arguments ({type(error).__name__}: {error}); name an instance"
            ) from None
    if isinstance(found, torch.nn.Module) and _takes_input_only(found):
        return _with_own_parameters(found), ()
    if not callable(found):
        raise Refusal(f"is {a(found)}, not a function; expected {FORWARD}")
    signed = found.forward if isinstance(found, torch.nn.Module) else found
    return found, keywords_of(signed, 3, FORWARD, MORE_KEYWORDS)


def differentiate(
    forward: Forward, operands: Tensors, keywords: Mapping[str, Any], question: Mapping[str, Any], shape: Shape
) -> dict[str, torch.Tensor | None]:
    """The output and the gradients of the operands that are wanted; None for one that autograd does not reach."""
    *leaves, grad_output = operands
    named = {name: leaf for name, leaf in zip(("input", "weight", "bias"), leaves, strict=True) if leaf is not None}
    asked = {name: leaf.requires_grad_() for name, leaf in named.items() if name in question["wanted"]}
    if question["accumulate"]:
        for leaf in asked.values():
            leaf.grad = torch.ones_like(leaf)
    output = _output(forward(*leaves, **keywords), shape)
    if asked and not output.requires_grad:
        raise Refusal("returned an output that can't be differentiated: it does not depend on x, w or b for autograd")
    if asked:
        torch.autograd.backward(output, grad_output)
    return {"output": output, **{f"grad_{name}": leaf.grad for name, leaf in asked.items()}}


def differentiate_twice(
    forward: Forward,
    operands: Tensors,
    along: tuple[Any, ...],
    keywords: Mapping[str, Any],
    question: Mapping[str, Any],
) -> dict[str, torch.Tensor | None]:
    """The wanted gradients of the gradients' sum with weights `along`; None for one that autograd does not reach."""
    *leaves, grad_output = operands
    named = {name: leaf for name, leaf in zip(("input", "weight", "bias"), leaves, strict=True) if leaf is not None}
    for leaf in (*named.values(), grad_output):
        leaf.requires_grad_()
    output = _output(forward(*leaves, **keywords), grad_output.shape)
    if not output.requires_grad:
        raise Refusal("returned an output that can't be differentiated: it does not depend on x, w or b for autograd")
    first = torch.autograd.grad(output, list(named.values()), grad_output, create_graph=True, allow_unused=True)
    pairs = zip(first, (one for one in along if one is not None), strict=True)
    reached = [(grad, one) for grad, one in pairs if grad is not None and grad.requires_grad]
    if not reached:
        raise Refusal(
            "has gradients that can't be differentiated again: its backward uses what autograd does not follow"
        )
    asked = {name: leaf for name, leaf in {"grad_output": grad_output, **named}.items() if name in question["wanted"]}
    grads, weights = zip(*reached, strict=True)
    found = torch.autograd.grad(grads, list(asked.values()), weights, allow_unused=True)
    return {f"grad_{name}": grad for name, grad in zip(asked, found, strict=True)}


def _output(found: Any, shape: Shape) -> torch.Tensor:
    """What a forward returned, if that is an output of this shape."""
    if not isinstance(found, torch.Tensor):
        raise Refusal(f"returned {a(found)}; expected the output, one tensor")
    if found.shape != shape:
        raise Refusal(f"returned an output of shape {by_x(found.shape)}; this layer's is {by_x(shape)}")
    return found


def _apply(function: type[torch.autograd.Function]) -> tuple[Forward, tuple[str, ...]]:
    """`function.apply`, which takes no keywords: they are put in the order of its forward."""
    parameters = list(inspect.signature(function.forward).parameters.values())
    if function.setup_context is torch.autograd.Function.setup_context:
        parameters = parameters[1:]  # ctx
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        names = list(KEYWORDS)
    else:
        names = [p.name for p in parameters[3:]]
        known = (*KEYWORDS, *MORE_KEYWORDS)
        if not set(names) <= set(known):
            names = list(KEYWORDS[: len(names)]) if len(names) <= len(KEYWORDS) else [""]
        if len(parameters) < 3 or names == [""] or parameters[2].name in known:
            shown = ", ".join(p.name for p in parameters)
            raise Refusal(f"has a forward of ({shown}); expected (x, w, b, stride, padding, dilation, groups) or fewer")

    def forward(x: Any, w: Any, b: Any, **keywords: Any) -> Any:
        return function.apply(x, w, b, *(keywords[name] for name in names))  # type: ignore[no-untyped-call]

    return forward, tuple(names)


def _takes_input_only(module: torch.nn.Module) -> bool:
    """Whether it is a layer as torch.nn has them, with a weight of its own."""
    try:
        inspect.signature(module.forward).bind(0)
    except (TypeError, ValueError):
        return False
    return isinstance(getattr(module, "weight", None), torch.Tensor)


def _with_own_parameters(module: torch.nn.Module) -> Forward:
    """The module with w and b in the place of its weight and bias."""

    def forward(x: Any, w: Any, b: Any) -> Any:
        given = {"weight": w}
        if isinstance(getattr(module, "bias", None), torch.Tensor):
            given["bias"] = w.new_zeros(module.bias.shape) if b is None else b
        elif b is not None:
            raise Refusal("is a module without a bias, and this layer has one; use --no-bias")
        try:
            return torch.func.functional_call(module, given, (x,))
        except RuntimeError:
            own = module.get_parameter("weight").shape
            if own == w.shape:
                raise
            shown = f"; give --layer '{module}'" if str(module).startswith("Conv") else ""
            raise OtherLayer(f"has a weight of {by_x(own)}, and this layer's is {by_x(w.shape)}{shown}") from None

    return forward
