"""What only a GPU can show. Without one these tests are skipped, and say so."""

from __future__ import annotations

import pytest
import torch

import convgrad_cli

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="GPU tests need a CUDA device, and there is none"),
]

LAYERS = {
    "the notebook's": {"input_size": 3, "kernel_size": 2, "bias": True},
    "strided and padded": {
        "in_channels": 16,
        "out_channels": 32,
        "input_size": 17,
        "kernel_size": 3,
        "stride": 2,
        "padding": 1,
    },
    "grouped": {"groups": 4, "in_channels": 8, "out_channels": 16, "input_size": 9, "kernel_size": 3, "batch_size": 2},
    "dilated": {"in_channels": 4, "out_channels": 4, "input_size": 12, "kernel_size": 3, "dilation": 2, "padding": 2},
    "transposed": {
        "in_channels": 4,
        "out_channels": 6,
        "input_size": 7,
        "kernel_size": 3,
        "stride": 2,
        "transposed": True,
    },
    "1-D": {"in_channels": 4, "input_size": 30, "kernel_size": 5, "dims": 1},
    "3-D": {"in_channels": 2, "out_channels": 3, "input_size": 6, "kernel_size": 3, "dims": 3},
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_cuda_agrees_with_the_slices(name, dtype):
    report = convgrad_cli.inspect(device="cuda", dtype=dtype, **LAYERS[name])
    assert report.device.startswith("cuda")
    assert report.exit_code == 0, [c for c in report.comparisons if c.agreeing < c.elements]


def test_float32_is_float32_and_tf32_is_as_it_was_before():
    before = torch.backends.cudnn.allow_tf32
    layer = {"in_channels": 256, "out_channels": 64, "input_size": 16, "kernel_size": 3}
    report = convgrad_cli.inspect(device="cuda", **layer)
    assert report.exit_code == 0
    assert any("TF32 was off" in note for note in report.notes)
    assert torch.backends.cudnn.allow_tf32 == before


def test_expressions_are_exact_on_cuda():
    spec = convgrad_cli.make_spec(in_channels=2, out_channels=3, input_size=7, kernel_size=3, stride=2, padding=1)
    report = convgrad_cli.inspect(spec, device="cuda", dtype="float64", input="integers", weight="integers")
    assert all(c.ratio == 0 for c in report.comparisons)


@pytest.mark.parametrize("terms", [2304, 36_864])
@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_told_apart_however_long_the_sums(terms, tf32):
    """n = 2,304: 256 channels of 3x3 in the output; n = 36,864: the weight's gradient over 36 samples of 32x32."""
    layer = {"in_channels": 256, "out_channels": 64, "input_size": 16, "kernel_size": 3, "padding": 1}
    if terms > 2304:
        layer = {
            "in_channels": 64,
            "out_channels": 64,
            "input_size": 32,
            "kernel_size": 3,
            "padding": 1,
            "batch_size": 36,
        }
    report = convgrad_cli.check(device="cuda", tf32=tf32, conditions="none", **layer)
    verdicts = {verdict.tensor: verdict for verdict in report.check.verdicts}
    judged = verdicts["output" if terms == 2304 else "grad_weight"]
    if tf32 and torch.cuda.get_device_capability() >= (8, 0):
        assert judged.verdict == "FAIL"
        assert "TF32" in judged.reason
        assert convgrad_cli.check(device="cuda", tf32=True, arithmetic="tf32", **layer).check.verdict == "PASS"
    else:
        assert judged.verdict == "PASS"


@pytest.mark.parametrize("deterministic", [False, True])
def test_cudnn_passes_under_every_condition(deterministic):
    report = convgrad_cli.check(
        device="cuda", tf32=False, deterministic=deterministic, conditions="all", **LAYERS["strided and padded"]
    )
    assert report.check.verdict == "PASS", str(report)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_gradients_are_summed_in_float32(dtype):
    report = convgrad_cli.check(device="cuda", dtype=dtype, conditions="none", **LAYERS["grouped"])
    assert report.check.verdict == "PASS", str(report)


def test_code_of_the_user_gets_tensors_on_the_device():
    def backward(x, w, b, g, *, stride, padding):
        assert x.is_cuda
        x, w = x.requires_grad_(), w.requires_grad_()
        with torch.backends.cudnn.flags(allow_tf32=False):
            torch.nn.functional.conv2d(x, w, None, stride, padding).backward(g)
        return x.grad, w.grad

    assert convgrad_cli.check(backward, framework="torch", device="cuda", input_size=9).check.verdict == "PASS"
