"""Which elements are wrong, as one line: the border, the last rows, a channel block, a group, samples, every second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.tensors.operands import Tensor

LISTED = 4  # indices named one by one
NEARLY = 0.9  # of all elements
MOSTLY = 0.5  # of a block of indices: from here on the block is what is wrong
PLURALS = {"height": "rows", "width": "columns", "depth": "planes"}


def pattern(spec: ConvSpec, operand: str, wrong: Tensor) -> str:
    """Where `wrong` is True, a mask in the shape of the gradient of `operand` or of "output"; "" where nowhere."""
    count = int(wrong.sum())
    if not count:
        return ""
    if count == wrong.numel():
        return "every element"
    if count == 1:
        return "a single element"
    border = _border(spec, operand, wrong)
    if border:
        return border
    parts, share = _block(spec, operand, wrong)
    found = ", ".join(parts)
    if found and share >= MOSTLY:
        return found if share == 1 else f"most of {found}"
    spared, share = _block(spec, operand, ~wrong)
    if spared and share == 1 and count < wrong.numel() - 1:  # a single right one is chance
        *others, last = spared
        return f"all but where {', '.join(others)} and {last} meet" if others else f"all but {last}"
    if count >= NEARLY * wrong.numel():
        return "nearly every element"
    return f"{found}, scattered" if found else "scattered"


def _block(spec: ConvSpec, operand: str, some: Tensor) -> tuple[list[str], float]:
    """The smallest block of indices on each axis that holds all of `some`, and the share of it that they fill."""
    chosen = [_touched(some, axis) for axis in range(some.dim())]
    named = zip(_axis_names(spec, operand), chosen, some.shape, strict=True)
    parts = [_described(name, indices, size) for name, indices, size in named if len(indices) < size]
    group = _group(spec, operand, chosen)
    return parts + ([group] if group else []), int(some.sum()) / prod(map(len, chosen))


def _axis_names(spec: ConvSpec, operand: str) -> list[str]:
    if operand == "bias":
        return ["channels"]
    if operand == "weight":
        lead = ["input channels", "output channels"] if spec.transposed else ["output channels", "input channels"]
        return [*lead, *(f"kernel {PLURALS[name]}" for name in AXIS_NAMES[spec.dims])]
    lead = ["channels"] if spec.batch_size is None else ["samples", "channels"]
    return [*lead, *(PLURALS[name] for name in AXIS_NAMES[spec.dims])]


def _touched(wrong: Tensor, axis: int) -> list[int]:
    others = [other for other in range(wrong.dim()) if other != axis]
    seen = wrong.any(dim=others) if others else wrong
    return [int(i) for i in seen.nonzero().flatten()]


def _described(name: str, some: Sequence[int], size: int) -> str:
    if some[-1] == size - 1 and list(some) == list(range(some[0], size)):
        return f"the last of {size} {name}" if len(some) == 1 else f"the last {len(some)} of {size} {name}"
    if some[0] == 0 and list(some) == list(range(len(some))):
        return f"the first of {size} {name}" if len(some) == 1 else f"the first {len(some)} of {size} {name}"
    if len(some) == 1:
        return f"{name.removesuffix('s')} {some[0]}"
    steps = {b - a for a, b in pairwise(some)}
    if steps == {1}:
        return f"{name} {some[0]} to {some[-1]}"
    if len(steps) == 1 and len(some) > 2:
        return f"every {_ordinal(steps.pop())} of the {name} from {some[0]}"
    if len(some) <= LISTED:
        return f"{name} {', '.join(map(str, some))}"
    return f"{len(some)} of {size} {name}"


def _ordinal(step: int) -> str:
    return {2: "second", 3: "third"}.get(step, f"{step}th")


def _group(spec: ConvSpec, operand: str, chosen: Sequence[Sequence[int]]) -> str:
    """The groups that the wrong channels belong to, where they are not all."""
    if spec.groups == 1 or operand == "bias":
        return ""
    axis = 0 if operand == "weight" else len(spec.batch_shape)
    size = spec.shape_of(operand)[axis]
    groups = sorted({channel * spec.groups // size for channel in chosen[axis]})
    return "" if len(groups) == spec.groups else f"group{'s' * (len(groups) > 1)} {', '.join(map(str, groups))}"


def _border(spec: ConvSpec, operand: str, wrong: Tensor) -> str:
    """That the inside is right and only a rim is not, on at least two sides."""
    if operand in ("weight", "bias"):
        return ""
    rims = list(_rims(spec, wrong))
    sides = sum(bool(width) for pair in rims for width in pair)
    inside = wrong
    for axis, (before, after) in enumerate(rims, start=wrong.dim() - spec.dims):
        inside = inside.narrow(axis, before, inside.shape[axis] - before - after)
    if sides < 2 or not inside.numel() or bool(inside.any()):
        return ""
    widest = max(max(pair) for pair in rims)
    return f"only the border, up to {widest} wide; the inside is right"


def _rims(spec: ConvSpec, wrong: Tensor) -> Iterator[tuple[int, int]]:
    """For each spatial axis, how far the wrong elements reach in from its two ends, at most a third of it."""
    for axis in range(wrong.dim() - spec.dims, wrong.dim()):
        size = wrong.shape[axis]
        others = [other for other in range(wrong.dim()) if other != axis]
        full = wrong.float().mean(dim=others)
        # A rim is wrong in most of its length; lines beyond it only where the rims of other axes cross them.
        level = float(full.median())
        rows = (full > max(level, 0.0) + 1e-9).tolist()
        before = next((i for i, bad in enumerate(rows) if not bad), size)
        after = next((i for i, bad in enumerate(reversed(rows)) if not bad), size)
        yield (before, after) if max(before, after) <= size // 3 else (0, 0)
