"""The Python API: what may be passed, what comes back, and what importing costs."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from cases import CASES
from rich.console import Console
from torch import nn

import convgrad_cli
from convgrad_cli import ConvGradError, ConvSpec, make_spec

MODULES = {
    "Conv1d": (nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 2, 9)),
    "Conv2d": (nn.Conv2d(4, 6, (2, 3), padding="same", groups=2, dilation=(1, 2)), (1, 4, 6, 7)),
    "Conv2d without bias": (nn.Conv2d(1, 2, 3, bias=False, padding=2, padding_mode="circular"), (1, 1, 5, 5)),
    "Conv3d": (nn.Conv3d(1, 2, 2, padding=1, padding_mode="reflect"), (1, 1, 3, 4, 3)),
    "ConvTranspose1d": (nn.ConvTranspose1d(2, 1, 4, stride=3, output_padding=2), (1, 2, 5)),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=2), (2, 4, 3, 4)),
    "ConvTranspose3d": (nn.ConvTranspose3d(1, 1, 2, stride=2), (1, 1, 2, 2, 2)),
}


def test_importing_it_imports_next_to_nothing():
    code = "import sys, convgrad_cli; print([m for m in ('torch', 'numpy', 'rich', 'typer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_run_with_its_own_weights(name):
    module, shape = MODULES[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    report = convgrad_cli.inspect(module, input=x)
    leaf = x.clone().requires_grad_()
    module.zero_grad()
    y = module(leaf)
    y.sum().backward()
    assert report.exit_code == 0
    assert report.tensors["output"].shape == tuple(y.shape)
    assert list(report.tensors["weight"].values) == pytest.approx(module.weight.flatten().tolist())
    assert list(report.tensors["grad_weight"].values) == pytest.approx(module.weight.grad.flatten().tolist(), abs=1e-4)
    assert list(report.tensors["grad_input"].values) == pytest.approx(leaf.grad.flatten().tolist(), abs=1e-4)
    assert ("grad_bias" in report.tensors) == (module.bias is not None)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_named_layer_agrees_in_float32(case):
    report = convgrad_cli.inspect(case.spec)
    assert report.exit_code == 0
    assert report.spec == case.spec


@pytest.mark.parametrize(
    "numbers",
    [
        torch.arange(9.0).view(3, 3),
        torch.arange(9.0).view(3, 3).requires_grad_(),
        torch.arange(9.0).view(3, 3).t().contiguous().t(),
        torch.arange(9).view(3, 3).to(torch.bfloat16),
        np.arange(9).reshape(3, 3),
        np.arange(9.0, dtype=">f4").reshape(3, 3),
        [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
        "0 1 2; 3 4 5; 6 7 8",
    ],
    ids=["tensor", "leaf", "strided", "bfloat16", "array", "big-endian", "list", "text"],
)
def test_numbers_in_any_clothing(numbers):
    report = convgrad_cli.inspect(input=numbers, weight="ones", kernel_size=2)
    assert list(report.tensors["input"].values) == list(range(9))
    assert list(report.tensors["grad_weight"].values) == [8, 12, 20, 24]
    assert report.dtype == ("bfloat16" if getattr(numbers, "dtype", None) == torch.bfloat16 else "float32")


def test_a_dtype_comes_with_the_numbers_unless_it_is_given():
    x = np.ones((3, 3))
    assert convgrad_cli.inspect(input=x).dtype == "float64"
    assert convgrad_cli.inspect(input=x, dtype="float16").dtype == "float16"
    assert convgrad_cli.inspect(input=x, dtype=torch.float32).dtype == "float32"


def test_the_settings_reach_the_layer():
    report = convgrad_cli.inspect(
        in_channels=2, out_channels=4, input_size=(5, 6), kernel_size=(2, 3), stride=(1, 2), padding=((0, 1), (1, 1)),
        groups=2, bias=True, batch_size=None, seed=3, loss="mean",
    )  # fmt: skip
    assert report.spec == ConvSpec(
        2, 4, (5, 6), (2, 3), (1, 2), ((0, 1), (1, 1)), (1, 1), (0, 0), 2, True, "zeros", False, None
    )
    assert (report.seed, report.loss, report.exit_code) == (3, "y.mean()", 0)


def test_a_difference_is_found_and_counted(monkeypatch):
    from convgrad_cli.commands import inspect as command
    from convgrad_cli.gradients.gradients import Gradients

    def wrong(spec, operands, real=command.autograd):
        right = real(spec, operands)
        weight = right.weight.clone()
        weight[0, 0, 1, 0] += 1e-3
        return Gradients(right.output, right.input, weight, right.bias)

    monkeypatch.setattr(command, "autograd", wrong)
    report = convgrad_cli.inspect(input_size=3, kernel_size=2)
    assert report.exit_code == 1
    assert [(c.tensor, c.agreeing, c.elements) for c in report.comparisons][1] == ("grad_weight", 3, 4)
    shown = str(report)
    assert "DIFFER  1 of 4 elements of grad_weight; the worst, w[0,0,1,0], is off by" in shown
    assert "w[0,0,1,0] !=" in shown


def test_sixteen_bit_sums_are_recognised(monkeypatch):
    from convgrad_cli.commands import inspect as command
    from convgrad_cli.gradients.gradients import Gradients

    def short(spec, operands):
        total = torch.zeros((), dtype=operands.input.dtype)
        for value in operands.input.flatten():
            total = total + value
        return Gradients(weight=total.view(1, 1, 1, 1))

    monkeypatch.setattr(command, "autograd", short)
    report = convgrad_cli.inspect(input=[0.1] * 3000, kernel_size=1, dtype="float16")
    assert report.exit_code == 1
    assert any("partial sums kept in float16 explain" in note for note in report.notes)


def test_a_report_shows_itself():
    report = convgrad_cli.inspect(input="ramp", weight="ramp")
    file = io.StringIO()
    Console(file=file, width=100, color_system=None).print(report)
    assert "x[0,0,0:2,1:3].sum()" in file.getvalue()
    assert "x[0,0,0:2,1:3].sum()" in str(report)
    assert "\x1b" not in str(report)
    assert "\n" not in repr(report)
    assert len(repr(report)) < 200
    bundle = report._repr_mimebundle_()
    assert "| " in bundle["text/markdown"]
    assert bundle["text/plain"] == str(report)


def test_explain_one_element_runs_no_gradient_of_a_large_layer(monkeypatch):
    from convgrad_cli.commands import element

    monkeypatch.setattr(element, "run_autograd", lambda *_: pytest.fail("autograd was run"))
    monkeypatch.setattr(element.by_hand, "by_hand", lambda *_: pytest.fail("the whole gradient was computed"))
    x = torch.randn(4, 64, 56, 56, generator=torch.Generator().manual_seed(0))
    report = convgrad_cli.explain("Conv2d(64, 64, 3)", input=x, at="weight:5,7,0,1")
    told = report.tables[0].elements[0]
    assert told.values == {"by_hand": pytest.approx(float(x[:, 7, 0:54, 1:55].double().sum()), rel=1e-12)}
    assert told.expression == "x[:,7,0:54,1:55].sum()"
    assert "Add --autograd" in str(report)


@pytest.mark.parametrize(
    "at", ["weight:0,0,0,1", "w[0,0,0,1]", "input:0,0,1,1", "x:0,0,1,1", "bias:0", "output:0,0,1,0"]
)
def test_explain_one_element_of_a_small_layer_compares_with_autograd(at):
    report = convgrad_cli.explain(input_size=4, kernel_size=2, bias=True, at=at)
    assert report.comparisons[0].agreeing == report.comparisons[0].elements == 1
    assert set(report.tables[0].elements[0].values) == {"autograd", "by_hand"}


def test_nan_and_infinity_are_legal_and_said():
    report = convgrad_cli.inspect(input="nan 1 2; 3 inf 5; 6 7 8", weight="ramp", padding=1)
    assert "x has 2 entries that are not finite, the first at x[0,0,0,0]" in report.notes
    assert report.to_dict()["input"]["values"][0][0][0][0] == "NaN"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 3}, TypeError, "unexpected keyword 'size'"),
        ({"layer": 3}, TypeError, "a layer is a ConvSpec, an nn.Conv module or its text, not int"),
        ({"layer": nn.Linear(2, 2)}, TypeError, "not Linear"),
        ({"layer": make_spec(), "stride": 2}, ConvGradError, "the layer already says stride"),
        ({"input": torch.ones(3, 3, dtype=torch.complex64)}, ConvGradError, "complex gradients are not supported"),
        ({"input": [[1, 2], [3]]}, ConvGradError, "input cannot be read as a tensor of numbers"),
        ({"loss": "max"}, ConvGradError, "--loss 'max' is not one of sum, mean"),
        ({"device": "cuda:7"}, ConvGradError, "not on this machine"),
        ({"at": "weight:9,9,9,9"}, ConvGradError, "outside weight of shape 1x1x2x2"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_reason(arguments, error, message):
    command = convgrad_cli.explain if "at" in arguments else convgrad_cli.inspect
    with pytest.raises(error, match=message):
        command(**arguments)
