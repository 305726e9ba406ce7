"""Probes: their certificates are true, torch passes them bit for bit, and they could have failed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cases import CASES, random_specs
from targets import TORCH

from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.verdict.bounds import ARITHMETICS, BITS, term_counts
from convgrad_cli.verdict.probes import (
    digits_probes,
    impulse_probes,
    logic_probes,
    single_digits_probes,
    sums_probes,
)

DIRECT = ARITHMETICS["direct"]
KINDS = {
    "sums": sums_probes,
    "logic": logic_probes,
    "digits": digits_probes,
    "single digits": single_digits_probes,
    "impulse": impulse_probes,
}
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
SPECS = [case.spec for case in CASES] + list(random_specs(17, 25))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_probe_certifies_is_exact(kind, dtype):
    """On the operands in float64, sums of integers are right, and single terms have no second beside them."""
    for seed, spec in enumerate(SPECS):
        for probe in KINDS[kind](spec, dtype, DIRECT, seed):
            wide = probe.operands.map(lambda t: t.double())
            first = slice(1) if probe.first and spec.batch_size is not None else slice(None)
            names = [name for name in probe.proves if name != "bias" or spec.bias]
            exact, sizes = by_hand(spec, wide).named(), by_hand(spec, wide.map(torch.abs)).named()
            counts = by_hand(spec, wide.map(lambda t: (t != 0).double())).named()
            for name, (value, certified) in probe.expected(spec, names).items():
                sure = torch.ones_like(value, dtype=torch.bool) if certified is None else certified
                of = first if name in ("output", "input") else slice(None)
                if probe.name in ("digits", "impulse"):
                    assert int(counts[name][of][sure].max() if sure.any() else 0) <= 1
                    assert torch.equal(value[sure].to(dtype).double(), exact[name][of][sure].to(dtype).double())
                else:
                    limit = 2 ** min(BITS[dtype] if probe.name == "logic" else 99, 24 if dtype != torch.float64 else 53)
                    assert float(sizes[name][of][sure].max() if sure.any() else 0) <= limit
                    assert torch.equal(value[sure].double(), exact[name][of][sure])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_torch_is_exact(kind, dtype):
    for seed, spec in enumerate(SPECS):
        for probe in KINDS[kind](spec, dtype, DIRECT, seed):
            actual = TORCH.run(spec, probe.operands).gradients.named()
            for name, (value, certified) in probe.expected(spec, [n for n in probe.proves if n in actual]).items():
                same = actual[name][: len(value)] == value.to(dtype)
                assert bool((same if certified is None else same | ~certified).all()), (spec, name)


def test_dense_integers_have_no_zero_and_thinned_ones_keep_their_promise():
    short = make_spec(in_channels=2, out_channels=2, input_size=5, kernel_size=2)
    [probe] = logic_probes(short, torch.float32, DIRECT, 0)
    assert probe.certificate == "always"
    assert not bool((probe.operands.input == 0).any())
    long = make_spec(in_channels=64, out_channels=8, input_size=32, kernel_size=3, batch_size=4, bias=True)
    found = list(logic_probes(long, torch.bfloat16, DIRECT, 0))
    assert {name for probe in found for name in probe.proves} == {"output", "weight", "input", "bias"}
    for probe in found:
        for name, (value, certified) in probe.expected(long, probe.proves).items():
            assert float(certified.double().mean()) > 0.95, name
            assert float((value != 0).double().mean()) > 0.3, name


def test_totals_come_close_to_what_the_accumulator_holds():
    spec = make_spec(in_channels=4, out_channels=4, input_size=12, kernel_size=3, batch_size=2)
    [probe] = sums_probes(spec, torch.float32, DIRECT, 0)
    largest = {name: float(value.max()) for name, (value, _) in probe.expected(spec, ("weight", "input")).items()}
    assert all(2**22 < value <= 2**24 for value in largest.values()), largest


def test_no_total_passes_what_the_accumulator_holds():
    for seed, spec in enumerate(SPECS):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            for probe in sums_probes(spec, dtype, DIRECT, seed):
                positive = replace(probe, operands=probe.operands.map(torch.abs))
                for name, (value, certified) in positive.expected(spec, probe.proves).items():
                    assert certified is None
                    most = 65504 if dtype == torch.float16 and probe.name == "sums" else 2**24
                    assert float(value.max()) <= most, (spec, name)


def test_all_digits_are_there():
    spec = make_spec(in_channels=4, out_channels=4, input_size=9, kernel_size=3, stride=2, batch_size=2)
    for dtype, bits in BITS.items():
        first, _ = digits_probes(spec, dtype, DIRECT, 0)
        fraction, _ = torch.frexp(first.operands.grad_output.double())
        assert bool(((fraction.abs() * 2**bits) % 2 == 1).all())


def test_operands_of_fewer_bits_are_probed_with_so_many():
    spec = make_spec(in_channels=4, out_channels=4, input_size=9, kernel_size=3)
    first, _ = digits_probes(spec, torch.float32, ARITHMETICS["tf32"], 0)
    fraction, _ = torch.frexp(first.operands.grad_output)
    assert bool(((fraction.abs() * 2**11) % 2 == 1).all())


def test_a_tap_that_meets_something_has_its_digits_probed():
    spec = make_spec(in_channels=3, out_channels=5, input_size=13, kernel_size=3, stride=2, padding=1, batch_size=2)
    first, second = digits_probes(spec, torch.float32, DIRECT, 0)
    weight, _ = first.expected(spec, ("weight",))["weight"]
    met = (term_counts(spec, "weight") > 0).expand(weight.shape)
    assert float((weight[met] != 0).double().mean()) > 0.9
    output, _ = second.expected(spec, ("output",))["output"]
    assert float((output != 0).double().mean()) > 0.6


def test_every_digit_that_is_asked_for_singly_is_seen_to_be_missing():
    """Operands of one bit less change every certified number that is not 0."""
    for seed, spec in enumerate(SPECS):
        for probe in single_digits_probes(spec, torch.float32, DIRECT, seed):

            def shorter(tensor):
                fraction, exponent = torch.frexp(tensor)
                return torch.ldexp((fraction * 2**23).round() / 2**23, exponent)

            right = probe.expected(spec, probe.proves)
            rounded = replace(probe, operands=probe.operands.map(shorter)).expected(spec, probe.proves)
            for name, (value, _) in right.items():
                if name != "bias" or bool((probe.operands.grad_output.abs() != 1).any()):
                    other = rounded[name][0]
                    digits = (value != 0) & (value.abs() != 1)
                    assert bool((value[digits] != other[digits]).all()), (spec, name)
