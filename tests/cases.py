"""The layers that tests run on: a table of named ones, random ones, a hypothesis strategy, and numbers for them.

Integers of float64 make every sum exact, so that routes are compared bit for bit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.spec import ConvSpec, make_spec

Layer = dict[str, Any]  # keywords of make_spec


@dataclass(frozen=True)
class Case:
    """A layer, and what it shows that the others do not."""

    name: str
    why: str
    layer: Layer

    @property
    def spec(self) -> ConvSpec:
        return make_spec(**self.layer)

    def __str__(self) -> str:
        return self.name


def _case(name: str, why: str, **layer: Any) -> Case:
    return Case(name, why, layer)


CASES = (
    _case("notebook", "the layer of the course notebook: 3x3 under a 2x2 kernel", input_size=(3, 3), kernel_size=2),
    _case("notebook with bias", "its second half: the bias gradient is the number of outputs", input_size=3, bias=True),
    _case(
        "stride remainder",
        "6 + 2 - 3 leaves 2 after steps of 3: no placement reads the last row and column (pytorch#25101)",
        input_size=6,
        kernel_size=3,
        stride=3,
        padding=1,
    ),
    _case(
        "padding beyond the kernel",
        "some placements meet only padding",
        input_size=3,
        kernel_size=2,
        padding=3,
        bias=True,
    ),
    _case("stride beyond the kernel", "input entries between the placements get no gradient", input_size=7, stride=3),
    _case(
        "dilation shares a divisor with stride",
        "gcd 2: every other position is unreachable, taps advance by 2 and placements fall back by 1",
        input_size=9,
        kernel_size=3,
        stride=4,
        dilation=2,
        padding=1,
    ),
    _case(
        "dilation without a common divisor",
        "the modular inverse has work to do: 3 taps forward are 2 placements back",
        input_size=12,
        kernel_size=4,
        stride=3,
        dilation=2,
        padding=2,
    ),
    _case("dilation equals stride", "swapping the two would go unseen elsewhere", input_size=8, stride=2, dilation=2),
    _case(
        "no side like another",
        "H != W, Kh != Kw and every other pair unequal: mixed-up axes show",
        input_size=(7, 5),
        kernel_size=(3, 2),
        stride=(2, 1),
        padding=(0, 1),
        dilation=(1, 2),
    ),
    _case("channels", "sums over input channels, one weight block an output channel", in_channels=3, out_channels=2),
    _case(
        "groups", "Cin/G = 1 is not Cout/G = 2: channel blocks differ by side", in_channels=2, out_channels=4, groups=2
    ),
    _case(
        "groups in steps",
        "three groups with a stride and padding, the mix of pytorch#68868",
        in_channels=6,
        out_channels=3,
        groups=3,
        input_size=(6, 5),
        kernel_size=3,
        stride=2,
        padding=1,
    ),
    _case("depthwise", "one channel a group: Spans of one channel", in_channels=3, out_channels=3, groups=3, padding=1),
    _case("unbatched", "no batch axis at all", batch_size=None, in_channels=2, out_channels=2, bias=True),
    _case("batch", "gradients of weight and bias sum over it", batch_size=3, in_channels=2, bias=True, padding=1),
    _case(
        "negative back padding", "the last row and column are cropped away", input_size=5, padding=((0, -1), (1, -1))
    ),
    _case(
        "negative padding",
        "cropped on all sides, so that offsets in front are positive",
        input_size=6,
        padding=-1,
        bias=True,
    ),
    _case(
        "asymmetric padding",
        "more in front than behind on one axis, less on the other",
        input_size=4,
        kernel_size=3,
        padding=((2, 0), (0, 1)),
    ),
    _case("same", "an even kernel needs one more behind than in front", input_size=(3, 4), padding="same"),
    _case(
        "same, dilated",
        "an odd reach beside an even one that dilation makes",
        input_size=5,
        kernel_size=(4, 3),
        dilation=(1, 2),
        padding="same",
    ),
    _case("full", "every entry meets every tap", input_size=3, kernel_size=(2, 3), padding="full"),
    _case(
        "reflect",
        "the border is not repeated: its entries stay single, the inner ones have three copies",
        input_size=4,
        kernel_size=3,
        padding=2,
        padding_mode="reflect",
    ),
    _case(
        "reflect at its limit",
        "size - 1 on both sides: the far border comes round",
        dims=1,
        input_size=4,
        kernel_size=3,
        padding=3,
        padding_mode="reflect",
    ),
    _case(
        "replicate",
        "the border is repeated farther than the input is long",
        input_size=(2, 3),
        kernel_size=3,
        padding=(3, 1),
        padding_mode="replicate",
        bias=True,
    ),
    _case(
        "circular",
        "a whole turn on each side: nine copies of every entry",
        input_size=3,
        kernel_size=2,
        padding=3,
        padding_mode="circular",
    ),
    _case(
        "circular same",
        "asymmetric wrapping",
        input_size=(4, 3),
        kernel_size=2,
        padding="same",
        padding_mode="circular",
        in_channels=2,
        out_channels=2,
        groups=2,
    ),
    _case(
        "replicate with steps",
        "copies that stride and dilation never reach beside others that they do",
        input_size=5,
        kernel_size=2,
        stride=2,
        dilation=2,
        padding=2,
        padding_mode="replicate",
        batch_size=2,
    ),
    _case("transposed", "the sides swap and nothing else", transposed=True, input_size=3, kernel_size=2, bias=True),
    _case(
        "transposed, output padding",
        "rows of the output that meet no placement hold the bias alone",
        transposed=True,
        input_size=3,
        kernel_size=2,
        stride=3,
        output_padding=2,
        bias=True,
    ),
    _case(
        "transposed, stride beyond the kernel",
        "gaps between the placements (pytorch#63314: kernel 1, stride 2)",
        transposed=True,
        input_size=3,
        kernel_size=1,
        stride=2,
    ),
    _case(
        "transposed, groups",
        "the weight is [in, out / groups, ...]: blocks on the other side",
        transposed=True,
        in_channels=4,
        out_channels=2,
        groups=2,
        input_size=(3, 2),
        kernel_size=(2, 3),
        stride=(1, 2),
        padding=(0, 1),
        batch_size=2,
    ),
    _case(
        "transposed, padded unevenly",
        "padding crops the output, negative padding widens it",
        transposed=True,
        input_size=4,
        kernel_size=3,
        stride=2,
        dilation=2,
        padding=((2, 1), (-1, 0)),
        bias=True,
    ),
    _case("1-D", "one spatial axis", dims=1, input_size=6, kernel_size=3, stride=2, padding=1, in_channels=2),
    _case(
        "3-D",
        "three spatial axes, all different",
        input_size=(3, 4, 2),
        kernel_size=(2, 3, 1),
        stride=(1, 2, 1),
        padding=(1, 1, 0),
        in_channels=2,
        bias=True,
    ),
    _case("3-D reflect", "eight copies of every entry", dims=3, input_size=2, padding=1, padding_mode="reflect"),
    _case(
        "3-D transposed",
        "the third axis of the other side",
        transposed=True,
        dims=3,
        input_size=2,
        stride=(2, 1, 2),
        output_padding=(1, 0, 1),
        batch_size=None,
        in_channels=2,
        groups=2,
        out_channels=2,
    ),
    _case(
        "1x1 kernel", "a matrix product: no span of taps", input_size=3, kernel_size=1, in_channels=2, out_channels=3
    ),
    _case("kernel as large as the input", "one output: no span of placements", input_size=(3, 2), kernel_size=(3, 2)),
    _case("one row of outputs", "a span on one axis beside an int on the other", input_size=(2, 5), kernel_size=2),
    _case("one number", "everything is 1: no sum at all", dims=1, input_size=1, kernel_size=1, batch_size=None),
)

OPERANDS = ("output", "weight", "input", "bias")


def random_layers(seed: int, count: int) -> Iterator[Layer]:
    """`count` small layers that mix all options, as keywords of make_spec; those that it refuses are not among them."""
    draw = random.Random(seed)
    while count:
        layer = _random_layer(draw)
        try:
            make_spec(**layer)
        except SpecError:
            continue
        count -= 1
        yield layer


def random_specs(seed: int, count: int) -> Iterator[ConvSpec]:
    """The same layers as ConvSpecs."""
    return (make_spec(**layer) for layer in random_layers(seed, count))


def _random_layer(draw: random.Random) -> Layer:
    dims, groups = draw.choice((1, 1, 2, 2, 2, 3)), draw.choice((1, 1, 2, 3))
    transposed = draw.random() < 0.35
    mode = "zeros" if transposed else draw.choice(("zeros", "zeros", "zeros", "reflect", "replicate", "circular"))
    stride = [draw.choice((1, 1, 2, 3, 4)) for _ in range(dims)]

    def pads(low: int, high: int) -> list[int]:
        return [draw.randint(low, high) for _ in range(dims)]

    kinds = ["number", "each axis", "pairs", "pairs", "valid"] + ["full"] * (not transposed)
    if mode == "zeros":
        kinds += ["negative", "negative pairs"]
    if not transposed and draw.random() < 0.3:
        kinds, stride = ["same"], [1] * dims
    kind = draw.choice(kinds)
    paddings = {
        "number": draw.randint(0, 3),
        "each axis": pads(0, 3),
        "pairs": list(zip(pads(0, 3), pads(0, 3), strict=True)),
        "negative": pads(-1, 2),
        "negative pairs": list(zip(pads(-2, 3), pads(-2, 3), strict=True)),
    }
    return {
        "dims": dims,
        "in_channels": groups * draw.randint(1, 2),
        "out_channels": groups * draw.randint(1, 2),
        "input_size": [draw.randint(1, {1: 12, 2: 6, 3: 4}[dims]) for _ in range(dims)],
        "kernel_size": [draw.randint(1, {1: 5, 2: 3, 3: 2}[dims]) for _ in range(dims)],
        "stride": stride,
        "padding": paddings.get(kind, kind),
        "dilation": [draw.choice((1, 1, 2, 3, 4)) for _ in range(dims)],
        "output_padding": [draw.choice((0, 0, 1, 2)) if transposed else 0 for _ in range(dims)],
        "groups": groups,
        "bias": draw.random() < 0.5,
        "padding_mode": mode,
        "transposed": transposed,
        "batch_size": draw.choice((None, 1, 2)),
    }


# On a busy machine an example may take long; and some layers that are drawn are none, so they are drawn again.
PATIENT = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.filter_too_much])


@st.composite
def specs(draw: st.DrawFn) -> ConvSpec:
    """Any small layer; shrinks towards the plain one with every size 1."""
    dims, groups, transposed = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    mode = "zeros" if transposed else draw(st.sampled_from(("zeros", "reflect", "replicate", "circular")))

    def each_axis(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(dims)]

    lowest = -1 if mode == "zeros" else 0
    try:
        return make_spec(
            dims=dims,
            in_channels=groups * draw(st.integers(1, 2)),
            out_channels=groups * draw(st.integers(1, 2)),
            input_size=each_axis(1, 6 if dims < 3 else 3),
            kernel_size=each_axis(1, 3),
            stride=each_axis(1, 3),
            padding=list(zip(each_axis(lowest, 2), each_axis(lowest, 2), strict=True)),
            dilation=each_axis(1, 3),
            output_padding=each_axis(0, 1) if transposed else 0,
            groups=groups,
            bias=draw(st.booleans()),
            padding_mode=mode,
            transposed=transposed,
            batch_size=draw(st.sampled_from((1, None, 2))),
        )
    except SpecError:
        assume(False)
        raise


def integer_operands(spec: ConvSpec, seed: int = 0, *, ones: bool = False):
    """Operands of non-zero integers from -9 to 9 in float64; `ones` makes g what loss = y.sum() hands over."""
    import torch

    from convgrad_cli.tensors.operands import Operands

    generator = torch.Generator().manual_seed(seed)

    def integers(shape: tuple[int, ...]) -> torch.Tensor:
        signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
        return (torch.randint(1, 10, shape, generator=generator) * signs).double()

    x, w = integers(spec.input_shape), integers(spec.weight_shape)
    b = integers(spec.bias_shape) if spec.bias else None
    g = torch.ones((), dtype=torch.float64).expand(spec.output_shape) if ones else integers(spec.output_shape)
    return Operands(x, w, b, g, ones)
