"""LayerText: what one line of somebody else's notation says about a layer, and how padding is told between notations.

oneDNN tells a layer by its output size, MIOpen and PyTorch by a padding for both ends. So one layer has several
descriptions, and `settled` is the one among them that PyTorch's modules can say, if any of them can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.safe import safe

DIRECTIONS = ("output", "grad_input", "grad_weight", "grad_bias")
DTYPES = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class LayerText:
    """A layer as keywords of `make_spec`, and what else its notation says; what it does not say is left out."""

    settings: Mapping[str, Any] = field(hash=False)
    name: str | None = None
    dtype: str | None = None
    directions: tuple[str, ...] = DIRECTIONS

    @property
    def spec(self) -> ConvSpec:
        return make_spec(**self.settings)


def axis_padding(
    transposed: bool, before: int, size: int, output: int, extent: int, stride: int, dilation: int
) -> tuple[tuple[int, int], int]:
    """The padding pair and output padding of an axis: alike at both ends if that gives `output`, else as that implies.

    `extent` is how far the dilated kernel reaches; `before` and the sizes say all that counts (Dumoulin & Visin,
    relationships 6 and 14).
    """
    if transposed:
        after = (size - 1) * stride + extent - before - output
        extra = before - after
        return ((before, before), extra) if 0 <= extra < max(stride, dilation) else ((before, after), 0)
    if (size + 2 * before - extent) // stride + 1 == output:
        return (before, before), 0
    return (before, (output - 1) * stride + extent - size - before), 0


def settled(spec: ConvSpec) -> ConvSpec:
    """The same layer, element for element, with padding alike at both ends wherever that changes nothing."""
    if spec.has_padded_input:
        return spec
    before = [pair[0] for pair in spec.padding]
    columns = (before, spec.input_size, spec.output_size, spec.kernel_extent, spec.stride, spec.dilation)
    found = [axis_padding(spec.transposed, *row) for row in zip(*columns, strict=True)]
    return replace(spec, padding=tuple(pair for pair, _ in found), output_padding=tuple(extra for _, extra in found))


def asked(directions: set[str], bias: bool) -> tuple[str, ...]:
    """`directions` in their order; without a bias its gradient is none of them."""
    return tuple(name for name in DIRECTIONS if name in directions and (bias or name != "grad_bias"))


def require_plain(spec: ConvSpec, notation: str) -> None:
    """Raise SpecError where `notation`, which knows batches and zeros alone, cannot say the layer."""
    if spec.has_padded_input:
        raise SpecError(f"{notation} knows only --padding-mode zeros, not {spec.padding_mode}")
    if spec.batch_size is None:
        raise SpecError(f"{notation} has no unbatched input; use --batch 1")


def require_alike(spec: ConvSpec, notation: str) -> None:
    """Raise SpecError unless the padding is alike at both ends and not negative."""
    for before, after in spec.padding:
        if before != after or before < 0:
            raise SpecError(
                f"{notation} pads both ends alike, with 0 or more, and this layer needs {before}:{after}; "
                "--as benchdnn can say more"
            )


def number(text: str, what: str) -> int:
    """The whole number of 0 or more that `text` is; `what` names it in the refusal."""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise SpecError(f"{what} takes a whole number from 0 to 999999999, not {safe(text, 40)!r}")
    return int(text)
