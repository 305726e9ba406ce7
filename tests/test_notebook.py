"""The notebook that convgrad grew from, number by number. It prints four digits of rounded inputs: so to 2e-4."""

from __future__ import annotations

import pytest
import torch

import convgrad_cli

X = "1.8676 -0.2631 -0.2380; 1.0669 0.5283 -1.2112; 1.1241 -0.1771 1.3998"
WITHOUT_BIAS = "0.0848 -0.0717; -0.2816 0.3315"
WITH_BIAS = "-0.2303 0.2391; -0.1444 -0.0239"

WEIGHT_GRADIENT = {
    "x[0,0,0:2,0:2].sum()": 3.1998,
    "x[0,0,0:2,1:3].sum()": -1.1840,
    "x[0,0,1:3,0:2].sum()": 2.5423,
    "x[0,0,1:3,1:3].sum()": 0.5398,
}
INPUT_GRADIENT = {
    "w[:,0,0,0].sum()": 0.0848,
    "w[:,0,0,0:2].sum()": 0.0131,
    "w[:,0,0,1].sum()": -0.0717,
    "w[:,0,0:2,0].sum()": -0.1968,
    "w[:,0,0:2,0:2].sum()": 0.0630,
    "w[:,0,0:2,1].sum()": 0.2598,
    "w[:,0,1,0].sum()": -0.2816,
    "w[:,0,1,0:2].sum()": 0.0499,
    "w[:,0,1,1].sum()": 0.3315,
}


def near(value):
    return pytest.approx(value, abs=2e-4)


def found(report, tensor):
    """Slice sum by slice sum, what autograd says."""
    table = next(table for table in report.tables if table.tensor == tensor)
    return {element.expression: element.values["autograd"] for element in table.elements}


def test_the_first_half_of_the_notebook():
    report = convgrad_cli.inspect(input=X, weight=WITHOUT_BIAS)
    assert list(report.tensors["output"].values) == [near(v) for v in (0.0520, -0.5556, -0.3227, 0.6456)]
    assert report.loss_value == near(-0.1807)
    assert found(report, "grad_weight") == {e: near(v) for e, v in WEIGHT_GRADIENT.items()}
    assert found(report, "grad_input") == {e: near(v) for e, v in INPUT_GRADIENT.items()}
    assert report.exit_code == 0


def test_the_second_half_with_a_bias():
    plain = convgrad_cli.inspect(input=X, weight=WITHOUT_BIAS)
    report = convgrad_cli.inspect(input=X, weight=WITH_BIAS, bias="-0.0465")
    assert list(report.tensors["output"].values) == [near(v) for v in (-0.7061, -0.0901, -0.3239, -0.4656)]
    assert found(report, "grad_weight") == {e: near(v) for e, v in WEIGHT_GRADIENT.items()}
    assert list(found(report, "grad_input")) == list(found(plain, "grad_input"))
    assert found(report, "grad_bias") == {"g[:,0].sum()": 4.0}
    first = "(x[0,:,0:2,0:2] * w[0,:,0:2,0:2]).sum() + b[0]"
    assert found(report, "output")[first] == near(-0.7061)


def test_the_last_line_of_the_notebook():
    report = convgrad_cli.inspect("Conv2d(3, 4, (2, 2))", input_size=3)
    assert report.spec == convgrad_cli.make_spec(in_channels=3, out_channels=4, input_size=3, kernel_size=2, bias=True)
    assert report.exit_code == 0
    assert [len(table.elements) for table in report.tables] == [16, 48, 27, 4]


@pytest.mark.parametrize("weight", [WITHOUT_BIAS, WITH_BIAS])
def test_the_slices_are_those_of_the_notebook_when_python_evaluates_them(weight):
    report = convgrad_cli.inspect(input=X, weight=weight, bias="-0.0465", dtype="float64")
    names = {
        letter: report.tensors[name]
        for letter, name in zip("xwbg", ("input", "weight", "bias", "grad_output"), strict=True)
    }
    tensors = {k: torch.tensor(list(t.values), dtype=torch.float64).view(t.shape) for k, t in names.items()}
    for table in report.tables:
        for element in table.elements:
            value = float(eval(element.expression, {"__builtins__": {}}, tensors))
            assert value == pytest.approx(element.values["autograd"], abs=1e-12)
