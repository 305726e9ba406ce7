"""The relation of one axis against brute force: every small setting, every index."""

from collections import defaultdict
from itertools import product as every
from math import gcd

import pytest

from convgrad_cli.geometry.axis import Axis, Span, whole

POSITIONS, PLACEMENTS, TAPS, STRIDES, DILATIONS, PADDINGS = (
    (1, 2, 5, 8),
    (1, 2, 4),
    (1, 2, 3, 4),
    (1, 2, 3, 4, 6),
    (1, 2, 3, 4, 6),
    range(-3, 6),
)
FIXED = {
    "tap": ("at_tap", "taps"),
    "placement": ("at_placement", "placements"),
    "position": ("at_position", "positions"),
}


def axes(stride: int) -> list[Axis]:
    return [
        Axis(positions, placements, taps, stride, dilation, padding)
        for positions, placements, taps, dilation, padding in every(POSITIONS, PLACEMENTS, TAPS, DILATIONS, PADDINGS)
    ]


def meetings(axis: Axis) -> list[tuple[int, int, int]]:
    """Every (tap, placement, position) of the relation, in the order of taps and then placements."""
    return [
        (tap, placement, position)
        for tap, placement in every(range(axis.taps), range(axis.placements))
        if 0 <= (position := placement * axis.stride + tap * axis.dilation - axis.padding) < axis.positions
    ]


def is_proper(span: Span, size: int) -> bool:
    """Whether the span is a non-empty ascending slice of an axis of `size`, read alike by range and by Python."""
    inside = 0 <= span.start <= span.indices[-1] < size == span.size
    regular = span.step >= 1 and span.count >= 1 and (span.count > 1 or span.step == 1)
    return inside and regular and list(range(size))[span.as_slice()] == list(span) and len(list(span)) == span.count


@pytest.mark.parametrize("stride", STRIDES)
def test_every_slice_is_what_brute_force_finds(stride):
    settings = axes(stride)
    for axis in settings:
        by_tap, by_placement, by_position = defaultdict(list), defaultdict(list), defaultdict(list)
        for tap, placement, position in meetings(axis):
            by_tap[tap].append((placement, position))
            by_placement[placement].append((tap, position))
            by_position[position].append((tap, placement))
        for tap in range(axis.taps):
            pair = axis.at_tap(tap)
            assert ([] if pair is None else list(zip(*pair, strict=True))) == by_tap[tap], (axis, tap)
        for placement in range(axis.placements):
            pair = axis.at_placement(placement)
            assert ([] if pair is None else list(zip(*pair, strict=True))) == by_placement[placement], (axis, placement)
        for position in range(axis.positions):
            pair = axis.at_position(position)
            # The two run against each other, so the second span is read backwards.
            found = [] if pair is None else list(zip(pair[0], reversed(pair[1].indices), strict=True))
            assert found == by_position[position], (axis, position)
    assert len(settings) == 2160


@pytest.mark.parametrize("fixed", FIXED)
def test_spans_ascend_inside_their_axis_and_are_never_empty(fixed):
    method, count = FIXED[fixed]
    sizes = {"tap": ("placements", "positions"), "placement": ("taps", "positions"), "position": ("taps", "placements")}
    seen = 0
    for axis in (axis for stride in STRIDES for axis in axes(stride)):
        for index in range(getattr(axis, count)):
            pair = getattr(axis, method)(index)
            if pair is not None:
                seen += 1
                assert pair[0].count == pair[1].count
                for span, side in zip(pair, sizes[fixed], strict=True):
                    assert is_proper(span, getattr(axis, side)), (axis, index, span)
    assert seen > 10_000


def test_a_position_without_meetings_is_given_its_true_reason():
    reasons = defaultdict(int)
    for axis in (axis for stride in STRIDES for axis in axes(stride)):
        reached = {position for _, _, position in meetings(axis)}
        last = (axis.taps - 1) * axis.dilation + (axis.placements - 1) * axis.stride
        for position in set(range(axis.positions)) - reached:
            reason, padded = axis.unreached(position), position + axis.padding
            steps = f"stride {axis.stride} and dilation {axis.dilation}"
            true = {
                f"negative padding puts position {position} before the kernel's first placement": padded < 0,
                f"the kernel's last placement ends before position {position}": padded > last,
                f"with {steps} no kernel entry lands on position {position}": 0 < padded < last,
            }
            assert true.get(reason, padded % gcd(axis.stride, axis.dilation) > 0), (axis, position, reason)
            reasons[reason.split()[0]] += 1
    assert set(reasons) == {"negative", "stride", "the", "with"}


def test_the_reasons_word_by_word():
    assert Axis(6, 2, 2, 2, 1, -1).unreached(0) == (
        "negative padding puts position 0 before the kernel's first placement"
    )
    assert Axis(9, 3, 2, 2, 4, 1).unreached(2) == (
        "stride 2 and dilation 4 share the divisor 2, and position + padding = 3 is not a multiple of it"
    )
    assert Axis(6, 2, 2, 2, 1, 0).unreached(4) == "the kernel's last placement ends before position 4"
    assert Axis(6, 2, 2, 3, 1, 0).unreached(2) == ("with stride 3 and dilation 1 no kernel entry lands on position 2")


def test_spans_read_as_python_slices():
    assert str(Span(1, 3, 1, 9)) == "1:4"
    assert str(Span(1, 3, 2, 9)) == "1:6:2"
    assert str(Span(4, 1, 1, 9)) == "4:5"
    assert list(Span(1, 3, 2, 9)) == [1, 3, 5]
    assert Span(1, 3, 2, 9).as_slice() == slice(1, 6, 2)
    assert str(whole(4)) == ":"
    assert list(whole(4)) == [0, 1, 2, 3]
