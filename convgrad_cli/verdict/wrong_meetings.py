"""Mistakes in which placements, taps and positions meet: wrapped, clamped, overwritten, floored, once too often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch

from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.mistake import WHOLE, Mistake, Setup

MOST = 2**27  # entries of what is made on the way, 1 GiB; on larger layers these mistakes are not looked for


def wrong_meetings(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    """Placements, taps and positions that meet where they should not, or do not where they should."""
    if spec.has_padded_input or _entries(spec) > MOST:
        return
    on_positions = name == ("output" if spec.transposed else "input")
    changes: list[tuple[str, str, str, Relate]] = [
        ("wrapped", "F6", "with positions before the first taken from the other end: a negative index wraps", _wrapped),
        ("wrapped-round", "F6", "with positions outside taken from the other end, on both sides", _wrapped_round),
        ("clamped", "F6", "with positions in the padding read at the border, not as 0", _clamped),
        ("inside", "F6", "without the placements of the kernel that touch the padding", _inside),
        (
            "short",
            "F6",
            "with positions in the padded x compared with the size of x, so that the last are lost",
            _short,
        ),
    ]
    if on_positions:
        meant = ": = where += is meant"
        changes += [
            ("last", "F10", f"with only the last placement of the kernel that covers each entry{meant}", _last_only),
            ("first", "F10", f"with only the first placement of the kernel that covers each entry{meant}", _first_only),
            ("unstarted", "F1", "without the positions where a placement beyond the last would start", _unstarted),
            ("floor", "F2", "with placements found by floor division: the stride need not divide", _floored),
        ]
    again = "with the last row of g again for"
    changes += [
        ("beyond", "F1", f"{again} a placement beyond the last", _beyond),
        ("rest", "F1", f"{again} the remainder of the stride", _rest_repeated),
    ]
    for key, kind, words, relate in changes:
        spaces = AXIS_NAMES[spec.dims]
        for place in (WHOLE, *(spaces if spec.dims > 1 else ())):

            def route(s: Setup, relate: Relate = relate, place: str = place) -> Tensor:
                here = [place in (WHOLE, axis) for axis in AXIS_NAMES[s.spec.dims]]
                axes = zip(s.spec.axes, here, strict=True)
                return _joined(s, name, [relate(axis) if so else right_meetings(axis) for axis, so in axes])

            said = words if place == WHOLE else f"{words}, on the {place} only"
            yield Mistake(f"met-{key}-{place}", kind, said, "route", route=route, common=place == WHOLE)


Relate = Callable[[Axis], Tensor]


def _meeting(axis: Axis, triples: Iterator[tuple[int, int, int]]) -> Tensor:
    """How often each tap, placement and position meet: [taps, placements, positions]."""
    found = torch.zeros(axis.taps, axis.placements, axis.positions, dtype=torch.float64)
    for tap, placement, position in triples:
        if 0 <= placement < axis.placements and 0 <= position < axis.positions:
            found[tap, placement, position] += 1
    return found


def _pairs(axis: Axis, placements: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Every tap at every placement, and the position that it covers, inside or not."""
    for tap in range(axis.taps):
        for placement in range(axis.placements if placements is None else placements):
            yield tap, placement, placement * axis.stride + tap * axis.dilation - axis.padding


def right_meetings(axis: Axis) -> Tensor:
    return _meeting(axis, _pairs(axis))


def _wrapped(axis: Axis) -> Tensor:
    return _meeting(axis, ((t, q, i + axis.positions * (i < 0)) for t, q, i in _pairs(axis)))


def _wrapped_round(axis: Axis) -> Tensor:
    return _meeting(axis, ((t, q, i % axis.positions) for t, q, i in _pairs(axis)))


def _clamped(axis: Axis) -> Tensor:
    return _meeting(axis, ((t, q, min(max(i, 0), axis.positions - 1)) for t, q, i in _pairs(axis)))


def _inside(axis: Axis) -> Tensor:
    found = _meeting(axis, _pairs(axis))
    return found * (found.sum((0, 2)) == axis.taps).double().view(-1, 1)


def _short(axis: Axis) -> Tensor:
    return _meeting(axis, ((t, q, i) for t, q, i in _pairs(axis) if i + axis.padding < axis.positions))


def _unstarted(axis: Axis) -> Tensor:
    starts = {q * axis.stride - axis.padding for q in range(axis.placements, axis.positions + axis.placements)}
    return _meeting(axis, ((t, q, i) for t, q, i in _pairs(axis) if i not in starts))


def _last_only(axis: Axis) -> Tensor:
    found = _meeting(axis, _pairs(axis))
    later = found.sum(0).flip(0).cumsum(0).flip(0)  # how many placements from here on cover a position
    return found * (later == 1)


def _first_only(axis: Axis) -> Tensor:
    found = _meeting(axis, _pairs(axis))
    return found * (found.sum(0).cumsum(0) == 1)


def _floored(axis: Axis) -> Tensor:
    return _meeting(
        axis,
        (
            (t, (i + axis.padding - t * axis.dilation) // axis.stride, i)
            for t in range(axis.taps)
            for i in range(axis.positions)
        ),
    )


def _beyond(axis: Axis) -> Tensor:
    last = axis.placements - 1
    return _meeting(axis, ((t, min(q, last), i) for t, q, i in _pairs(axis, axis.placements + 1)))


def _rest_repeated(axis: Axis) -> Tensor:
    reach = (axis.placements - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1
    rest = (axis.positions + 2 * axis.padding - reach) % axis.stride
    last = axis.placements - 1
    more = ((t, last, i + by) for by in range(1, rest + 1) for t, q, i in _pairs(axis) if q == last)
    return _meeting(axis, _pairs(axis)) + _meeting(axis, more)


def _joined(s: Setup, name: str, relations: Sequence[Tensor]) -> Tensor:
    """One of the three tensors from the two others, with the meetings given: sums over all taps and placements."""
    spec, groups = s.spec, s.spec.groups
    x, y = ("ngb", "ngp") if spec.transposed else ("ngp", "ngb")
    taps, placed, positions = "rst"[: spec.dims], "uvw"[: spec.dims], "xyz"[: spec.dims]
    x += placed if spec.transposed else positions
    y += positions if spec.transposed else placed
    letters = {"input": x, "output": y, "weight": f"gbp{taps}"}
    given: dict[str, Tensor] = {}
    for which, tensor in (("input", s.operands.input), ("output", s.operands.grad_output)):
        batched = tensor.double() if spec.batch_size is not None else tensor.double().unsqueeze(0)
        given[which] = batched.reshape(len(batched), groups, -1, *batched.shape[2:])
    weight = s.operands.weight.double()
    given["weight"] = weight.reshape(groups, -1, *weight.shape[1:])
    del given[name]
    meet = [f"{t}{q}{i}" for t, q, i in zip(taps, placed, positions, strict=True)]
    # From left to right: x and g have all their sites between them, so the meetings come before the second of them.
    first, second = ((letters[which], tensor) for which, tensor in given.items())
    meetings = zip(meet, relations, strict=True)
    parts = [first, *meetings, second] if name == "weight" else [first, second, *meetings]
    text = ",".join(part for part, _ in parts)
    return torch.einsum(f"{text}->{letters[name]}", *(tensor for _, tensor in parts)).reshape(spec.shape_of(name))


def _entries(spec: ConvSpec) -> int:
    """How many entries the largest tensor has that `_joined` makes on its way."""
    sites = max(prod(axis.placements for axis in spec.axes), prod(axis.positions for axis in spec.axes))
    channels = max(spec.in_channels, spec.out_channels)
    meetings = max(axis.taps * axis.placements * axis.positions for axis in spec.axes)
    return max(meetings, (spec.batch_size or 1) * channels * sites * prod(spec.kernel_size))
