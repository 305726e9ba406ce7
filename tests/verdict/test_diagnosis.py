"""Planted mistakes are named, right code is not, and what is said of either can be checked by hand."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from shell import call
from table import CORRECT, REPORTS
from table import PLANTED as WRONG

import convgrad_cli
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.render.json import schema
from convgrad_cli.testing import assert_gradients

PLANTED = Path(__file__).parents[1] / "planted"

# What no formula of the algebra reproduces: they are localised, and given no name.
UNNAMED = {"remainder_stretched", "fold_normalised", "own_function_forgets_groups"}
# They need a layout, a request mask or an earlier call, or are faults of the arithmetic.
OTHERWISE = {one.name for one in WRONG if one.shows != "always"} | {"sums_in_bfloat16"}


def diagnosed(one, layer):
    spec = make_spec(**layer)
    return convgrad_cli.check(one.function, spec, framework=one.framework, conditions="all")


@pytest.mark.parametrize("number, one", enumerate(WRONG), ids=[one.name for one in WRONG])
def test_every_planted_mistake_is_named_or_localised(number, one):
    if one.name in OTHERWISE:
        pytest.skip("another test")
    report = diagnosed(one, one.layers[number % len(one.layers)])
    found = report.diagnosis
    assert report.check.verdict == "FAIL"
    tensors = {"output": "output", "input": "grad_input", "weight": "grad_weight", "bias": "grad_bias"}
    wrong = {tensors[name] for name in one.wrong}
    assert {drawn.tensor for drawn in found.maps} == wrong
    named = {fault.tensor for fault in found.faults if fault.equals}
    assert named == (set() if one.name in UNNAMED else wrong), str(report)
