"""Mistakes in a setting of the layer: ignored, exchanged, one axis for another, off by one, applied twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

import torch

from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.spec import ConvSpec, Sizes
from convgrad_cli.verdict.mistake import WHOLE, Mistake, Setup, rows_of_axes, said_numbers, with_operand


def bent(spec: ConvSpec, stride: Sizes = (), dilation: Sizes = (), before: Sizes = ()) -> ConvSpec:
    """A layer of the same sizes with other settings: the padding at the end takes up whatever that changes."""
    stride, dilation = stride or spec.stride, dilation or spec.dilation
    before = before or tuple(pair[0] for pair in spec.padding)
    pads = []
    rows = zip(spec.input_size, spec.output_size, spec.kernel_size, stride, dilation, before, strict=True)
    for size, outputs, taps, s, d, first in rows:
        placed, covered = (size, outputs) if spec.transposed else (outputs, size)
        pads.append((first, (placed - 1) * s + d * (taps - 1) + 1 - covered - first))
    nothing = (0,) * spec.dims
    return replace(spec, stride=stride, dilation=dilation, padding=tuple(pads), output_padding=nothing)


def wrong_settings(spec: ConvSpec) -> Iterator[Mistake]:
    stride, dilation, padding = spec.stride, spec.dilation, tuple(pair[0] for pair in spec.padding)
    ones, zeros = (1,) * spec.dims, (0,) * spec.dims
    yield from _setting(spec, "stride", "F2", {"ignored": (ones, "with stride 1: the stride is ignored")})
    yield from _setting(spec, "dilation", "F4", {"ignored": (ones, "with dilation 1: the dilation is ignored")})
    said = "with padding 0: the padding is ignored, or not cropped from what was computed with it"
    yield from _setting(spec, "padding", "F6", {"ignored": (zeros, said)})
    if stride != dilation:

        def swap(s: Setup) -> Setup:
            return replace(s, spec=bent(s.spec, stride=s.spec.dilation, dilation=s.spec.stride))

        yield Mistake("stride-dilation", "F3", "with stride and dilation exchanged", "stride", swap)
    if spec.dims > 1:
        for what, values in (("stride", stride), ("dilation", dilation), ("padding", padding)):
            yield from _other_axes(spec, what, values)
    reach = tuple(d * (k - 1) for d, k in zip(dilation, spec.kernel_size, strict=True))
    others = {
        "complement": (
            tuple(r - p for r, p in zip(reach, padding, strict=True)),
            "with padding p where a full correlation needs d*(k-1) - p",
        ),
        "double": (tuple(2 * p for p in padding), "with twice the padding: it is added, or cropped, two times"),
    }
    yield from _setting(spec, "padding", "F6", others)
    yield from _setting(
        spec, "stride", "F2", {"squared": (tuple(s * s for s in stride), "with the stride applied two times")}
    )
    for what, values in (("stride", stride), ("dilation", dilation)):
        for by, words in ((1, "one more"), (-1, "one less")):
            moved = tuple(max(1, v + by) for v in values)
            kind = "F2" if what == "stride" else "F4"
            told = {f"{by:+d}": (moved, f"with a {what} of {words} than it has")}
            yield from _setting(spec, what, kind, told, common=False)
    yield from _other_paddings(spec, padding)
    yield from _remainders(spec, padding)
    if spec.groups > 1:
        said = "without groups, and the first group's w between all channels"
        yield Mistake("groups-tiled", "F5", said, "groups", _tiled, common=False)
    if spec.has_padded_input:

        def zero(s: Setup) -> Setup:
            return replace(s, spec=replace(s.spec, padding_mode="zeros"))

        yield Mistake("mode-ignored", "F6", f"with zeros for the border: {spec.padding_mode} is ignored", "mode", zero)


def _other_paddings(spec: ConvSpec, padding: Sizes) -> Iterator[Mistake]:
    """The kernel starts a little beside its place, or where a padding that was worked out puts it."""
    for by in (1, -1, 2, -2):
        moved = tuple(p + by for p in padding)
        said = f"with padding {said_numbers(moved)} for {said_numbers(padding)}: the kernel starts {_off(by)}"
        yield from _setting(spec, "padding", "F6", {f"{by:+d}": (moved, said)})
    by_dilation, by_stride = (
        tuple(p * n for p, n in zip(padding, factors, strict=True)) for factors in (spec.dilation, spec.stride)
    )
    worked_out = {
        "by-dilation": (by_dilation, "with the padding times the dilation"),
        "by-stride": (by_stride, "with the padding times the stride"),
        "half": (tuple(k // 2 for k in spec.kernel_size), "with padding kernel // 2, whatever the layer has"),
    }
    yield from _setting(spec, "padding", "F6", worked_out, common=False)


def _other_axes(spec: ConvSpec, what: str, values: Sizes) -> Iterator[Mistake]:
    """The values of a setting on other axes than their own."""
    told = {
        "reversed": (values[::-1], f"with the {what} of its axes exchanged"),
        "first": ((values[0],) * spec.dims, f"with the {what} of the first axis on every axis"),
        "last": ((values[-1],) * spec.dims, f"with the {what} of the last axis on every axis"),
    }
    if spec.dims == 3:
        for i, j in combinations(range(3), 2):
            swapped = list(values)
            swapped[i], swapped[j] = values[j], values[i]
            axes = f"{AXIS_NAMES[3][i]} and {AXIS_NAMES[3][j]}"
            told[f"swapped-{i}-{j}"] = (tuple(swapped), f"with the {what} of {axes} exchanged")
    yield from _setting(spec, what, "F7", told, single=False)


def _remainders(spec: ConvSpec, padding: Sizes) -> Iterator[Mistake]:
    """The entries that no placement reaches, counted as padding or as kernel entries."""
    rests = [0 if spec.transposed else (n + a + b - e) % s for n, (a, b), e, s in rows_of_axes(spec)]
    if not any(rests):
        return
    for sign, way in ((1, "added to"), (-1, "taken from")):
        moved = tuple(p + sign * r for p, r in zip(padding, rests, strict=True))
        said = f"with the remainder of the stride, {said_numbers(rests)}, {way} the padding before"
        yield from _setting(spec, "padding", "F1", {f"remainder{sign:+d}": (moved, said)})
    whole = tuple(r // d for r, d in zip(rests, spec.dilation, strict=True))
    later = tuple(p - n * d for p, n, d in zip(padding, whole, spec.dilation, strict=True))
    said = f"with kernel entries that the remainder of the stride has room for, {said_numbers(whole)}, kept at the end"
    yield from _setting(spec, "padding", "F1", {"remainder-taps": (later, said)})


def _tiled(s: Setup) -> Setup:
    """A layer without groups, all of whose blocks are the weight of the first group."""
    groups, weight = s.spec.groups, s.operands.weight
    block = weight[: len(weight) // groups]
    rows = torch.cat([torch.cat([block] * groups, 1)] * groups, 0)
    return with_operand(replace(s, spec=replace(s.spec, groups=1)), "weight", rows)


def _setting(
    spec: ConvSpec,
    what: str,
    kind: str,
    told: Mapping[str, tuple[Sizes, str]],
    single: bool = True,
    common: bool = True,
) -> Iterator[Mistake]:
    """The setting `what` with other values: on all axes, and with `single` on each of them alone."""
    right = tuple(pair[0] for pair in spec.padding) if what == "padding" else getattr(spec, what)
    argument = "before" if what == "padding" else what
    for key, (values, words) in told.items():
        places: list[tuple[str, Sizes, str]] = [(WHOLE, values, words)]
        if single and spec.dims > 1:
            for axis, axis_name in enumerate(AXIS_NAMES[spec.dims]):
                one = (*right[:axis], values[axis], *right[axis + 1 :])
                places.append((axis_name, one, f"{words}, on the {axis_name} only"))
        for place, new, said in places:
            if new == right or min(new) < (-99 if what == "padding" else 1):
                continue

            def before(s: Setup, new: Sizes = new) -> Setup:
                return replace(s, spec=bent(s.spec, **{argument: new}))

            yield Mistake(f"{what}-{key}-{place}", kind, said, what, before, common=common and place == WHOLE)


def _off(by: int) -> str:
    return f"{abs(by)} {'before' if by > 0 else 'after'} the right place"
