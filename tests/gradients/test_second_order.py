"""Gradients of gradients by three independent routes, nested loops, autograd and slices; and the sums that are told."""

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import product as every

import pytest
import torch
from cases import CASES, integer_operands, random_specs
from oracle import definition, entries

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients.autograd import autograd as by_autograd
from convgrad_cli.gradients.autograd import forward
from convgrad_cli.gradients.by_hand import element
from convgrad_cli.gradients.second_order import apart, by_parts, parts, side_by_side
from convgrad_cli.tensors.operands import Operands

TENSORS = ["grad_output", "weight", "input"]
SEEDS, LAYERS, ELEMENTS = range(4), 100, 60


def second_order_operands(spec: ConvSpec, seed: int, *, ones: bool = False) -> Operands:
    operands = integer_operands(spec, 2 * seed, ones=ones)
    others = integer_operands(spec, 2 * seed + 1)
    return replace(operands, cotangents=replace(others, grad_output=operands.grad_output, ones=ones))


def by_hand(spec: ConvSpec, operands: Operands) -> dict[str, torch.Tensor]:
    return by_parts(parts(spec, operands), lambda share: None)


def loops(spec: ConvSpec, operands: Operands) -> dict[str, torch.Tensor]:
    """The definition, differentiated by hand: S is linear in g, in x and ggx together, and in w and ggw together.

    dS/dg is the derivative of y along the cotangents, which for what is bilinear is y(x + ggx, w + ggw) - y(x, w) -
    y(ggx, ggw) with every bias that it holds; dS/dx and dS/dw are those of L with the other's cotangent.
    """
    second, g = operands.cotangents, entries(operands.grad_output)

    def at(x, w, b):
        return definition(spec, entries(x), entries(w), None if b is None else entries(b), g)

    x, w, b = operands.input, operands.weight, operands.bias
    zero = None if b is None else torch.zeros_like(b)
    both = at(x + second.input, w + second.weight, second.bias)["output"]
    alone, along = at(x, w, zero)["output"], at(second.input, second.weight, zero)["output"]
    found = {
        "grad_output": {index: both[index] - alone[index] - along[index] for index in both},
        "weight": at(second.input, w, b)["weight"],
        "input": at(x, second.weight, b)["input"],
    }
    return {
        name: torch.tensor(list(numbers.values()), dtype=torch.float64).view(spec.shape_of(name))
        for name, numbers in found.items()
    }


def by_create_graph(spec: ConvSpec, operands: Operands) -> dict[str, torch.Tensor]:
    """What a user of torch writes."""
    x, w, g = (t.clone().requires_grad_() for t in (operands.input, operands.weight, operands.grad_output))
    b = None if operands.bias is None else operands.bias.clone().requires_grad_()
    leaves = [leaf for leaf in (x, w, b) if leaf is not None]
    first = torch.autograd.grad(forward(spec, x, w, b), leaves, g, create_graph=True)
    second = operands.cotangents
    along = [t for t in (second.input, second.weight, second.bias) if t is not None]
    total = sum((one * grad).sum() for one, grad in zip(along, first, strict=True))
    return dict(zip(TENSORS, torch.autograd.grad(total, (g, w, x)), strict=True))


@pytest.mark.parametrize("ones", [False, True], ids=["g", "ones"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_loops_autograd_and_slices_agree_bit_for_bit(case, ones):
    spec, operands = case.spec, second_order_operands(case.spec, 0, ones=ones)
    expected = loops(spec, operands)
    for route in (by_hand(spec, operands), by_autograd(spec, operands).named(), by_create_graph(spec, operands)):
        assert list(route) == TENSORS
        for name, value in route.items():
            assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("seed", SEEDS)
def test_every_expression_evaluates_to_its_element(seed):
    draw, checked = random.Random(seed), Counter()
    for number, spec in enumerate(random_specs(100 + seed, LAYERS)):
        operands = second_order_operands(spec, number, ones=number % 2 == 0)
        letters = operands.letters(spec)
        # b has no part in any of them, and g none where it is all ones.
        namespace = {k: t for k, t in letters.items() if k != "b" and not (operands.ones and k == "g")}
        expected = by_create_graph(spec, operands)
        assert_same(by_hand(spec, operands), expected)
        assert_same(by_autograd(spec, operands).named(), expected)
        if number % 10 == 0:
            assert_same(loops(spec, operands), expected)
        elements = [(name, index) for name in TENSORS for index in every(*map(range, spec.shape_of(name)))]
        for name, index in draw.sample(elements, min(ELEMENTS, len(elements))):
            found = formula(spec, name, index, ones=operands.ones, second_order=True)
            evaluated = torch.as_tensor(eval(str(found), {"__builtins__": {}}, namespace))
            assert evaluated.shape == (), (spec, name, index, str(found))
            assert float(evaluated) == float(expected[name][index]), (spec, name, index, str(found))
            assert element(found, letters) == float(expected[name][index])
            assert found.products or found.reason
            checked[name, spec.transposed, spec.has_padded_input] += 1
    kinds = [(name, *kind) for name in TENSORS for kind in ((False, False), (False, True), (True, False))]
    assert min(checked[kind] for kind in kinds) > 50, checked


def assert_same(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name


def test_what_is_put_side_by_side_comes_apart_again():
    for seed, spec in enumerate(random_specs(9, 50)):
        operands = second_order_operands(spec, seed)
        wide, both = side_by_side(spec, operands)
        assert (wide.in_channels, wide.output_shape) == (2 * spec.in_channels, spec.output_shape)
        assert both.input.shape == wide.input_shape
        assert both.weight.shape == wide.weight_shape
        narrow, found = apart(wide, both, operands.bias)
        assert narrow == spec
        expected = operands.letters(spec)
        assert found.letters(spec).keys() == expected.keys()
        assert all(torch.equal(tensor, expected[letter]) for letter, tensor in found.letters(spec).items())


def test_there_is_no_second_order_of_what_has_none():
    spec = make_spec(bias=True)
    for operand in ("bias", "output"):
        with pytest.raises(SpecError, match=f"^{operand} has no gradient of the second order; grad_output, weight and"):
            formula(spec, operand, (0, 0, 0, 0)[: len(spec.shape_of(operand))], second_order=True)
    with pytest.raises(SpecError, match="is outside"):
        formula(spec, "grad_output", (0, 0, 2, 2), second_order=True)
    with pytest.raises(SpecError, match="has no formula"):
        formula(spec, "grad_output", (0, 0, 0, 0))
    assert str(formula(spec, "g", (0, 0, 1, 1), second_order=True)) == (
        "(ggx[0,:,1:3,1:3] * w[0,:,0:2,0:2]).sum() + (x[0,:,1:3,1:3] * ggw[0,:,0:2,0:2]).sum() + ggb[0]"
    )


def test_the_value_of_s_is_how_the_loss_changes():
    spec = make_spec(in_channels=2, out_channels=3, input_size=5, kernel_size=3, stride=2, padding=1, bias=True)
    operands = second_order_operands(spec, 3)
    second, g = operands.cotangents, operands.grad_output
    found = by_autograd(spec, operands).grad_output

    def loss(step: float) -> float:
        moved = [getattr(operands, n) + step * getattr(second, n) for n in ("input", "weight", "bias")]
        return float((forward(spec, *moved) * g).sum())

    # The loss is quadratic along the step, so that central differences are exact.
    assert math.isclose((loss(1.0) - loss(-1.0)) / 2, float((found * g).sum()), rel_tol=0)
