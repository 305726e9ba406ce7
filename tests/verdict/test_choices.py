"""The layer that `check` takes where little is said: rich enough to show mistakes, and what was said stays."""

from __future__ import annotations

import pytest

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.tensors.sources import read_source
from convgrad_cli.verdict.choices import complete_layer


@pytest.mark.parametrize(
    "said",
    [
        {}, {"stride": 2}, {"stride": (1, 9)}, {"kernel_size": 7}, {"kernel_size": 4, "dilation": 3}, {"input_size": 9},
        {"padding": "same"}, {"padding": 2, "padding_mode": "reflect"}, {"dims": 1}, {"dims": 3}, {"transposed": True},
        {"input_size": 2}, {"input_size": 5, "kernel_size": 5}, {"bias": True}, {"batch_size": None},
    ],
)  # fmt: skip
def test_several_samples_and_channels_whatever_else_is_said(said):
    spec = make_spec(**complete_layer(said, {}))
    assert (spec.batch_size, spec.in_channels, spec.out_channels) == (said.get("batch_size", 2), 2, 3)
    named = make_spec(**{"in_channels": 2, "out_channels": 3, "input_size": spec.input_size,
                         "kernel_size": spec.kernel_size, "batch_size": spec.batch_size, **said})  # fmt: skip
    assert named == spec
    if "input_size" not in said:
        assert min(spec.output_size) > 1
        assert len(set(spec.input_size)) == spec.dims


def test_channels_are_those_of_each_group():
    assert make_spec(**complete_layer({"groups": 4}, {})).weight_shape == (12, 2, 3, 2)
    depthwise = make_spec(**complete_layer({"groups": 4, "in_channels": 4}, {}))
    assert (depthwise.in_channels, depthwise.out_channels) == (4, 12)


def test_what_numbers_say_is_left_to_them():
    x, g = read_source("1 2 3; 4 5 6; 7 8 9", "--x"), read_source("1 2; 3 4", "--g")
    assert complete_layer({}, {"input": x}) == {"out_channels": 3}
    assert complete_layer({"input_size": 3}, {"grad_output": g}) == {"input_size": 3, "in_channels": 2}


@pytest.mark.parametrize("wrong", [{"groups": 0}, {"dims": 4}, {"input_size": (3, 4), "kernel_size": 9}])
def test_what_makes_no_sense_is_left_as_it_is(wrong):
    assert complete_layer(wrong, {}) == wrong


def test_a_layer_of_cs231n_has_a_bias_unless_it_is_taken_away():
    assert complete_layer({}, {}, "cs231n")["bias"] is True
    assert complete_layer({"bias": False}, {}, "cs231n")["bias"] is False
    assert "bias" not in complete_layer({}, {})
