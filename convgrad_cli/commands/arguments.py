"""The arguments of the Python API as a Problem: modules, tensors, arrays, lists and plain numbers."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from operator import index
from typing import Any

from convgrad_cli.errors import SourceError, SpecError
from convgrad_cli.geometry.languages import read_layer
from convgrad_cli.geometry.settings import plain_settings
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.safe import safe
from convgrad_cli.tensors.numbers import make_numbers
from convgrad_cli.tensors.problem import COTANGENTS, Problem, make_problem
from convgrad_cli.tensors.sources import Source, read_source

OPERANDS = ("input", "weight", "bias", "grad_output", *COTANGENTS)
RUN = ("dtype", "device", "seed", "loss", "second_order")
TYPED = {
    "size": "input_size", "kernel": "kernel_size", "batch": "batch_size",
    "x": "input", "w": "weight", "b": "bias", "g": "grad_output",
}  # fmt: skip
"""What the command line calls some of them."""
LAYER = tuple(inspect.signature(make_spec).parameters)


def problem_from(
    layer: Any, options: Mapping[str, Any], complete: Callable[..., Mapping[str, Any]] | None = None
) -> Problem:
    """The Problem that `layer` and keyword `options` describe. Raises TypeError for an unknown keyword.

    `complete` makes of settings and sources the settings with what they leave open.
    """
    unknown = [name for name in options if name not in (*OPERANDS, *RUN, *LAYER)]
    if unknown:
        known = dict.fromkeys((*LAYER, *OPERANDS, *RUN))
        close = [TYPED[unknown[0]]] if unknown[0] in TYPED else get_close_matches(unknown[0], known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        raise TypeError(f"unexpected keyword {unknown[0]!r}; {hint}")
    settings = {name: value for name, value in options.items() if name in LAYER}
    numbers = {name: options[name] for name in OPERANDS if options.get(name) is not None}
    if isinstance(numbers.get("bias"), bool):
        settings["bias"] = numbers.pop("bias")
    else:
        settings.pop("bias", None)
    settings = plain_settings(settings)
    described, tensors, said = _describe(layer)
    # As with --layer, what a text leaves to its reader may be given beside it.
    free = ("input_size", "bias", "batch_size") if isinstance(layer, str) else ("input_size",)
    clash = [name for name in settings if name in described and name not in free]
    if clash:
        raise SpecError(f"the layer already says {clash[0]}; drop one of them")
    sources = {name: as_source(name, value) for name, value in {**tensors, **numbers}.items()}
    # torch.float64 and torch.device("cpu") say their names.
    run: dict[str, Any] = {
        name: str(options[name]) for name in ("dtype", "device", "loss") if options.get(name) is not None
    }
    run.setdefault("dtype", said)
    run["second_order"] = bool(options.get("second_order"))
    run |= {"seed": _seed(options["seed"])} if options.get("seed") is not None else {}
    settings = {**described, **settings}
    return make_problem(complete(settings, sources) if complete else settings, sources, **run)


def _seed(value: Any) -> int:
    try:
        return index(value)
    except (TypeError, ValueError):
        raise SourceError(f"seed must be a whole number, not {safe(repr(value), 60)}") from None


def _describe(layer: Any) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """The settings, the tensors and the dtype that a layer brings along."""
    if layer is None:
        return {}, {}, None
    if isinstance(layer, str):
        said = read_layer(layer)
        return dict(said.settings), {}, said.dtype
    if isinstance(layer, ConvSpec):
        return asdict(layer), {}, None
    # A module can only be one if torch is already imported.
    nn = getattr(sys.modules.get("torch"), "nn", None)
    if nn is None or not isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_transposed(nn))):
        raise TypeError(f"a layer is a ConvSpec, an nn.Conv module or its text, not {type(layer).__name__}")
    return *_from_module(layer, isinstance(layer, _transposed(nn))), None


def _from_module(layer: Any, transposed: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    settings = {name: getattr(layer, name) for name in names}
    settings |= {"bias": layer.bias is not None, "dims": len(layer.kernel_size), "transposed": transposed}
    if transposed:
        settings["output_padding"] = layer.output_padding
    tensors = {"weight": layer.weight} if layer.bias is None else {"weight": layer.weight, "bias": layer.bias}
    return settings, tensors


def _transposed(nn: Any) -> tuple[type, ...]:
    return nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d


def as_source(name: str, value: Any) -> Source:
    """The numbers of a tensor, an array, nested lists, or a SOURCE as text; `name` stands in messages."""
    if isinstance(value, str):
        return read_source(value, name)
    import numpy as np
    import torch

    try:
        if isinstance(value, torch.Tensor):
            tensor = value.detach().cpu()
        else:
            array = np.asarray(value)
            tensor = torch.as_tensor(array.astype(array.dtype.newbyteorder("=")))
        tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
    except (TypeError, ValueError, RuntimeError) as error:
        raise SourceError(f"{name} cannot be read as a tensor of numbers: {error}") from error
    if tensor.is_complex():
        raise SourceError(f"{name} is complex; complex gradients are not supported")
    if tensor.dim() == 0:
        tensor = tensor.reshape(1)
    # A list has no dtype of its own to impose.
    given = tensor.is_floating_point() and not isinstance(value, (list, tuple, int, float))
    dtype = str(tensor.dtype).removeprefix("torch.") if given else None
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return make_numbers(wide.numpy(), name, dtype)
