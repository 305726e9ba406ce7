"""Which elements are wrong, in one line."""

from __future__ import annotations

import pytest
import torch

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.verdict.pattern import pattern

SPEC = make_spec(in_channels=4, out_channels=8, groups=2, input_size=9, kernel_size=3, batch_size=2, bias=True)


def mask(name, *places):
    found = torch.zeros(SPEC.shape_of(name), dtype=torch.bool)
    for place in places:
        found[place] = True
    return found


SAID = [
    ("input", [...], "every element"),
    ("input", [(0, 1, 2, 3)], "a single element"),
    ("input", [(..., slice(-2, None))], "the last 2 of 9 columns"),
    ("input", [(..., slice(1), slice(None))], "the first of 9 rows"),
    ("input", [(..., slice(1, None, 2), slice(None))], "every second of the rows from 1"),
    ("input", [(slice(None), slice(2, None))], "the last 2 of 4 channels, group 1"),
    ("input", [(1,)], "the last of 2 samples"),
    ("input", [(..., 0), (..., -1), (..., 0, slice(None))], "only the border, up to 1 wide; the inside is right"),
    ("weight", [(..., 1, 1)], "kernel row 1, kernel column 1"),
    ("weight", [(3,)], "output channel 3, group 0"),
    ("bias", [slice(2, 4)], "channels 2 to 3"),
    ("output", [(0, 1, 2, 3), (1, 2, 3, 4)], "channels 1 to 2, rows 2 to 3, columns 3 to 4, group 0, scattered"),
]


@pytest.mark.parametrize(("name", "places", "said"), SAID, ids=[said for _, _, said in SAID])
def test_it_is_said_in_one_line(name, places, said):
    assert pattern(SPEC, name, mask(name, *places)) == said


def test_what_is_right_is_named_where_that_is_shorter():
    wrong = mask("weight", ...)
    wrong[..., 1, 1] = False
    assert pattern(SPEC, "weight", wrong) == "all but where kernel row 1 and kernel column 1 meet"


def test_a_single_right_one_is_chance():
    wrong = mask("weight", ...)
    wrong[0, 0, 0, 0] = False
    assert pattern(SPEC, "weight", wrong) == "nearly every element"


def test_nothing_wrong_is_nothing_said():
    assert pattern(SPEC, "weight", mask("weight")) == ""


def test_most_of_a_block_is_a_block():
    wrong = mask("input", (1,))
    wrong[1, 0, 0, :5] = False
    assert pattern(SPEC, "input", wrong) == "most of the last of 2 samples"
