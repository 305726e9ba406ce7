"""`model` on networks with NaN and infinities: where the first one appears, and what it does to each gradient."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from shell import call
from torch import nn

import convgrad_cli
from convgrad_cli.render.json import schema

TROUBLED = f"{Path(__file__).parent / 'troubled.py'}::Troubled"
FORWARD = "the first NaN or infinity of the forward pass is "


def model(where: str, *more: str):
    return call("model", TROUBLED, "--args", repr(where), "--input-size", "1x2x4x4", *more)


def told(where: str, *more: str) -> Any:
    """Its JSON, whatever the verdicts are."""
    return json.loads(model(where, *more, "-f", "json", "-q").out)


@pytest.mark.parametrize(
    ("where", "note", "verdicts"),
    [
        ("between", FORWARD + "in x of two: what one gives is finite, so it is made between the two", "PM"),
        ("weight", FORWARD + "in the parameters of one", "MM"),
        ("sums", FORWARD + "made by one, in the sums of its output", "PM"),
        ("behind", "the forward pass is finite up to y of two; the first NaN or infinity of the backward pass is in "
         "the g that arrives at two", "MM"),
        ("nowhere", None, "PP"),
    ],
)  # fmt: skip
def test_where_the_first_one_appears_is_said(where, note, verdicts):
    document = told(where)
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/model", "$defs": schema()["$defs"]})
    validator.validate(document)
    assert [row["verdict"][0] for row in document["layers"]] == list(verdicts)
    said = [text for text in document["notes"] if "first NaN" in text]
    assert said == ([note] if note else [])


def test_the_row_says_in_brief_and_the_layer_tells_all():
    done = model("between")
    assert done.status == 3
    assert "x[0,0,0,0] is NaN, and 3 more of 12 entries of x" in done.out
    assert "w.grad[0,0,0,0] is NaN: it has the term x[0,0,0,0] * g[0,0,0,0] = nan * 1" in done.out
    whole = model("between", "--layer", "two", "--width", "1000").out
    assert "x has 4 NaN of 12 entries; the first are" in whole
    assert "x[0,0,0,1] is NaN: it reaches 1 of 4 elements of y (through x[0,0,0,1] * w[0,0,0,0])" in whole
    assert "4 of 4 elements of y are NaN: y[0,0,0,0] has the term x[0,0,0,0] * w[0,0,0,0]" in whole
    one = told("between", "--layer", "two", "--at", "w:0,0,0,0")
    assert [(e["cause"], e["value"]) for e in one["nonfinite"]["elements"]] == [("nan", "NaN")]
    refused = model("between", "--layer", "two", "--check")
    assert refused.status == 2
    assert "x has NaN or infinities (the first of 4 at x[0,0,0,0]), which no bound can judge" in refused.err


def test_nan_and_infinities_are_not_lumped_together():
    said = model("mixed").out
    assert "x[0,0,0,1] is inf, x[0,0,1,0] is -inf, x[0,0,1,1] is NaN, and 6 more of 12 entries of x" in said
    assert "3 of 3 elements of w.grad are NaN: w.grad[0,0,0,0] has the term x[0,0,1,1] * g" in said
    x = next(line for line in said.splitlines() if "elements of x.grad" in line)
    assert "elements of x.grad are not finite; x.grad[0,0,0,1] is -inf: it has the term w" in x


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_it_is_said_in_every_form_for_people(form):
    said = model("between", "-f", form, "-q").out.replace("\\", "")
    assert "x[0,0,0,0] is NaN, and 3 more of 12 entries of x" in re.sub(r"<[^>]*>", "", said)
    assert "note: " not in said


def test_capture_in_code_says_it_too():
    net = nn.Sequential(nn.Conv2d(1, 1, 2), nn.Conv2d(1, 1, 2))
    x = torch.ones(1, 1, 4, 4)
    x[0, 0, 1, 1] = float("nan")
    with convgrad_cli.capture(net) as layers:
        net(x).sum().backward()
    assert FORWARD + "in x of 0: before any convolution" in layers.report.notes
    assert layers["0"].nonfinite.counts == (("input", 1, 0, 16),)
    assert layers.exit_code == 3
