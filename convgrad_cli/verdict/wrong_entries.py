"""What can happen to the entries of a tensor: run through backwards, axes exchanged, memory read in another order,
channels of groups mixed, entries left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, permutations

import torch

from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.spec import ConvSpec, Sizes
from convgrad_cli.tensors.operands import Tensor
from convgrad_cli.verdict.mistake import WHOLE, Change, axis_names

Told = tuple[str, str, str, Change, bool]  # key, class, words, what is done, common


def wrong_entries(spec: ConvSpec, operand: str, letter: str, shape: Sizes) -> Iterator[Told]:
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
    kind = "F6" if operand in ("input", "grad_output", "output") else "F0"
    yield from _ends_left_out(kind, operand, letter, shape, names, space)
    yield from _rims_left_out(kind, operand, letter, shape, space)
    yield from _channels_left_out(spec, operand, letter, shape)


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
    if operand in ("input", "grad_output"):
        of, step = ("output", spec.out_channels) if operand == "input" else ("input", spec.in_channels)
        starts = torch.arange(groups).view(-1, 1) * (step // groups)
        said = f"group k of {letter} begun at k times the {of} channels of a group"
        orders["step"] = ((starts + blocks[:1]) % size, said)
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


def _ends_left_out(
    kind: str, operand: str, letter: str, shape: Sizes, names: Sequence[str], space: Sequence[int]
) -> Iterator[Told]:
    """One end of an axis takes no part, or all but one end, or every second entry."""
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
            yield f"{key}-{axis}", of, words, only_chosen({i: chosen}), key.startswith("no") or i not in space
        if size > 3 and i in space:
            said = f"without the last two {what}s of {letter}"
            yield f"no-last-2-{axis}", kind, said, only_chosen({i: range(size - 2)}), False
        if size > 2 and i in space:
            said = f"with only every second {what} of {letter}"
            yield f"even-{axis}", kind, said, only_chosen({i: range(0, size, 2)}), False


def _rims_left_out(kind: str, operand: str, letter: str, shape: Sizes, space: Sequence[int]) -> Iterator[Told]:
    """The ends of all spatial axes take no part, or all but those, or the middle."""
    wide = [i for i in space if shape[i] > 1]
    for key, of, words, chosen, there in (
        ("no-last", kind, "without the last entries of {} on every axis", (0, -1), len(wide) > 1),
        ("no-first", kind, "without the first entries of {} on every axis", (1, 0), len(wide) > 1),
        ("only-last", "F0", "with only the last entry of each plane of {}", (-1, 0), bool(wide)),
        ("only-first", "F0", "with only the first entry of each plane of {}", (0, 1), bool(wide)),
        ("no-border", kind, "without the border of {}", (1, -1), all(shape[i] > 2 for i in space)),
    ):
        if there:
            kept = {i: range(shape[i])[slice(chosen[0] or None, chosen[1] or None)] for i in wide}
            yield f"{key}-{WHOLE}", of, words.format(letter), only_chosen(kept), True
    if operand == "weight" and wide:
        centre = tuple(shape[i] // 2 for i in space)
        yield (
            f"no-centre-{WHOLE}",
            kind,
            f"without the middle kernel entry of {letter}",
            partial(_without, centre),
            False,
        )


def _channels_left_out(spec: ConvSpec, operand: str, letter: str, shape: Sizes) -> Iterator[Told]:
    """One channel of every group takes no part, or all but one."""
    at = 0 if operand in ("weight", "bias") else len(spec.batch_shape)
    size = shape[at] // spec.groups
    for key, inside, words in (
        ("only-last", range(size - 1, size), "with only the last channel"),
        ("only-first", range(1), "with only the first channel"),
        ("no-last", range(size - 1), "without the last channel"),
        ("no-first", range(1, size), "without the first channel"),
    ):
        some = [group * size + inner for group in range(spec.groups) for inner in inside]
        yield f"{key}-of-group", "F5", f"{words} of each group of {letter}", only_chosen({at: some}), True


def _without(at: Sizes, tensor: Tensor) -> Tensor:
    """Zero at one place of the last axes."""
    place: tuple[slice | int, ...] = (*[slice(None)] * (tensor.dim() - len(at)), *at)
    found = tensor.clone()
    found[place] = 0
    return found


def only_chosen(chosen: Mapping[int, list[int] | range]) -> Change:
    """Zero outside the chosen indices of each axis; a box, so that what is left is what all axes chose."""

    def change(tensor: Tensor) -> Tensor:
        for axis, indices in chosen.items():
            mask = torch.zeros(tensor.shape[axis], dtype=tensor.dtype)
            mask[list(indices)] = 1
            tensor = tensor * mask.view(-1, *[1] * (tensor.dim() - axis - 1))
        return tensor

    return change
