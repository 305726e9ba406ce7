"""Certificates: what is proved right or wrong on the real data, at the border too, and for what overflows."""

from __future__ import annotations

import pytest
import torch
from cases import random_specs
from distributions import operands_of

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict import certify, reference
from convgrad_cli.verdict.bounds import ARITHMETICS, ROUNDOFF, term_counts
from convgrad_cli.verdict.certify import Certificate
from convgrad_cli.verdict.reference import magnitudes, references

DIRECT = ARITHMETICS["direct"]
ONE = make_spec(input_size=1, kernel_size=1, dims=1)


def certificate(spec, operands, name, actual):
    return Certificate(spec, operands, name, actual, references(spec, operands, [name])[name])


def rounded(spec, operands, name):
    """The exact tensor rounded once."""
    exact = by_hand(spec, operands.map(lambda t: t.double()), (name,)).named()[name]
    return exact.to(operands.input.dtype)


@pytest.mark.parametrize("cheap", [0, 10**9])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rounded_once_is_right_and_the_bound_decides(dtype, cheap, monkeypatch):
    monkeypatch.setattr(reference, "CHEAP", cheap)
    monkeypatch.setattr(certify, "FEW", 3)
    for seed, spec in enumerate(random_specs(21, 12)):
        operands = operands_of(spec, "normal", dtype, seed)
        for name in ("weight", "input"):
            actual = rounded(spec, operands, name)
            right = certificate(spec, operands, name, actual)
            assert not len(right.wrong(DIRECT))
            if dtype != torch.float64:
                assert right.narrowest() == "exact"
            # Half a bound more is still right, two bounds more are not.
            size, count = magnitudes(spec, operands, (name,))[name], term_counts(spec, name).expand(actual.shape)
            bound = count * ROUNDOFF[torch.float64 if dtype == torch.float64 else torch.float32] * size
            bound = bound + (ROUNDOFF[dtype] * actual.double().abs() if dtype.itemsize == 2 else 0)
            exact = references(spec, operands, [name])[name].value
            for times, wrong in ((0.5, False), (2.0, True)):
                shifted = certificate(spec, operands, name, exact + times * bound)
                found = shifted.mask(DIRECT)
                decided = (bound > 0) & (bound * times > 4 * ROUNDOFF[torch.float64] * exact.abs())
                assert bool((found[decided] == wrong).all())


def test_what_overflows_float32_is_no_small_number():
    operands = Operands(torch.full((1, 1, 1), 1e25), torch.ones(1, 1, 1), None, torch.full((1, 1, 1), 1e20))
    for actual, wrong in ((1.0, [0]), (float("inf"), [])):
        found = certificate(ONE, operands, "weight", torch.full((1, 1, 1), actual))
        assert found.wrong(DIRECT).tolist() == wrong


def test_what_lies_on_the_border_is_settled_exactly():
    # x * w = 1 + 2^-24 + 2^-47 + ..., half way between two float32 numbers and a little more: down is wrong, up right.
    x, w = torch.tensor([[[1 + 2.0**-12]]]), torch.tensor([[[1 + 2.0**-12]]])
    operands = Operands(x, w, None, torch.ones(1, 1, 1))
    exact = (1 + 2.0**-12) ** 2  # 1 + 2^-11 + 2^-24: a tie
    below, above = torch.tensor([[[1 + 2.0**-11]]]), torch.tensor([[[1 + 2.0**-11 + 2.0**-23]]])
    assert float(below) < exact < float(above)
    for actual in (below, above):
        assert not len(certificate(ONE, operands, "output", actual).wrong(ARITHMETICS["exact"]))
    further = torch.nextafter(above, torch.tensor(2.0))
    assert certificate(ONE, operands, "output", further).wrong(ARITHMETICS["exact"]).tolist() == [0]


@pytest.mark.parametrize(
    ("value", "actual", "wrong"),
    [
        (300.0, float("inf"), False),
        (300.0, float("-inf"), True),
        (300.0, float("nan"), True),
        (100.0, float("inf"), True),
        (-300.0, float("-inf"), False),
    ],
)
def test_an_infinity_is_right_only_where_the_value_leaves_the_range(value, actual, wrong):
    operands = Operands(*(torch.full((1, 1, 1), v).half() for v in (value, 300.0)), None, torch.ones(1, 1, 1).half())
    found = certificate(ONE, operands, "output", torch.full((1, 1, 1), actual).half())
    assert len(found.wrong(DIRECT)) == wrong


@pytest.mark.parametrize(("name", "bits"), [("tf32", 11), ("bf16", 8)])
def test_rounded_operands_are_explained_by_their_arithmetic(name, bits):
    spec = make_spec(in_channels=3, out_channels=4, input_size=4, kernel_size=3)  # short sums hide nothing
    operands = operands_of(spec, "normal", torch.float32, 0)

    def short(tensor):
        fraction, exponent = torch.frexp(tensor)
        return torch.ldexp((fraction * 2**bits).round() / 2**bits, exponent)

    found = certificate(spec, operands, "weight", rounded(spec, operands.map(short), "weight"))
    assert len(found.wrong(DIRECT))
    assert not len(found.wrong(ARITHMETICS[name]))
    assert found.narrowest() == name


def test_the_worst_elements_come_first_with_their_bits():
    spec = make_spec(in_channels=2, out_channels=2, input_size=6, kernel_size=3)
    operands = operands_of(spec, "normal", torch.float32, 0)
    actual = rounded(spec, operands, "weight")
    actual[1, 0, 2, 1] += 1
    actual[0, 1, 0, 0] += 100
    worst = certificate(spec, operands, "weight", actual).worst(DIRECT, 3)
    assert [at.index for at in worst] == [(0, 1, 0, 0), (1, 0, 2, 1)]
    assert worst[0].ratio > worst[1].ratio > 1
    assert worst[0].bits < worst[1].bits < 10
    assert worst[1].error == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "powers",
    [(-310, 0, 0), (0, -310, 0), (0, 0, -310), (-155, -155, -155), (-160, -160, -160), (-323, 0, 0), (300, 0, 0),
     (-300, 300, 0), (150, 100, -300), (300, -310, 0), (-310, -10, 300)],
)  # fmt: skip
def test_float64_is_judged_as_far_as_its_range_goes(powers):
    spec = make_spec(in_channels=2, out_channels=3, input_size=6, kernel_size=3, batch_size=2)
    torch.manual_seed(1)
    x, w, g = (torch.randn(spec.shape_of(name), dtype=torch.float64) for name in ("input", "weight", "output"))
    # A power of 10 that small is no float64, but numbers times it are.
    x, w, g = (t * 10.0 ** (p // 2) * 10.0 ** (p - p // 2) for t, p in zip((x, w, g), powers, strict=True))
    operands = Operands(x, w, None, g)
    for name, actual in autograd(spec, operands).named().items():
        right = certificate(spec, operands, name, actual)
        assert not len(right.wrong(DIRECT)), name
        # Beside the numbers the smallest of float64 says when one is off.
        off = 2.0**-20 * right.exact.abs() + 1000 * 5e-324
        wrong = certificate(spec, operands, name, actual + off)
        assert len(wrong.wrong(DIRECT)) == actual.numel(), name


@pytest.mark.parametrize(("dtype", "slack"), [(torch.float32, 2.0**-24), (torch.bfloat16, 0.0)])
def test_the_largest_error_is_found_in_whichever_block_it_lies(dtype, slack):
    """Where all is right: as near as float32 tells it; and an infinity that is right has none."""
    spec = make_spec(in_channels=4, out_channels=4, input_size=(250, 200), kernel_size=3, padding=1)
    operands = operands_of(spec, "normal", dtype, 0)
    exact, size = by_hand(spec, operands, ("input",)).input, magnitudes(spec, operands, ("input",))["input"]
    bound = 36 * ROUNDOFF[torch.float32] * size + (dtype.itemsize == 2) * ROUNDOFF[dtype] * exact.abs()
    for place in ((0, 0, 0, 0), (0, 2, 100, 100), (0, 3, 249, 199)):
        actual = exact.clone()
        actual[place] += 0.9 * bound[place]
        actual = actual.float() if dtype == torch.float32 else actual
        error = (actual.double() - exact).abs()
        [worst] = certificate(spec, operands, "input", actual).worst(DIRECT, 1)
        assert worst.error >= float(error.max() - slack * exact.abs().max())
        assert worst.error == float(error[worst.index]) > 0
    huge = operands.map(lambda t: t.double() * 1e19).map(torch.Tensor.float)
    actual = by_hand(spec, huge, ("input",)).input.float()
    [worst] = certificate(spec, huge, "input", actual).worst(DIRECT, 1)
    assert bool(actual.isinf().any())
    assert bool(actual[worst.index].isfinite())
    assert 0 < worst.ratio < 1


@pytest.mark.parametrize("transposed", [False, True])
def test_elements_that_nothing_meets_are_decided_at_once_in_float64(monkeypatch, transposed):
    def never(*given):
        raise AssertionError("0 is 0 without any exact sum")

    spec = make_spec(input_size=9, kernel_size=1, stride=3, transposed=transposed)
    numbers = (torch.randn(spec.shape_of(name), dtype=torch.float64) for name in ("input", "weight"))
    operands = Operands(*numbers, None, torch.randn(spec.output_shape, dtype=torch.float64))
    monkeypatch.setattr("convgrad_cli.verdict.certify.exact_element", never)
    name = "output" if transposed else "input"
    right = references(spec, operands, [name])[name]
    actual = autograd(spec, operands).named()[name].detach()
    assert int((actual == 0).sum()) >= 60
    assert not len(Certificate(spec, operands, name, actual, right).wrong(ARITHMETICS["direct"]))
    actual = actual.clone()
    actual.view(-1)[int((actual == 0).flatten().nonzero()[0])] = 5e-324
    assert len(Certificate(spec, operands, name, actual, right).wrong(ARITHMETICS["direct"])) == 1
