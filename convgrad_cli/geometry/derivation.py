"""Where an element comes from: its Formula, found by fixing its indices in the relation of `axis.py`.

| fixed     | left, per axis                    | convolution     | transposed      |
|-----------|-----------------------------------|-----------------|-----------------|
| tap       | placements with positions         | weight gradient | weight gradient |
| placement | taps with positions               | output          | input gradient  |
| position  | taps against placements           | input gradient  | output          |

A gradient of gradients is nothing new. With dx = dL/dx and so on, S = (ggx * dx).sum() + (ggw * dw).sum() +
(ggb * db).sum() is how L changes along (ggx, ggw, ggb), which is (g * (conv(ggx, w) + conv(x, ggw) + ggb)).sum(); so
each of its gradients is one of the first order, with cotangents in the place of some operands:

| gradient of S | is                                                             |
|---------------|----------------------------------------------------------------|
| dS/dg         | the output with ggx for x, plus that with ggw for w, ggb for b |
| dS/dw         | dL/dw with ggx for x                                           |
| dS/dx         | dL/dx with ggw for w                                           |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product as every
from math import prod

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.axis import Pair, Span, whole
from convgrad_cli.geometry.formula import COTANGENTS, Factor, Formula, Product
from convgrad_cli.geometry.notation import plain_element
from convgrad_cli.geometry.spec import ConvSpec, Sizes
from convgrad_cli.geometry.validation import by_x

MOST_COPIES = 10**5  # slices in one sum; it takes a second to write, and nobody to read
SECOND_ORDER = {
    "grad_output": (("output", ("x", "xp")), ("output", ("w", "b"))),
    "weight": (("weight", ("x", "xp")),),
    "input": (("input", ("w",)),),
}
"""The table above: tensors of the first order, and the letters that cotangents take the place of."""
AXIS_NAMES = {1: ("width",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def formula(
    spec: ConvSpec, operand: str, index: Sequence[int], *, ones: bool = False, second_order: bool = False
) -> Formula:
    """The element of the gradient of `operand`, or of the output for "output", at `index`.

    `ones` says that the upstream gradient g is all ones (loss = y.sum()), so that it drops out of the sum. With
    `second_order` it is the gradient of S (see above), whose operands are "grad_output", "weight" and "input".

    Raises SpecError where there is no such element.
    """
    if not isinstance(spec, ConvSpec):
        raise TypeError(f"a formula is that of a ConvSpec, as make_spec makes it, not of {type(spec).__name__}")
    operand, index = plain_element(operand, index, second_order=second_order)
    if second_order:
        return _second_order(spec, operand, index, ones)
    shape = spec.shape_of(operand)
    if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise SpecError(f"{operand}:{','.join(map(str, index))} is outside {operand} of shape {by_x(shape)}")
    if operand == "weight":
        return _drop_ones(_at_taps(spec, index), ones)
    if operand == "bias":
        batch, outputs = map(whole, spec.batch_shape), map(whole, spec.output_size)
        return Formula((Product((Factor("g", (*batch, index[0], *outputs)),)),))
    on_positions = (operand == "output") == spec.transposed
    found = _at_positions(spec, index) if on_positions else _at_placements(spec, index)
    if operand == "input":
        return _drop_ones(found, ones)
    if spec.bias:
        channel = index[len(spec.batch_shape)]
        found = Formula((*found.products, Product((Factor("b", (channel,)),))), found.reason)
    return found


def _second_order(spec: ConvSpec, operand: str, index: Sizes, ones: bool) -> Formula:
    if operand not in SECOND_ORDER:
        raise SpecError(f"{operand} has no gradient of the second order; grad_output, weight and input have one")
    products: list[Product] = []
    reason = ""
    for tensor, replaced in SECOND_ORDER[operand]:
        found = formula(replace(spec, bias=spec.bias and "b" in replaced), tensor, index, ones=ones)
        products += [_with_cotangents(product, replaced) for product in found.products]
        reason = found.reason
    return Formula(tuple(products), reason)


def _with_cotangents(product: Product, replaced: Sequence[str]) -> Product:
    """The product with cotangents in the place of the letters in `replaced`."""
    return Product(
        tuple(replace(f, operand=COTANGENTS[f.operand]) if f.operand in replaced else f for f in product.factors)
    )


def require_tellable(spec: ConvSpec) -> None:
    """SpecError where padding copies one input entry so often that its gradient is a sum of too many slices."""
    if spec.padding_mode != "replicate":  # the others copy an entry twice at most on an axis
        return
    copies = prod(
        1 + (max(pair) if size > 1 else sum(pair)) for size, pair in zip(spec.input_size, spec.padding, strict=True)
    )
    if copies > MOST_COPIES:
        raise SpecError(
            f"--padding-mode replicate copies an entry at the border to {copies:,} places, and its gradient would be "
            f"a sum of as many slices; at most {MOST_COPIES:,} are told: use a smaller --padding"
        )


def _position_letter(spec: ConvSpec) -> str:
    if spec.transposed:
        return "g"
    return "xp" if spec.has_padded_input else "x"


def _at_taps(spec: ConvSpec, index: Sizes) -> Formula:
    outer, inner, *taps = index
    pairs = [axis.at_tap(tap) for axis, tap in zip(spec.axes, taps, strict=True)]
    found = [pair for pair in pairs if pair is not None]
    if len(found) < len(pairs):
        return Formula((), "this kernel entry only ever meets the padding")
    group = outer // (spec.placement_channels // spec.groups)
    channel = group * (spec.position_channels // spec.groups) + inner
    # A batch of one is a plain 0, as everyone writes it; both factors agree on that.
    batch: list[int | Span] = [0 if n == 1 else whole(n) for n in spec.batch_shape]
    left, right, _ = _together(found)
    on_positions = Factor(_position_letter(spec), (*batch, channel, *right))
    on_placements = Factor("x" if spec.transposed else "g", (*batch, outer, *left))
    pair = (on_placements, on_positions) if spec.transposed else (on_positions, on_placements)
    return Formula((Product(pair),))


def _at_placements(spec: ConvSpec, index: Sizes) -> Formula:
    batch, (outer, *placements) = index[: len(spec.batch_shape)], index[len(spec.batch_shape) :]
    pairs = [axis.at_placement(placement) for axis, placement in zip(spec.axes, placements, strict=True)]
    found = [pair for pair in pairs if pair is not None]
    if len(found) < len(pairs):
        side = "output" if spec.transposed else "input"
        return Formula((), f"here the kernel covers nothing of the {side}, only what padding adds or crops")
    inside = spec.position_channels // spec.groups
    group = outer // (spec.placement_channels // spec.groups)
    left, right, _ = _together(found)
    on_positions = Factor(_position_letter(spec), (*batch, _group(group, inside, spec.position_channels), *right))
    on_taps = Factor("w", (outer, whole(inside), *left))
    return Formula((Product((on_taps, on_positions) if spec.transposed else (on_positions, on_taps)),))


def _at_positions(spec: ConvSpec, index: Sizes) -> Formula:
    batch, (channel, *positions) = index[: len(spec.batch_shape)], index[len(spec.batch_shape) :]
    choices: list[tuple[int, ...]] = [(position,) for position in positions]
    if spec.has_padded_input:
        choices = [spec.padded_copies(axis, position) for axis, position in enumerate(positions)]
    group, inner = divmod(channel, spec.position_channels // spec.groups)
    block = _group(group, spec.placement_channels // spec.groups, spec.placement_channels)
    other = "x" if spec.transposed else "g"
    products, reason = [], ""
    for copy in every(*choices):
        pairs = [axis.at_position(position) for axis, position in zip(spec.axes, copy, strict=True)]
        found = [pair for pair in pairs if pair is not None]
        if len(found) < len(pairs):
            missed = next(i for i, pair in enumerate(pairs) if pair is None)
            where = "" if spec.dims == 1 else f"{AXIS_NAMES[spec.dims][missed]}: "
            reason = where + spec.axes[missed].unreached(copy[missed])
            continue
        taps, placements, runs = _together(found)
        # Dimension 0 of both slices is the channel block; only the weight runs backwards.
        on_taps = Factor("w", (block, inner, *taps), tuple(run + 1 for run in runs))
        products.append(Product((on_taps, Factor(other, (*batch, block, *placements)))))
    return Formula(tuple(products), "" if products else reason)


def _together(pairs: Sequence[Pair]) -> tuple[list[int | Span], list[int | Span], list[int]]:
    """The two sides of some axes as index parts, and the numbers of those that stay spans.

    A meeting of one becomes a plain int on both sides; collapsing one side only would broadcast to a wrong sum.
    """
    left: list[int | Span] = []
    right: list[int | Span] = []
    runs: list[int] = []
    for one, other in pairs:
        if one.count == 1:
            left.append(one.start)
            right.append(other.start)
        else:
            runs.append(len(runs))
            left.append(one)
            right.append(other)
    return left, right, runs


def _group(group: int, count: int, channels: int) -> Span:
    return whole(channels) if count == channels else Span(group * count, count, 1, channels)


def _drop_ones(formula: Formula, ones: bool) -> Formula:
    """Without the factor g, which is 1 everywhere; and then nothing needs to run backwards."""
    if not ones:
        return formula
    parted = []
    for product in formula.products:
        factors = [Factor(f.operand, f.index) for f in product.factors]
        kept = tuple(factor for factor in factors if factor.operand != "g")
        parted.append(Product(kept, ones=tuple(factor for factor in factors if factor.operand == "g")))
    return Formula(tuple(parted), formula.reason)
