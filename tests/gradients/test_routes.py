"""Three independent routes to every number, nested loops, autograd and slices, and where each must hold alone."""

import ast
import math
from inspect import getsource
from itertools import combinations

import cases
import pytest
import torch
from cases import CASES, integer_operands, random_specs
from hypothesis import HealthCheck, given, settings
from oracle import definition, entries
from torch.utils._python_dispatch import TorchDispatchMode

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients import by_hand as module
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.by_hand import ALL, by_hand, element
from convgrad_cli.tensors import operands as operands_module
from convgrad_cli.tensors.operands import Operands
from convgrad_cli.verdict.bounds import direct_bound, term_counts

SPREADS = ["conv", "fold", "im2col", "col2im"]
LAYERS = [*(case.spec for case in CASES), *random_specs(seed=77, count=100)]


def loops(spec: ConvSpec, operands: Operands) -> dict[str, torch.Tensor]:
    """What the definition gives, as tensors."""
    bias = None if operands.bias is None else entries(operands.bias)
    found = definition(spec, entries(operands.input), entries(operands.weight), bias, entries(operands.grad_output))
    return {
        name: torch.tensor(list(numbers.values()), dtype=torch.float64).view(spec.shape_of(name))
        for name, numbers in found.items()
    }


def assert_same(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name in expected:
        assert actual[name].is_contiguous()
        assert torch.equal(actual[name], expected[name]), name


@pytest.mark.parametrize("ones", [False, True], ids=["g", "ones"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_loops_autograd_and_slices_agree_bit_for_bit(case, ones):
    spec, operands = case.spec, integer_operands(case.spec, ones=ones)
    expected = loops(spec, operands)
    assert set(expected) == {"output", "input", "weight", *["bias"] * spec.bias}
    assert_same(by_hand(spec, operands).named(), expected)
    assert {name: entries(value) for name, value in autograd(spec, operands).named().items()} == {
        name: entries(value) for name, value in expected.items()
    }


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(spec=cases.specs())
def test_loops_autograd_and_slices_agree_on_any_layer(spec):
    operands = integer_operands(spec)
    expected = loops(spec, operands)
    assert_same(by_hand(spec, operands).named(), expected)
    for name, value in autograd(spec, operands).named().items():
        assert torch.equal(value, expected[name]), name


WAYS = {"_tap_by_tap": (0, 0), "_on_a_grid": (10**6, 0), "_all_taps": (0, 10**6)}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """One of the ways to add up, taken wherever it can be."""
    dense, widest = WAYS[request.param]
    monkeypatch.setattr(module, "FEW_CHANNELS", 0)
    monkeypatch.setattr(module, "DENSE", dense)
    monkeypatch.setattr(module, "WIDEST", widest)
    monkeypatch.setattr(module, "_is_close", lambda axes: True)
    return request.param


@pytest.mark.parametrize("narrow", [0, 10**6])
@pytest.mark.parametrize("chunk", [1, 40, 2**21])
def test_the_way_to_add_up_and_chunks_change_nothing(monkeypatch, way, chunk, narrow):
    monkeypatch.setattr(module, "NARROW", narrow)
    expected = [autograd(spec, integer_operands(spec)).named() for spec in LAYERS]
    monkeypatch.setattr(module, "CHUNK", chunk)
    taken = dict.fromkeys(WAYS, 0)
    for name in taken:
        monkeypatch.setattr(module, name, _counted(taken, name, getattr(module, name)))
    for spec, gradients in zip(LAYERS, expected, strict=True):
        assert_same(by_hand(spec, integer_operands(spec)).named(), gradients)
    # For a single tap there is but one way.
    assert {name for name, count in taken.items() if count} == {way, "_tap_by_tap"}
    assert (sum(taken.values()) > len(LAYERS)) == (chunk < 2**21)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"input_size": 8, "kernel_size": 3, "padding": 64, "dilation": 64}, "_tap_by_tap"),
        ({"input_size": 20, "kernel_size": 3, "padding": 4, "dilation": 4}, "_all_taps"),
        ({"input_size": 20, "kernel_size": 2, "stride": 5}, "_all_taps"),
    ],
)
def test_no_grid_is_made_that_is_mostly_border(monkeypatch, layer, expected):
    taken = dict.fromkeys(WAYS, 0)
    for name in taken:
        monkeypatch.setattr(module, name, _counted(taken, name, getattr(module, name)))
    spec = make_spec(**layer)
    assert_same(by_hand(spec, integer_operands(spec)).named(), autograd(spec, integer_operands(spec)).named())
    assert {name for name, count in taken.items() if count} == {expected}


def _counted(counts, name, function):
    def counting(*args):
        counts[name] += 1
        function(*args)

    return counting


def test_a_chunk_is_no_larger_than_allowed_unless_one_placement_is(monkeypatch, way):
    parts = []
    for name in WAYS:
        monkeypatch.setattr(module, name, _kept(parts, getattr(module, name)))
    monkeypatch.setattr(module, "CHUNK", 200)
    for spec in LAYERS:
        parts.clear()
        by_hand(spec, integer_operands(spec))
        sizes = []
        for part in parts:
            groups, b, *block = part["placements"].shape
            width = groups * (
                b + part["positions"].shape[1] * (math.prod(spec.kernel_size) if way == "_all_taps" else 1)
            )
            sizes.append(math.prod(block))
            assert sizes[-1] == 1 or sizes[-1] * width <= 200
        assert sum(sizes) == (spec.batch_size or 1) * math.prod(
            spec.input_size if spec.transposed else spec.output_size
        )


def _kept(parts, function):
    def keeping(part, *rest):
        parts.append(part)
        function(part, *rest)

    return keeping


def test_all_chunks_work_in_one_room(monkeypatch):
    rooms = []

    def noting(part, total, axes, room):
        rooms.append(room)
        all_taps(part, total, axes, room)

    all_taps = module._all_taps
    monkeypatch.setattr(module, "_all_taps", noting)
    monkeypatch.setattr(module, "CHUNK", 400)
    spec = make_spec(input_size=9, kernel_size=3, batch_size=3)
    by_hand(spec, integer_operands(spec))
    assert len(rooms) > 3
    assert len({room.data_ptr() for room in rooms}) == 1
    assert rooms[0].numel() <= 400


@pytest.mark.parametrize(
    "name", ["groups in steps", "transposed, groups", "replicate", "unbatched", "negative padding"]
)
def test_only_gives_what_is_asked_for_and_the_same(way, name):
    spec = next(case for case in CASES if case.name == name).spec
    operands = integer_operands(spec)
    everything = by_hand(spec, operands).named()
    for only in (set(names) for n in range(len(ALL) + 1) for names in combinations(ALL, n)):
        found = by_hand(spec, operands, only=only).named()
        assert_same(found, {name: value for name, value in everything.items() if name in only})


@pytest.mark.parametrize("poison", ["inf", "-inf", "nan", "all three"])
@pytest.mark.parametrize("operand", ["input", "weight", "grad_output", "bias"])
def test_infinities_and_nan_go_where_the_definition_takes_them(way, operand, poison):
    poisons = [float(poison)] if poison != "all three" else [math.inf, -math.inf, math.nan]
    reached, spared = 0, 0
    for number, spec in enumerate(case.spec for case in CASES):
        operands = integer_operands(spec, seed=number)
        numbers = getattr(operands, operand)
        if numbers is None:
            continue
        at = torch.randperm(numbers.numel(), generator=torch.Generator().manual_seed(number))
        for value, index in zip(poisons, at.tolist(), strict=False):
            numbers.view(-1)[index] = value
        expected, letters = loops(spec, operands), operands.letters(spec)
        for name, value in by_hand(spec, operands).named().items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0, equal_nan=True)
            reached += int((~expected[name].isfinite()).sum())
            spared += int(expected[name].isfinite().sum())
            for index, exact in entries(expected[name]).items():
                found = formula(spec, name, index)
                by_element = element(found, letters)
                by_text = float(eval(str(found), {"__builtins__": {}}, letters))
                assert by_element == exact or (math.isnan(by_element) and math.isnan(exact)), (spec, name, index)
                assert by_text == exact or (math.isnan(by_text) and math.isnan(exact)), (spec, name, index)
    assert reached > 10
    assert spared > 100


def test_padding_never_meets_an_infinity():
    # Torch itself multiplies the padded zeros by g's infinity; the definition has no such term.
    spec = make_spec(input_size=3, kernel_size=2, padding=1)
    operands = integer_operands(spec)
    operands.grad_output[0, 0, 0, 0] = math.inf
    weight = by_hand(spec, operands).weight
    assert weight.isinf().flatten().tolist() == [False, False, False, True]
    assert not weight.isnan().any()


def test_operands_are_left_alone():
    for spec in LAYERS[:40]:
        operands, before = integer_operands(spec), integer_operands(spec)
        by_hand(spec, operands)
        autograd(spec, operands)
        for name in ("input", "weight", "bias", "grad_output"):
            value = getattr(operands, name)
            if value is not None:
                assert torch.equal(value, getattr(before, name))
                assert not value.requires_grad


def test_non_contiguous_operands_give_the_same():
    for spec in LAYERS:
        operands = integer_operands(spec)
        strided = operands.map(lambda t: t.mT.contiguous().mT if t.dim() > 1 else t)
        sliced = operands.map(lambda t: torch.stack([t, t * math.nan], dim=-1)[..., 0])
        expected = by_hand(spec, operands).named()
        assert_same(by_hand(spec, strided).named(), expected)
        assert_same(by_hand(spec, sliced).named(), expected)


def _names_called(source: str) -> set[str]:
    tree = ast.parse(source)
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_by_hand_names_no_convolution():
    places = (torch, torch.nn, torch.nn.functional, torch.Tensor)

    def spreads(source):
        names = {name for name in _names_called(source) if any(word in name.lower() for word in SPREADS)}
        return {name for name in names if any(hasattr(place, name) for place in places)}

    assert spreads(getsource(module)) == set()
    assert spreads(getsource(operands_module)) == set()
    assert spreads("F.conv2d(torch.nn.functional.unfold(x))\nConv2d(1, 1)") == {"conv2d", "unfold", "Conv2d"}


class _Calls(TorchDispatchMode):
    """Every operator that torch carries out, whatever Python called it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names.add(str(operator))
        return operator(*args, **(kwargs or {}))

    def spreads(self) -> set[str]:
        return {name for name in self.names if any(word in name for word in SPREADS)}


def test_by_hand_runs_no_convolution():
    with _Calls() as calls:
        for spec in LAYERS:
            by_hand(spec, integer_operands(spec))
    assert calls.names
    assert calls.spreads() == set()
    with _Calls() as calls:
        autograd(LAYERS[0], integer_operands(LAYERS[0]))
    assert calls.spreads() == {"aten.convolution.default", "aten.convolution_backward.default"}


def test_by_hand_runs_where_convolutions_raise(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a convolution was called")

    refused = 0
    for place in (torch, torch.nn.functional, torch.Tensor, torch.nn.grad):
        for name in dir(place):
            if callable(getattr(place, name)) and any(word in name for word in SPREADS):
                monkeypatch.setattr(place, name, refuse)
                refused += 1
    assert refused > 20
    for spec in LAYERS:
        by_hand(spec, integer_operands(spec))
    with pytest.raises(AssertionError, match="a convolution was called"):
        torch.nn.functional.unfold(torch.zeros(1, 1, 2, 2), 1)
    with pytest.raises(AssertionError, match="a convolution was called"):
        torch.conv2d(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))


# Larger than the named layers, so that sums are long enough to round.
ROUNDING = [
    {"in_channels": 16, "out_channels": 8, "input_size": 12, "kernel_size": 3, "padding": 1, "batch_size": 4},
    {"in_channels": 32, "out_channels": 32, "input_size": 9, "kernel_size": 3, "stride": 2, "groups": 32},
    {"in_channels": 8, "out_channels": 12, "input_size": 10, "kernel_size": 4, "groups": 4, "transposed": True},
    {"dims": 1, "in_channels": 3, "out_channels": 5, "input_size": 300, "kernel_size": 9, "dilation": 3},
    {"dims": 3, "in_channels": 4, "out_channels": 4, "input_size": 6, "kernel_size": 3, "padding": 1},
]


def _excess(spec: ConvSpec, seed: int, spoil=lambda t: t) -> dict[str, float]:
    """By tensor, the largest error of torch's float32 in units of the bound; `spoil` is applied to its operands."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (spec.input_shape, spec.weight_shape, spec.bias_shape if spec.bias else None, spec.output_shape)
    operands = Operands(*(shape and torch.randn(shape, generator=generator) for shape in shapes))
    double = operands.map(torch.Tensor.double)
    exact, magnitude = by_hand(spec, double).named(), by_hand(spec, double.map(torch.abs)).named()
    ratios = {}
    for name, value in autograd(spec, operands.map(spoil)).named().items():
        bound = direct_bound(term_counts(spec, name), magnitude[name], exact[name], torch.float32)
        error = (value.double() - exact[name]).abs()
        ratios[name] = float(torch.where(error == 0, 0.0, error / bound).max())
    return ratios


def test_float32_gradients_are_within_their_bounds():
    specs = [*random_specs(seed=5, count=400), *(make_spec(bias=True, **layer) for layer in ROUNDING)]
    excess = [_excess(spec, seed) for seed, spec in enumerate(specs)]
    assert [ratios for ratios in excess if max(ratios.values()) > 1] == []
    # A bound that nothing comes near would not be one.
    assert max(max(ratios.values()) for ratios in excess) > 0.5


def test_rounded_operands_are_out_of_bounds():
    ratios = _excess(make_spec(bias=True, **ROUNDING[0]), 0, spoil=lambda t: t.bfloat16().float())
    assert min(ratios[name] for name in ("output", "weight", "input")) > 1


def test_term_counts_are_what_by_hand_counts():
    for spec in [*LAYERS, *random_specs(seed=9, count=300)]:
        ones = integer_operands(spec).map(torch.ones_like)
        for name, value in by_hand(spec, ones).named().items():
            assert torch.equal(term_counts(spec, name).expand(value.shape), value), (spec, name)
