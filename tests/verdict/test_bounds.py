"""The bounds say what the table of arithmetics says, and hold for sums that are really computed so."""

from __future__ import annotations

import pytest
import torch

from convgrad_cli.verdict.bounds import ARITHMETICS, ROUNDOFF, UNDERFLOW, Sums, arithmetics_of
from convgrad_cli.verdict.choices import ARITHMETIC_NAMES

N, S, R, T = 100.0, 7.0, 3.0, 4
U, H = 2.0**-24, 2.0**-11  # float32, float16
ETA, ETA_H = 2.0**-150, 2.0**-25
A = N * U * S + N * ETA
EXPECTED = {
    ("exact", torch.float32): U * R + ETA,
    ("direct", torch.float32): A,
    ("direct", torch.float16): A + H * (R + A) + ETA_H,
    ("partial", torch.float16): (N * U + (T + 1) * H * (1 + T * H)) * S + N * ETA + (T + 1) * ETA_H,
    ("short", torch.float16): N * H * S + N * ETA_H,
    ("tf32", torch.float32): ((1 + 2**-10) ** 2 * (1 + N * U) - 1) * S + U * R + ETA,
    ("bf16", torch.float32): ((1 + 2**-8) ** 2 * (1 + N * U) - 1) * S + U * R + ETA,
}


@pytest.mark.parametrize(("name", "dtype"), EXPECTED)
def test_a_bound_is_that_of_its_arithmetic(name, dtype):
    n, s, r = (torch.tensor([value], dtype=torch.float64) for value in (N, S, R))
    found = ARITHMETICS[name].bound(Sums(n, T), dtype).at(s, -r)
    assert float(found) == pytest.approx(EXPECTED[name, dtype], rel=1e-14)


def test_the_bias_gradient_rounds_its_operand_once():
    n, s = torch.tensor([N], dtype=torch.float64), torch.tensor([S], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    found = ARITHMETICS["tf32"].bound(Sums(n, products=False), torch.float32).at(s, zero)
    assert float(found) == pytest.approx((2**-10 + N * U) * S + ETA, rel=1e-14)


def test_the_arithmetics_are_those_that_can_be_asked_for_and_ordered_by_their_bounds():
    assert tuple(ARITHMETICS) == ARITHMETIC_NAMES
    one = torch.ones(1, dtype=torch.float64)
    for dtype in ROUNDOFF:
        bounds = [float(a.bound(Sums(one * 50, 2), dtype).at(one * 9, one)) for a in arithmetics_of(dtype)]
        assert bounds == sorted(bounds), dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_sums_kept_in_a_dtype_stay_within_its_bound_and_leave_the_one_below(dtype):
    generator = torch.Generator().manual_seed(0)
    n, rows = 200, 300
    terms = torch.randn(rows, n, generator=generator, dtype=torch.float64).to(dtype)
    total = torch.zeros(rows, dtype=dtype)
    for column in terms.unbind(1):
        total = total + column
    error = (total.double() - terms.double().sum(1)).abs()
    size, count = terms.double().abs().sum(1), torch.full((rows,), float(n), dtype=torch.float64)
    name = "direct" if dtype == torch.float32 else "short"
    exact = terms.double().sum(1)
    assert bool((error <= ARITHMETICS[name].bound(Sums(count), dtype).at(size, exact)).all())
    narrower = ARITHMETICS["exact" if dtype == torch.float32 else "direct"]
    assert bool((error > narrower.bound(Sums(count), dtype).at(size, exact)).any())


@pytest.mark.parametrize("dtype", ROUNDOFF)
def test_the_formats_are_those_of_torch(dtype):
    info = torch.finfo(dtype)
    assert ROUNDOFF[dtype] == info.eps / 2
    smallest = info.smallest_normal * info.eps
    assert UNDERFLOW[dtype] == (smallest if dtype == torch.float64 else smallest / 2)  # half of it is no float64
