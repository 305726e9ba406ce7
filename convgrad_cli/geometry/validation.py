"""What no convolution can have, said in the user's words with the numbers and a repair.

Everything here is arithmetic on integers, so that a wrong request is answered before torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convgrad_cli.errors import SpecError
from convgrad_cli.safe import safe

if TYPE_CHECKING:
    from convgrad_cli.geometry.spec import ConvSpec

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def by_x(sizes: Sequence[Any]) -> str:
    """Sizes as people write them: 3x224x224."""
    return "x".join(map(str, sizes))


def check(spec: ConvSpec) -> None:
    """Raise SpecError unless PyTorch could run this layer on this input."""
    _check_types(spec)
    _check_numbers(spec)
    _check_modes(spec)
    _check_fit(spec)


PER_AXIS = ("input_size", "kernel_size", "stride", "padding", "dilation", "output_padding")


def _check_types(spec: ConvSpec) -> None:
    for name in PER_AXIS:
        values: Any = getattr(spec, name)
        kind = tuple if name == "padding" else int
        if not isinstance(values, tuple) or not all(isinstance(value, kind) for value in values):
            what = "pairs of whole numbers" if name == "padding" else "whole numbers"
            raise SpecError(f"{name} must be a tuple of {what}, one an axis; make_spec takes what PyTorch takes")


def _check_numbers(spec: ConvSpec) -> None:
    if not 1 <= spec.dims <= 3:
        raise SpecError(f"a convolution has 1, 2 or 3 spatial axes, not {spec.dims}")
    for name in PER_AXIS:
        values = getattr(spec, name)
        if len(values) != spec.dims:
            raise SpecError(f"{name} has {len(values)} entries, kernel_size has {spec.dims}")
    positive = {
        "--groups": spec.groups,
        "--in-channels": spec.in_channels,
        "--out-channels": spec.out_channels,
        "--batch": 1 if spec.batch_size is None else spec.batch_size,
        "--kernel": min(spec.kernel_size),
        "--size": min(spec.input_size),
        "--stride": min(spec.stride),
        "--dilation": min(spec.dilation),
    }
    for name, number in positive.items():
        if number < 1:
            raise SpecError(f"{name} must be 1 or more, not {number}")
    if spec.in_channels % spec.groups or spec.out_channels % spec.groups:
        raise SpecError(
            f"--groups {spec.groups} must divide both {spec.in_channels} input channels and "
            f"{spec.out_channels} output channels; set --in-channels and --out-channels to multiples of {spec.groups}"
        )


def _check_modes(spec: ConvSpec) -> None:
    if spec.padding_mode not in PADDING_MODES:
        raise SpecError(f"padding mode {safe(repr(spec.padding_mode))} is not one of {', '.join(PADDING_MODES)}")
    if spec.transposed and spec.padding_mode != "zeros":
        raise SpecError(f"a transposed convolution knows only --padding-mode zeros, not {spec.padding_mode}")
    if any(spec.output_padding) and not spec.transposed:
        raise SpecError("--output-padding belongs to a transposed convolution; add --transposed or drop it")
    for axis, extra in enumerate(spec.output_padding):
        limit = max(spec.stride[axis], spec.dilation[axis])
        if not 0 <= extra < limit:
            raise SpecError(f"--output-padding {extra} must be 0 or more and less than stride or dilation ({limit})")
    if not spec.has_padded_input:
        return
    lowest = min(map(min, spec.padding))
    if lowest < 0:
        raise SpecError(f"negative padding {lowest} needs --padding-mode zeros, not {spec.padding_mode}")
    spare = {"reflect": 1, "circular": 0}.get(spec.padding_mode)
    for size, pair in zip(spec.input_size, spec.padding, strict=True):
        if spare is not None and max(pair) > size - spare:
            sizes = [max(n, max(pads) + spare) for n, pads in zip(spec.input_size, spec.padding, strict=True)]
            raise SpecError(
                f"padding {max(pair)} is too large for --padding-mode {spec.padding_mode} on input size {size}: "
                f"at most {size - spare}; use --padding {min(spec.input_size) - spare} "
                f"or --size {_brief(sizes)} or more"
            )


def _check_fit(spec: ConvSpec) -> None:
    if min(spec.output_size) >= 1:
        return
    output = by_x(spec.output_size)
    pads = by_x([before if before == after else f"({before},{after})" for before, after in spec.padding])
    if spec.transposed:
        raise SpecError(
            f"padding {pads} crops all of this transposed layer: output would be {output}; use a smaller --padding"
        )
    sizes = [
        max(n, extent - sum(pair))
        for n, extent, pair in zip(spec.input_size, spec.kernel_extent, spec.padding, strict=True)
    ]
    padding = max(-((n - extent) // 2) for n, extent in zip(spec.input_size, spec.kernel_extent, strict=True))
    # reflect and circular have only so many values to pad with.
    most = {"reflect": min(spec.input_size) - 1, "circular": min(spec.input_size)}.get(spec.padding_mode, padding)
    raise SpecError(
        f"kernel {by_x(spec.kernel_size)} does not fit input {by_x(spec.input_size)} (padding {pads}, "
        f"dilation {by_x(spec.dilation)}): output would be {output}; "
        f"use --size {_brief(sizes)} or more" + (f", or --padding {padding}" if padding <= most else "")
    )


def _brief(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else by_x(sizes)
