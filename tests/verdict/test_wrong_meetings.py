"""What meets where: the same sums as by hand, in little memory, and none for layers that are too large."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from cases import CASES, integer_operands

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.verdict.mistake import Setup
from convgrad_cli.verdict.wrong_meetings import _joined, right_meetings, wrong_meetings

LARGE = """
import resource
import torch
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.mistake import reproduce
from convgrad_cli.verdict.wrong_meetings import wrong_meetings
torch.set_num_threads(1)
spec = make_spec(in_channels=3, out_channels=4, input_size=160, kernel_size=3, padding=1, batch_size=2)
x, w, g = (torch.ones(spec.shape_of(name)) for name in ("input", "weight", "output"))
operands = Operands(x, w, None, g)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
for name in ("weight", "input", "output"):
    for mistake in wrong_meetings(spec, name):
        assert reproduce(spec, operands, name, [mistake]) is not None
"""


@pytest.mark.parametrize("name", ["output", "weight", "input"])
@pytest.mark.parametrize("case", [case for case in CASES if not case.spec.has_padded_input], ids=lambda case: case.name)
def test_right_meetings_give_the_right_tensors(case, name):
    operands = integer_operands(case.spec)
    spec, operands = replace(case.spec, bias=False), replace(operands, bias=None)
    found = _joined(Setup(spec, operands), name, [right_meetings(axis) for axis in spec.axes])
    assert found.equal(by_hand(spec, operands, (name,)).named()[name])


def test_a_large_image_needs_no_more_than_its_copies_for_each_tap():
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "layer", [{"dims": 1, "input_size": 10**5, "kernel_size": 9}, {"input_size": 7000, "kernel_size": 3}]
)
def test_a_layer_that_is_too_large_has_none(layer):
    assert not list(wrong_meetings(make_spec(**layer), "weight"))
    assert list(wrong_meetings(make_spec(**{**layer, "input_size": 50}), "weight"))
