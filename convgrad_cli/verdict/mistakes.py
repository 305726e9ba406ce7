"""A small algebra of the mistakes that people make in a convolution or in its gradients.

A Mistake changes one place of the by-hand route: a setting of the layer, an operand before it, the result after it, or
the way that it adds up. Whatever the mistake, what comes out is a formula that can be computed, and so compared with
what the code under test gives. The classes F1 to F16 are those of a catalogue of public reports: 1 remainder of the
stride, 2 stride, 3 stride and dilation exchanged, 4 dilation, 5 groups, 6 border, 7 axes mixed up, 8 flipped or
transposed, 9 constant factor, 10 start value, 11 race, 12 memory layout, 13 and 15 sizes, 14 accumulator, 16 request;
F0 is what only hand-written code does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations
from math import prod
from typing import Any

import torch

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.axis import Axis
from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec, Sizes
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands, Tensor

FACTORS = {  # what each tensor is made of
    "output": ("input", "weight", "bias"),
    "weight": ("input", "grad_output"),
    "input": ("weight", "grad_output"),
    "bias": ("grad_output",),
}
WHOLE = "every"  # in a key: on all spatial axes at once


@dataclass(frozen=True)
class Past:
    """Earlier calls on a layer: the operands of the first and of the last, and the answer to the last in float64."""

    first: Operands
    last: Operands | None
    answer: Mapping[str, Tensor]


@dataclass(frozen=True)
class Setup:
    """A layer and its operands as the code under test has them in mind."""

    spec: ConvSpec
    operands: Operands


def _with(setup: Setup, operand: str, tensor: Tensor) -> Setup:
    """The same with another `operand`."""
    there: dict[str, Any] = {operand: tensor}
    return replace(setup, operands=replace(setup.operands, **there))


Before = Callable[[Setup], Setup]
Route = Callable[[Setup], Tensor]
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Mistake:
    """One step away from the right formula.

    `key` names it on every layer; `kind` is its class; `words` complete "equals the reference ...". `site` is the place
    that it changes: two mistakes in one place are not combined. `common`: worth trying together with another.
    """

    key: str
    kind: str
    words: str
    site: str
    before: Before | None = None
    route: Route | None = None
    after: Change | None = None
    common: bool = True


def reproduce(spec: ConvSpec, operands: Operands, name: str, mistakes: Sequence[Mistake]) -> Tensor | None:
    """The tensor `name` in float64 as code with these mistakes computes it; None where it can't."""
    setup = Setup(spec, operands)
    try:
        for mistake in mistakes:
            setup = mistake.before(setup) if mistake.before else setup
    except SpecError:
        return None
    bias = setup.operands.bias if name == "output" else None
    if bias is not None:  # what happens to the sums happens before it is added
        setup = Setup(replace(setup.spec, bias=False), replace(setup.operands, bias=None))
    route = next((mistake.route for mistake in mistakes if mistake.route), None)
    found = route(setup) if route else by_hand(setup.spec, setup.operands, (name,)).named()[name]
    found = changed(found, mistakes)
    return found if bias is None else found + bias.double().view(-1, *[1] * spec.dims)


def changed(found: Tensor, mistakes: Sequence[Mistake]) -> Tensor:
    """`found` after what the mistakes do to a result."""
    for mistake in mistakes:
        found = mistake.after(found) if mistake.after else found
    return found


def mistakes(spec: ConvSpec, operands: Operands, name: str, past: Past | None = None) -> dict[str, Mistake]:
    """Every mistake that the tensor `name` of this layer can show, by key; the likelier first.

    State may be left over from the `past`.
    """
    found: dict[str, Mistake] = {}
    for mistake in _all(spec, operands, name, past):
        found.setdefault(mistake.key, mistake)
    return found


def _all(spec: ConvSpec, operands: Operands, name: str, past: Past | None) -> Iterator[Mistake]:
    if name != "bias":
        yield from _settings(spec)
    for operand in FACTORS[name]:
        if operand != "bias":
            yield from _operand(spec, name, operand)
    if name != "bias":
        yield from _related(spec, name)
    yield from _overwritten(spec, name)
    yield from _substituted(spec, operands, name, past)
    if name == "bias":
        yield from _bias_axes(spec)
    yield from _results(spec, name)


# Settings of the layer


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


def _settings(spec: ConvSpec) -> Iterator[Mistake]:
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
    rests = [0 if spec.transposed else (n + a + b - e) % s for n, (a, b), e, s in _axes(spec)]
    for by in (1, -1, 2, -2):
        moved = tuple(p + by for p in padding)
        told = {f"{by:+d}": (moved, f"with padding {_numbers(moved)} for {_numbers(padding)}: read {_off(by)}")}
        yield from _setting(spec, "padding", "F6", told)
    if any(rests):
        for sign, way in ((1, "added to"), (-1, "taken from")):
            moved = tuple(p + sign * r for p, r in zip(padding, rests, strict=True))
            said = f"with the remainder of the stride, {_numbers(rests)}, {way} the padding before"
            yield from _setting(spec, "padding", "F1", {f"remainder{sign:+d}": (moved, said)})
    if spec.groups > 1:
        said = "without groups, and the first group's w between all channels"
        yield Mistake("groups-tiled", "F5", said, "groups", _tiled, common=False)
    if spec.has_padded_input:

        def zero(s: Setup) -> Setup:
            return replace(s, spec=replace(s.spec, padding_mode="zeros"))

        yield Mistake("mode-ignored", "F6", f"with zeros for the border: {spec.padding_mode} is ignored", "mode", zero)


def _tiled(s: Setup) -> Setup:
    """A layer without groups, all of whose blocks are the weight of the first group."""
    groups, weight = s.spec.groups, s.operands.weight
    block = weight[: len(weight) // groups]
    rows = torch.cat([torch.cat([block] * groups, 1)] * groups, 0)
    return _with(replace(s, spec=replace(s.spec, groups=1)), "weight", rows)


def _axes(spec: ConvSpec) -> Iterator[tuple[int, tuple[int, int], int, int]]:
    yield from zip(spec.input_size, spec.padding, spec.kernel_extent, spec.stride, strict=True)


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


# Operands


def _operand(spec: ConvSpec, name: str, operand: str) -> Iterator[Mistake]:
    letter, shape = LETTERS[operand], spec.shape_of(operand)
    for key, kind, words, change, common in _changes(spec, operand, letter, shape):
        if key == f"flip-{WHOLE}" and operand == "weight":
            words = "with the kernel not rotated" if name == "input" else "with the kernel rotated by half a turn"
            words = words if (name == "input") != spec.transposed else "with w run through backwards"

        def before(s: Setup, change: Change = change) -> Setup:
            return _with(s, operand, change(getattr(s.operands, operand)))

        yield Mistake(f"{letter}-{key}", kind, words, operand, before, common=common)
    if operand == "grad_output":

        def ones(s: Setup) -> Setup:
            return _with(s, "grad_output", torch.ones_like(s.operands.grad_output))

        yield Mistake("g-ignored", "F0", "with g taken as all ones: the upstream gradient is ignored", operand, ones)


Told = tuple[str, str, str, Change, bool]  # key, class, words, what is done, common


def _changes(spec: ConvSpec, operand: str, letter: str, shape: Sizes) -> Iterator[Told]:
    """What can happen to a tensor: flipped, axes exchanged, memory read again, channels mixed, entries left out."""
    names = axis_names(spec, operand)
    space = [i for i, axis in enumerate(names) if axis in AXIS_NAMES[spec.dims]]
    yield f"flip-{WHOLE}", "F8", f"with {letter} run through backwards", partial(torch.flip, dims=space), True
    for count in (1, 2):
        for axes in combinations(range(len(shape)), count):
            if list(axes) != space:
                key, said = "-".join(names[i] for i in axes), " and ".join(names[i] for i in axes)
                words = f"with {letter} run through backwards on its {said} only"
                yield f"flip-{key}", "F8", words, partial(torch.flip, dims=axes), set(axes) < set(space)
    yield from _rereads(letter, shape, names, space)
    if spec.groups > 1:
        axis = 0 if operand in ("weight", "bias") else len(spec.batch_shape)
        block = (*shape[:axis], shape[axis] // spec.groups, *shape[axis + 1 :])
        for key, kind, words, change, common in _rereads(letter, block, names, space):
            inside = partial(_by_group, change=change, axis=axis, groups=spec.groups)
            yield f"{key}-by-group", kind, f"{words}, in each group", inside, common
    yield from _mixed_groups(spec, operand, letter, shape)
    yield from _left_out(spec, operand, letter, shape, names, space)


def axis_names(spec: ConvSpec, operand: str) -> tuple[str, ...]:
    """What each axis of an operand, gradient or output is called."""
    space = AXIS_NAMES[spec.dims]
    if operand == "bias":
        return ("channel",)
    if operand == "weight":
        lead = ("input channel", "output channel") if spec.transposed else ("output channel", "input channel")
        return (*lead, *space)
    return (*(("sample",) if spec.batch_size is not None else ()), "channel", *space)


def _rereads(letter: str, shape: Sizes, names: Sequence[str], space: Sequence[int]) -> Iterator[Told]:
    """Two axes exchanged where they have one size; else the same memory read in another order of axes."""
    orders: dict[tuple[int, ...], str] = {}
    for i, j in combinations(range(len(shape)), 2):
        order = list(range(len(shape)))
        order[i], order[j] = j, i
        orders[tuple(order)] = f"the {names[i]} and {names[j]} of {letter} exchanged"
    for i, j in permutations(range(len(shape)), 2):
        order = list(range(len(shape)))
        order.insert(j, order.pop(i))
        orders.setdefault(tuple(order), f"the {names[i]} of {letter} moved to place {j}")
    orders.setdefault(tuple(reversed(range(len(shape)))), f"the axes of {letter} in reverse order")
    for axes, words in orders.items():
        there = tuple(shape[i] for i in axes)
        back = tuple(axes.index(i) for i in range(len(axes)))
        moved = [i for i in range(len(shape)) if axes[i] != i and shape[i] > 1]
        if not moved or _kept(axes, shape):
            continue
        kind = "F7" if all(i in space for i in moved) else "F8"
        key = "order-" + "".join(map(str, axes))
        common = len(moved) == 2 and words.endswith("exchanged")
        out, into = partial(_read_out, order=axes), partial(_read_in, shape=there, back=back)
        if there == shape:
            said = (f"with {words}",) * 2
        else:
            wrong = "reshaped where it should be transposed"
            said = (
                f"with {words} in memory, and read as if not: {wrong}",
                f"with its memory read as if {words}: {wrong}",
            )
        yield f"{key}-out", kind, said[0], out, common
        yield f"{key}-in", kind, said[1], into, common


def _by_group(tensor: Tensor, change: Change, axis: int, groups: int) -> Tensor:
    return torch.cat([change(block) for block in tensor.tensor_split(groups, axis)], axis)


def _read_out(tensor: Tensor, order: Sizes) -> Tensor:
    return tensor.permute(order).reshape(tensor.shape)


def _read_in(tensor: Tensor, shape: Sizes, back: Sizes) -> Tensor:
    return tensor.reshape(shape).permute(back)


def _kept(order: Sequence[int], shape: Sizes) -> bool:
    """Whether only axes of one entry change places."""
    return [i for i in order if shape[i] > 1] == [i for i in range(len(shape)) if shape[i] > 1]


def _mixed_groups(spec: ConvSpec, operand: str, letter: str, shape: Sizes) -> Iterator[Told]:
    """The channels of one group taken for those of another."""
    groups = spec.groups
    if groups == 1:
        return
    axis = 0 if operand in ("weight", "bias") else len(spec.batch_shape)
    size = shape[axis]
    blocks = torch.arange(size).view(groups, size // groups)
    orders = {
        "interleaved": (blocks.T, f"the channels of {letter} interleaved: channel c taken as of group c % groups"),
        "uninterleaved": (
            torch.arange(size).view(-1, groups).T,
            f"the channels of {letter} taken from every group in turn",
        ),
        "first": (blocks[:1].expand_as(blocks), f"the channels of the first group of {letter} in every group"),
        "last": (blocks[-1:].expand_as(blocks), f"the channels of the last group of {letter} in every group"),
        "reversed": (blocks.flip(0), f"the groups of {letter} in reverse order"),
        "next": (blocks.roll(-1, 0), f"the channels of the next group of {letter} in each group"),
        "previous": (blocks.roll(1, 0), f"the channels of the group before in each group of {letter}"),
        "backwards": (blocks.flip(1), f"the channels of each group of {letter} in reverse order"),
    }
    for key, (order, words) in orders.items():
        flat = order.flatten()
        if not torch.equal(flat, torch.arange(size)):
            yield (
                f"groups-{key}",
                "F5",
                f"with {words}",
                partial(torch.index_select, dim=axis, index=flat),
                True,
            )


def _left_out(
    spec: ConvSpec, operand: str, letter: str, shape: Sizes, names: Sequence[str], space: Sequence[int]
) -> Iterator[Told]:
    """Entries that do not take part: one end of an axis, or all but one end."""
    kind = "F6" if operand in ("input", "grad_output", "output") else "F0"
    for i, axis in enumerate(names):
        size, what = shape[i], "row" if axis == "height" else "column" if axis == "width" else axis
        if operand == "weight" and i in space:
            what = f"kernel {what}"
        for key, chosen, words in (
            ("no-last", range(size - 1), f"without the last {what} of {letter}"),
            ("no-first", range(1, size), f"without the first {what} of {letter}"),
            ("only-last", range(size - 1, size), f"with only the last {what} of {letter}"),
            ("only-first", range(1), f"with only the first {what} of {letter}"),
        ):
            of = kind if i in space else "F0"
            yield f"{key}-{axis}", of, words, _keep({i: chosen}), key.startswith("no") or i not in space
        if size > 3 and i in space:
            said = f"without the last two {what}s of {letter}"
            yield f"no-last-2-{axis}", kind, said, _keep({i: range(size - 2)}), False
        if size > 2 and i in space:
            said = f"with only every second {what} of {letter}"
            yield f"even-{axis}", kind, said, _keep({i: range(0, size, 2)}), False
    wide = [i for i in space if shape[i] > 1]
    if len(wide) > 1:
        yield (
            f"no-last-{WHOLE}",
            kind,
            f"without the last entries of {letter} on every axis",
            _keep({i: range(shape[i] - 1) for i in wide}),
            True,
        )
        yield (
            f"no-first-{WHOLE}",
            kind,
            f"without the first entries of {letter} on every axis",
            _keep({i: range(1, shape[i]) for i in wide}),
            True,
        )
    if wide:
        yield (
            f"only-last-{WHOLE}",
            "F0",
            f"with only the last entry of each plane of {letter}",
            _keep({i: range(shape[i] - 1, shape[i]) for i in wide}),
            True,
        )
        yield (
            f"only-first-{WHOLE}",
            "F0",
            f"with only the first entry of each plane of {letter}",
            _keep({i: range(1) for i in wide}),
            True,
        )
    if all(shape[i] > 2 for i in space):
        yield (
            f"no-border-{WHOLE}",
            kind,
            f"without the border of {letter}",
            _keep({i: range(1, shape[i] - 1) for i in space}),
            True,
        )
    at = 0 if operand in ("weight", "bias") else len(spec.batch_shape)
    size = shape[at] // spec.groups
    for key, inside, words in (
        ("only-last", range(size - 1, size), "with only the last channel"),
        ("only-first", range(1), "with only the first channel"),
        ("no-last", range(size - 1), "without the last channel"),
        ("no-first", range(1, size), "without the first channel"),
    ):
        some = [group * size + inner for group in range(spec.groups) for inner in inside]
        yield f"{key}-of-group", "F5", f"{words} of each group of {letter}", _keep({at: some}), True


def _keep(chosen: Mapping[int, list[int] | range]) -> Change:
    """Zero outside the chosen indices of each axis; a box, so that what is left is what all axes chose."""

    def change(tensor: Tensor) -> Tensor:
        for axis, indices in chosen.items():
            mask = torch.zeros(tensor.shape[axis], dtype=tensor.dtype)
            mask[list(indices)] = 1
            tensor = tensor * mask.view(-1, *[1] * (tensor.dim() - axis - 1))
        return tensor

    return change


# Ways of adding up


def _related(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    """Placements, taps and positions that meet where they should not, or do not where they should."""
    if spec.has_padded_input:
        return
    on_positions = name == ("output" if spec.transposed else "input")
    changes: list[tuple[str, str, str, Relate]] = [
        ("wrapped", "F6", "with positions before the first taken from the other end: a negative index wraps", _wrapped),
        ("wrapped-round", "F6", "with positions outside taken from the other end, on both sides", _wrapped_round),
        ("clamped", "F6", "with positions in the padding read at the border, not as 0", _clamped),
        ("inside", "F6", "without the placements of the kernel that touch the padding", _inside),
    ]
    if on_positions:
        meant = ": = where += is meant"
        changes += [
            ("last", "F10", f"with only the last placement of the kernel that covers each entry{meant}", _last_only),
            ("first", "F10", f"with only the first placement of the kernel that covers each entry{meant}", _first_only),
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
                return _joined(s, name, [relate(axis) if so else _usual(axis) for axis, so in axes])

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


def _usual(axis: Axis) -> Tensor:
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
    parts = ",".join([*(letters[which] for which in given), *meet])
    return torch.einsum(f"{parts}->{letters[name]}", *given.values(), *relations).reshape(spec.shape_of(name))


def _overwritten(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    """`=` where `+=` is meant: what the last turn of a loop wrote is all that remains."""
    on_positions = name == ("output" if spec.transposed else "input")
    spaces = range(-spec.dims, 0)

    def only_last(operand: str, axes: Sequence[int]) -> Before:
        def before(s: Setup) -> Setup:
            tensor = getattr(s.operands, operand)
            keep = _keep({i % tensor.dim(): [tensor.shape[i] - 1] for i in axes})
            return _with(s, operand, keep(tensor))

        return before

    meant = "= where += is meant"
    if name in ("weight", "bias"):
        axes = ((0, *spaces) if spec.batch_size is not None else tuple(spaces), "g", "grad_output")
        said = f"with only the last placement of the last sample: {meant}"
        yield Mistake("overwritten", "F10", said, axes[2], only_last(axes[2], axes[0]))
    elif name == "output" and not on_positions:
        said = f"with only the last kernel entry of the last input channel: {meant}"
        yield Mistake("overwritten", "F10", said, "weight", only_last("weight", (1, *spaces)))


# Other operands in place of the right ones


def _substituted(spec: ConvSpec, operands: Operands, name: str, past: Past | None) -> Iterator[Mistake]:
    ones = {"input": "weight", "weight": "input"}
    if name in ones:
        replaced, kept = ones[name], name

        def before(s: Setup) -> Setup:
            return _with(s, replaced, torch.ones_like(getattr(s.operands, replaced)))

        own = getattr(operands, kept).double()
        said = f"with {LETTERS[kept]} in place of {LETTERS[replaced]}"
        yield Mistake("itself", "F0", said, replaced, before, after=lambda t: t * own, common=False)
        words = f"plus {LETTERS[name]} itself"
        yield Mistake("plus-operand", "F10", f"{words}", "result", after=lambda t: t + own, common=False)
        yield Mistake(
            "plus-one", "F10", "plus 1: added to a buffer of ones", "result", after=lambda t: t + 1, common=False
        )
    if name == "output" and spec.bias:
        for key, factor, words in (
            ("ignored", 0, "without the bias"),
            ("double", 2, "with the bias added twice"),
            ("minus", -1, "with the bias subtracted"),
        ):

            def bias(s: Setup, factor: int = factor) -> Setup:
                assert s.operands.bias is not None
                return _with(s, "bias", s.operands.bias * factor)

            yield Mistake(f"bias-{key}", "F0", words, "bias", bias)
        shape = (-1, *[1] * spec.dims)
        bias_value = operands.bias
        assert bias_value is not None
        if spec.output_size[-1] == spec.out_channels:
            said = "with the bias added along the width: it has to be reshaped to stand for channels"
            wide = bias_value.double()
            yield Mistake("bias-width", "F7", said, "bias", after=lambda t: t - wide.view(shape) + wide, common=False)
    if past is not None:
        yield from _left_over(spec, name, past)


def _left_over(spec: ConvSpec, name: str, past: Past) -> Iterator[Mistake]:
    """State of earlier calls: their operands in place of these, or their results below these."""
    for call, given in (("first", past.first), ("last", past.last)):
        for operand in FACTORS[name] if given is not None else ():
            old = getattr(given, operand)
            if old is None:
                continue

            def stale(s: Setup, operand: str = operand, old: Tensor = old) -> Setup:
                return _with(s, operand, old)

            said = f"with the {LETTERS[operand]} of {'the first call' if call == 'first' else 'the call before'}"
            said += ": state is left over"
            yield Mistake(f"stale-{call}-{LETTERS[operand]}", "F10", said, operand, stale, common=False)
    for key, below, words in (
        (
            "right",
            by_hand(spec, past.last, (name,)).named().get(name) if past.last else None,
            "the gradient of the call before",
        ),
        ("answer", past.answer.get(name), "what the call before returned"),
    ):
        if below is not None:

            def added(t: Tensor, below: Tensor = below) -> Tensor:
                return t + below

            said = f"plus {words}: the buffer is not cleared between calls"
            yield Mistake(f"plus-{key}", "F10", said, "result", after=added, common=False)


def _bias_axes(spec: ConvSpec) -> Iterator[Mistake]:
    """Sums that leave another axis than the channels, where that has as many entries."""
    names, shape = axis_names(spec, "output"), spec.output_shape
    channel = len(spec.batch_shape)
    for axis, size in enumerate(shape):
        if axis == channel or size != spec.out_channels:
            continue

        def route(s: Setup, axis: int = axis) -> Tensor:
            g = s.operands.grad_output.double()
            return g.sum([i for i in range(g.dim()) if i != axis])

        yield Mistake(
            f"bias-over-{names[axis]}", "F7", f"summed for each {names[axis]}, not channel", "route", route=route
        )
    if spec.batch_size is not None and spec.batch_size > 1:
        for key, which in (("last", -1), ("first", 0)):
            said = f"with only the {key} sample of g"
            yield Mistake(f"g-only-{key}-sample", "F0", said, "grad_output", _sample(which))


def _sample(which: int) -> Before:
    def before(s: Setup) -> Setup:
        g = s.operands.grad_output
        return _with(s, "grad_output", _keep({0: [which % len(g)]})(g))

    return before


# The result


def _results(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    letter, shape = "the result", spec.shape_of(name)
    names = axis_names(spec, name)
    for key, kind, words, change, common in _changes(spec, name, letter, shape):
        yield Mistake(f"result-{key}", kind, words, "result", after=change, common=common)
    space = [i for i, axis in enumerate(names) if axis in AXIS_NAMES[spec.dims]]
    yield Mistake(
        "result-zero", "F10", "times 0: nothing was added to it", "result", after=torch.zeros_like, common=False
    )
    if name in ("input", "output"):
        rests = [0 if spec.transposed else (n + a + b - e) % s for n, (a, b), e, s in _axes(spec)]
        if name == "input" and any(rests):
            tail = {i: range(shape[i] - r) for i, r in zip(space, rests, strict=True) if r < shape[i]}
            said = f"with zeros in the last {_numbers(rests)} rows and columns: the remainder of the stride is cut off"
            yield Mistake("result-no-remainder", "F1", said, "result", after=_keep(tail))
            for i, r in zip(space, rests, strict=True):
                if 0 < r < shape[i] and len(space) > 1:
                    said = f"with zeros in the last {r} of its {names[i]}: the remainder of the stride is cut off"
                    yield Mistake(f"result-no-remainder-{names[i]}", "F1", said, "result", after=_keep({i: tail[i]}))
        if name == "input":
            pads = [pair[0] for pair in spec.padding]
            rim = {i: range(p, max(p, shape[i] - p)) for i, p in zip(space, pads, strict=True) if p > 0}
            said = "with zeros in a border as wide as the padding, which is not there any more"
            yield Mistake("result-no-padding", "F6", said, "result", after=_keep(rim))
            yield from _overlap(spec, space, rests)
            if any(rests):
                said = f"moved by the remainder of the stride, {_numbers(rests)}, with zeros in front"
                yield Mistake(
                    "result-moved-rest", "F1", said, "result", after=partial(_moved, rests=rests, space=space)
                )
        if spec.groups > 1:
            axis = len(spec.batch_shape)
            said = "with the channels of every group added to those of the first"
            gathered = partial(_gathered, axis=axis, groups=spec.groups)
            yield Mistake("result-groups-added", "F5", said, "result", after=gathered)
        if spec.batch_size is not None and spec.batch_size > 1:
            for key, words, what in (
                ("sum", "the sum over the batch", partial(torch.sum, dim=0, keepdim=True)),
                ("mean", "the mean over the batch", partial(torch.mean, dim=0, keepdim=True)),
                ("first", "the first sample", partial(torch.narrow, dim=0, start=0, length=1)),
                ("last", "the last sample", partial(torch.narrow, dim=0, start=-1, length=1)),
            ):

                def spread(t: Tensor, what: Change = what) -> Tensor:
                    return what(t).expand_as(t).contiguous()

                yield Mistake(f"result-{key}-spread", "F0", f"with {words} in every sample", "result", after=spread)
    if name != "bias":
        for by in (1, -1):
            for axis in space:
                if shape[axis] > 1:

                    def shifted(t: Tensor, axis: int = axis, by: int = by) -> Tensor:
                        edge = 0 if by > 0 else t.shape[axis] - 1
                        return _keep({axis: [i for i in range(t.shape[axis]) if i != edge]})(t.roll(by, axis))

                    said = f"moved by {by:+d} along its {names[axis]}, with zeros where it came from"
                    key = f"result-moved{by:+d}-{names[axis]}"
                    yield Mistake(key, "F6", said, "result", after=shifted, common=False)


def _overlap(spec: ConvSpec, space: Sequence[int], rests: Sequence[int]) -> Iterator[Mistake]:
    """An input gradient put together from patches as an image is, or from a smaller one as a picture is."""
    if not spec.has_padded_input and not spec.transposed:
        counts = [_usual(axis).sum((0, 1)) for axis in spec.axes]

        def divided(t: Tensor) -> Tensor:
            for i, count in zip(space, counts, strict=True):
                t = t / count.view(-1, *[1] * (t.dim() - i - 1))
            return t

        said = "divided by how many kernel entries meet each entry: fold adds up, it does not average"
        yield Mistake("result-overlap", "F0", said, "result", after=divided)
    if any(rests):

        def stretched(t: Tensor) -> Tensor:
            for i, rest in zip(space, rests, strict=True):
                size = t.shape[i]
                t = t.index_select(i, torch.arange(size) * (size - rest) // size)
            return t

        said = f"stretched over the remainder of the stride, {_numbers(rests)}, from what placements reach"
        yield Mistake("result-stretched", "F1", said, "result", after=stretched, common=False)


def _moved(tensor: Tensor, rests: Sequence[int], space: Sequence[int]) -> Tensor:
    for axis, rest in zip(space, rests, strict=True):
        tensor = _keep({axis: range(min(rest, tensor.shape[axis]), tensor.shape[axis])})(tensor.roll(rest, axis))
    return tensor


def _gathered(tensor: Tensor, axis: int, groups: int) -> Tensor:
    blocks = tensor.tensor_split(groups, axis)
    return torch.cat([sum(blocks[1:], blocks[0]), torch.zeros_like(torch.cat(blocks[1:], axis))], axis)


def factors(spec: ConvSpec) -> dict[str, tuple[float, str]]:
    """Constant factors that right gradients come to be multiplied by: by label, the number and how it is said."""
    n, outputs, mean = spec.batch_size or 1, prod(spec.output_size), ": a mean where a sum is meant"
    sizes = "*".join({1: ("Lo",), 2: ("Ho", "Wo"), 3: ("Do", "Ho", "Wo")}[spec.dims])
    found: dict[str, tuple[float, str]] = {"-1": (-1.0, "times -1: the sign is wrong")}
    for label, number, note in (
        ("N", n, ": a mean over the batch where a sum is meant"),
        (f"N*{sizes}", n * outputs, mean),
        (sizes, outputs, mean),
        (f"N*O*{sizes}", n * outputs * spec.out_channels, mean),
        ("2", 2, ""),
        ("groups", spec.groups, ""),
        ("the entries of the kernel", prod(spec.kernel_size), ""),
        ("the product of the strides", prod(spec.stride), ""),
        ("out_channels", spec.out_channels, ""),
        ("in_channels", spec.in_channels, ""),
        ("the entries of one filter", prod(spec.weight_shape[1:]), ""),
    ):
        shown = label if label == str(number) else f"{label} = {number}"
        for sign, negated in ((1.0, ""), (-1.0, ", and negated")):
            found[f"{negated}*{label}"] = (sign * number, f"multiplied by {shown}{negated}")
            found[f"{negated}/{label}"] = (sign / number, f"divided by {shown}{note}{negated}")
    return found


def _numbers(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "x".join(map(str, values))


def _off(by: int) -> str:
    return f"{abs(by)} {'before' if by > 0 else 'after'} the right place"
