"""The reports of inspect and explain: layers of every kind agree, differences are found, one element costs itself."""

from __future__ import annotations

import pytest
import torch
from cases import CASES

import convgrad_cli
from convgrad_cli import ConvSpec


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_named_layer_agrees_in_float32(case):
    report = convgrad_cli.inspect(case.spec)
    assert report.exit_code == 0
    assert report.spec == case.spec


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


def test_explain_one_element_runs_no_gradient_of_a_large_layer(monkeypatch):
    from convgrad_cli.commands import element

    monkeypatch.setattr(element, "autograd_of", lambda *_: pytest.fail("autograd was run"))
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
