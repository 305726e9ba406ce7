"""The layer that given numbers imply: sizes follow from tensors, and whatever is also typed must say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convgrad_cli.errors import SourceError
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.tensors.files import Numbers
from convgrad_cli.tensors.sources import Fill, Source

OPTIONS = {"input": "--x", "weight": "--w", "bias": "--b", "grad_output": "--g"}
OPTIONS |= {"grad_grad_input": "--ggx", "grad_grad_weight": "--ggw", "grad_grad_bias": "--ggb"}
SAID_BY = {
    "input_size": "--size",
    "kernel_size": "--kernel",
    "in_channels": "--in-channels",
    "out_channels": "--out-channels",
    "batch_size": "--batch",
}


_FITTING = {1: 1, 5: 3}  # the number of spatial axes that a tensor's axes suggest; 2 for all others


def complete_spec(settings: Mapping[str, Any], sources: Mapping[str, Source]) -> ConvSpec:
    """The ConvSpec of `settings` (keywords of make_spec, those typed) completed from the shapes of `sources`.

    Raises SourceError where a tensor contradicts what was typed, SpecError where no layer fits.
    """
    found = dict(settings)
    shapes = {name: source.array.shape for name, source in sources.items() if isinstance(source, Numbers)}
    dims = found["dims"] = count_axes(found, sources)
    if "input" in shapes:
        *lead, channels = _lead("input", shapes["input"], dims, 2)
        _agree(found, "input", "input_size", shapes["input"][-dims:])
        _agree(found, "input", "in_channels", channels or 1)
        if lead[0] is not None and found.get("batch_size", 1) is None:
            raise SourceError(f"--x has a batch axis ({by_x(shapes['input'])}) and --batch none says there is none")
        if found.setdefault("batch_size", lead[0] or 1) is not None:
            _agree(found, "input", "batch_size", lead[0] or 1)
    weight = sources.get("weight")
    if "weight" in shapes:
        outer, inner = _lead("weight", shapes["weight"], dims, 2)
        _agree(found, "weight", "kernel_size", shapes["weight"][-dims:])
        sides = ("in_channels", "out_channels") if found.get("transposed") else ("out_channels", "in_channels")
        _agree(found, "weight", sides[0], outer or 1)
        _agree(found, "weight", sides[1], (inner or 1) * found.get("groups", 1))
    elif isinstance(weight, Fill) and weight.kernel_size:
        if dims != 2:
            raise SourceError(f"the fill {weight.name} is a 3x3 kernel, and this layer is {dims}-D; drop one of them")
        _agree(found, "weight", "kernel_size", weight.kernel_size)
    if "bias" in sources:
        if found.get("bias") is False:
            raise SourceError("--b gives a bias and --no-bias takes it away; drop one of them")
        found["bias"] = True
    if "bias" in shapes:
        if len(shapes["bias"]) != 1:
            raise SourceError(f"--b has shape {by_x(shapes['bias'])}; a bias is one number for each output channel")
        _agree(found, "bias", "out_channels", shapes["bias"][0])
    return make_spec(**found)


def fit(spec: ConvSpec, name: str, numbers: Numbers) -> tuple[Numbers, str]:
    """`numbers` in exactly the shape that `spec` gives the operand `name`, and a note where leading axes were added."""
    shape, expected = numbers.array.shape, spec.shape_of(name)
    missing = expected[: len(expected) - len(shape)]
    if shape != expected and (*missing, *shape) == expected and all(size == 1 for size in missing):
        note = f"{OPTIONS[name]} has shape {by_x(shape)}; taken as {by_x(expected)}"
        return replace(numbers, array=numbers.array.reshape(expected)), note
    if shape != expected:
        kind = name.removeprefix("grad_grad_")
        axes = {"weight": "(out, in / groups, kernel)", "bias": "(out)"}.get(kind, "(batch, channels, size)")
        if kind == "weight" and spec.transposed:
            axes = "(in, out / groups, kernel)"
        raise SourceError(f"{OPTIONS[name]} has shape {by_x(shape)}, but this layer needs {by_x(expected)} {axes}")
    return numbers, ""


def count_axes(found: Mapping[str, Any], sources: Mapping[str, Source]) -> int:
    """How many spatial axes: 1 for a row of numbers, 3 for five axes, else 2; a size with several parts decides."""
    if found.get("dims") is not None:
        return int(found["dims"])
    per_axis = ("input_size", "kernel_size", "stride", "padding", "dilation", "output_padding")
    parts = {key: len(found[key]) for key in per_axis if isinstance(found.get(key), (tuple, list))}
    if parts.get("padding") == 1:  # one pair before:after is for every axis, as one number is
        del parts["padding"]
    if parts:
        return next(iter(parts.values()))
    weight = sources.get("weight")
    if isinstance(weight, Fill) and weight.kernel_size:
        return len(weight.kernel_size)
    given = [sources[name] for name in ("input", "weight", "grad_output") if name in sources]
    ranks = [source.array.ndim for source in given if isinstance(source, Numbers)]
    return _FITTING.get(max(ranks), 2) if ranks else 2


def _lead(name: str, shape: tuple[int, ...], dims: int, count: int) -> list[int | None]:
    """The `count` axes before the spatial ones, None where they are not there."""
    if not dims <= len(shape) <= dims + count:
        raise SourceError(
            f"{OPTIONS[name]} has shape {by_x(shape)}: a {dims}-D layer takes {dims} to {dims + count} axes; "
            f"say --dims {_FITTING.get(len(shape), 2)} if that is what you mean"
        )
    lead: list[int | None] = list(shape[:-dims])
    return [None] * (count - len(lead)) + lead


def _agree(found: dict[str, Any], name: str, key: str, value: Any) -> None:
    """Settle `key` as `value`, which the tensor `name` says, unless something else was typed."""
    typed = found.get(key)
    if typed is not None and isinstance(value, tuple):
        typed = (typed,) if isinstance(typed, int) else tuple(typed)
        typed = typed * len(value) if len(typed) == 1 else typed
    if typed not in (None, value):
        want, have = (by_x(v) if isinstance(v, tuple) else str(v) for v in (typed, value))
        raise SourceError(
            f"{OPTIONS[name]} makes {key} {have}, but {SAID_BY[key]} or another tensor says {want}; drop one of them"
        )
    found[key] = value
