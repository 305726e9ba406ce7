"""Conditions: each is really set, and a target that minds it is named with the combination."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distributions import operands_of
from targets import TORCH, Wrapped

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.gradients import Gradients
from convgrad_cli.gradients.target import Answer, TargetError, lay_out
from convgrad_cli.verdict.choices import CHEAP, CONDITIONS, choose_arithmetic, choose_conditions
from convgrad_cli.verdict.examine import examine

SPEC = make_spec(in_channels=2, out_channels=3, input_size=(6, 5), kernel_size=(3, 2), batch_size=2, bias=True)


def failing(change, *names):
    """The conditions that fail or are refused for torch's answers changed by `change`."""
    target = Wrapped(change)
    found = examine(SPEC, operands_of(SPEC, "normal", torch.float32, 0), target, conditions=names)
    assert found.verdict in ("FAIL", "ERROR")
    return {tried.name: tried for tried in found.conditions if tried.tensors or tried.refused}


def spoiled(answer, name="weight"):
    return Answer(replace(answer.gradients, **{name: getattr(answer.gradients, name) + 1}))


@pytest.mark.parametrize("layout", ["channels_last", "sliced", "transposed"])
@pytest.mark.parametrize(("operand", "letter"), [("input", "x"), ("weight", "w"), ("grad_output", "g")])
def test_a_memory_format_that_is_read_wrong_is_named_with_its_operand(layout, operand, letter):
    def change(spec, operands, call, answer):
        return spoiled(answer) if call.layouts.get(operand) == layout else answer

    assert set(failing(change, layout)) == {f"{layout} {letter}"}


def test_a_stride_0_g_is_tried():
    found = failing(lambda s, o, call, a: spoiled(a) if "grad_output" in call.layouts else a, "stride-0")
    assert found["stride-0 g"].tensors == ("weight",)


def test_each_request_is_tried_and_named():
    found = failing(lambda s, o, call, a: spoiled(a, "input") if call.wanted == ("input",) else a, "masks")
    assert list(found) == ["only input asked for"]


def test_other_numbers_the_second_time_are_seen():
    calls = []

    def change(spec, operands, call, answer):
        calls.append(1)
        return spoiled(answer) if len(calls) % 2 else answer

    target = Wrapped(lambda s, o, c, a: a)
    examine(SPEC, operands_of(SPEC, "normal", torch.float32, 0), target)
    calls += [1] * (len(target.calls) % 2)
    found = failing_repeat(change, len(target.calls))
    assert "repeat" in found


def failing_repeat(change, before):
    """As `failing`, but wrong only from the call after `before` others on."""
    count = []

    def later(spec, operands, call, answer):
        count.append(1)
        return answer if len(count) <= before else change(spec, operands, call, answer)

    return failing(later, "repeat")


def test_a_state_left_by_another_shape_is_seen():
    shapes = []

    def change(spec, operands, call, answer):
        shapes.append(spec.batch_size)
        return spoiled(answer) if 1 in shapes and spec.batch_size == 2 else answer

    assert list(failing(change, "repeat")) == ["repeat after another shape"]


def test_writing_to_an_operand_is_named():
    found = failing(lambda s, o, c, a: Answer(a.gradients, changed=("grad_output",)), "inputs")
    assert found["operands untouched"].detail == "writes to grad_output"


def test_poisoned_buffers_show_through():
    def change(spec, operands, call, answer):
        if not call.poison:
            return answer
        return Answer(replace(answer.gradients, input=answer.gradients.input * float("nan")))

    assert failing(change, "poison")["buffers of NaN"].detail == "input has NaN or infinities"


def test_a_gradient_that_is_there_must_be_added_to():
    def change(spec, operands, call, answer):
        return TORCH.run(spec, operands) if call.accumulate else answer

    assert set(failing(change, "accumulate")["gradients already there"].tensors) == {"weight", "input", "bias"}


@pytest.mark.parametrize(("batch", "channels"), [(17, None), (None, 16)])
def test_sizes_around_a_block_are_tried(batch, channels):
    def change(spec, operands, call, answer):
        bad = spec.batch_size == batch if batch else spec.in_channels == channels and spec.groups == 1
        return spoiled(answer) if bad else answer

    assert list(failing(change, "sizes")) == [f"batch {batch}" if batch else f"{channels} channels a group"]


def test_what_raises_under_a_condition_is_an_error_there():
    def change(spec, operands, call, answer):
        if call.layouts.get("input") == "transposed":
            raise TargetError("mine.py::f raised ValueError: not contiguous")
        return answer

    assert failing(change, "transposed")["transposed x"].detail.endswith("not contiguous")


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])
def test_a_layout_changes_the_memory_and_no_number(layout):
    tensor = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    laid = lay_out(tensor, layout)
    assert torch.equal(laid, tensor)
    assert laid.is_contiguous() == (layout == "contiguous")


def test_conditions_are_chosen_by_name():
    assert choose_conditions(None) == CHEAP
    assert choose_conditions("all") == CONDITIONS
    assert choose_conditions("none") == ()
    assert choose_conditions("repeat, masks") == ("repeat", "masks")
    with pytest.raises(ConvGradError, match=r"--conditions 'repeats' is not one of .*; did you mean repeat\?"):
        choose_conditions("repeats")


def test_an_arithmetic_is_one_that_the_dtype_can_have():
    assert choose_arithmetic("tf32", "float32") == "tf32"
    with pytest.raises(ConvGradError, match="did you mean direct"):
        choose_arithmetic("dirct", "float32")
    with pytest.raises(ConvGradError, match="describes results of float16 or bfloat16; these are float32"):
        choose_arithmetic("short", "float32")
    with pytest.raises(ConvGradError, match="describes results of float32; these are float16"):
        choose_arithmetic("tf32", "float16")


def test_what_a_target_does_not_allow_is_said_and_not_dropped():
    operands = operands_of(SPEC, "normal", torch.float32, 0)
    target = Wrapped(lambda s, o, call, a: a, allows=frozenset())
    found = examine(SPEC, operands, target, conditions=CONDITIONS)
    assert [one.name for one in found.untried] == [
        "memory formats of x, w, g",
        "request masks",
        "poisoned buffers",
        "gradients that are there already",
        "groups of one channel",
    ]
    assert not any("stride-0" in one.name or "mask" in one.name for one in found.conditions)
    assert examine(SPEC, operands, Wrapped(lambda s, o, call, a: a), conditions=CONDITIONS).untried == ()


def test_a_single_gradient_has_no_request_masks():
    target = Wrapped(lambda s, o, call, a: Answer(Gradients(weight=a.gradients.weight)))
    found = examine(SPEC, operands_of(SPEC, "normal", torch.float32, 0), target, conditions=("masks",))
    assert found.conditions == ()
    assert [(one.name, one.untried) for one in found.untried] == [
        ("request masks", "one gradient alone is judged, so there is nothing to leave out")
    ]


def test_sizes_that_would_take_too_long_are_said(monkeypatch):
    monkeypatch.setattr("convgrad_cli.verdict.conditions.LARGEST", 10**4)
    target = Wrapped(lambda s, o, call, a: a)
    found = examine(SPEC, operands_of(SPEC, "normal", torch.float32, 0), target, conditions=("sizes",))
    assert [one.name for one in found.untried][-1] == "17 channels a group"
    assert not any("channels" in one.name for one in found.conditions)
