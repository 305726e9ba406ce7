"""Lines of oneDNN's log: the forms of several years, the refusals, and what torch's own oneDNN logs for its layers."""

import os
import subprocess
import sys

import pytest
import torch

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.onednn_verbose import parse, runs_convolution
from convgrad_cli.geometry.spec import make_spec

SHAPE = "mb2_ic3oc4_ih8oh4kh3sh2dh0ph1_iw9ow5kw3sw2dw0pw1"
SPEC = make_spec(
    batch_size=2, in_channels=3, out_channels=4, input_size=(8, 9), kernel_size=3, stride=2, padding=1, bias=True
)
FORMS = [
    "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,forward_training,src:f32:a:blocked:abcd::f0 "
    "wei:f32:a:blocked:abcd::f0 bia:f32:a:blocked:a::f0 dst:f32:a:blocked:abcd::f0,attr-scratchpad:user,"
    f"alg:convolution_direct,{SHAPE},0.5",
    "onednn_verbose,v0,1693533460272.5,primitive,exec,cpu,convolution,jit:avx2,forward_training,"
    "src_f32::blocked:abcd::f0 wei_f32::blocked:ab::f0 bia_f32::blocked:a::f0 dst_f32::blocked:ab::f0,,"
    f"alg:convolution_direct,{SHAPE},0.5",
    "dnnl_verbose,exec,cpu,convolution,jit:avx2,forward_inference,src_f32::blocked:abcd:f0 wei_f32::blocked:Acdb8a:f0 "
    f"bia_f32::blocked:a:f0 dst_f32::blocked:aBcd8b:f0,,alg:convolution_direct,{SHAPE},1.2",
]
OLDEST = (
    "mkldnn_verbose,exec,convolution,jit:avx2,backward_weights,fsrc:nChw8c fwei:OIhw8i8o fbia:x fdst:nChw8c,"
    f"alg:convolution_direct,{SHAPE},0.3"
)


@pytest.mark.parametrize("line", FORMS)
def test_a_line_says_layer_type_and_direction(line):
    said = parse(line)
    assert (said.spec, said.dtype, said.directions) == (SPEC, "float32", ("output",))
    assert runs_convolution(line)


def test_a_line_of_mkldnn_says_no_type():
    said = parse(OLDEST)
    assert (said.spec, said.dtype, said.directions) == (SPEC, None, ("grad_weight", "grad_bias"))


def test_an_undefined_bias_is_none():
    said = parse(FORMS[0].replace("bia:f32:a:blocked:a::f0", "bia:undef::undef:::").replace("f32", "bf16"))
    assert (said.spec.bias, said.dtype) == (False, "bfloat16")


def test_only_what_ran_ran():
    assert not runs_convolution(FORMS[0].replace(",exec,", ",create:cache_miss,"))
    assert not runs_convolution("onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src:f32 dst:f32,,,2x16,0.4")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "onednn_verbose,info,cpu,runtime:OpenMP",
            "'onednn_verbose,info,cpu,runtime:OpenMP' logs no convolution; a line that does holds convolution or "
            "deconvolution, forward_training or another propagation, and a descriptor such as mb2_ic16oc32_ih8oh8kh3",
        ),
        (
            f"dnnl_verbose,exec,cpu,convolution,ref,forward_training,src_u8: wei_s8: dst_f32:,,{SHAPE},1",
            "'dnnl_verbose,exec,cpu,convolution,ref,forward_training,src_u8: wei_s8: dst_f32:,... (131 characters)' "
            "ran on u8; only f64, f32, f16, bf16 have gradients here",
        ),
    ],
)
def test_a_refusal(line, message):
    with pytest.raises(SpecError) as refusal:
        parse(line)
    assert str(refusal.value) == message


SCRIPT = """
import torch
for module, size in (
    (torch.nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (8, 9)),
    (torch.nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (8, 9)),
    (torch.nn.Conv3d(2, 3, (1, 2, 3), dilation=(1, 2, 1)), (4, 5, 6)),
):
    module(torch.ones(2, module.in_channels, *size, requires_grad=True)).sum().backward()
"""
LAYERS = [
    make_spec(
        batch_size=2, in_channels=4, out_channels=6, input_size=(8, 9), kernel_size=3, stride=2, padding=1, groups=2
    ),
    make_spec(
        batch_size=2, in_channels=4, out_channels=6, input_size=(8, 9), kernel_size=3, stride=2, padding=1, groups=2,
        output_padding=1, transposed=True,
    ),
    make_spec(
        batch_size=2, in_channels=2, out_channels=3, input_size=(4, 5, 6), kernel_size=(1, 2, 3), dilation=(1, 2, 1)
    ),
]  # fmt: skip


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN to log")
def test_what_torch_logs_is_the_layer_that_ran():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "ONEDNN_VERBOSE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = [parse(line) for line in done.stdout.splitlines() if runs_convolution(line)]
    assert {(one.spec.layer_text().replace(", bias=False", ""), one.spec.input_shape) for one in said} == {
        (spec.layer_text().replace(", bias=False", ""), spec.input_shape) for spec in LAYERS
    }
    assert {one.directions for one in said} == {("output",), ("grad_input",), ("grad_weight", "grad_bias")}
    assert {one.dtype for one in said} == {"float32"}
