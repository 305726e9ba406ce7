"""Mistakes in what is done to a result: its entries changed, cut off, moved, averaged, multiplied by a constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product as every
from math import prod

import torch

from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.spec import ConvSpec, Sizes
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.mistake import Change, Mistake, axis_names, rows_of_axes, said_numbers
from convgrad_cli.verdict.wrong_entries import only_chosen, wrong_entries
from convgrad_cli.verdict.wrong_meetings import right_meetings


def wrong_results(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    letter, shape = "the result", spec.shape_of(name)
    names = axis_names(spec, name)
    for key, kind, words, change, common in wrong_entries(spec, name, letter, shape):
        yield Mistake(f"result-{key}", kind, words, "result", after=change, common=common)
    space = [i for i, axis in enumerate(names) if axis in AXIS_NAMES[spec.dims]]
    yield Mistake(
        "result-zero", "F10", "times 0: nothing was added to it", "result", after=torch.zeros_like, common=False
    )
    for key, said, change in (
        ("positive", "with every negative number set to 0, as a ReLU does", torch.relu),
        ("absolute", "without its signs: every number is made positive", torch.abs),
    ):
        yield Mistake(f"result-{key}", "F0", said, "result", after=change, common=False)
    if name == "input":
        rests = [0 if spec.transposed else (n + a + b - e) % s for n, (a, b), e, s in rows_of_axes(spec)]
        yield from _borders(spec, shape, names, space, rests)
        yield from _overlap(spec, space, rests)
        yield from _moved_rests(names, space, rests)
    if name in ("input", "output"):
        if spec.groups > 1:
            axis = len(spec.batch_shape)
            said = "with the channels of every group added to those of the first"
            gathered = partial(_gathered, axis=axis, groups=spec.groups)
            yield Mistake("result-groups-added", "F5", said, "result", after=gathered)
        if spec.batch_size is not None and spec.batch_size > 1:
            yield from _samples()
    if name != "bias":
        yield from _moves(shape, names, space)


def _borders(
    spec: ConvSpec, shape: Sizes, names: Sequence[str], space: Sequence[int], rests: Sequence[int]
) -> Iterator[Mistake]:
    """Zeros in the remainder of the stride, on all axes or on one, or where the padding was."""
    if any(rests):
        tail = {i: range(shape[i] - r) for i, r in zip(space, rests, strict=True) if r < shape[i]}
        said = f"with zeros at the end, {said_numbers(rests)} wide: the remainder of the stride is cut off"
        yield Mistake("result-no-remainder", "F1", said, "result", after=only_chosen(tail))
        for i, r in zip(space, rests, strict=True):
            if 0 < r < shape[i] and len(space) > 1:
                said = f"with zeros in the last {r} of its {names[i]}: the remainder of the stride is cut off"
                yield Mistake(f"result-no-remainder-{names[i]}", "F1", said, "result", after=only_chosen({i: tail[i]}))
    pads = [pair[0] for pair in spec.padding]
    rim = {i: range(p, max(p, shape[i] - p)) for i, p in zip(space, pads, strict=True) if p > 0}
    said = "with zeros in a border as wide as the padding, which is not there any more"
    yield Mistake("result-no-padding", "F6", said, "result", after=only_chosen(rim))


def _samples() -> Iterator[Mistake]:
    """The samples mixed."""
    for key, words, what in (
        ("sum", "the sum over the batch", partial(torch.sum, dim=0, keepdim=True)),
        ("mean", "the mean over the batch", partial(torch.mean, dim=0, keepdim=True)),
        ("first", "the first sample", partial(torch.narrow, dim=0, start=0, length=1)),
        ("last", "the last sample", partial(torch.narrow, dim=0, start=-1, length=1)),
    ):

        def spread(t: Tensor, what: Change = what) -> Tensor:
            return what(t).expand_as(t).contiguous()

        yield Mistake(f"result-{key}-spread", "F0", f"with {words} in every sample", "result", after=spread)
    said = "with the samples before added to each: the buffer is not cleared between samples"
    yield Mistake("result-running", "F10", said, "result", after=partial(torch.cumsum, dim=0))


def _moves(shape: Sizes, names: Sequence[str], space: Sequence[int]) -> Iterator[Mistake]:
    """The result one place too far along an axis, with zeros or the other end where it came from."""
    for axis, by in every([i for i in space if shape[i] > 1], (1, -1)):
        said, key = f"by {by:+d} along its {names[axis]}", f"{by:+d}-{names[axis]}"
        rolled = partial(torch.roll, shifts=by, dims=axis)
        there = only_chosen({axis: range(1, shape[axis]) if by > 0 else range(shape[axis] - 1)})

        def shifted(t: Tensor, rolled: Change = rolled, there: Change = there) -> Tensor:
            return there(rolled(t))

        moved = f"moved {said}, with zeros where it came from"
        yield Mistake(f"result-moved{key}", "F6", moved, "result", after=shifted, common=False)
        around = f"rolled {said}: what leaves at one end comes in at the other"
        yield Mistake(f"result-rolled{key}", "F6", around, "result", after=rolled, common=False)


def _moved_rests(names: Sequence[str], space: Sequence[int], rests: Sequence[int]) -> Iterator[Mistake]:
    """The remainder of the stride at the front, on all axes or on one."""
    if any(rests):
        said = f"moved by the remainder of the stride, {said_numbers(rests)}, with zeros in front"
        yield Mistake("result-moved-rest", "F1", said, "result", after=partial(_moved, rests=rests, space=space))
    for i, r in zip(space, rests, strict=True):
        if r > 0 and len(space) > 1:
            said = f"moved by the remainder of the stride, {r}, along its {names[i]}, with zeros in front"
            after = partial(_moved, rests=[r], space=[i])
            yield Mistake(f"result-moved-rest-{names[i]}", "F1", said, "result", after=after, common=False)


def _overlap(spec: ConvSpec, space: Sequence[int], rests: Sequence[int]) -> Iterator[Mistake]:
    """An input gradient put together from patches as an image is, or from a smaller one as a picture is."""
    if not spec.has_padded_input and not spec.transposed:
        counts = [right_meetings(axis).sum((0, 1)) for axis in spec.axes]

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

        said = f"stretched over the remainder of the stride, {said_numbers(rests)}, from what placements reach"
        yield Mistake("result-stretched", "F1", said, "result", after=stretched, common=False)


def _moved(tensor: Tensor, rests: Sequence[int], space: Sequence[int]) -> Tensor:
    for axis, rest in zip(space, rests, strict=True):
        tensor = only_chosen({axis: range(min(rest, tensor.shape[axis]), tensor.shape[axis])})(tensor.roll(rest, axis))
    return tensor


def _gathered(tensor: Tensor, axis: int, groups: int) -> Tensor:
    blocks = tensor.tensor_split(groups, axis)
    return torch.cat([sum(blocks[1:], blocks[0]), torch.zeros_like(torch.cat(blocks[1:], axis))], axis)


def factors(spec: ConvSpec) -> dict[str, tuple[float, str]]:
    """Constant factors that right gradients come to be multiplied by: by label, the number and how it is said."""
    n, outputs, mean = spec.batch_size or 1, prod(spec.output_size), ": a mean where a sum is meant"
    axes = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}[spec.dims]
    sizes, inputs = "*".join(f"{axis}o" for axis in axes), "*".join(axes)
    found: dict[str, tuple[float, str]] = {"-1": (-1.0, "times -1: the sign is wrong")}
    for label, number, note in (
        ("N", n, ": a mean over the batch where a sum is meant"),
        (f"N*{sizes}", n * outputs, mean),
        (sizes, outputs, mean),
        (f"N*O*{sizes}", n * outputs * spec.out_channels, mean),
        (f"N*{inputs}", n * prod(spec.input_size), mean),
        (inputs, prod(spec.input_size), mean),
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
