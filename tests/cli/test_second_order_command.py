"""Gradients of gradients as people ask for them: `--second-order` of inspect, explain and check, and the Python API."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from shell import call, run

import convgrad_cli
from convgrad_cli.errors import ConvGradError
from convgrad_cli.render.json import schema

GGX, GGW = "5 -4 -5; 3 -4 6; 9 5 -7", "9 -4; -8 4"
ONES = ("--second-order", "--bias", "--x", "ramp", "--w", "ramp", "--ggx", GGX, "--ggw", GGW, "--ggb", "ones")
CODE = """
import torch
import torch.nn.functional as F

def forward(x, w, b, *, stride, padding, dilation, groups):
    return F.conv2d(x, w, b, stride, padding, dilation, groups)

def double(x, w, b, g, ggx, ggw, ggb, *, stride, padding, dilation, groups):
    how = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    grad_g = F.conv2d(ggx, w, None, **how) + F.conv2d(x, ggw, ggb, **how)
    grad_x = torch.nn.grad.conv2d_input(x.shape, ggw, g, **how)
    return grad_g, grad_x, torch.nn.grad.conv2d_weight(ggx, w.shape, g, **how)

def masked(x, w, b, g, ggx, ggw, ggb, *, stride, padding, dilation, groups, output_mask):
    return torch.ops.aten._convolution_double_backward(
        ggx, ggw, ggb, g, w, x, stride, padding, dilation, False, (0, 0), groups, output_mask)

def named(*operands, **how):
    grad_g, grad_x, _ = double(*operands, **how)
    return {"grad_input": grad_x, "grad_grad_output": grad_g}

def flipped(*operands, **how):
    grad_g, grad_x, grad_w = double(*operands, **how)
    return grad_g, grad_x, grad_w.flip(-1)

def forgets(x, w, b, g, ggx, ggw, ggb, **how):
    return double(x, w, b, g, ggx, 0 * ggw, ggb, **how)[0], *double(x, w, b, g, ggx, ggw, ggb, **how)[1:]

def writes(x, w, b, g, ggx, ggw, ggb, **how):
    found = double(x, w, b, g, ggx, ggw, ggb, **how)
    ggw *= 2
    return found

def first_order(x, w, b, g, *, stride): return x, w
def too_many(*operands): return operands
def raises(*operands): raise ValueError("not today")

class Once(torch.autograd.Function):
    '''Its first gradients are right, and the one of w depends on x in a way that autograd does not see.'''
    @staticmethod
    def forward(ctx, x, w, b, stride, padding, dilation, groups):
        ctx.save_for_backward(x, w)
        ctx.how = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        return F.conv2d(x, w, b, **ctx.how)
    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        grad_x = torch.nn.grad.conv2d_input(x.shape, w, g, **ctx.how)
        grad_w = torch.nn.grad.conv2d_weight(x.detach(), w.shape, g, **ctx.how)
        return grad_x, grad_w, g.sum((0, 2, 3)), None, None, None, None
"""
LAYER = ("--stride", "2", "--padding", "1", "--groups", "2", "--bias")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("second")
    (found / "mine.py").write_text(CODE)
    return found


def check(folder, name, *options):
    return call("check", f"{folder}/mine.py::{name}", "--as", "torch", "--second-order", *options)


def test_inspect_shows_each_element_beside_its_slice_sum():
    done = call("inspect", *ONES)
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[2:4] == [
        "S = (ggx * dL/dx).sum() + (ggw * dL/dw).sum() + (ggb * dL/db).sum() = -7",
        "L = y.sum(), and each .grad is that of S",
    ]
    found = {line.split("  ")[0]: line for line in lines}
    assert found["g[0,0,0,0]"].split("  ")[-2:] == [
        "(ggx[0,:,0:2,0:2] * w[0,:,0:2,0:2]).sum() + (x[0,:,0:2,0:2] * ggw[0,:,0:2,0:2]).sum() + ggb[0]",
        "5*1 - 4*2 + 3*3 - 4*4 + 1*9 + 2*(-4) + 4*(-8) + 5*4 + 1",
    ]
    assert "ggx[0,0,0:2,1:3].sum()" in found["w[0,0,0,1]"]
    assert "ggw[:,0,0:2,0:2].sum()" in found["x[0,0,1,1]"]
    assert not re.search(r"^ *b( |$)", lines[5], re.MULTILINE)  # it has no part in anything
    assert lines[-1] == "agree  17 of 17 gradient elements; all bit for bit"


def test_json_fits_the_schema_and_its_expressions_evaluate():
    found = call("inspect", *ONES[:2], "--padding", "1", "--padding-mode", "circular", "--g", "integers",
                 "--x", "integers", "--w", "integers", "--ggx", "integers", "--ggw", "integers", "--ggb", "ramp",
                 "--in-channels", "2", "--out-channels", "3", "-f", "json").json()  # fmt: skip
    Draft202012Validator(schema()).validate(found)
    letters = {"x": "input", "xp": "padded_input", "w": "weight", "g": "grad_output", "ggx": "grad_grad_input"}
    letters |= {"ggxp": "padded_grad_grad_input", "ggw": "grad_grad_weight", "ggb": "grad_grad_bias"}
    namespace = {letter: torch.tensor(found[name]["values"]).double() for letter, name in letters.items()}
    assert {element["tensor"] for element in found["elements"]} == {"grad_grad_output", "grad_weight", "grad_input"}
    for element in found["elements"]:
        value = float(torch.as_tensor(eval(element["expression"], {"__builtins__": {}}, namespace)))
        assert value == element["values"]["autograd"] == element["values"]["by_hand"]
        assert len(element["terms"]) == element["term_count"]
    total = (namespace["g"] * torch.tensor(found["grad_grad_output"]["values"])).sum()
    assert found["second_order"]["value"] == float(total)
    assert found["loss"] == {"name": "(y * g).sum()", "value": None}


def test_the_first_order_has_no_keys_of_the_second():
    found = call("inspect", "--bias", "-f", "json").json()
    assert not [key for key in found if "grad_grad" in key or key == "second_order"]
    assert found["loss"]["value"] is not None


def test_the_other_formats():
    plain = call("inspect", *ONES, "-f", "plain").out
    assert plain == "-20\t-11\n35\t-11\n\n0\t-7\n13\t0\n\n9\t5\t-4\n1\t1\t0\n-8\t-4\t4\n"
    assert call("inspect", *ONES, "-f", "plain", "--only", "g.grad").out == "-20\t-11\n35\t-11\n"
    assert call("inspect", *ONES, "-f", "plain", "--only", "ggb,grad_grad_weight").out == "1\n\n9\t-4\n-8\t4\n"
    rows = list(csv.DictReader(io.StringIO(call("inspect", *ONES, "-f", "csv").out)))
    assert [row["tensor"] for row in rows] == ["grad_grad_output"] * 4 + ["grad_weight"] * 4 + ["grad_input"] * 9
    lines = [json.loads(line) for line in call("inspect", *ONES, "-f", "jsonl").out.splitlines()]
    assert [line["expression"] for line in lines] == [row["expression"] for row in rows]
    markdown = call("inspect", *ONES, "-f", "markdown").out
    assert "### `g.grad`" in markdown
    assert "| `g[0,0,0,0]` | -20 | -20 |" in markdown
    assert "\nggb\n 1\n" in markdown
    assert r"\texttt{ggx} = \left(" in call("inspect", *ONES, "-f", "latex").out
    assert 'name="grad_grad_output: autograd beside by_hand"' in call("inspect", *ONES, "-f", "junit").out
    assert "3 of 3 comparisons agree" in call("inspect", *ONES, "-f", "github").out
    done = call("inspect", "--only", "ggx")
    assert (done.status, done.err) == (
        2, "convgrad: --only grad_grad_input: it is of the second order; add --second-order\n",
    )  # fmt: skip


def test_cotangents_come_from_wherever_numbers_do(tmp_path):
    array = np.arange(1.0, 10.0).reshape(3, 3)
    np.savez(tmp_path / "c.npz", ggx=array, ggw=array[:2, :2])
    ask = ("inspect", "-f", "json", "--only", "ggx,ggw")
    found = call(*ask, "--ggx", f"{tmp_path}/c.npz::ggx", "--ggw", "1 2; 4 5").json()
    assert found["grad_grad_input"]["values"] == [[array.tolist()]]
    assert call(*ask, "--ggx", "-", "--ggw", f"{tmp_path}/c.npz::ggw", stdin="1 2 3; 4 5 6; 7 8 9").json() == {
        **found,
        "notes": ["--ggx has shape 3x3; taken as 1x1x3x3", "--ggw has shape 2x2; taken as 1x1x2x2"],
    }
    # Random ones are the same whatever else is given, and none of them is an operand, of this seed or of the next.
    alone, other, next_seed = (
        call(*ask[:3], *more).json()
        for more in (("--second-order",), ("--ggw", "ones"), ("--ggw", "ones", "--seed", "1"))
    )
    assert alone["grad_grad_input"] == other["grad_grad_input"] != next_seed["grad_grad_input"]
    assert alone["grad_grad_input"]["values"] not in (alone["input"]["values"], next_seed["input"]["values"])
    first = call(*ask[:3]).json()
    assert (alone["input"], alone["weight"]) == (first["input"], first["weight"])


def test_explain_tells_one_element():
    done = call("explain", *ONES, "--at", "g[0,0,0,1]")
    assert done.status == 0
    assert "S is (g * (conv(ggx, w) + conv(x, ggw) + ggb)).sum()" in done.out
    assert re.search(r"ggb\[0\] +1 +sum +-11\n", done.out)
    assert "agree  1 of 1 gradient elements; all bit for bit" in done.out
    assert "dS/dw is dL/dw with ggx in the place of x." in call("explain", *ONES, "--at", "w:0,0,0,1").out
    done = call("explain", *ONES, "--at", "x:0,0,1,1", "-f", "json").json()
    assert done["elements"][0]["expression"] == "ggw[:,0,0:2,0:2].sum()"
    Draft202012Validator(schema()).validate(done)


@pytest.mark.parametrize("flags", [(), ("--no-mkldnn",), ("--channels-last",), ("--dtype", "float64")], ids=" ".join)
def test_check_judges_torch(flags):
    done = call("check", "--second-order", *LAYER, *flags, "-q")
    assert (done.status, done.err) == (0, "")
    for name in ("g.grad", "weight.grad", "x.grad"):
        assert re.search(rf"^{name} +PASS +4 exact", done.out, re.MULTILINE)
    assert "autograd on cpu" in done.out
    assert ", second order   declared arithmetic: direct" in done.out


def test_the_document_of_a_check_fits_the_schema(folder):
    for target, status in (((f"{folder}/mine.py::flipped", "--as", "torch"), 1), ((), 0)):
        done = call("check", *target, "--second-order", *LAYER, "-f", "json")
        assert done.status == status
        found = json.loads(done.out)
        Draft202012Validator(schema()).validate(found)
        assert [verdict["tensor"] for verdict in found["check"]["verdicts"]] == [
            "grad_grad_output", "grad_weight", "grad_input",
        ]  # fmt: skip
        assert found["check"]["diagnosis"] is None
        assert found["second_order"]["value"] is None


@pytest.mark.parametrize("name", ["double", "masked"])
def test_a_right_function_passes_under_all_conditions(folder, name):
    done = check(folder, name, *LAYER, "--conditions", "all")
    assert done.status == 0, done.out + done.err
    assert "PASS  exact on every probe, and every element is proved within its rounding bound" in done.out
    masks = "2 request masks" if name == "masked" else "request masks (it takes no output_mask)"
    assert masks in done.out
    assert "sizes (the second order is not tried under them)" in done.out


FAILING = {
    "flipped": ({"grad_weight"}, "grad_weight: the formula is wrong"),
    "forgets": ({"grad_grad_output"}, "grad_grad_output: the formula is wrong"),
    "writes": (set(), "operands untouched: grad_grad_weight"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_wrong_function_fails(folder, name):
    wrong, reason = FAILING[name]
    done = check(folder, name, *LAYER, "-f", "json")
    assert done.status == 1
    found = json.loads(done.out)["check"]
    assert {v["tensor"] for v in found["verdicts"] if v["verdict"] == "FAIL"} == wrong
    assert found["reason"].startswith(reason)


def test_fewer_gradients_are_judged_alone(folder):
    done = check(folder, "named", "-f", "plain", "-q")
    assert (done.status, done.out) == (0, "grad_grad_output\tPASS\ngrad_input\tPASS\n")


def test_the_double_backward_of_a_forward_is_judged(folder):
    done = call("check", "--forward", f"{folder}/mine.py::forward", "--second-order", *LAYER, "-q", "-f", "plain")
    assert (done.status, done.out) == (0, "grad_grad_output\tPASS\ngrad_weight\tPASS\ngrad_input\tPASS\n")
    first = call("check", "--forward", f"{folder}/mine.py::Once", *LAYER, "-q", "-f", "plain")
    assert first.status == 0, first.out
    done = call("check", "--forward", f"{folder}/mine.py::Once", "--second-order", *LAYER, "-q")
    assert done.status == 1
    assert re.search(r"^g.grad +PASS", done.out, re.MULTILINE)
    assert re.search(r"^weight.grad +PASS", done.out, re.MULTILINE)
    assert "FAIL  grad_input: no gradient for x: the first gradients do not depend on it for autograd" in done.out


REFUSED = {
    "first_order": r"has the signature \(x, w, b, g, \*, stride\), which does not fit .*; expected function\(x, w, b, "
    r"g, ggx, ggw, ggb, \*, stride, padding, dilation, groups\), with those keywords that it needs$",
    "too_many": r"returned 7 values; expected \(grad_grad_output, grad_input, grad_weight\), fewer of them or None for",
    "raises": r"raised ValueError: not today",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_gives_no_answer_is_refused_in_one_line(folder, name):
    done = run("check", f"mine.py::{name}", "--as", "torch", "--second-order", "-q", cwd=folder)
    assert (done.status, done.out) == (2, "")
    [line] = [line for line in done.err.splitlines() if line.startswith("convgrad: ")]
    assert re.search(REFUSED[name], line)


def test_no_bound_judges_what_is_not_finite():
    done = call("check", "--ggx", "1 nan; 2 3", "--size", "2", "--kernel", "1", "--in-channels", "1", "--batch", "1")
    assert done.status == 2
    assert "ggx has NaN or infinities (ggx[0,0,0,1]), which no bound can judge" in done.err


def test_the_python_api():
    layer = torch.nn.Conv2d(2, 3, 2, stride=2)
    ggx = torch.randn(2, 2, 6, 6)
    report = convgrad_cli.inspect(layer, input=torch.randn(2, 2, 6, 6), grad_grad_input=ggx)
    assert report.exit_code == 0
    assert [table.tensor for table in report.tables] == ["grad_grad_output", "grad_weight", "grad_input"]
    assert list(report.tensors["grad_grad_input"].values)[:3] == pytest.approx(ggx.flatten()[:3].tolist())
    told = convgrad_cli.explain(layer, input_size=6, second_order=True, at=("grad_output", (0, 2, 1, 1)))
    expression = "(ggx[0,:,2:4,2:4] * w[2,:,0:2,0:2]).sum() + (x[0,:,2:4,2:4] * ggw[2,:,0:2,0:2]).sum() + ggb[2]"
    assert told.tables[0].elements[0].expression == expression
    assert str(convgrad_cli.formula(report.spec, "g", (0, 2, 1, 1), second_order=True)) == expression

    def mine(x, w, b, g, ggx, ggw, ggb, *, stride):
        return None, None, torch.nn.grad.conv2d_weight(ggx, w.shape, g, stride)

    found = convgrad_cli.check(mine, layer, input_size=6, second_order=True, framework="torch")
    assert [(v.tensor, v.verdict) for v in found.check.verdicts] == [("grad_weight", "PASS")]
    with pytest.raises(ConvGradError, match="has no second order"):
        convgrad_cli.check(layer=layer, input_size=6, second_order=True, grad_weight=torch.zeros(3, 2, 2, 2))
