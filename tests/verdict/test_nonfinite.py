"""Where NaN and infinities come from: every cause, and what each entry reaches, against what torch made of it."""

from __future__ import annotations

from itertools import product as every
from math import inf, isfinite, nan

import pytest
import torch
from cases import CASES, integer_operands

from convgrad_cli.commands.nonfinite import nonfinite
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.nonfinite import KINDS, cause_of, first_odd

SPECS = [case.spec for case in CASES if case.spec.macs < 3000]
F16, F32, F64 = torch.float16, torch.float32, torch.float64

CAUSES = [
    ("nan", F32, [1.0, nan], [1.0, 1.0]),
    ("inf * 0", F32, [1.0, inf], [1.0, 0.0]),
    ("inf - inf", F32, [inf, inf], [1.0, -1.0]),
    ("inf", F32, [1.0, -inf], [1.0, 1.0]),
    ("term", F32, [1.0, 1e30], [1.0, 1e30]),
    ("term", F64, [1.0, 1e200], [1.0, 1e200]),
    ("sum", F32, [3e38, 3e38], [1.0, 1.0]),
    ("cast", F16, [4e4, 4e4], [1.0, 1.0]),
    ("partial", F16, [6e4, 6e4, 6e4], [1.0, 1.0, -1.0]),
    ("mixed", F32, [1.0, 2.0], [1.0, 1.0]),
]


@pytest.mark.parametrize(("kind", "dtype", "x", "w"), CAUSES)
def test_every_cause_is_told_from_the_others(kind, dtype, x, w):
    spec = make_spec(dims=1, input_size=len(x), kernel_size=len(w))
    letters = {"x": torch.tensor([[x]], dtype=dtype), "w": torch.tensor([[w]], dtype=dtype)}
    assert cause_of(formula(spec, "output", (0, 0, 0)), letters, dtype).kind == kind
    assert {kind for kind, *_ in CAUSES} == set(KINDS)


@pytest.mark.parametrize("operand", ["input", "weight", "grad_output"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.layer_text()} on {spec.input_shape}")
def test_what_a_nan_reaches_is_what_is_nan(spec, operand):
    """One NaN: by the terms, exactly the elements that it is said to reach are not finite, and none else."""
    operands = integer_operands(spec)
    tensor = getattr(operands, operand).clone()
    index = tuple(n // 2 for n in tensor.shape)
    tensor[index] = nan
    given = Operands(**{**vars(operands), operand: tensor, "ones": False})
    results = by_hand(spec, given).named()
    found = nonfinite(spec, given, results)
    assert found is not None
    [entry] = found.entries
    assert (entry.operand, entry.index) == (operand, index)
    there = {f"grad_{name}".replace("grad_output", "output"): int(t.isnan().sum()) for name, t in results.items()}
    assert {one.tensor: one.elements for one in entry.reaches} == {name: n for name, n in there.items() if n}
    counted = {}
    for one in found.elements:
        counted[one.tensor] = counted.get(one.tensor, 0) + one.count
        assert one.cause == "nan"
    assert counted == {name: n for name, n in there.items() if n}


def test_all_finite_is_nothing_to_tell():
    spec = make_spec(input_size=4, kernel_size=2, bias=True)
    operands = integer_operands(spec)
    assert nonfinite(spec, operands, autograd(spec, operands).named()) is None


def test_many_are_counted_and_few_are_told():
    spec = make_spec(dims=1, input_size=3000, kernel_size=2)
    x = torch.full((1, 1, 3000), nan)
    x[0, 0, ::2] = inf
    operands = Operands(x, torch.ones(1, 1, 2), None, torch.ones(1, 1, 2999))
    found = nonfinite(spec, operands, autograd(spec, operands).named())
    assert found.counts == (("input", 1500, 1500, 3000),)
    assert [entry.index[-1] for entry in found.entries] == [0, 1, 2]
    rest = [one for one in found.elements if not one.cause]
    assert [(one.tensor, one.count) for one in rest] == [("output", 2999 - 256)]


def test_the_first_odd_entries_are_found_in_their_order():
    tensor = torch.zeros(2, 3)
    tensor[1, 2], tensor[0, 1], tensor[1, 0] = nan, -inf, inf
    assert first_odd(tensor, 2) == (1, 2, [(0, 1), (1, 0)])
    assert first_odd(torch.tensor([3e38, 3e38]), 2) == (0, 0, [])
    assert first_odd(torch.tensor([1.7e308, 1.7e308], dtype=F64), 2) == (0, 0, [])


def test_an_element_is_not_finite_only_where_a_cause_is_found():
    """Infinities and zeros at random: torch's float64 and the cause agree on every element."""
    spec = make_spec(in_channels=2, out_channels=3, input_size=(5, 4), kernel_size=(3, 2), padding=1, batch_size=2)
    generator = torch.Generator().manual_seed(0)

    def some(shape):
        values = torch.tensor([0.0, 0.0, 1.0, -1.0, 2.0, -3.0, 5.0, 1.0, 2.0, -2.0, inf, -inf], dtype=F64)
        return values[torch.randint(len(values), shape, generator=generator)]

    operands = Operands(some(spec.input_shape), some(spec.weight_shape), None, some(spec.output_shape))
    kinds = set()
    letters = operands.letters(spec)
    for name, tensor in by_hand(spec, operands).named().items():
        for index in every(*map(range, tensor.shape)):
            value = float(tensor[index])
            cause = cause_of(formula(spec, name, index), letters, F64)
            assert isfinite(value) == (cause.kind == "mixed")
            assert (value in (inf, -inf)) == (cause.kind == "inf")
            kinds.add(cause.kind)
    assert kinds == {"mixed", "inf", "inf - inf", "inf * 0"}
