"""The same from Python: inspect() and explain() with modules, tensors, arrays, lists and plain numbers."""

from __future__ import annotations

import doctest
import io
import json
import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import torch
from rich.console import Console
from shell import call, environment
from torch import nn

import convgrad_cli
from convgrad_cli import ConvGradError, explain, formula, inspect, make_spec


def tensor(report: convgrad_cli.Report, name: str) -> torch.Tensor:
    data = report.tensors[name]
    return torch.tensor(list(data.values), dtype=getattr(torch, data.dtype)).reshape(data.shape)


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, convgrad_cli; print(*{'torch', 'numpy', 'rich', 'typer', 'safetensors'} & {*sys.modules}, 'end')"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "end\n"
    assert set(dir(convgrad_cli)) == set(convgrad_cli.__all__)
    assert all(getattr(convgrad_cli, name) for name in convgrad_cli.__all__)
    with pytest.raises(AttributeError, match="module 'convgrad_cli' has no attribute 'nothing'"):
        convgrad_cli.nothing  # noqa: B018


MODULES = [
    (lambda: nn.Conv1d(2, 3, 3, stride=2), 7),
    (lambda: nn.Conv2d(2, 4, 3, padding="same", dilation=2, groups=2), 6),
    (lambda: nn.Conv2d(1, 1, 3, padding="valid", bias=False), 5),
    (lambda: nn.Conv2d(1, 2, (1, 3), padding=(0, 1), padding_mode="reflect"), 5),
    (lambda: nn.Conv2d(1, 1, 3, padding="same", padding_mode="circular"), 5),
    (lambda: nn.Conv3d(1, 2, 2, padding=1, padding_mode="replicate"), 3),
    (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1), 4),
    (lambda: nn.ConvTranspose2d(4, 2, 3, groups=2, padding=1, bias=False), 4),
    (lambda: nn.ConvTranspose3d(1, 1, 2, dilation=2), 2),
    (lambda: nn.Conv2d(2, 2, 3).double(), 5),
]


@pytest.mark.parametrize(("make", "size"), MODULES)
def test_a_module_is_run_with_its_own_weights(make, size):
    torch.manual_seed(0)
    module = make()
    report = inspect(module, input_size=size)
    assert report.exit_code == 0
    x = tensor(report, "input").requires_grad_()
    assert x.dtype == module.weight.dtype
    module.zero_grad()
    output = module(x)
    output.sum().backward()
    expected = {"weight": module.weight, "output": output, "grad_input": x.grad, "grad_weight": module.weight.grad}
    if module.bias is not None:
        expected |= {"bias": module.bias, "grad_bias": module.bias.grad}
    for name, value in expected.items():
        assert torch.equal(tensor(report, name), value.detach()), name
    assert ("bias" in report.tensors) is (module.bias is not None)
    assert report.spec.layer_text().split("(")[0] == type(module).__name__


def test_a_spec_and_a_text_are_layers_too():
    spec = make_spec(input_size=4, kernel_size=3, groups=2)
    assert inspect(spec).spec == spec
    assert inspect("Conv2d(3, 4, (2, 2))", input_size=3).spec == make_spec(
        in_channels=3, out_channels=4, input_size=3, bias=True
    )
    assert inspect(spec, input_size=7).spec.input_size == (7, 7)
    assert inspect().spec == make_spec()
    assert inspect(kernel_size=(1, 2), stride=(2, 1), padding=((0, 1), (1, 0))).spec.padding == ((0, 1), (1, 0))


NUMBERS = [
    [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    np.arange(1, 10).reshape(3, 3),
    np.arange(1.0, 10.0).reshape(3, 3).T.copy().T,
    np.arange(1, 10, dtype=">f4").reshape(3, 3).astype("f4"),
    torch.arange(1, 10).reshape(3, 3),
    torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).requires_grad_(),
    torch.arange(1.0, 10.0).reshape(3, 3).t().contiguous().t(),
    torch.arange(1.0, 10.0).reshape(3, 3).to_sparse(),
    nn.Parameter(torch.arange(1.0, 10.0).reshape(3, 3)),
    "ramp",
    "1 2 3; 4 5 6; 7 8 9",
]


@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda value: type(value).__name__)
def test_numbers_of_any_kind(numbers):
    report = inspect(input=numbers, weight="ones", kernel_size=2)
    assert tensor(report, "input").flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert tensor(report, "grad_weight").flatten().tolist() == [12, 16, 24, 28]
    assert report.exit_code == 0


def test_plain_numbers_booleans_and_a_bias():
    assert tensor(inspect(input=3.0, weight=2), "output").tolist() == [[[6.0]]]
    assert tensor(inspect(input=[True, False], weight=[1]), "input").tolist() == [[[1.0, 0.0]]]
    assert tensor(inspect(bias=2.5), "bias").tolist() == [2.5]
    assert inspect(bias=True).spec.bias
    assert not inspect(bias=False).spec.bias
    assert tensor(inspect(grad_output=[[1, 2], [3, 4]], input="ones"), "grad_weight").tolist() == [[[[10.0] * 2] * 2]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_dtype_of_what_is_given_is_kept_and_agrees(dtype):
    # Whole numbers that every type holds, so that not even 16 bits may differ.
    x = torch.randint(-4, 5, (1, 2, 6, 6), generator=torch.Generator().manual_seed(0)).to(dtype)
    report = inspect(input=x, weight=torch.ones(3, 2, 3, 3, dtype=dtype), bias=True, padding=1)
    assert report.dtype == str(dtype).removeprefix("torch.")
    assert report.exit_code == 0
    assert torch.equal(tensor(report, "input"), x)
    assert inspect(dtype=dtype).dtype == report.dtype
    assert inspect(input=x, dtype="float64").dtype == "float64"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bits_agree_or_say_what_differs(dtype):
    report = inspect(input_size=12, kernel_size=3, in_channels=8, out_channels=8, dtype=dtype)
    told = str(report)
    if report.exit_code == 0:
        assert "\nagree  " in told
    else:
        assert "\nDIFFER  " in told
        assert any(f"partial sums kept in {dtype}" in note for note in report.notes)


def test_what_is_not_finite_is_legal_and_said():
    report = inspect(input=[1.0, float("nan"), float("inf"), 2.0], weight=[1.0, -1.0])
    assert report.exit_code == 0
    assert "x is not finite at 2 of its entries, first at x[0,0,1]" in report.notes
    values = report.to_dict()["output"]["values"]
    assert values == [[["NaN", "NaN", "Infinity"]]]
    assert report.to_dict()["grad_input"]["values"] == [[[1.0, 0.0, 0.0, -1.0]]]
    [element] = explain(input=[1.0, float("nan")], weight=[1.0], at="weight:0,0,0").tables[0].elements
    assert element.agrees


def test_an_output_that_overflows_agrees_but_not_bit_for_bit():
    report = inspect(input=[6e4, 2.0, 6e4], weight=[6e4], dtype="float16")
    assert report.exit_code == 0  # a correct product overflows too
    said = "3 of 3 elements of y are inf: y[0,0,0] sums finite terms to 3.6e+09, which float32 can hold; the cast of"
    assert said in str(report)
    agree = "4 of 4 gradient elements; all finite ones bit for bit"
    assert f"agree  {agree}" in str(report)
    assert f"agree: {agree}" in report._repr_mimebundle_()["text/markdown"]
    told = explain(input=[6e4], weight=[6e4], dtype="float16", at="output:0,0,0")
    assert "y[0,0,0] is inf: it sums finite terms to 3.6e+09" in str(told)
    assert "all finite ones bit for bit" in str(told)
    assert "One term makes this output" in str(told)
    assert "all bit for bit" in str(inspect(input=[6e4], weight=[1.0], dtype="float16"))


def test_at_may_be_a_tuple():
    assert explain(at=("weight", (0, 0, 0, 1))).to_dict() == explain(at="weight:0,0,0,1").to_dict()
    assert explain(at=("w", torch.tensor([0, 0, 0, 1]))).to_dict() == explain(at="weight:0,0,0,1").to_dict()
    assert explain(at=["grad_bias", [0]], bias=True).to_dict() == explain(at="bias:0", bias=True).to_dict()


def test_formula_knows_the_names_of_a_report():
    report = inspect(bias=True)
    for table in report.tables:
        for element in table.elements:
            assert formula(report.spec, element.tensor, element.index, ones=True) == element.formula
    assert str(formula(report.spec, "w", np.array([0, 0, 0, 1]))) == "(x[0,0,0:2,1:3] * g[0,0,0:2,0:2]).sum()"


def test_whole_numbers_of_any_kind_are_sizes():
    sizes = (np.int64(3), torch.tensor(3), np.array([3, 3]), torch.Size([3, 3]))
    assert {inspect(input_size=4, kernel_size=size).spec for size in sizes} == {make_spec(input_size=4, kernel_size=3)}
    spec = make_spec(groups=np.int32(2), batch_size=np.int64(2), padding=np.array([1, 0]), bias=np.True_)
    assert json.dumps(spec.to_dict())
    assert spec == make_spec(groups=2, batch_size=2, padding=((1, 1), (0, 0)), bias=True)


def test_a_report_shows_itself():
    report = inspect(bias=True)
    assert report.to_dict() == call("inspect", "--bias", "-f", "json").json()
    assert f"{report}\n" == call("inspect", "--bias", "--ascii").out
    assert repr(report) == (
        "<convgrad inspect of Conv2d(1, 1, kernel_size=(2, 2)): "
        "output 4/4, grad_weight 4/4, grad_input 9/9, grad_bias 1/1>"
    )
    bundle = report._repr_mimebundle_()
    assert bundle.pop("text/html").startswith("<div><iframe ")  # tests/render/test_notebook.py
    assert bundle == {
        "text/plain": str(report),
        "text/markdown": call("inspect", "--bias", "-f", "markdown").out,
    }
    page = Console(file=io.StringIO(), width=60, _environ={})
    page.print(report)
    lines = page.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    assert sum(line.startswith("w[0,0,") for line in lines) == 4
    told = explain(at="weight:0,0,0,1")
    assert f"{told}\n" == call("explain", "--at", "weight:0,0,0,1").out
    assert repr(told) == "<convgrad explain of Conv2d(1, 1, kernel_size=(2, 2), bias=False): grad_weight 1/1>"


WRONG = [
    (lambda: inspect(kernel=3), TypeError, "unexpected keyword 'kernel'; did you mean kernel_size?"),
    (lambda: inspect(strides=2), TypeError, "unexpected keyword 'strides'; did you mean stride?"),
    (lambda: inspect(lr=3), TypeError, "unexpected keyword 'lr'; known are in_channels, out_channels, "),
    (lambda: inspect(nn.Linear(2, 2)), TypeError, "a layer is a ConvSpec, an nn.Conv module or its text, not Linear"),
    (lambda: inspect(seed=1.5), ConvGradError, "seed must be a whole number, not 1.5"),
    (lambda: inspect(seed="a"), ConvGradError, "seed must be a whole number, not 'a'"),
    (lambda: inspect(seed=-1), ConvGradError, "--seed must be from 0 to 2^63 - 1, not -1"),
    (lambda: inspect(kernel_size=2.5), ConvGradError, "--kernel takes whole numbers, one or one an axis, not 2.5"),
    (lambda: inspect(kernel_size="2"), ConvGradError, "--kernel takes whole numbers, one or one an axis, not '2'"),
    (lambda: inspect(kernel_size=[]), ConvGradError, "--kernel takes whole numbers, one or one an axis, not []"),
    (lambda: inspect(kernel_size=(2, None)), ConvGradError, "--kernel takes whole numbers, one or one an axis, not "),
    (lambda: inspect(kernel_size=None), ConvGradError, "--kernel takes whole numbers, one or one an axis, not None"),
    (lambda: inspect(input_size={3}), ConvGradError, "--size takes whole numbers, one or one an axis, not {3}"),
    (lambda: inspect(input_size=10**30), ConvGradError, "--size "),
    (lambda: inspect(input_size=np.ones((2, 2))), ConvGradError, "--size takes whole numbers"),
    (lambda: inspect(stride="\x1b[31m"), ConvGradError, "--stride takes whole numbers, one or one an axis, not '"),
    (lambda: inspect(padding=1.5), ConvGradError, "--padding takes whole numbers, pairs of them or a word, not 1.5"),
    (lambda: inspect(padding=None), ConvGradError, "--padding takes whole numbers, pairs of them or a word, not None"),
    (lambda: inspect(padding=((1, "2"), (0, 0))), ConvGradError, "--padding takes whole numbers, pairs of them or a "),
    (lambda: inspect(padding=((1, 2, 3), (0, 0))), ConvGradError, "padding (1, 2, 3) must be a number, or a pair"),
    (lambda: inspect(padding="some"), ConvGradError, "padding 'some' is neither numbers nor one of same, "),
    (lambda: inspect(groups="2"), ConvGradError, "--groups takes a whole number, not '2'"),
    (lambda: inspect(in_channels=1.0), ConvGradError, "--in-channels takes a whole number, not 1.0"),
    (lambda: inspect(batch_size="none"), ConvGradError, "--batch takes a whole number, not 'none'"),
    (lambda: inspect(dims="2"), ConvGradError, "--dims takes a whole number, not '2'"),
    (lambda: inspect(padding_mode=3), ConvGradError, "padding mode 3 is not one of zeros, "),
    (lambda: inspect(padding_mode=["zeros"]), ConvGradError, "padding mode ['zeros'] is not one of zeros, "),
    (lambda: inspect(input_size=3, input=[[1, 2], [3, 4]]), ConvGradError, "--x makes input_size 2x2, but --size "),
    (lambda: inspect(input_size=3.5, input=[[1, 2], [3, 4]]), ConvGradError, "--size takes whole numbers, one or "),
    (lambda: inspect(groups="2", weight=[[1, 2], [3, 4]]), ConvGradError, "--groups takes a whole number, not '2'"),
    (lambda: convgrad_cli.ConvSpec(*[1] * 10, "zeros", False, 1), ConvGradError, "input_size must be a tuple of "),
    (lambda: explain(at=5), ConvGradError, "at is an element such as 'weight:0,0,0,1' or ('weight', (0, 0, 0, 1)), "),
    (lambda: explain(at=("weight", 0)), ConvGradError, "an index is a whole number for each axis of weight, not 0"),
    (lambda: explain(at=("wait", (0,))), ConvGradError, "'wait' has no formula; "),
    (lambda: explain(at=("weight", (0, 0, 0, 0.5))), ConvGradError, "an index is a whole number for each axis of "),
    (lambda: formula(make_spec(), "wait", (0,)), ConvGradError, "'wait' has no formula; input, weight, bias and "),
    (lambda: formula(make_spec(), "grad_output", (0,)), ConvGradError, "'grad_output' has no formula; input, "),
    (lambda: formula(make_spec(), 3, (0,)), ConvGradError, "3 has no formula; input, weight, bias and output have"),
    (lambda: formula(make_spec(), "weight", 3), ConvGradError, "an index is a whole number for each axis of weight, "),
    (lambda: formula(make_spec(), "weight", (0, 0, 0, 9)), ConvGradError, "weight:0,0,0,9 is outside weight of shape "),
    (lambda: formula("Conv2d(1, 1, 2)", "weight", (0,)), TypeError, "a formula is that of a ConvSpec, as make_spec "),
    (lambda: inspect(kernel_size=0), ConvGradError, "--kernel must be 1 or more, not 0"),
    (lambda: inspect(kernel_size=5, input_size=3), ValueError, "kernel 5x5 does not fit input 3x3 "),
    (
        lambda: inspect(nn.Conv2d(1, 1, 2), kernel_size=3),
        ConvGradError,
        "the layer already says kernel_size; drop one of them",
    ),
    (lambda: inspect(input=[1, 2j]), ConvGradError, "input is complex; complex gradients are not supported"),
    (lambda: inspect(input=[[1, 2], [3]]), ValueError, "input cannot be read as a tensor of numbers: "),
    (lambda: inspect(input=object()), ConvGradError, "input cannot be read as a tensor of numbers: "),
    (lambda: inspect(nn.LazyConv2d(1, 2), input_size=3), ConvGradError, "weight cannot be read as a tensor of numbers"),
    (lambda: inspect(input=torch.ones(1, 1, 3, 3), batch_size=2), ConvGradError, "--x makes batch_size 1, but "),
    (lambda: inspect(dtype="int8"), ConvGradError, "--dtype 'int8': use one of float64, "),
    (lambda: inspect(loss="max"), ConvGradError, "--loss 'max' is not one of sum, mean; "),
    (lambda: explain(at="nothing"), ConvGradError, "--at 'nothing' names no element; "),
    (lambda: explain(at="bias:0"), ConvGradError, "--at names an element of the bias, and the layer has none"),
]


@pytest.mark.parametrize(("wrong", "kind", "message"), WRONG, ids=[message[:40] for *_, message in WRONG])
def test_what_is_wrong_is_told(wrong, kind, message):
    with pytest.raises(kind) as told:
        wrong()
    assert str(told.value).startswith(message)


@pytest.mark.parametrize("name", ["commands.inspect", "commands.explain", "safe"])
def test_the_docstrings_are_true(name):
    assert doctest.testmod(import_module(f"convgrad_cli.{name}")) == (0, 1)


@pytest.mark.parametrize("format", ["markdown", "latex"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_documents_show_the_stored_digits_as_the_terminal_does(dtype, format):
    arguments = "inspect", "--dtype", dtype, "--g", "randn", "--only", "grad_weight", "--only", "input"
    shown = set(re.findall(r"-?\d\.\d{4}", call(*arguments).out))
    loss = re.search(r"loss = \S+ = (-?\d\.\d+)", call("inspect", "--dtype", dtype, "-f", "markdown").out)
    # Documents have the loss even beside what was asked for only.
    written = set(re.findall(r"-?\d\.\d{4}", call(*arguments, "-f", format).out.partition("loss = ")[2][30:]))
    assert len(written) >= 20
    assert written <= shown
    kept = torch.tensor(float(loss[1]), dtype=torch.float64)
    assert abs(kept - kept.to(getattr(torch, dtype)).double()) <= 5e-5  # cut from the stored number
