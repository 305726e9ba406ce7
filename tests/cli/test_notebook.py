"""The notebook that convgrad grew from: each of its numbers and each of its sentences, from the command line."""

from __future__ import annotations

import re

import pytest
import torch
from shell import call

# As the notebook prints them, to four decimals.
X = [[1.8676, -0.2631, -0.2380], [1.0669, 0.5283, -1.2112], [1.1241, -0.1771, 1.3998]]
W = [[0.0848, -0.0717], [-0.2816, 0.3315]]
Y = [[0.0520, -0.5556], [-0.3227, 0.6456]]
LOSS = -0.1807
GRAD_W = [[3.1998, -1.1840], [2.5423, 0.5398]]
GRAD_X = [[0.0848, 0.0131, -0.0717], [-0.1968, 0.0630, 0.2598], [-0.2816, 0.0499, 0.3315]]
SLICES = ["x[0,0,0:2,0:2]", "x[0,0,0:2,1:3]", "x[0,0,1:3,0:2]", "x[0,0,1:3,1:3]"]
KERNELS = [
    *("w[:,0,0,0]", "w[:,0,0,0:2]", "w[:,0,0,1]"),
    *("w[:,0,0:2,0]", "w[:,0,0:2,0:2]", "w[:,0,0:2,1]"),
    *("w[:,0,1,0]", "w[:,0,1,0:2]", "w[:,0,1,1]"),
]
# The second half, with a bias.
W2 = [[-0.2303, 0.2391], [-0.1444, -0.0239]]
B2 = -0.0465
Y2 = [[-0.7061, -0.0901], [-0.3239, -0.4656]]
CLOSE = 2e-4  # x and w are printed to four decimals, and y and the gradients are made of up to nine of them


def inline(rows: list[list[float]]) -> str:
    return "; ".join(" ".join(map(str, row)) for row in rows)


PLAIN = ("--x", inline(X), "--w", inline(W))
WITH_BIAS = ("--x", inline(X), "--w", inline(W2), "--bias", "--b", str(B2))


def table_of(told: str) -> dict[str, tuple[float, float, str]]:
    """The rows of all tables: the element, its two numbers and its slice sum."""
    rows = re.findall(r"^([xwby]\[[\d,]+\]) +(-?[\d.]+) +(-?[\d.]+)  (\S.*?)(?:  .*)?$", told, re.MULTILINE)
    return {name: (float(one), float(other), text) for name, one, other, text in rows}


def close(found: object, expected: object) -> bool:
    return torch.allclose(torch.tensor(found), torch.tensor(expected), rtol=0, atol=CLOSE)


def evaluate(report: dict) -> None:
    """Every expression of the JSON document, in its own tensors, is the number beside it."""
    names = {"x": "input", "w": "weight", "b": "bias", "g": "grad_output", "xp": "padded_input"}
    space = {
        letter: torch.tensor(report[name]["values"], dtype=getattr(torch, report["dtype"])).double()
        for letter, name in names.items()
        if name in report
    }
    assert report["elements"]
    for element in report["elements"]:
        value = float(eval(element["expression"], {}, space))
        assert value == pytest.approx(element["values"]["by_hand"], rel=1e-12, abs=1e-12), element["expression"]
        assert element["agrees"]


def test_every_number_of_the_notebook_as_data():
    found = call("inspect", *PLAIN, "-f", "json").json()
    assert close(found["output"]["values"], [[Y]])
    assert close(found["loss"]["value"], LOSS)
    assert close(found["grad_weight"]["values"], [[GRAD_W]])
    assert close(found["grad_input"]["values"], [[GRAD_X]])
    sums = [element["expression"] for element in found["elements"] if element["tensor"] != "output"]
    assert sums == [f"{part}.sum()" for part in (*SLICES, *KERNELS)]
    evaluate(found)


def test_every_number_of_the_notebook_in_the_table():
    told = call("inspect", *PLAIN).out
    rows = table_of(told)
    assert len(rows) == 4 + 4 + 9
    for i, text in enumerate(SLICES):
        r, c = divmod(i, 2)
        assert rows[f"w[0,0,{r},{c}]"][2] == f"{text}.sum()"
        assert close(rows[f"w[0,0,{r},{c}]"][:2], [GRAD_W[r][c]] * 2)
        assert close(rows[f"y[0,0,{r},{c}]"][:2], [Y[r][c]] * 2)
    for i, text in enumerate(KERNELS):
        r, c = divmod(i, 3)
        assert rows[f"x[0,0,{r},{c}]"][2] == f"{text}.sum()"
        assert close(rows[f"x[0,0,{r},{c}]"][:2], [GRAD_X[r][c]] * 2)
    assert "loss = y.sum() = -0.1807" in told
    assert "  1.8676 - 0.2631 + 1.0669 + 0.5283\n" in told
    assert "  0.0848 - 0.0717\n" in told
    assert "\nagree  13 of 13 gradient elements; " in told


def test_with_a_bias_the_gradients_of_w_and_x_are_the_same_sums():
    plain, found = (call("inspect", *arguments, "-f", "json").json() for arguments in (PLAIN, WITH_BIAS))
    assert close(found["output"]["values"], [[Y2]])
    assert found["grad_bias"]["values"] == [4.0]
    assert found["grad_weight"]["values"] == plain["grad_weight"]["values"]
    sums = {(e["tensor"], *e["index"]): e["expression"] for e in found["elements"]}
    without = {(e["tensor"], *e["index"]): e["expression"] for e in plain["elements"]}
    gradients = [key for key in without if key[0] != "output"]
    assert [sums[key] for key in gradients] == [without[key] for key in gradients]
    assert sums["grad_bias", 0] == "g[:,0].sum()"
    assert sums["output", 0, 0, 0, 0] == "(x[0,:,0:2,0:2] * w[0,:,0:2,0:2]).sum() + b[0]"
    assert all(sums[key] == f"{without[key]} + b[0]" for key in without if key[0] == "output")
    evaluate(found)
    told = call("inspect", *WITH_BIAS).out
    assert "b[0]                4         4  g[:,0].sum()  4 output elements, each 1" in told
    assert close(table_of(told)["y[0,0,0,0]"][:2], [Y2[0][0]] * 2)


def test_the_last_layer_of_the_notebook():
    found = call("inspect", "--layer", "Conv2d(3, 4, (2, 2))", "--size", "3", "-f", "json").json()
    assert found["layer"]["text"] == "Conv2d(3, 4, kernel_size=(2, 2))"
    assert len(found["elements"]) == 16 + 48 + 27 + 4
    evaluate(found)
    x, w, b = (torch.tensor(found[name]["values"], requires_grad=True) for name in ("input", "weight", "bias"))
    y = torch.nn.functional.conv2d(x, w, b)
    y.sum().backward()
    for tensor, name in ((y, "output"), (w.grad, "grad_weight"), (x.grad, "grad_input"), (b.grad, "grad_bias")):
        assert torch.equal(tensor, torch.tensor(found[name]["values"]))
    told = table_of(call("inspect", "--layer", "Conv2d(3, 4, (2, 2))", "--size", "3").out)
    assert told["w[3,2,1,1]"][2] == "x[0,2,1:3,1:3].sum()"
    assert told["x[0,1,1,1]"][2] == "w[:,1,0:2,0:2].sum()"
    assert told["b[3]"] == (4.0, 4.0, "g[:,3].sum()")


@pytest.mark.parametrize(
    "options",
    [
        "--size 5 --kernel 3 --stride 2 --padding 1",
        "--size 4x5 --kernel 2x3 --padding same --bias",
        "--size 5 --padding 2 --padding-mode reflect --kernel 3",
        "--size 4 --padding 1:2x0:1 --padding-mode circular --loss mean",
        "--size 6 --kernel 2 --dilation 3 --groups 2 --out-channels 4 --g randn",
        "--size 3 --transposed --stride 2 --output-padding 1 --padding 1 --kernel 3 --bias",
        "--dims 1 --size 7 --kernel 3 --batch 3 --in-channels 2 --g ramp",
        "--size 3x3x4 --batch none --bias",
        "--transposed --dims 1 --stride 3 --kernel 2 --g integers",
        "--size 4 --kernel 1 --stride 3",
    ],
)
def test_every_expression_of_any_layer_is_the_number_beside_it(options):
    evaluate(call("inspect", *options.split(), "--dtype", "float64", "--seed", "3", "-f", "json").json())
