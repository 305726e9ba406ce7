"""Every planted implementation is wrong in what the table says, and in nothing else; every right one is right."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import im2col_more
import loops_more
import numpy as np
import pytest
import torch
import torch_style
from table import CORRECT, PLANTED, REPORTS, Correct, Planted

from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.gradients.target import lay_out
from convgrad_cli.tensors.operands import Operands

NAMES = ("output", "input", "weight", "bias")


@pytest.fixture(autouse=True)
def _no_earlier_calls() -> None:
    """Some mistakes are state that is left over; other tests of this process may have left theirs."""
    for state in (loops_more._kept, im2col_more._columns, torch_style._leaves):
        state.clear()


def integers(spec: ConvSpec, seed: int, layout: str = "contiguous") -> Operands:
    """Small integers without 0, so that every sum is exact in float32."""
    generator = torch.Generator().manual_seed(seed)

    def make(name: str) -> torch.Tensor:
        shape = spec.shape_of(name)
        signs = torch.randint(0, 2, shape, generator=generator) * 2 - 1
        return (torch.randint(1, 10, shape, generator=generator) * signs).float()

    return Operands(make("input"), make("weight"), make("bias"), lay_out(make("grad_output"), layout))


def call(entry: Planted | Correct, spec: ConvSpec, operands: Operands, **more: Any) -> dict[str, torch.Tensor]:
    """What the implementation returns, by the names of the table."""
    padding = tuple(before for before, _ in spec.padding)
    given = {"stride": spec.stride, "padding": padding, "dilation": spec.dilation, "groups": spec.groups}
    given |= {"transposed": spec.transposed} if "transposed" in inspect.signature(entry.function).parameters else {}
    tensors = [operands.input, operands.weight, operands.bias, operands.grad_output]
    if entry.framework == "numpy":
        tensors = [t.numpy() for t in tensors]
    found = entry.function(*tensors, **given, **more)
    return {
        name.removeprefix("grad_"): torch.from_numpy(np.array(t)) if entry.framework == "numpy" else t
        for name, t in found.items()
        if t is not None
    }


def wrong(entry: Planted | Correct, spec: ConvSpec, operands: Operands, **more: Any) -> set[str]:
    """The tensors that differ, each of the right shape and dtype."""
    expected = by_hand(spec, operands, NAMES).named()
    found = call(entry, spec, operands, **more)
    for name, tensor in found.items():
        assert (tensor.shape, tensor.dtype) == (expected[name].shape, torch.float32), name
    return {name for name, tensor in found.items() if not torch.equal(tensor.double(), expected[name])}


def each(entries: tuple[Any, ...]) -> Iterator[Any]:
    for entry in entries:
        for number, layer in enumerate(entry.layers, start=1):
            yield pytest.param(entry, make_spec(**layer), id=f"{entry.name}-{number}")


@pytest.mark.parametrize(("entry", "spec"), list(each((*PLANTED, *REPORTS))))
def test_a_planted_mistake_shows_where_the_table_says_and_nowhere_else(entry, spec):
    layout = entry.shows if entry.shows in ("transposed", "expanded") else "contiguous"
    more = {"output_mask": (False, True, False)} if entry.shows == "weight alone" else {}
    if entry.shows != "always":  # right otherwise
        assert wrong(entry, spec, integers(spec, 100)) == set()
    for seed in (101, 102):
        assert wrong(entry, spec, integers(spec, seed, layout), **more) == set(entry.wrong)


@pytest.mark.parametrize(("entry", "spec"), list(each(CORRECT)))
def test_a_right_implementation_is_right(entry, spec):
    operands = integers(spec, 200)
    if entry.exact:
        assert wrong(entry, spec, operands) == set()
        return
    expected = by_hand(spec, operands, NAMES).named()
    for name, tensor in call(entry, spec, operands).items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=0, atol=1e-3)


def test_the_table_is_as_large_and_as_mixed_as_it_should_be():
    names = [entry.name for entry in (*PLANTED, *CORRECT, *REPORTS)]
    assert len(set(names)) == len(names)
    assert (len(PLANTED) >= 75, len(CORRECT) >= 34, len(REPORTS) >= 8) == (True, True, True)
    assert all(len(entry.layers) == 3 for entry in PLANTED)
    assert sum(len(entry.classes) > 1 for entry in PLANTED) >= 10
    assert {f"F{n}" for n in (*range(11), 12, 14, 16)} == {name for entry in PLANTED for name in entry.classes}
    assert {entry.style for entry in PLANTED} == {"loops", "im2col", "strided", "torch"}
    assert {len(entry.layers[0]["kernel_size"]) for entry in PLANTED} == {1, 2, 3}
