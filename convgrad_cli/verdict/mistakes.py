"""A small algebra of the mistakes that people make in a convolution or in its gradients: all that a layer can show.

The classes F1 to F16 are those of a catalogue of public reports: 1 remainder of the stride, 2 stride, 3 stride and
dilation exchanged, 4 dilation, 5 groups, 6 border, 7 axes mixed up, 8 flipped or transposed, 9 constant factor, 10
start value, 11 race, 12 memory layout, 13 and 15 sizes, 14 accumulator, 16 request; F0 is what only hand-written code
does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from convgrad_cli.geometry.derivation import AXIS_NAMES
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.gradients.by_hand import by_hand
from convgrad_cli.tensors.operands import Operands, Tensor
from convgrad_cli.verdict.mistake import FACTORS, WHOLE, Before, Change, Mistake, Past, Setup, axis_names, with_operand
from convgrad_cli.verdict.wrong_entries import only_chosen, wrong_entries
from convgrad_cli.verdict.wrong_meetings import wrong_meetings
from convgrad_cli.verdict.wrong_results import wrong_results
from convgrad_cli.verdict.wrong_settings import wrong_settings


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
        yield from wrong_settings(spec)
    for operand in FACTORS[name]:
        if operand != "bias":
            yield from _operand(spec, name, operand)
    if name != "bias":
        yield from wrong_meetings(spec, name)
        yield from _turned(spec, name)
    yield from _overwritten(spec, name)
    yield from _substituted(spec, operands, name, past)
    if name == "bias":
        yield from _bias_axes(spec)
    yield from wrong_results(spec, name)


def _operand(spec: ConvSpec, name: str, operand: str) -> Iterator[Mistake]:
    letter, shape = LETTERS[operand], spec.shape_of(operand)
    for key, kind, words, change, common in wrong_entries(spec, operand, letter, shape):
        if key == f"flip-{WHOLE}" and operand == "weight":
            words = "with the kernel not rotated" if name == "input" else "with the kernel rotated by half a turn"
            words = words if (name == "input") != spec.transposed else "with w run through backwards"

        def before(s: Setup, change: Change = change) -> Setup:
            return with_operand(s, operand, change(getattr(s.operands, operand)))

        yield Mistake(f"{letter}-{key}", kind, words, operand, before, common=common)
    if operand == "input":

        def positive(s: Setup) -> Setup:
            return with_operand(s, "input", torch.relu(s.operands.input))

        said = "with every negative number of x set to 0: that of a ReLU before the layer"
        yield Mistake("x-positive", "F0", said, operand, positive, common=False)
    if operand == "grad_output":

        def ones(s: Setup) -> Setup:
            return with_operand(s, "grad_output", torch.ones_like(s.operands.grad_output))

        yield Mistake("g-ignored", "F0", "with g taken as all ones: the upstream gradient is ignored", operand, ones)


def _turned(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    """All sizes and settings in the reverse order of axes, and all memory read in them."""
    if spec.has_padded_input or spec.dims == 1:
        return
    settings = ("input_size", "kernel_size", "stride", "padding", "dilation", "output_padding")

    def route(s: Setup) -> Tensor:
        reverse: dict[str, Any] = {setting: getattr(s.spec, setting)[::-1] for setting in settings}
        turned = replace(s.spec, **reverse)
        x, w, g = s.operands.input, s.operands.weight, s.operands.grad_output
        shapes = turned.input_shape, turned.weight_shape, turned.output_shape
        x, w, g = (t.reshape(shape) for t, shape in zip((x, w, g), shapes, strict=True))
        found = by_hand(turned, Operands(x, w, s.operands.bias, g), (name,)).named()[name]
        return found.reshape(s.spec.shape_of(name))

    said = "with all sizes and settings in the order (width, height), and its memory read so"
    said = said.replace("width, height", ", ".join(reversed(AXIS_NAMES[spec.dims])))
    yield Mistake("turned", "F7", said, "route", route=route, common=False)


def _overwritten(spec: ConvSpec, name: str) -> Iterator[Mistake]:
    """`=` where `+=` is meant: what the last turn of a loop wrote is all that remains."""
    on_positions = name == ("output" if spec.transposed else "input")
    spaces = range(-spec.dims, 0)

    def only_last(operand: str, axes: Sequence[int]) -> Before:
        def before(s: Setup) -> Setup:
            tensor = getattr(s.operands, operand)
            keep = only_chosen({i % tensor.dim(): [tensor.shape[i] - 1] for i in axes})
            return with_operand(s, operand, keep(tensor))

        return before

    meant = "= where += is meant"
    if name in ("weight", "bias"):
        axes = ((0, *spaces) if spec.batch_size is not None else tuple(spaces), "g", "grad_output")
        said = f"with only the last placement of the last sample: {meant}"
        yield Mistake("overwritten", "F10", said, axes[2], only_last(axes[2], axes[0]))
    elif name == "output" and not on_positions:
        said = f"with only the last kernel entry of the last input channel: {meant}"
        yield Mistake("overwritten", "F10", said, "weight", only_last("weight", (1, *spaces)))


def _substituted(spec: ConvSpec, operands: Operands, name: str, past: Past | None) -> Iterator[Mistake]:
    ones = {"input": "weight", "weight": "input"}
    if name in ones:
        replaced, kept = ones[name], name

        def before(s: Setup) -> Setup:
            return with_operand(s, replaced, torch.ones_like(getattr(s.operands, replaced)))

        own = getattr(operands, kept).double()
        said = f"with {LETTERS[kept]} in place of {LETTERS[replaced]}"
        yield Mistake("itself", "F0", said, replaced, before, after=lambda t: t * own, common=False)
        words = f"plus {LETTERS[name]} itself"
        yield Mistake("plus-operand", "F10", f"{words}", "result", after=lambda t: t + own, common=False)
        yield Mistake(
            "plus-one", "F10", "plus 1: added to a buffer of ones", "result", after=lambda t: t + 1, common=False
        )
        if name == "input":
            said = "with zeros where x is not positive: the gradient of a ReLU before the layer"
            yield Mistake("relu-before", "F0", said, "result", after=lambda t: t * (own > 0), common=False)
    if name != "output":
        said = "with g set to 0 where y is not positive: the gradient of a ReLU after the layer"
        yield Mistake("relu-after", "F0", said, "grad_output", _relu_after, common=False)
    if name == "output" and spec.bias:
        for key, factor, words in (
            ("ignored", 0, "without the bias"),
            ("double", 2, "with the bias added twice"),
            ("minus", -1, "with the bias subtracted"),
        ):

            def bias(s: Setup, factor: int = factor) -> Setup:
                assert s.operands.bias is not None
                return with_operand(s, "bias", s.operands.bias * factor)

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


def _relu_after(s: Setup) -> Setup:
    output = by_hand(s.spec, s.operands, ("output",)).named()["output"]
    return with_operand(s, "grad_output", s.operands.grad_output * (output > 0))


def _left_over(spec: ConvSpec, name: str, past: Past) -> Iterator[Mistake]:
    """State of earlier calls: their operands in place of these, or their results below these."""
    for call, given in (("first", past.first), ("last", past.last)):
        for operand in FACTORS[name] if given is not None else ():
            old = getattr(given, operand)
            if old is None:
                continue

            def stale(s: Setup, operand: str = operand, old: Tensor = old) -> Setup:
                return with_operand(s, operand, old)

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
        return with_operand(s, "grad_output", only_chosen({0: [which % len(g)]})(g))

    return before
