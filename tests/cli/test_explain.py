"""`explain` tells the notebook's story, of a small layer as a whole or of one element of any layer."""

from __future__ import annotations

import re

import pytest
import torch
from shell import PEAK, call, run

import convgrad_cli
from convgrad_cli.gradients import autograd, by_hand


def told(*arguments: str) -> str:
    done = call("explain", *arguments, "-q")
    assert done.status == 0, done.err
    return done.out


def rows(text: str, start: str) -> list[tuple[str, ...]]:
    """The columns of the rows that begin like `start`: the name, the sum in letters, the slice sum, the value."""
    lines = [line.strip() for line in text.splitlines() if re.match(rf"\s+{start}", line)]
    return [tuple(re.sub(" +", " ", part.strip()) for part in line.split(" = ")) for line in lines]


def test_the_story_of_the_notebook():
    text = told("--size", "3", "--kernel", "2", "--x", "ramp", "--w", "ramp")
    assert "  x1 x2 x3     w1 w2     y1 y2\n  x4 x5 x6     w3 w4     y3 y4\n  x7 x8 x9\n" in text
    assert rows(text, r"dL/dw\d") == [
        ("dL/dw1", "x1 + x2 + x4 + x5", "x[0,0,0:2,0:2].sum()", "12"),
        ("dL/dw2", "x2 + x3 + x5 + x6", "x[0,0,0:2,1:3].sum()", "16"),
        ("dL/dw3", "x4 + x5 + x7 + x8", "x[0,0,1:3,0:2].sum()", "24"),
        ("dL/dw4", "x5 + x6 + x8 + x9", "x[0,0,1:3,1:3].sum()", "28"),
    ]
    assert rows(text, r"dL/dx\d")[:5] == [
        ("dL/dx1", "w1", "w[:,0,0,0].sum()", "1"),
        ("dL/dx2", "w1 + w2", "w[:,0,0,0:2].sum()", "3"),
        ("dL/dx3", "w2", "w[:,0,0,1].sum()", "2"),
        ("dL/dx4", "w1 + w3", "w[:,0,0:2,0].sum()", "4"),
        ("dL/dx5", "w1 + w2 + w3 + w4", "w[:,0,0:2,0:2].sum()", "10"),
    ]
    [first] = rows(text, r"y1\b")
    assert (first[1], first[-1]) == ("x1*w1 + x2*w2 + x4*w3 + x5*w4", "37")
    assert "(x[0,:,0:2,0:2] * w[0,:,0:2,0:2]).sum()" in text
    assert "so g = dL/dy is 1 everywhere and drops out" in text
    assert "dL/db" not in text
    assert text.endswith("\nagree  13 of 13 gradient elements; all bit for bit\n")


def test_the_story_with_a_bias_compares_and_counts():
    text = told("--bias")
    assert rows(text, r"dL/db1") == [("dL/db1", "1 + 1 + 1 + 1", "g[:,0].sum()", "4")]
    assert "w and x have exactly the same gradients" in text
    assert "bit for bit in 13 of 13 elements" in text
    assert "so its gradient is the number of output elements, 4" in text
    assert "then add b" in text
    assert any(row[1].endswith("+ b1") for row in rows(text, r"y1\b"))
    assert "(x[0,:,0:2,0:2] * w[0,:,0:2,0:2]).sum() + b[0]" in text
    assert "number of output elements, 48" in told("--bias", "--batch", "3", "--size", "5", "--out-channels", "2")


def test_that_the_gradients_are_the_same_is_compared_not_claimed(monkeypatch):
    import convgrad_cli.commands.inspect as command

    right = autograd.autograd

    def wrong(spec, operands):
        found = right(spec, operands)
        if not spec.bias:
            found.weight[0, 0, 0, 0] += 1
        return found

    for module in (autograd, command):
        for name, value in list(vars(module).items()):
            if value is right:
                monkeypatch.setattr(module, name, wrong)
    text = told("--bias")
    assert "w and x have NOT the same gradients" in text
    assert "bit for bit in 12 of 13 elements" in text


def test_the_story_of_other_layers():
    mean = told("--loss", "mean", "--bias")
    assert "g = dL/dy is 0.25 everywhere" in mean
    assert "number of output elements" not in mean
    assert "L = (y * g).sum()" in told("--g", "1 2; 3 4")
    assert "The kernel w of size 2 is put on the input x in 4 places" in told("--dims", "1", "--size", "5")
    assert "The 2x2 kernel w is put on the output y in 3x3 places" in told("--transposed")
    assert ", for each of 2 samples" in told("--batch", "2")
    large = told("--size", "30", "--kernel", "3", "--in-channels", "4", "--padding", "1")
    assert "and 3,591 more; convgrad inspect shows them" in large
    assert max(map(len, large.splitlines())) < 130


AT = [
    ("", "weight:0,0,0,1", "w.grad[0,0,0,1] = x[0,0,0:2,1:3].sum()", "meets an entry of x 4 times"),
    ("", "input:0,0,1,1", "x.grad[0,0,1,1] = w[:,0,0:2,0:2].sum()", "multiplied by a kernel entry 4 times"),
    ("", "input:0,0,0,0", "x.grad[0,0,0,0] = w[:,0,0,0].sum()", "multiplied by a kernel entry once"),
    ("--bias", "bias:0", "b.grad[0] = g[:,0].sum()", "added once to each output of its channel, 4 of them"),
    ("--bias", "output:0,0,0,1", "y[0,0,0,1] = (x[0,:,0:2,1:3] * w[0,:,0:2,0:2]).sum() + b[0]", "5 terms add up"),
    ("--dims 1 --size 5", "w:0,0,1", "w.grad[0,0,1] = x[0,0,1:5].sum()", "meets an entry of x 4 times"),
    ("--size 3x3x3", "w:0,0,0,1,1", "w.grad[0,0,0,1,1] = x[0,0,0:2,1:3,1:3].sum()", "8 times"),
    (
        "--transposed --stride 2",
        "x:0,0,1,1",
        "x.grad[0,0,1,1] = w[0,:,0:2,0:2].sum()",
        "over all the outputs it reaches",
    ),
    (
        "--transposed --stride 2",
        "w:0,0,1,1",
        "w.grad[0,0,1,1] = x[0,0,0:3,0:3].sum()",
        "over all placements and samples",
    ),
    ("--batch none", "x:0,1,1", "x.grad[0,1,1] = w[:,0,0:2,0:2].sum()", "4 times"),
    (
        "--dims 1 --size 3 --padding 1 --padding-mode reflect",
        "x:0,0,1",
        "x.grad[0,0,1] = w[:,0,0].sum() + w[:,0,0:2].sum() + w[:,0,1].sum()",
        "4 times",
    ),
    (
        "--dims 1 --size 3 --padding 1 --padding-mode circular",
        "w:0,0,0",
        "w.grad[0,0,0] = xp[0,0,0:4].sum()",
        "4 times",
    ),
    (
        "--g ramp",
        "w:0,0,1,1",
        "w.grad[0,0,1,1] = (x[0,0,1:3,1:3] * g[0,0,0:2,0:2]).sum()",
        "each times the g of its output",
    ),
    ("--kernel 1 --stride 2 --size 4", "x:0,0,1,1", "x.grad[0,0,1,1] = 0", "no kernel entry lands on position 1"),
]


@pytest.mark.parametrize(("options", "at", "sum_", "why"), AT)
def test_one_element(options, at, sum_, why):
    text = told(*options.split(), "--at", at)
    assert f"\n{sum_}\n" in text
    assert why in text
    found = call("explain", *options.split(), "--at", at, "-f", "json").json()
    [element] = found["elements"]
    assert sum_.endswith(f" = {element['expression']}")
    assert element["agrees"]
    by_hand, autograd = (element["values"][route] for route in ("by_hand", "autograd"))
    whole = call("inspect", *options.split(), "-f", "json").json()["elements"]
    [same] = [e for e in whole if (e["tensor"], e["index"]) == (element["tensor"], element["index"])]
    assert same["expression"] == element["expression"]
    assert same["values"]["autograd"] == autograd
    assert by_hand == pytest.approx(same["values"]["by_hand"], rel=1e-12)
    if element["term_count"]:
        assert "Term by term" in text
        total = text.split("Term by term")[1].split("\n\n")[0].split()[-1]
        assert float(total) == pytest.approx(by_hand, abs=1e-4)
        if at != "x:0,0,1":  # its first product is a single kernel entry of several
            assert text.count("[", text.index("in brackets")) > element["term_count"]
    else:
        assert "Term by term" not in text


def test_the_slices_stand_in_brackets_in_the_pictures():
    text = told("--x", "ramp", "--at", "weight:0,0,0,1")
    assert "\n  x[0,0]\n   1 [2][3]\n   4 [5][6]\n   7  8  9\n" in text
    large = told("--x", "ramp", "--w", "ramp", "--size", "50", "--at", "output:0,0,20,30")
    picture = large.split("in brackets")[1].split("Term by term")[0]
    assert "  x[0,0] rows 19-26, columns 29-36 " in picture
    assert re.findall(r"\[([\d ]+)\]", picture) == ["1", "2", "1031", "1032", "3", "4", "1081", "1082"]


def test_a_long_sum_lists_its_first_terms_and_counts_the_others():
    text = told("--size", "30", "--at", "weight:0,0,0,0")
    listed = text.split("Term by term")[1].split("\n\n")[0].strip().splitlines()
    assert listed[-1].strip() == f"and {29 * 29 - (len(listed) - 1)} more terms"
    assert len(listed) <= 20


HUGE = ("--layer", "Conv2d(512, 512, 3)", "--size", "56", "--batch", "64")


def test_one_element_of_a_huge_layer_costs_its_own_terms_only(monkeypatch):
    def never(*_, **__):
        raise AssertionError("a full gradient was computed")

    import convgrad_cli.commands.inspect as command

    whole = autograd.autograd, by_hand.by_hand
    for module in (autograd, by_hand, command):
        for name, value in list(vars(module).items()):
            if value in whole:
                monkeypatch.setattr(module, name, never)
    layer = {"kernel_size": 3, "in_channels": 64, "out_channels": 64, "batch_size": 4, "input_size": 56, "bias": True}
    x = torch.randn(4, 64, 56, 56, generator=torch.Generator().manual_seed(1))
    report = convgrad_cli.explain(**layer, input=x, at="weight:5,7,0,2")
    [element] = report.tables[0].elements
    assert dict(element.values) == {"by_hand": pytest.approx(float(x[:, 7, 0:54, 2:56].double().sum()), rel=1e-12)}
    assert report.exit_code == 0
    assert "Add --autograd for it" in str(report)
    with pytest.raises(AssertionError, match="a full gradient was computed"):
        convgrad_cli.explain(**layer, input=x, at="weight:5,7,0,2", autograd=True)


MEASURED = f"""{PEAK}
import os, sys
def tell():
    print(peak(), file=sys.stderr, flush=True)
leave = os._exit
os._exit = lambda status: (tell(), leave(status))
"""


def test_one_element_of_a_huge_layer_needs_its_operands_and_little_more():
    done = run("explain", *HUGE, "--at", "weight:0,0,0,1", "-q", code=MEASURED)
    assert done.status == 0, done.err
    assert "\nw.grad[0,0,0,1] = x[:,0,0:54,1:55].sum()\n" in done.out
    assert "Add --autograd for it." in done.out
    assert "186,608 more terms" in done.out
    # x has 392 MiB and w 9; the gradients would take three times as much, by hand in float64 six times.
    assert int(done.err) < 1000


def test_an_element_of_the_story_that_is_0_says_why():
    text = told("--dims", "1", "--size", "5", "--kernel", "1", "--stride", "2", "--x", "ramp", "--w", "ramp")
    assert rows(text, r"dL/dx2") == [("dL/dx2", "0", "0", "0")]
    reason = "with stride 2 and dilation 1 no kernel entry lands on position 1"
    assert text.splitlines()[text.splitlines().index(next(r for r in text.splitlines() if "dL/dx2" in r)) + 1] == (
        "           " + reason
    )


def test_a_long_sum_in_the_story_is_broken_between_its_slices():
    layer = "--size", "4", "--kernel", "3", "--padding", "3", "--padding-mode", "reflect", "--x", "ramp", "--w", "ramp"
    for text in (told(*layer), told(*layer, "--at", "input:0,0,1,1")):
        assert max(len(line) for line in text.splitlines() if line.strip().startswith(("=", "+"))) <= 80
    assert "x.grad[0,0,1,1] is the sum of 9 slices\n" in text
    expression = convgrad_cli.formula(
        convgrad_cli.make_spec(input_size=4, kernel_size=3, padding=3, padding_mode="reflect"),
        "input", (0, 0, 1, 1), ones=True,
    )  # fmt: skip
    assert f"= {expression}" in re.sub(r"\s+", " ", text)


def test_a_picture_of_one_axis_has_no_rows():
    text = told("--dims", "1", "--size", "40", "--kernel", "3", "--at", "output:0,0,20")
    assert "x[0,0] entries 19-26" in text
    assert "rows" not in text


@pytest.mark.parametrize("arguments", [(), ("--at", "input:0,0,0")])
def test_huge_padding_is_refused_at_once(arguments):
    layer = "--dims", "1", "--size", "5", "--padding", "20000000", "--padding-mode", "replicate"
    for command in ("explain", "inspect")[: 1 if arguments else 2]:
        done = call(command, *layer, *arguments)
        assert done.status == 2
        assert done.err == (
            "convgrad: --padding-mode replicate copies an entry at the border to 20,000,001 places, and its gradient "
            "would be a sum of as many slices; at most 100,000 are told: use a smaller --padding\n"
        )
    at = told(*layer, "--at", "weight:0,0,0", "--w", "ones")
    assert "40,000,004 times" in at
