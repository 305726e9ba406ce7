"""The reference is exact: to 2^-98 of sum|t| for float64, to n roundings of float64 below; single elements entirely."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import prod

import pytest
import torch
from cases import CASES, random_specs
from distributions import operands_of
from oracle import definition, entries

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.bounds import term_counts
from convgrad_cli.verdict.reference import exact_element, magnitudes, part_of, part_of_magnitude, references

NAMES = ("output", "weight", "input", "bias")


def elements(spec, name):
    return list(product(*map(range, spec.shape_of(name))))


def exact_pair(spec, operands, name, index):
    """The element and its magnitude as fractions."""
    letters = operands.letters(spec)
    sizes = {letter: tensor.abs() for letter, tensor in letters.items()}
    return tuple(exact_element(spec, numbers, name, index) for numbers in (letters, sizes))


@pytest.mark.parametrize("kind", ["normal", "wide range", "constant"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_reference_errs_by_no_more_than_it_says(dtype, kind):
    for seed, spec in enumerate(random_specs(7, 12)):
        operands = operands_of(spec, kind, dtype, seed)
        names = [name for name in NAMES if spec.bias or name != "bias"]
        for name, found in references(spec, operands, names).items():
            counts = term_counts(spec, name).expand(found.value.shape)
            for index in elements(spec, name)[:: max(1, found.value.numel() // 40)]:
                exact, size = exact_pair(spec, operands, name, index)
                low = 0.0 if found.low is None else float(found.low[index])
                off = abs(Fraction(float(found.value[index])) + Fraction(low) - exact)
                assert off <= Fraction(found.roundoff) * int(counts[index]) * size


def test_the_reference_of_float64_is_better_than_float64():
    spec = next(random_specs(3, 1))
    operands = operands_of(spec, "normal", torch.float64, 0)
    pair = references(spec, operands, ["weight"])["weight"]
    assert pair.low is not None
    assert bool(pair.low.any())


@pytest.mark.parametrize("case", CASES[:8], ids=str)
def test_an_exact_element_is_the_sum_of_its_terms(case):
    spec = case.spec
    operands = operands_of(spec, "normal", torch.float32, 1)
    given = (operands.input, operands.weight, operands.bias, operands.grad_output)
    expected = definition(spec, *(None if tensor is None else entries(tensor.double()) for tensor in given))
    for name, numbers in expected.items():
        for index, number in list(numbers.items())[:20]:
            exact, size = exact_pair(spec, operands, name, index)
            assert float(exact) == pytest.approx(number, abs=1e-12 * float(size) + 1e-300)


@pytest.mark.parametrize("count", [1, 4, 64])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_a_part_of_the_magnitude_is_no_more_than_the_whole(dtype, count):
    for seed, small in enumerate(random_specs(11, 60)):
        for spec in (small, replace(small, in_channels=8 * small.in_channels, out_channels=8 * small.out_channels)):
            operands = operands_of(spec, "log-normal", dtype, seed)
            for name in NAMES if spec.bias else NAMES[:3]:
                whole = magnitudes(spec, operands, (name,))[name].flatten()
                part = part_of_magnitude(spec, operands, name, torch.arange(len(whole)), count)
                assert bool((part <= whole).all())
                met = (term_counts(replace(spec, bias=False), name) > 0).expand(spec.shape_of(name)).flatten()
                # Every axis that meets anything has a term; with padding copied, at the entry itself it may have none.
                assert name == "bias" or spec.has_padded_input or bool((part[met] > 0).all())


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, {"weight": 2, "input": 2, "output": 2}),
        # All channels at one tap; but for the weight's gradient placements, which there are many of.
        (64, {"weight": 64, "input": 3, "output": 2}),
        (256, {"weight": 256, "input": 3, "output": 2}),
    ],
)
def test_a_few_terms_of_an_element_are_its_own(count, expected):
    spec = make_spec(
        in_channels=2, out_channels=3, input_size=(33, 21), kernel_size=3, stride=2, padding=1, batch_size=2
    )
    ones = Operands(
        *(torch.ones(spec.shape_of(name)) for name in ("input", "weight")), None, torch.ones(spec.output_shape)
    )
    every = {name: torch.arange(prod(spec.shape_of(name))) for name in NAMES[:3]}
    few = {name: part_of_magnitude(spec, ones, name, flat, count) for name, flat in every.items()}
    assert {name: round(float(part.min()), 6) for name, part in few.items()} == expected
    assert {name: round(float(part.max()), 6) for name, part in few.items()} == expected


def test_a_part_of_a_layer_gives_the_same_elements():
    for seed, spec in enumerate(random_specs(5, 40)):
        operands = operands_of(spec, "normal", torch.float64, seed)
        some, given = part_of(spec, operands, in_channels=slice(1), out_channels=slice(1))
        whole = references(spec, operands, ["weight"])["weight"].value
        assert torch.allclose(references(some, given, ["weight"])["weight"].value, whole[:1, :1], rtol=1e-13)


def test_tiny_and_huge_numbers_neither_vanish_nor_overflow():
    spec = next(spec for spec in random_specs(1, 50) if spec.bias and spec.batch_size == 2)
    for scale in (1e-200, 1e100):
        operands = operands_of(spec, "normal", torch.float64, 0)
        operands = type(operands)(operands.input * scale, operands.weight, operands.bias, operands.grad_output)
        found = references(spec, operands, ["weight"])["weight"]
        for index in elements(spec, "weight")[:10]:
            exact, size = exact_pair(spec, operands, "weight", index)
            assert abs(Fraction(float(found.value[index])) - exact) <= Fraction(2) ** -52 * size
