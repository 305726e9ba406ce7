"""MIOpenDriver's command lines: every option that makes the layer, those that do not, the refusals, and round trips."""

import pytest
from cases import PATIENT, specs
from hypothesis import given

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.layer_text import DIRECTIONS, settled
from convgrad_cli.geometry.miopen import parse, write
from convgrad_cli.geometry.spec import make_spec

LINE = "conv -n 32 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1 -u 1 -v 1 -l 1 -j 1 -g 1"
DEEP = (
    "convfp16 -n 1 -c 4 --in_d 6 -H 7 -W 8 -k 2 --fil_d 1 -y 2 -x 3 --pad_d 0 -p 1 -q 2 --conv_stride_d 1 -u 2 -v 3 "
    "--dilation_d 1 -l 1 -j 2 --spatial_dim 3 -m conv -g 2 -F 1 -t 1"
)
OPTIONS = [
    (LINE, make_spec(in_channels=64, out_channels=64, batch_size=32, input_size=56, kernel_size=3, padding=1)),
    ("conv", make_spec(in_channels=3, out_channels=32, batch_size=100, input_size=32, kernel_size=3)),
    (
        DEEP,
        make_spec(
            in_channels=4, out_channels=2, input_size=(6, 7, 8), kernel_size=(1, 2, 3), padding=(0, 1, 2),
            stride=(1, 2, 3), dilation=(1, 1, 2), groups=2,
        ),
    ),
    (
        "conv --batchsize 2 --in_channels 4 --in_h 5 --in_w 6 --out_channels 8 --fil_h 1 --fil_w 2 --pad_h 3 --pad_w 4 "
        "--conv_stride_h 5 --conv_stride_w 6 --dilation_h 7 --dilation_w 8 --group_count 4 --bias 1 --mode conv",
        make_spec(
            batch_size=2, in_channels=4, input_size=(5, 6), out_channels=8, kernel_size=(1, 2), padding=(3, 4),
            stride=(5, 6), dilation=(7, 8), groups=4, bias=True,
        ),
    ),
    (
        "conv -n 1 -c 4 -H 5 -W 5 -k 6 -m trans -g 2 --conv_stride_0 2 --conv_stride_1=2 -Y 1 -X 1",
        make_spec(
            in_channels=4, out_channels=6, input_size=5, kernel_size=3, stride=2, groups=2, transposed=True,
            output_padding=1,
        ),
    ),
    ("conv -n 1 -c 1 -k 1 -H 5 -W 6 -z same -p 9", make_spec(input_size=(5, 6), kernel_size=3, padding=1)),
    (
        "conv -n 1 -c 1 -k 1 -H 6 -W 5 -z same -u 2 -v 2",
        make_spec(input_size=(6, 5), kernel_size=3, stride=2, padding=(0, 1)),
    ),
    ("conv -n 1 -c 1 -k 1 -H 5 -W 6 -z valid -p 9", make_spec(input_size=(5, 6), kernel_size=3)),
    (
        "conv -n 1 -c 1 -k 1 -H 9 -W 9 -z valid -p 1 -l 2 -j 2",
        make_spec(input_size=9, kernel_size=3, padding=(1, 0), dilation=2),
    ),
    ("conv -n 1 -c 1 -k 1 -H 5 -W 5 -Y 1 -g 0", make_spec(input_size=5, kernel_size=3)),
    (
        "conv -n 7 -n 1 -c 1 -k 1 -H 5 -W 5 --iter 1 -V 0 -t 1 -w 2 -s 1 --in_layout NHWC -r 0",
        make_spec(input_size=5, kernel_size=3),
    ),
    (
        "conv -n 1 -c 1 -k 1 -! 6 -H 7 -W 8 -@ 1 -y 2 -x 3 -# 3 -u 2 -$ 1 -^ 2 -_ 3",
        make_spec(
            input_size=(6, 7, 8), kernel_size=(1, 2, 3), stride=(3, 2, 1), padding=(1, 0, 0), dilation=(2, 1, 1)
        ),
    ),
    ("A=1 ./bin/MIOpenDriver conv -n 1 -c 1 -k 1 -H 5 -W 5 2>&1 | tee log", make_spec(input_size=5, kernel_size=3)),
    (
        "MIOpen(HIP): Command [Log] ./bin/MIOpenDriver conv -n 1 -c 1 -k 1 -H 5 -W 5",
        make_spec(input_size=5, kernel_size=3),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "spec"), OPTIONS, ids=[text[:60] for text, _ in OPTIONS])
def test_an_option_reaches_the_layer(text, spec):
    assert parse(text).spec == spec


def test_the_name_of_the_driver_is_the_type():
    assert [parse(f"{name} -H 5").dtype for name in ("conv", "convfp16", "convbfp16")] == [None, "float16", "bfloat16"]


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ("-b 1", DIRECTIONS),
        ("", ("output", "grad_input", "grad_weight")),
        ("-F 0", ("output", "grad_input", "grad_weight")),
        ("-F 1", ("output",)),
        ("-F 2 -b 1", ("grad_input",)),
        ("--forw 4 -b 1", ("grad_weight", "grad_bias")),
        ("-F 6", ("grad_input", "grad_weight")),
    ],
)
def test_forw_asks_for_gradients(options, asked):
    assert parse(f"conv {options}").directions == asked


REFUSALS = [
    ("pool -n 1", "'pool -n 1' is no convolution of MIOpenDriver; write it as conv -n 32 -c 64 -H 56 -W 56 -k 64"),
    ("convint8 -n 1", "MIOpenDriver convint8 is not one of conv, convfp16, convbfp16"),
    ("conv -Q 1", "MIOpenDriver has no option '-Q'; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3"),
    ("conv -n32", "MIOpenDriver has no option '-n32'; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3"),
    ("conv --depth 1", "MIOpenDriver has no option '--depth'; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3"),
    ("conv -n 32 64", "MIOpenDriver has no option '64'; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3"),
    ("conv -n", "MIOpenDriver -n is given no value"),
    ("conv -n x", "MIOpenDriver --batchsize takes a whole number from 0 to 999999999, not 'x'"),
    ("conv -p -1", "MIOpenDriver --pad_h takes a whole number from 0 to 999999999, not '-1'"),
    ("conv --spatial_dim 1", "MIOpenDriver knows --spatial_dim 2 and 3, not 1"),
    ("conv -m full", "MIOpenDriver -m full is neither conv nor trans"),
    ("conv -z full", "MIOpenDriver -z full is not one of default, same, valid"),
    ("conv -U fp8", "MIOpenDriver --in_cast_type fp8 is not supported, only -1"),
    ("conv -r 1", "MIOpenDriver --pad_val 1 is not supported, only 0"),
    ("conv -Z 1", "MIOpenDriver --tensor_vect 1 is not supported, only 0"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_a_refusal(text, message):
    with pytest.raises(SpecError) as refusal:
        parse(text)
    assert str(refusal.value) == message


def test_a_layer_is_written_as_people_write_it():
    assert write(parse(LINE).spec) == write(parse(LINE).spec, "float32") == LINE
    assert write(parse(DEEP).spec, "float16") == (
        "convfp16 -n 1 -c 4 --in_d 6 -H 7 -W 8 -k 2 --fil_d 1 -y 2 -x 3 --pad_d 0 -p 1 -q 2 --conv_stride_d 1 -u 2 "
        "-v 3 --dilation_d 1 -l 1 -j 2 --spatial_dim 3 -g 2"
    )


@pytest.mark.parametrize(
    ("layer", "dtype", "message"),
    [
        ({"padding_mode": "circular"}, None, "MIOpenDriver knows only --padding-mode zeros, not circular"),
        ({"batch_size": None}, None, "MIOpenDriver has no unbatched input; use --batch 1"),
        ({"dims": 1}, None, "MIOpenDriver knows 2-D and 3-D layers; write this one as 2-D, with a height of 1"),
        ({}, "float64", "MIOpenDriver computes in float32, float16 and bfloat16, not float64"),
        (
            {"padding": ((0, 1), (0, 0))},
            None,
            "MIOpenDriver pads both ends alike, with 0 or more, and this layer needs 0:1; --as benchdnn can say more",
        ),
        (
            {"padding": -1},
            None,
            "MIOpenDriver pads both ends alike, with 0 or more, and this layer needs -1:-1; --as benchdnn can say more",
        ),
    ],
)
def test_what_it_cannot_say_is_refused(layer, dtype, message):
    with pytest.raises(SpecError) as refusal:
        write(make_spec(input_size=6, **layer), dtype)
    assert str(refusal.value) == message


@PATIENT
@given(specs())
def test_what_is_written_is_read_back(spec):
    plain = settled(spec)
    sayable = (
        spec.padding_mode == "zeros"
        and spec.batch_size is not None
        and spec.dims > 1
        and all(before == after >= 0 for before, after in plain.padding)
    )
    try:
        text = write(spec, "bfloat16")
    except SpecError:
        assert not sayable
        return
    found = parse(text)
    assert sayable
    assert (found.spec, found.dtype) == (plain, "bfloat16")
    assert write(found.spec, found.dtype) == text
