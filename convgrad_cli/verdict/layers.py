"""Layers near a given one: classes of layers that code is tried on, others to tell mistakes apart, smaller ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import gcd
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.spec import ConvSpec, make_spec

MOST = 2 * 10**5  # multiply-adds of a layer that is tried many times


def _made(**settings: Any) -> ConvSpec:
    base: dict[str, Any] = {"in_channels": 2, "out_channels": 3, "input_size": (6, 5), "kernel_size": (3, 2)}
    return make_spec(**{**base, "batch_size": 2, "bias": True, **settings})


def classes(spec: ConvSpec) -> dict[str, ConvSpec]:
    """Layers by what is special about each, in the kind (dims, transposed) of `spec`; the plain one first."""
    kind = {"transposed": spec.transposed}
    if spec.dims == 1:
        wide = _line
    elif spec.dims == 3:
        wide = _block
    else:
        wide = _made
    made: dict[str, Callable[[], ConvSpec]] = {
        "plain": lambda: wide(**kind),
        "one sample, one channel": lambda: wide(in_channels=1, out_channels=1, batch_size=1, **kind),
        "square, odd kernel": lambda: wide(input_size=5, kernel_size=3, **kind),
        "kernel 1": lambda: wide(kernel_size=1, **kind),
        "padding 1": lambda: wide(padding=1, **kind),
        "padding of its own on each axis": lambda: wide(padding=_each(spec, 2, 1), **kind),
        "padding as large as the kernel": lambda: wide(padding=3, **kind),
        "stride 2": lambda: wide(input_size=5, kernel_size=3, stride=2, **kind),
        "stride 2, padding 1": lambda: wide(input_size=7, kernel_size=3, stride=2, padding=1, **kind),
        "stride with a remainder": lambda: wide(input_size=6, kernel_size=3, stride=2, **kind),
        "stride of its own on each axis": lambda: wide(input_size=7, stride=_each(spec, 2, 1), **kind),
        "stride beyond the kernel": lambda: wide(input_size=7, kernel_size=2, stride=3, **kind),
        "dilation 2": lambda: wide(input_size=7, dilation=2, **kind),
        "dilation of its own on each axis": lambda: wide(input_size=7, dilation=_each(spec, 1, 2), **kind),
        "dilation and stride with a common divisor": lambda: wide(input_size=7, dilation=2, stride=2, **kind),
        "dilation and stride that differ": lambda: wide(input_size=9, dilation=3, stride=2, padding=2, **kind),
        "groups 2": lambda: wide(in_channels=4, out_channels=6, groups=2, **kind),
        "groups 2, stride 2": lambda: wide(input_size=7, in_channels=4, out_channels=6, groups=2, stride=2, **kind),
        "groups 3, padding 1": lambda: wide(in_channels=6, out_channels=3, groups=3, padding=1, **kind),
        "depthwise": lambda: wide(in_channels=3, out_channels=3, groups=3, **kind),
        "depthwise, two filters each": lambda: wide(in_channels=2, out_channels=4, groups=2, **kind),
        "three samples": lambda: wide(batch_size=3, **kind),
        "more inputs than outputs": lambda: wide(in_channels=4, out_channels=2, **kind),
    }
    found = {}
    for name, make in made.items():
        try:
            found[name] = make()
        except SpecError:
            continue
    return {name: replace(one, bias=spec.bias) for name, one in found.items()}


def _line(**settings: Any) -> ConvSpec:
    return _made(dims=1, **{"input_size": 7, "kernel_size": 3, **settings})


def _block(**settings: Any) -> ConvSpec:
    return _made(dims=3, **{"input_size": (5, 6, 4), "kernel_size": (2, 3, 2), **settings})


def _each(spec: ConvSpec, one: int, other: int) -> tuple[int, ...]:
    return {1: (one,), 2: (one, other), 3: (one, other, one)}[spec.dims]


def variations(spec: ConvSpec) -> list[ConvSpec]:
    """Layers like `spec` with something changed: what tells apart two mistakes that are one on `spec`."""
    wider = tuple(n + 3 + 2 * i for i, n in enumerate(_clipped(spec).input_size))
    base = replace(_clipped(spec), input_size=wider)
    ideas: list[dict[str, Any]] = [
        {},
        {"batch_size": (spec.batch_size or 1) + 2} if spec.batch_size is not None else {},
        {"in_channels": spec.in_channels * 3, "out_channels": spec.out_channels * 2},
        {"stride": tuple(s + 1 + i for i, s in enumerate(spec.stride))},
        {"padding": tuple((a + 1 + i, b + 1 + i) for i, (a, b) in enumerate(spec.padding))},
        {"dilation": tuple(d + 1 for d in spec.dilation)},
        {"kernel_size": tuple(k + 1 + i for i, k in enumerate(spec.kernel_size))},
        {"stride": tuple(2 + i for i in range(spec.dims)), "padding": tuple((1, 1) for _ in spec.padding)},
        {"groups": 2, "in_channels": 4, "out_channels": 6},
        {"groups": spec.groups * 2, "in_channels": spec.in_channels * 4, "out_channels": spec.out_channels * 2},
        {"stride": spec.stride[::-1], "padding": spec.padding[::-1], "dilation": spec.dilation[::-1]},
        {"kernel_size": (max(spec.kernel_size),) * spec.dims, "input_size": (max(wider),) * spec.dims},
        {"stride": tuple(3 + i for i in range(spec.dims)), "dilation": (2,) * spec.dims},
    ]
    found: dict[ConvSpec, None] = {}
    for idea in ideas:
        try:
            other = replace(base, **idea)
        except SpecError:
            continue
        if other != spec and other.macs <= 10 * MOST:
            found[other] = None
    return list(found)


def _clipped(spec: ConvSpec) -> ConvSpec:
    return replace(spec, output_padding=(0,) * spec.dims)


def smaller(spec: ConvSpec) -> Iterator[ConvSpec]:
    """Layers with one thing smaller or simpler, the greatest steps first."""
    steps: list[dict[str, Any]] = []
    if (spec.batch_size or 1) > 1:
        steps += [{"batch_size": 1}, {"batch_size": 2}]
    g, a, b = spec.groups, spec.in_channels // spec.groups, spec.out_channels // spec.groups
    for groups in sorted({1, 2, g}):
        for inside in sorted({1, 2, a}):
            for outside in sorted({1, 2, b}):
                if groups <= g and inside <= a and outside <= b and (groups, inside, outside) != (g, a, b):
                    steps.append({"groups": groups, "in_channels": groups * inside, "out_channels": groups * outside})
    steps += [{"bias": False}] if spec.bias else []
    steps += _per_axis(spec, "dilation", spec.dilation, 1)
    steps += _per_axis(spec, "stride", spec.stride, 1)
    pads = [max(pair) for pair in spec.padding]
    lower = {tuple(0 for _ in pads), tuple(min(p, 1) for p in pads), tuple(max(0, p - 1) for p in pads)}
    steps += [{"padding": tuple((p, p) for p in some)} for some in sorted(lower)]
    steps += [{"output_padding": (0,) * spec.dims}]
    for step in _per_axis(spec, "kernel_size", spec.kernel_size, 1):
        less = [(k - n) * d for k, n, d in zip(spec.kernel_size, step["kernel_size"], spec.dilation, strict=True)]
        size = tuple(max(1, n - by) for n, by in zip(spec.input_size, less, strict=True))
        steps += [{**step, "input_size": size}, step]
    steps += _per_axis(spec, "input_size", spec.input_size, 1)
    for step in steps:
        try:
            other = replace(spec, **step)
        except SpecError:
            continue
        if other != spec:
            yield other


def _per_axis(spec: ConvSpec, name: str, values: tuple[int, ...], least: int) -> list[dict[str, Any]]:
    """All axes at the least, at half, one less; then each axis alone."""
    found = [(least,) * len(values), tuple(max(least, v // 2) for v in values)]
    found += [(min(values),) * len(values), tuple(max(least, v - 1) for v in values)]
    for i, v in enumerate(values):
        found += [(*values[:i], new, *values[i + 1 :]) for new in (least, max(least, v // 2), max(least, v - 1))]
    return [{name: one} for one in dict.fromkeys(found) if one != values]


def needs(spec: ConvSpec) -> set[str]:
    """The keywords without which code can't know of this layer."""
    needed = {"stride": max(spec.stride) > 1, "padding": any(map(any, spec.padding)), "groups": spec.groups > 1}
    return {name for name, so in {**needed, "dilation": max(spec.dilation) > 1}.items() if so}


def features(spec: ConvSpec) -> dict[str, bool]:
    """What can be said of a layer where code goes right or wrong."""
    pairs = list(zip(spec.stride, spec.dilation, strict=True))
    rests = [
        (n + sum(pads) - e) % s
        for n, pads, e, s in zip(spec.input_size, spec.padding, spec.kernel_extent, spec.stride, strict=True)
    ]
    taps = [max(pads) >= k for pads, k in zip(spec.padding, spec.kernel_size, strict=True)]
    return {
        "stride > 1": max(spec.stride) > 1,
        "dilation > 1": max(spec.dilation) > 1,
        "padding > 0": any(map(any, spec.padding)),
        "groups > 1": spec.groups > 1,
        "batch > 1": (spec.batch_size or 1) > 1,
        "(H + 2p - d(k-1) - 1) mod s > 0": not spec.transposed and any(rests),
        "kernel > 1": max(spec.kernel_size) > 1,
        "in_channels > 1": spec.in_channels > 1,
        "out_channels > 1": spec.out_channels > 1,
        "in_channels > groups": spec.in_channels > spec.groups,
        "out_channels > groups": spec.out_channels > spec.groups,
        "in_channels != out_channels": spec.in_channels != spec.out_channels,
        "stride != dilation": any(s != d for s, d in pairs),
        "the stride differs between axes": len(set(spec.stride)) > 1,
        "the padding differs between axes": len(set(spec.padding)) > 1,
        "the dilation differs between axes": len(set(spec.dilation)) > 1,
        "the kernel is not square": len(set(spec.kernel_size)) > 1,
        "the input is not square": len(set(spec.input_size)) > 1,
        "padding >= kernel": any(taps),
        "stride > kernel": any(s > k for s, k in zip(spec.stride, spec.kernel_size, strict=True)),
        "stride and dilation share a divisor": any(gcd(s, d) > 1 for s, d in pairs),
        "more than one output": max(spec.output_size) > 1,
        "stride > 1 on an axis with more than one output": any(
            axis.stride > 1 and axis.placements > 1 for axis in spec.axes
        ),
        "dilation > 1 on an axis with kernel > 1": any(axis.dilation > 1 and axis.taps > 1 for axis in spec.axes),
        "output_padding > 0": any(spec.output_padding),
        "bias": spec.bias,
    }
