"""Some elements of each tensor: right ones pass, a fault in them fails, and no more is held than one call needs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from cases import CASES
from distributions import operands_of
from shell import environment
from targets import TORCH, Wrapped

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import Answer, TargetError
from convgrad_cli.verdict.bounds import ARITHMETICS
from convgrad_cli.verdict.sample import sample

SPEC = make_spec(
    in_channels=4, out_channels=6, groups=2, input_size=(19, 18), kernel_size=(3, 2), stride=2, padding=1,
    batch_size=3, bias=True,
)  # fmt: skip
NAMES = ["output", "weight", "input", "bias"]


def sampled(target, spec=SPEC, dtype=torch.float32, count=16, **options):
    found = sample(
        spec, lambda: operands_of(spec, "normal", dtype, 0), target, ARITHMETICS["direct"], count, 0, **options
    )
    return {one.operand: one for one in found}


def changed(**changes):
    """A target with some gradients replaced by functions of the right ones."""

    def change(spec, operands, call, answer):
        named = {name: changes.get(name, lambda t: t)(tensor) for name, tensor in answer.gradients.named().items()}
        return Answer(Gradients(**named))

    return Wrapped(change)


def at(index, change):
    def one(tensor):
        tensor = tensor.clone()
        tensor[index] = change(tensor[index])
        return tensor

    return one


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_torch_passes_on_every_kind_of_layer(case, dtype):
    found = sampled(TORCH, case.spec, dtype, count=8)
    assert [(one.verdict, one.said) for one in found.values() if one.verdict != "PASS"] == []


def test_so_many_elements_are_looked_at_and_all_where_there_are_fewer():
    assert [(name, one.elements) for name, one in sampled(TORCH).items()] == [
        *((n, 16) for n in NAMES[:3]),
        ("bias", 6),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("index", [0, -1])
def test_one_wrong_bit_in_what_is_looked_at_fails(name, index):
    place = (index,) * (1 if name == "bias" else 4)
    flip = lambda t: torch.nextafter(t, torch.tensor(float("inf")))  # noqa: E731
    found = sampled(changed(**{name: at(place, flip)}))
    assert {one.operand for one in found.values() if one.verdict == "FAIL"} == {name}
    assert found[name].said == f"1 of {found[name].elements} sampled elements differ on probe sums"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_numbers_that_are_none_are_beyond_their_bounds(value):
    found = sampled(changed(weight=at((0, 0, 0, 0), lambda t: value)))["weight"]
    assert found.said.startswith(
        "1 of 16 sampled elements are beyond their bounds; 1 of 16 sampled elements differ on "
    )
    assert (found.worst, found.ratio > 1e6) == ((0, 0, 0, 0), True)


def test_a_wrong_formula_fails_everywhere():
    found = sampled(changed(weight=lambda t: t.flip(-1), input=lambda t: t / 3, bias=lambda t: 2 * t))
    assert [one.verdict for one in found.values()] == ["PASS", "FAIL", "FAIL", "FAIL"]
    assert found["input"].wrong > 8


def test_saved_numbers_are_judged_by_their_bounds_alone():
    target = replace(changed(input=at((0, 0, 1, 1), lambda t: t + 1)), callable=False)
    found = sampled(target, count=4 * 19 * 18 * 3)
    assert [one.verdict for one in found.values()] == ["PASS", "PASS", "FAIL", "PASS"]
    assert (found["input"].wrong, found["input"].worst, found["input"].probes) == (1, (0, 0, 1, 1), {})
    assert len(target.calls) == 1


def test_another_shape_is_told_and_what_is_not_asked_for_is_not_judged():
    target = Wrapped(lambda *given: Answer(Gradients(input=given[-1].gradients.input), {"weight": (1, 2)}))
    assert list(sampled(target, only=("input",))) == ["input"]
    found = sampled(target)
    assert (found["weight"].verdict, found["weight"].said) == ("FAIL", "its shape is 1x2, not 6x2x3x2")
    with pytest.raises(TargetError, match="wrapped gives no gradient to judge"):
        sampled(target, only=("bias",))


def test_where_every_chosen_element_is_zero_the_test_could_not_have_failed():
    spec = make_spec(input_size=(1, 1), kernel_size=2, padding=3, stride=9)
    found = sampled(TORCH, spec)
    assert (found["weight"].verdict, found["weight"].said) == (
        "MISTRUSTED",
        "the test could not have failed: all of 4 sampled elements are 0",
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_operands_stay_as_they_were(dtype):
    operands = operands_of(SPEC, "normal", dtype, 0)
    before = operands.map(torch.clone)
    sample(SPEC, lambda: operands, TORCH, ARITHMETICS["direct"], 16, 0)
    for name in ("input", "weight", "bias", "grad_output"):
        assert torch.equal(getattr(operands, name), getattr(before, name))


# The layer has 16 MiB of input and 64 MiB of output; torch's own forward and backward hold each of them twice.
PEAK = """
from pathlib import Path
from convgrad_cli.commands.suite_problem import judge_problem
from convgrad_cli.commands.suite_settings import Settings
from convgrad_cli.geometry.problem_list import read_problems
def peak():
    # ru_maxrss would be that of the process that started this one, where that held more.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
def row(text, **settings):
    [listed] = read_problems([text], "", None)
    return judge_problem(Settings(**settings), listed)
assert row("ic2ih4oc2kh1").verdict == "PASS"
before = peak()
found = row("mb8ic8ih256oc32kh1", max_macs=1, sample=4)
assert (found.verdict, found.sampled) == ("PASS", 4), found.reason
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's /proc")
def test_no_more_is_held_than_a_call_of_torch_needs():
    done = subprocess.run([sys.executable, "-c", PEAK], env=environment(), capture_output=True, text=True, check=True)
    assert 16 + 64 <= float(done.stdout) <= 4 * (16 + 64)
