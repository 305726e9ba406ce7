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
