"""A user's model in the process in which it runs: built, given its weights, and run once forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from convgrad_cli.errors import ConvGradError
from convgrad_cli.gradients.results import Refusal, a
from convgrad_cli.tensors.checkpoints import read_state
from convgrad_cli.tensors.operands import Tensor

LISTED = 5  # names in a message


def build(found: Any, arguments: tuple[list[Any], dict[str, Any]]) -> nn.Module:
    """The model that `found` is, or that calling it gives. Raises Refusal."""
    if isinstance(found, nn.Module):
        if any(arguments):
            raise Refusal("is a model already, which takes no --args; drop them")
        return found
    if not callable(found):
        raise Refusal(f"is {a(found)}; expected a model, its class, or a function that builds it")
    model = found(*arguments[0], **arguments[1])
    if not isinstance(model, nn.Module):
        raise Refusal(f"returned {a(model)}; expected a model, an nn.Module")
    if isinstance(model, torch.jit.ScriptModule) or hasattr(model, "_orig_mod"):
        raise Refusal("is compiled, so that its layers can't be seen; give the model as it is before that")
    return model


def load_weights(model: nn.Module, path: str, key: str | None, where: str) -> None:
    """Give the model exactly the tensors of a file. Refusal says which are missing, unknown, or of another shape."""
    try:
        given, own = read_state(path, key, where), model.state_dict()
    except ConvGradError as error:
        raise Refusal(f"gets no weights: {error}") from None
    problems = {
        "missing": [name for name in own if name not in given],
        "unexpected": [name or "a tensor without a name" for name in given if name not in own],
        "of another shape": [
            f"{name} ({_by_x(given[name])}, not {_by_x(own[name])})"
            for name in own
            if name in given and given[name].shape != own[name].shape
        ],
    }
    said = [f"{what}: {_listed(names)}" for what, names in problems.items() if names]
    if said:
        raise Refusal(f"does not fit the weights in {where}: {'; '.join(said)}{_hint(given, own, where)}")
    model.load_state_dict(given)


def run(model: nn.Module, input: Tensor, loss: str | Callable[[Any], Any]) -> Tensor:
    """The loss of the model on `input`, before its backward pass. Refusal where there is none."""
    # A copy, so that a model may write to what it is given.
    given = input.requires_grad_().clone() if input.is_floating_point() else input.clone()
    try:
        output = model(given)
    except TypeError as error:
        if "missing" in str(error) and "positional argument" in str(error):
            raise Refusal(
                f"takes more than the one input that --input gives ({error}); "
                "in Python, convgrad_cli.capture judges it however it is called"
            ) from None
        raise
    if callable(loss):
        try:
            value = loss(output)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            raise Refusal(f"has a loss that raised TypeError: {error}") from None
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise Refusal(f"has a loss that returned {a(value)}; expected a tensor with one number")
    else:
        tensors = [tensor for tensor in _tensors(output) if tensor.requires_grad]
        if not tensors:
            raise Refusal(f"returned {a(output)} without a tensor that depends on a parameter or the input")
        value = torch.stack([getattr(tensor, loss)() for tensor in tensors]).sum()
    if not value.requires_grad:
        raise Refusal("has a loss that depends on no parameter; there is nothing to differentiate")
    return torch.reshape(value, ())


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)


def _hint(given: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str) -> str:
    """What to type where the names only lie deeper in the file than the model has them."""
    first = next(iter(own), "")
    for name in given:
        if first and name.endswith(f".{first}"):
            return f"; the names begin with {name.removesuffix(first)}: give {where}::{name.removesuffix(f'.{first}')}"
    return ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _by_x(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
