"""From options to a Problem: the only place that knows both the words of the command line and those of PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from convgrad_cli.cli.options import LayerOptions, NumberOptions, SecondOrderOptions
from convgrad_cli.errors import ConvGradError, SourceError, SpecError
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.languages import read_layer
from convgrad_cli.geometry.notation import parse_padding, parse_sizes
from convgrad_cli.safe import safe
from convgrad_cli.tensors.captures import read_capture
from convgrad_cli.tensors.problem import Problem, make_problem, with_left
from convgrad_cli.tensors.sources import Source, read_source

SIZES = {
    "input_size": "size",
    "kernel_size": "kernel",
    "stride": "stride",
    "dilation": "dilation",
    "output_padding": "output_padding",
}


def read_problem(
    layer: LayerOptions,
    numbers: NumberOptions,
    complete: Callable[..., Mapping[str, Any]] | None = None,
    second: SecondOrderOptions | None = None,
) -> Problem:
    """The Problem that the options describe. Raises ConvGradError.

    `complete` makes of settings and sources the settings with what they leave open.
    """
    second = second or SecondOrderOptions()
    require_directory()
    settings: Mapping[str, Any] = read_settings(layer)
    texts = {"input": numbers.x, "weight": numbers.w, "bias": numbers.b, "grad_output": numbers.g}
    texts |= {"grad_grad_input": second.ggx, "grad_grad_weight": second.ggw, "grad_grad_bias": second.ggb}
    given = {name: text for name, text in texts.items() if text is not None}
    if [text.partition("::")[0] for text in given.values()].count("-") > 1:
        raise SourceError("standard input (-) can only be read once; put the other numbers into a file")
    sources = {name: read_source(text, f"--{LETTERS[name]}") for name, text in given.items()}
    if layer.capture is not None:
        return read_captured(layer, numbers, settings, sources, second.asked)
    settings = complete(settings, sources) if complete else settings
    dtype = numbers.dtype or (None if layer.layer is None else read_layer(layer.layer).dtype)
    return make_problem(
        settings,
        sources,
        dtype=dtype,
        device=numbers.device,
        seed=numbers.seed,
        loss=numbers.loss,
        second_order=second.asked,
    )


def read_captured(
    layer: LayerOptions,
    numbers: NumberOptions,
    settings: Mapping[str, Any],
    sources: Mapping[str, Source],
    second_order: bool,
) -> Problem:
    """The Problem of a captured layer; numbers that are typed as well take the place of its own, and of gradients."""
    if settings:
        option = "layer" if layer.layer is not None else SIZES.get(first := next(iter(settings)), first)
        raise SpecError(f"--capture already says the layer; drop --{option.replace('_', '-')}")
    captured = read_capture(str(layer.capture))
    own = {name: n for name, n in captured.operands.items() if name != "grad_output" or numbers.loss is None}
    problem = make_problem(
        captured.settings,
        {**own, **sources},
        dtype=numbers.dtype,
        device=numbers.device,
        seed=numbers.seed,
        loss=numbers.loss,
        second_order=second_order,
    )
    note = f"{safe(str(layer.capture))} is the layer {safe(captured.name)} of a model"
    typed = sources or numbers.loss is not None or problem.dtype != captured.operands["input"].dtype
    if typed or second_order:
        return replace(problem, notes=(note, *problem.notes))
    return with_left(problem, captured.left, note)


def read_settings(layer: LayerOptions) -> dict[str, Any]:
    """The keywords of `make_spec` that were typed; what was not is left out."""
    settings: dict[str, Any] = {}
    for name, option in SIZES.items():
        text = getattr(layer, option)
        if text is not None:
            settings[name] = parse_sizes(text, f"--{option.replace('_', '-')}")
    if layer.padding is not None:
        settings["padding"] = parse_padding(layer.padding)
    if layer.batch is not None:
        settings["batch_size"] = _batch(layer.batch)
    for name in ("groups", "in_channels", "out_channels", "padding_mode", "bias", "dims"):
        if getattr(layer, name) is not None:
            settings[name] = getattr(layer, name)
    if layer.transposed:
        settings["transposed"] = True
    if layer.layer is None:
        return settings
    said = read_layer(layer.layer).settings
    # A bias is the default, so that --no-bias takes it away; --batch is benchdnn's --mb; dims may be said twice.
    twice = [
        name
        for name in settings
        if name in said and name not in ("bias", "batch_size") and (name, settings[name]) != ("dims", said["dims"])
    ]
    if twice:
        option = "--" + SIZES.get(twice[0], twice[0]).replace("_", "-")
        raise SpecError(f"--layer already says {twice[0]}; drop {option}, or write the layer without --layer")
    return {**said, **settings}


def require_directory() -> None:
    """Without a working directory, torch's libraries end the process with a message that names none of this."""
    try:
        os.getcwd()
    except OSError:
        raise ConvGradError("the working directory is gone; change to one that is there") from None


def _batch(text: str) -> int | None:
    if text.strip().lower() == "none":
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 9:
        raise SpecError(f"--batch {safe(text)!r} is neither none nor a number below 10^9; write --batch 4")
    return int(text)
