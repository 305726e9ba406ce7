"""benchdnn's descriptors: each of its rules, each refusal, and that what is written is read back as the same layer."""

import pytest
from cases import PATIENT, specs
from descriptors import descriptors, generate
from hypothesis import given

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.benchdnn import parse, write
from convgrad_cli.geometry.layer_text import DIRECTIONS, settled
from convgrad_cli.geometry.spec import make_spec

FULL = 'mb3ic16ih8oc32oh8kh3ph1n"name"'
RULES = [
    # what is said, and what of the layer it decides
    (FULL, {"batch_size": 3, "in_channels": 16, "out_channels": 32, "input_size": (8, 8), "kernel_size": (3, 3)}),
    (FULL, {"padding": ((1, 1), (1, 1)), "stride": (1, 1), "dilation": (1, 1), "groups": 1, "bias": True}),
    ("ph1kh3oh8oc32ih8ic16mb3", {"batch_size": 3, "output_size": (8, 8), "padding": ((1, 1), (1, 1))}),
    ("_mb3_ic16_ih8__oc32_kh3_", {"batch_size": 3, "in_channels": 16}),
    ("ic16ih8oc32kh3", {"batch_size": 2}),
    ("g4ic16ih8oc32kh3", {"groups": 4, "in_channels": 16, "out_channels": 32}),
    ("ic1oc1iw9kw3dw0", {"dilation": (1,), "output_size": (7,)}),
    ("ic1oc1iw9kw3dw1", {"dilation": (2,), "output_size": (5,)}),
    ("ic1oc1iw9kw3sw2", {"stride": (2,), "output_size": (4,)}),
    ("ic1oc1iw9kw3", {"padding": ((0, 0),), "output_size": (7,)}),
    ("ic1oc1iw9kw3pw1", {"output_size": (9,)}),
    ("ic1oc1iw9kw3ow9", {"padding": ((1, 1),)}),
    ("ic1oc1iw9kw3ow8", {"padding": ((0, 1),), "output_size": (8,)}),
    ("ic1oc1iw9kw3ow5", {"padding": ((-1, -1),)}),
    ("ic1oc1iw9kw3ow4", {"padding": ((-1, -2),), "output_size": (4,)}),
    ("ic1oc1iw9kw3pw1ow6", {"padding": ((1, -2),), "output_size": (6,)}),
    ("ic1oc1iw9kw3pw4ow9", {"padding": ((4, -2),), "output_size": (9,)}),
    ("ic1oc1iw8kw3pw1sw2ow4", {"padding": ((1, 1),), "output_size": (4,)}),
    ("ic1oc1ih5iw7kh3kw2ph1pw0", {"input_size": (5, 7), "kernel_size": (3, 2), "padding": ((1, 1), (0, 0))}),
    ("ic1oc1ih5kh3sh2", {"input_size": (5, 5), "stride": (2, 2)}),
    ("ic1oc1ih5kh3sw1pw0", {"input_size": (5, 5)}),
    ("ic1oc1id5kd3pd1dd1", {"input_size": (5, 5, 5), "dilation": (2, 2, 2), "padding": ((1, 1),) * 3}),
    ("ic1oc1id5kd3ih1kh1iw4kw2", {"input_size": (5, 1, 4), "kernel_size": (3, 1, 2)}),
    ("ic1oc1ih1kh1iw4kw2", {"input_size": (1, 4)}),
    ("deconv:ic4oc2iw3kw2sw2", {"transposed": True, "in_channels": 4, "output_size": (6,)}),
    ("--deconv ic4oc2iw3kw2sw2pw1", {"transposed": True, "padding": ((1, 1),), "output_size": (4,)}),
    ("deconv:ic4oc2iw3kw3sw2pw1ow6", {"padding": ((1, 1),), "output_padding": (1,), "output_size": (6,)}),
    ("deconv:ic4oc2iw3kw3sw2ow5", {"padding": ((1, 1),), "output_padding": (0,)}),
    ("deconv:ic4oc2iw3kw3pw0ow4", {"padding": ((0, 1),), "output_size": (4,)}),
    ("--mb=5 mb3ic1oc1iw3kw2", {"batch_size": 5}),
    ("--mb=0 mb3ic1oc1iw3kw2", {"batch_size": 3}),
    ("--reset --conv --dir=FWD_D ic1oc1iw3kw2", {"bias": False, "transposed": False}),
]


@pytest.mark.parametrize(("text", "expected"), RULES)
def test_a_rule(text, expected):
    spec = parse(text).spec
    assert {name: getattr(spec, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (FULL, "name"),
        ("ic1oc1iw3kw2nplain", "plain"),
        ('ic1oc1iw3kw2_n"a:b*4"', "a:b*4"),
        ("ic1oc1iw3kw2n", None),
        ("ic1oc1iw3kw2", None),
    ],
)
def test_a_name_comes_last(text, name):
    assert parse(text).name == name


@pytest.mark.parametrize(
    ("direction", "asked", "bias"),
    [
        ("", DIRECTIONS, True),
        ("FWD_B", ("output",), True),
        ("fwd_d", ("output",), False),
        ("FWD_I", ("output",), False),
        ("BWD_D", ("grad_input",), False),
        ("BWD_W", ("grad_weight",), False),
        ("BWD_WB", ("grad_weight", "grad_bias"), True),
        ("BWD_DW", ("grad_input", "grad_weight"), False),
        ("BWD_WB,FWD_B", ("output", "grad_weight", "grad_bias"), True),
    ],
)
def test_a_direction_asks_for_gradients_and_a_bias(direction, asked, bias):
    said = parse(f"--dir={direction} ic1oc1iw3kw2")
    assert (said.directions, said.spec.bias) == (asked, bias)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("f32", "float32"), ("f16:f16:f16", "float16"), ("bf16", "bfloat16"), ("f64", "float64"), ("", None)],
)
def test_a_type_is_torchs(kind, dtype):
    assert parse(f"--dt={kind} ic1oc1iw3kw2").dtype == dtype


REFUSALS = [
    ("mb2ic16xx3", "'mb2ic16xx3' is not a benchdnn descriptor from 'xx3' on; write it as mb2ic16ih8oc32oh8kh3ph1"),
    ("ic16oc", "oc in a benchdnn descriptor takes a whole number from 0 to 999999999, not ''"),
    ("ic16oc3ih-4", "ih in a benchdnn descriptor takes a whole number from 0 to 999999999, not '-4'"),
    ("ic1oc1iw4294967311", "iw in a benchdnn descriptor takes a whole number from 0 to 999999999, not '4294967311'"),
    ("ic16iw4kw2", "a benchdnn descriptor needs oc of 1 or more: mb2ic16ih8oc32oh8kh3ph1"),
    ("ic0oc3iw4kw2", "a benchdnn descriptor needs ic of 1 or more: mb2ic16ih8oc32oh8kh3ph1"),
    (
        "ic1oc1",
        "a benchdnn descriptor needs iw and kw, ih and kh, or id and kd; with d, both or none of h and w",
    ),
    (
        "ic1oc1id3kd2ih3kh2",
        "a benchdnn descriptor needs iw and kw, ih and kh, or id and kd; with d, both or none of h and w",
    ),
    ("ic1oc1ih3", "a benchdnn descriptor with an axis h needs kh of 1 or more"),
    ("ic1oc1kw3", "a benchdnn descriptor with an axis w needs iw of 1 or more"),
    ("ic1oc1iw3kw2sw0", "a benchdnn descriptor with an axis w needs sw of 1 or more"),
    ("ic1oc1iw3kw5", "ow of this benchdnn descriptor would be -1: kernel and padding do not fit"),
    ("deconv:ic1oc1iw1kw1pw1", "ow of this benchdnn descriptor would be -1: kernel and padding do not fit"),
    ("--dir=UP ic1oc1iw3kw2", "--dir=UP is not one of FWD_B, FWD_D, FWD_I, BWD_D, BWD_W, BWD_WB, BWD_DW"),
    ("--dt=u8:s8:u8 ic1oc1iw3kw2", "--dt=u8:s8:u8 is not one of f64, f32, f16, bf16"),
    ("--dt=f32:bf16:f32 ic1oc1iw3kw2", "--dt=f32:bf16:f32 is not one of f64, f32, f16, bf16"),
    ("--mb=x ic1oc1iw3kw2", "--mb takes a whole number from 0 to 999999999, not 'x'"),
    (
        "--dt=f32,f16 ic1oc1iw3kw2",
        "'--dt=f32,f16 ic1oc1iw3kw2' names several problems; give --dt and --mb one value each",
    ),
    ("--alg=wino ic1oc1iw3kw2", "--alg=wino before a benchdnn descriptor is not --dir, --dt, --mb or --deconv"),
    ("", "a benchdnn descriptor needs ic of 1 or more: mb2ic16ih8oc32oh8kh3ph1"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_a_refusal(text, message):
    with pytest.raises(SpecError) as refusal:
        _ = parse(text).spec
    assert str(refusal.value) == message


def test_what_conv_spec_refuses_is_refused():
    with pytest.raises(SpecError, match="--groups 3 must divide both 4 input channels and 6 output channels"):
        _ = parse("g3ic4oc6iw3kw2").spec


WRITTEN = [
    (make_spec(input_size=3), "--dir=FWD_D,BWD_D,BWD_W mb1ic1ih3iw3oc1oh2ow2kh2kw2ph0pw0"),
    (make_spec(input_size=3, bias=True), "mb1ic1ih3iw3oc1oh2ow2kh2kw2ph0pw0"),
    (
        make_spec(input_size=(9, 8, 7), kernel_size=3, stride=(1, 2, 1), dilation=2, padding=1, bias=True, groups=2),
        "g2mb1ic2id9ih8iw7oc2od7oh3ow5kd3kh3kw3sd1sh2sw1pd1ph1pw1dd1dh1dw1",
    ),
    (
        make_spec(dims=1, input_size=4, transposed=True, stride=2, output_padding=1, padding=1, bias=True),
        "deconv:mb1ic1iw4oc1ow7kw2sw2pw1",
    ),
    (make_spec(dims=1, input_size=6, padding=-1, bias=True), "mb1ic1iw6oc1ow3kw2"),
]


@pytest.mark.parametrize(("spec", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_a_layer_is_written(spec, text):
    assert write(spec) == text
    assert parse(text).spec == spec
    assert write(spec, "float16", "a name").replace("--dt=f16 ", "") == f'{text}n"a name"'
    assert parse(write(spec, "bfloat16", "a")).dtype == "bfloat16"
    assert write(spec, "float32") == text


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"padding_mode": "reflect", "padding": 1}, "benchdnn knows only --padding-mode zeros, not reflect"),
        ({"batch_size": None}, "benchdnn has no unbatched input; use --batch 1"),
        ({"padding": ((-1, 0),)}, "benchdnn has no negative padding in front, and this layer needs -1"),
    ],
)
def test_what_it_cannot_say_is_refused(layer, message):
    with pytest.raises(SpecError) as refusal:
        write(make_spec(dims=1, input_size=6, **layer))
    assert str(refusal.value) == message


@PATIENT
@given(specs())
def test_what_is_written_is_read_back(spec):
    try:
        text = write(spec)
    except SpecError:
        # A negative padding in front can be said where it is half of what the sizes leave, and not elsewhere.
        negative = min(before for before, _ in spec.padding) < 0
        assert spec.has_padded_input or spec.batch_size is None or negative
        return
    assert not spec.has_padded_input
    found = parse(text).spec
    assert found == settled(spec)
    assert write(found) == text


@PATIENT
@given(specs())
def test_a_settled_layer_is_the_same_layer(spec):
    found = settled(spec)
    shapes = ("input_shape", "weight_shape", "output_shape", "bias_shape")
    assert found.axes == spec.axes
    assert [getattr(found, name) for name in shapes] == [getattr(spec, name) for name in shapes]
    assert settled(found) == found


def test_thousands_of_descriptors_are_read_as_they_were_meant():
    for made in generate(2_000, seed=5):
        spec = parse(made.text).spec
        assert spec.transposed == made.transposed, made
        assert spec.input_shape == (made.batch_size, made.in_channels, *(axis.size for axis in made.axes)), made
        assert spec.output_shape == (made.batch_size, made.out_channels, *(axis.output for axis in made.axes)), made
        assert spec.kernel_size == tuple(axis.kernel for axis in made.axes), made
        assert spec.stride == tuple(axis.stride for axis in made.axes), made
        assert spec.dilation == tuple(axis.dilation + 1 for axis in made.axes), made
        assert spec.groups == made.groups, made
        assert [before for before, _ in spec.padding] == [axis.front for axis in made.axes], made


def test_the_descriptors_cover_what_they_are_for():
    made = list(generate(2_000, seed=5))
    axes = [axis for one in made for axis in one.axes]
    assert len({one.text for one in made}) == 2_000
    assert [sum(len(one.axes) == dims for one in made) for dims in (1, 2, 3)] == [667, 667, 666]
    assert descriptors(20, seed=5) == [one.text for one in made[:20]] != descriptors(20, seed=6)
    for share, some in (
        ("strided", [axis.stride > 1 for axis in axes]),
        ("dilated", [axis.dilation > 0 for axis in axes]),
        ("grouped", [one.groups > 1 for one in made]),
        ("transposed", [one.transposed for one in made]),
        ("negative back padding", [axis.back < 0 for axis in axes]),
        ("padding larger than the kernel", [axis.front > axis.extent for axis in axes]),
    ):
        assert sum(some) > len(some) // 20, share
