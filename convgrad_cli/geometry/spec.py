"""ConvSpec: one convolution layer with its sizes, validated, in PyTorch's names and order.

The swap between a convolution and a transposed one lives here and nowhere else: the *positions* side has
`position_channels` and the *placements* side `placement_channels`; the weight is
[placement_channels, position_channels / groups, *kernel_size] for both kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.settings import plain_settings
from convgrad_cli.geometry.validation import by_x, check
from convgrad_cli.safe import safe

PADDING_WORDS = ("same", "valid", "full")

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ConvSpec:
    """A convolution layer and the sizes it runs on; every per-axis value is a tuple, one entry an axis.

    `padding` holds (before, after) pairs, which may differ and, for padding_mode "zeros", be negative (cropping).
    `batch_size` None means unbatched. Raises SpecError where PyTorch would refuse, with the numbers and a repair.
    `make_spec` builds one from plain ints, words and single numbers.
    """

    in_channels: int
    out_channels: int
    input_size: Sizes
    kernel_size: Sizes
    stride: Sizes
    padding: Pads
    dilation: Sizes
    output_padding: Sizes
    groups: int
    bias: bool
    padding_mode: str
    transposed: bool
    batch_size: int | None

    def __post_init__(self) -> None:
        check(self)

    @property
    def dims(self) -> int:
        """The number of spatial axes: 1, 2 or 3."""
        return len(self.kernel_size)

    @cached_property
    def output_size(self) -> Sizes:
        """Dumoulin & Visin, relationship 6 (convolution) and 14 (transposed), with dilation."""
        sizes = []
        for size, extent, s, (before, after), extra in zip(
            self.input_size, self.kernel_extent, self.stride, self.padding, self.output_padding, strict=True
        ):
            if self.transposed:
                sizes.append((size - 1) * s + extent + extra - before - after)
            else:
                sizes.append((size + before + after - extent) // s + 1)
        return tuple(sizes)

    @property
    def kernel_extent(self) -> Sizes:
        """How far the dilated kernel reaches on each axis."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True))

    @property
    def padded_size(self) -> Sizes:
        return tuple(size + sum(pair) for size, pair in zip(self.input_size, self.padding, strict=True))

    @property
    def placement_channels(self) -> int:
        return self.in_channels if self.transposed else self.out_channels

    @property
    def position_channels(self) -> int:
        return self.out_channels if self.transposed else self.in_channels

    @property
    def batch_shape(self) -> Sizes:
        return () if self.batch_size is None else (self.batch_size,)

    @property
    def input_shape(self) -> Sizes:
        return (*self.batch_shape, self.in_channels, *self.input_size)

    @property
    def padded_input_shape(self) -> Sizes:
        return (*self.batch_shape, self.in_channels, *self.padded_size)

    @property
    def weight_shape(self) -> Sizes:
        return (self.placement_channels, self.position_channels // self.groups, *self.kernel_size)

    @property
    def bias_shape(self) -> Sizes:
        return (self.out_channels,)

    @property
    def output_shape(self) -> Sizes:
        return (*self.batch_shape, self.out_channels, *self.output_size)

    def shape_of(self, name: str) -> Sizes:
        """The shape of the tensor `name` ("input", "grad_weight", "output", "grad_grad_output", ...)."""
        shape: Sizes = getattr(self, f"{name.replace('grad_', '')}_shape")
        return shape

    @property
    def has_padded_input(self) -> bool:
        """Whether the padding is made of input values, so that expressions need `xp`."""
        return self.padding_mode != "zeros"

    @property
    def macs(self) -> int:
        """Multiply-adds of the forward pass; an upper bound, since borders are clipped."""
        placements = self.input_size if self.transposed else self.output_size
        weights = prod(self.weight_shape)
        return (self.batch_size or 1) * weights * prod(placements)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The spatial axes; with a padding mode other than zeros, positions lie on the padded input."""
        if self.transposed:
            positions, placements = self.output_size, self.input_size
        else:
            positions = self.padded_size if self.has_padded_input else self.input_size
            placements = self.output_size
        before = [0 if self.has_padded_input else pair[0] for pair in self.padding]
        columns = (positions, placements, self.kernel_size, self.stride, self.dilation, before)
        return tuple(Axis(*row) for row in zip(*columns, strict=True))

    def border_source(self, axis: int, i: Any) -> Any:
        """The input index on `axis` whose value stands at `i`, counted from the input's first, in it or in its padding.

        `i` is a number or a tensor of numbers: this is arithmetic that both know.
        """
        last = self.input_size[axis] - 1
        if self.padding_mode == "circular":
            return i % (last + 1)
        if self.padding_mode == "reflect":
            return last - abs(last - abs(i))
        return (abs(i) - abs(i - last) + last) // 2  # replicate: i from 0 to last, and the nearer of them beyond

    def padded_copies(self, axis: int, index: int) -> Sizes:
        """The positions of the padded input on `axis` that hold the value of input `index`, ascending."""
        size, (before, after) = self.input_size[axis], self.padding[axis]
        start, stop = -before if index == 0 else index, size + after if index == size - 1 else index + 1
        found = {
            "circular": {index - size, index, index + size},
            "reflect": {-index, index, 2 * (size - 1) - index},
            "replicate": range(start, stop),
        }[self.padding_mode]
        return tuple(before + i for i in sorted(found) if -before <= i < size + after)

    def layer_text(self) -> str:
        """The layer as PyTorch prints the module that has these settings."""
        name = f"Conv{'Transpose' if self.transposed else ''}{self.dims}d"
        parts = [str(self.in_channels), str(self.out_channels), f"kernel_size={_tuple(self.kernel_size)}"]
        if any(s != 1 for s in self.stride):
            parts.append(f"stride={_tuple(self.stride)}")
        if any(before or after for before, after in self.padding):
            symmetric = all(before == after for before, after in self.padding)
            pads = tuple(before for before, _ in self.padding) if symmetric else self.padding
            parts.append(f"padding={_tuple(pads)}")
        if any(d != 1 for d in self.dilation):
            parts.append(f"dilation={_tuple(self.dilation)}")
        if any(self.output_padding):
            parts.append(f"output_padding={_tuple(self.output_padding)}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if not self.bias:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        return f"{name}({', '.join(parts)})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data in PyTorch's names, plus the output size."""
        return {**asdict(self), "output_size": self.output_size, "text": self.layer_text()}


def make_spec(
    *,
    in_channels: int | None = None,
    out_channels: int | None = None,
    input_size: int | Sequence[int] | None = None,
    kernel_size: int | Sequence[int] = 2,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] | Sequence[Sequence[int]] = 0,
    dilation: int | Sequence[int] = 1,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    bias: bool = False,
    padding_mode: str = "zeros",
    transposed: bool = False,
    batch_size: int | None = 1,
    dims: int | None = None,
) -> ConvSpec:
    """A ConvSpec from what people write: one number for all axes, one an axis, or "same", "valid", "full".

    `dims` follows from the first per-axis value with several parts, else it is 2. `input_size` defaults to one more
    than the kernel covers and what padding crops, each number of channels to `groups`. Raises SpecError.
    """
    return _spec(**plain_settings(locals()))


def _spec(
    in_channels: int | None,
    out_channels: int | None,
    input_size: int | Sizes | None,
    kernel_size: int | Sizes,
    stride: int | Sizes,
    padding: int | str | tuple[int | Sizes, ...],
    dilation: int | Sizes,
    output_padding: int | Sizes,
    groups: int,
    bias: bool,
    padding_mode: str,
    transposed: bool,
    batch_size: int | None,
    dims: int | None,
) -> ConvSpec:
    per_axis = {
        "--size": input_size,
        "--kernel": kernel_size,
        "--stride": stride,
        "--padding": None if isinstance(padding, str) else padding,
        "--dilation": dilation,
        "--output-padding": output_padding,
    }
    counts = {name: len(value) for name, value in per_axis.items() if value is not None and not isinstance(value, int)}
    if dims is None:
        dims = next(iter(counts.values()), 2)
    if not 1 <= dims <= 3:
        raise SpecError(f"a convolution has 1, 2 or 3 spatial axes, not {dims}; give --size as N, HxW or DxHxW")
    for name, count in counts.items():
        if count not in (1, dims):
            raise SpecError(f"{name} has {count} parts on a {dims}-D layer; give one number, or {dims} joined by x")
    kernel = _spread(kernel_size, dims)
    dilations = _spread(dilation, dims)
    strides = _spread(stride, dims)
    pads, more = _pads(padding, dims, kernel, dilations, strides, transposed), _spread(output_padding, dims)
    if input_size is None:
        axes = zip(kernel, dilations, strides, pads, more, strict=True)
        input_size = tuple(_usual_size(d * (k - 1) + 1, s, sum(p), o, transposed) for k, d, s, p, o in axes)
    return ConvSpec(
        in_channels=groups if in_channels is None else in_channels,
        out_channels=groups if out_channels is None else out_channels,
        input_size=_spread(input_size, dims),
        kernel_size=kernel,
        stride=strides,
        padding=pads,
        dilation=dilations,
        output_padding=more,
        groups=groups,
        bias=bias,
        padding_mode=padding_mode,
        transposed=transposed,
        batch_size=batch_size,
    )


def _spread(value: int | Sizes, dims: int) -> Sizes:
    values = (value,) if isinstance(value, int) else value
    return values * dims if len(values) == 1 else values


def _usual_size(covered: int, stride: int, padding: int, output_padding: int, transposed: bool) -> int:
    """One more than the kernel covers, or more where padding would crop all of it."""
    if not transposed:
        return covered + 1 + max(0, -padding)
    return max(covered + 1, 2 - (covered + output_padding - padding) // max(stride, 1))


def _pads(
    padding: int | str | tuple[int | Sizes, ...],
    dims: int,
    kernel: Sizes,
    dilation: Sizes,
    stride: Sizes,
    transposed: bool,
) -> Pads:
    if not isinstance(padding, str):
        values = (padding,) if isinstance(padding, int) else padding
        values = values * dims if len(values) == 1 else values
        for value in values:
            if not isinstance(value, int) and len(value) != 2:
                raise SpecError(f"padding {value} must be a number, or a pair of numbers: before and after")
        return tuple((v, v) if isinstance(v, int) else (v[0], v[1]) for v in values)
    if padding not in PADDING_WORDS:
        raise SpecError(f"padding {safe(repr(padding))} is neither numbers nor one of {', '.join(PADDING_WORDS)}")
    if padding == "valid":
        return ((0, 0),) * dims
    if transposed:
        raise SpecError(f"padding {padding!r} is not defined for a transposed convolution; give --padding as numbers")
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if padding == "full":
        return tuple((r, r) for r in reach)
    if any(s != 1 for s in stride):
        raise SpecError(
            f"padding 'same' needs stride 1, not {by_x(stride)}; use --stride 1, or give --padding as numbers"
        )
    return tuple((r // 2, r - r // 2) for r in reach)


def _tuple(values: Sequence[Any]) -> str:
    return f"({', '.join(map(str, values))}{',' if len(values) == 1 else ''})"
