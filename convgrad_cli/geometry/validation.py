"""What no convolution can have, said in the user's words with the numbers and a repair.

Everything here is arithmetic on integers, so that a wrong request is answered before torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convgrad_cli.errors import SpecError

if TYPE_CHECKING:
    from convgrad_cli.geometry.spec import ConvSpec

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def by_x(sizes: Sequence[Any]) -> str:
    """Sizes as people write them: 3x224x224."""
    return "x".join(map(str, sizes))


def check(spec: ConvSpec) -> None:
    """Raise SpecError unless PyTorch could run this layer on this input."""
    _check_numbers(spec)
    _check_modes(spec)
    _check_fit(spec)


def _check_numbers(spec: ConvSpec) -> None:
    if not 1 <= spec.dims <= 3:
        raise SpecError(f"a convolution has 1, 2 or 3 spatial axes, not {spec.dims}")
    per_axis = ("input_size", "kernel_size", "stride", "padding", "dilation", "output_padding")
    for name in per_axis:
        values = getattr(spec, name)
        if len(values) != spec.dims:
            raise SpecError(f"{name} has {len(values)} entries, kernel_size has {spec.dims}")
    positive = {
        "--in-channels": spec.in_channels,
        "--out-channels": spec.out_channels,
        "--groups": spec.groups,
        "--batch": 1 if spec.batch_size is None else spec.batch_size,
        "--size": min(spec.input_size),
        "--kernel": min(spec.kernel_size),
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
        raise SpecError(f"padding mode {spec.padding_mode!r} is not one of {', '.join(PADDING_MODES)}")
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
    for size, pair in zip(spec.input_size, spec.padding, strict=True):
        limit = {"reflect": size - 1, "circular": size, "replicate": max(pair)}[spec.padding_mode]
        if min(pair) < 0:
            raise SpecError(f"negative padding {min(pair)} needs --padding-mode zeros, not {spec.padding_mode}")
        if max(pair) > limit:
            raise SpecError(
                f"padding {max(pair)} is too large for --padding-mode {spec.padding_mode} on input size {size}: "
                f"at most {limit}; use --padding {limit} or --size {size + max(pair) - limit} or more"
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
    short = [extent - padded for extent, padded in zip(spec.kernel_extent, spec.padded_size, strict=True)]
    size = max(n + missing for n, missing in zip(spec.input_size, short, strict=True) if missing > 0)
    raise SpecError(
        f"kernel {by_x(spec.kernel_size)} does not fit input {by_x(spec.input_size)} (padding {pads}, "
        f"dilation {by_x(spec.dilation)}): output would be {output}; "
        f"use --size {size} or more, or --padding {-(-max(short) // 2) + max(before for before, _ in spec.padding)}"
    )
