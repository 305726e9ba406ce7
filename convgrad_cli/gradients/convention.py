"""How foreign code wants to be called: which keywords, in which words, and in which order its axes come.

Integers and text only; the tensors are permuted by whoever holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.safe import safe

KEYWORDS = ("stride", "padding", "dilation", "groups")
MORE_KEYWORDS = ("output_padding", "transposed", "padding_mode")
BACKWARD = "function(x, w, b, g, *, stride, padding, dilation, groups), with those keywords that it needs"
DOUBLE_BACKWARD = (
    "function(x, w, b, g, ggx, ggw, ggb, *, stride, padding, dilation, groups), with those keywords that it needs"
)
FORWARD = "function(x, w, b, *, stride, padding, dilation, groups), with those keywords that it needs"

SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def keyword(spec: ConvSpec, name: str, *, scalars: bool) -> Any:
    """The value of the keyword `name`: a tuple with one entry an axis, or with `scalars` one number for all axes.

    `padding` holds a number an axis, or (before, after) pairs where they differ. ConvGradError where a single number
    can't say it.
    """
    value = getattr(spec, name)
    if name == "padding" and all(before == after for before, after in value):
        value = tuple(before for before, _ in value)
    if not scalars or not isinstance(value, tuple):
        return value
    if len(set(value)) > 1 or isinstance(value[0], tuple):
        raise ConvGradError(
            f"{name} {value} is no single number, as --scalars wants it; give another layer, or drop --scalars"
        )
    return value[0]


@dataclass(frozen=True)
class Layout:
    """The order of axes that `text` names, as in NHWC or HWIO; an empty text is PyTorch's own order.

    ConvGradError at once where no layer has these letters, and from `order` where this one has others.
    """

    text: str
    option: str  # --layout or --weight-layout

    def __post_init__(self) -> None:
        given = sorted(self._letters(2))
        if self.text and not any(given in self._possible(dims) for dims in SPATIAL):
            raise ConvGradError(self._refusal("NCW, NCHW or NCDHW" if self._is_data() else "OIW, OIHW or OIDHW"))

    def order(self, spec: ConvSpec) -> tuple[int, ...]:
        """For each axis that the code sees, which axis of the tensor it is."""
        own = self._own(spec)
        letters = self._letters(spec.dims)
        if self._is_data() and spec.batch_size is None:
            letters = letters.replace("N", "")
        letters = letters or own
        if sorted(letters) != sorted(own):
            raise ConvGradError(self._refusal(own))
        return tuple(map(own.index, letters))

    def _own(self, spec: ConvSpec) -> str:
        if self._is_data():
            return ("" if spec.batch_size is None else "N") + "C" + SPATIAL[spec.dims]
        return ("IO" if spec.transposed else "OI") + SPATIAL[spec.dims]

    def _is_data(self) -> bool:
        return self.option == "--layout"

    def _letters(self, dims: int) -> str:
        letters = self.text.upper()
        return letters.replace("L", "W") if dims == 1 or len(letters) <= 3 else letters  # PyTorch's docs have NCL

    def _possible(self, dims: int) -> list[list[str]]:
        lead = "NC" if self._is_data() else "OI"
        own = sorted(lead + SPATIAL[dims])
        return [own, sorted("C" + SPATIAL[dims])] if self._is_data() else [own]

    def _refusal(self, own: str) -> str:
        orders = "any order" if "," not in own else "any order of one of them"
        said = f"{self.option} {safe(self.text, 40)!r} does not fit"
        return f"{said}: PyTorch's order is {own}, and {orders} may be given"


def reorder(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """`shape` as the code sees it."""
    return tuple(shape[axis] for axis in order)


def restore(order: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes `order`."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def cs231n_parameters(spec: ConvSpec) -> Mapping[str, int]:
    """The conv_param of that course; ConvGradError, with what to leave out, for a layer that it has no words for."""
    wrong = {
        f"{spec.dims} spatial axes": spec.dims != 2,
        "no batch axis": spec.batch_size is None,
        "transposed": spec.transposed,
        f"dilation {spec.dilation}": any(d != 1 for d in spec.dilation),
        f"groups {spec.groups}": spec.groups != 1,
        f"padding_mode {spec.padding_mode}": spec.has_padded_input,
        f"stride {spec.stride}": len(set(spec.stride)) > 1,
        f"padding {spec.padding}": len({pad for pair in spec.padding for pad in pair}) > 1 or spec.padding[0][0] < 0,
    }
    found = [what for what, there in wrong.items() if there]
    if found:
        raise ConvGradError(
            f"--convention cs231n knows 2-D batches with one stride and one padding, and this layer has "
            f"{', '.join(found)}; give such a layer, or drop --convention"
        )
    return {"stride": spec.stride[0], "pad": spec.padding[0][0]}
