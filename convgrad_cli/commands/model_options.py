"""What model is to be run and how, as it was typed, and what can be found wrong with that before torch is imported."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from typing import Any

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.gradients.location import Location, check_target_text
from convgrad_cli.safe import safe
from convgrad_cli.tensors.device import check_device, check_dtype
from convgrad_cli.tensors.problem import LOSSES
from convgrad_cli.tensors.sources import Fill, Source, read_source
from convgrad_cli.verdict.choices import ARITHMETIC_NAMES, choose_arithmetic, require_name

WEIGHTS = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True)
class ModelOptions:
    """The words of the command line; `target` is a class, a function that builds the model, or the model itself.

    Without a `dtype` the model keeps what it has.
    """

    target: str
    weights: str | None = None
    input: str | None = None
    input_size: str | None = None
    loss: str = "sum"
    args: str = ""
    train: bool = False
    arithmetic: str = "direct"
    dtype: str | None = None
    device: str = "cpu"
    seed: int = 0
    timeout: float = 600.0
    save: str | None = None
    layer: str | None = None


@dataclass(frozen=True)
class ModelSettings:
    """The same, understood: `shape` is that of the input, `setup` says to the other process what to load."""

    options: ModelOptions
    name: str
    source: Source
    shape: tuple[int, ...]
    setup: dict[str, Any]


def model_settings(asked: ModelOptions) -> ModelSettings:
    """What `asked` means. Raises ConvGradError; runs nothing of the user's."""
    location = check_target_text(asked.target, model=True)
    check_device(asked.device)
    if asked.dtype is None:
        require_name("--arithmetic", asked.arithmetic, ARITHMETIC_NAMES)
    else:
        choose_arithmetic(asked.arithmetic, check_dtype(asked.dtype))
    if not 0 < asked.timeout < 10**6:
        raise ConvGradError(f"--timeout must be more than 0 seconds and less than a million, not {asked.timeout:g}")
    if not 0 <= asked.seed < 2**63:
        raise ConvGradError(f"--seed must be from 0 to 2^63 - 1, not {asked.seed}")
    if asked.save is not None:
        _check_folder(asked.save)
    source, shape = _input(asked)
    loss = None if asked.loss in LOSSES else check_target_text(asked.loss)
    setup = _plain(location) | {"framework": "torch", "loss": None if loss is None else _plain(loss)}
    setup |= {"args": parse_arguments(asked.args), "seed": asked.seed, "weights": _weights(asked.weights)}
    return ModelSettings(asked, location.text, source, shape, setup)


def parse_arguments(text: str) -> list[Any]:
    """Positional arguments and keywords of `3, bias=False`: literals only, nothing is evaluated."""
    try:
        call = ast.parse(f"f({text}\n)", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        positional = [ast.literal_eval(argument) for argument in call.args]
        return [positional, {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise ConvGradError(
            f"--args {safe(text)!r} are not plain arguments; write them as in a call: --args '3, 64, bias=False'"
        ) from None


def _input(asked: ModelOptions) -> tuple[Source, tuple[int, ...]]:
    shape = None if asked.input_size is None else _shape(asked.input_size)
    source: Source = Fill("randn") if asked.input is None else read_source(asked.input, "--input")
    if not isinstance(source, Fill):
        given = tuple(source.array.shape)
        if shape not in (None, given):
            raise ConvGradError(f"--input has shape {by_x(given)}, but --input-size says {by_x(shape or ())}; drop one")
        return source, given
    if shape is None:
        raise ConvGradError("the model needs an input; give --input-size 1x3x224x224, or numbers with --input FILE")
    if source.kernel_size:
        raise ConvGradError(f"the fill {source.name} is a kernel and no input; use randn, uniform, ramp, ...")
    return source, shape


def _shape(text: str) -> tuple[int, ...]:
    parts = text.strip().lower().split("x")
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 10**9 for part in parts if len(part) < 10) or any(
        len(part) >= 10 for part in parts
    ):
        raise ConvGradError(f"--input-size {safe(text)!r} is no shape; write every axis: 1x3x224x224")
    return tuple(map(int, parts))


def _weights(text: str | None) -> dict[str, str | None] | None:
    """The file of weights and which part of it, once it is known to be there."""
    if text is None:
        return None
    path, _, key = text.partition("::")
    if not path.lower().endswith(WEIGHTS):
        raise ConvGradError(f"--weights {safe(path)!r} is none of {', '.join(WEIGHTS)}; save model.state_dict() as one")
    if not os.path.isfile(path):
        raise ConvGradError(f"--weights {safe(path)} does not exist, or is no file; check the name")
    return {"path": os.path.abspath(path), "where": safe(path), "key": key or None}


def _check_folder(path: str) -> None:
    """Refuse what captures can't be written into, before anything runs; what is missing is made later."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise ConvGradError(f"--save {safe(path)} is a file; name a directory")
    there = path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(there) or not os.access(there, os.W_OK):
        raise ConvGradError(f"--save {safe(path)}: there is no directory {safe(there)} that can be written to")


def _plain(location: Location) -> dict[str, Any]:
    return {name: getattr(location, name) for name in ("path", "module", "names", "where")}
