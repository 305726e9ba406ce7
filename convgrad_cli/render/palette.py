"""Colours: one role a letter, and the diverging map of values; both readable on light and on dark backgrounds."""

from __future__ import annotations

from rich.color import Color
from rich.style import Style as RichStyle

# Mid-tones with a contrast of at least 3 on black and on white.
ROLES = {"x": "#0f8b8d", "xp": "#0f8b8d", "w": "#c2478f", "b": "#a0741a", "y": "#3d7fd6", "g": "#3d7fd6"}
BAD, DOUBT, GOOD = "#d1432f", "#c06a00", "green"

# PuOr of ColorBrewer (Brewer & Harrower), which stays apart for colour-blind readers; orange negative, purple positive.
PUOR = (
    (127, 59, 8), (179, 88, 6), (224, 130, 20), (253, 184, 99), (254, 224, 182), (247, 247, 247),
    (216, 218, 235), (178, 171, 210), (128, 115, 172), (84, 39, 136), (45, 0, 75),
)  # fmt: skip


def heat(value: float, largest: float) -> RichStyle:
    """A background for `value` on a scale symmetric about 0, with a text colour that reads on it."""
    if not abs(value) <= largest or largest == 0:  # NaN, infinite, or nothing to compare with
        return RichStyle()
    place = (value / largest + 1) / 2 * (len(PUOR) - 1)
    left = min(int(place), len(PUOR) - 2)
    rgb = [round(a + (b - a) * (place - left)) for a, b in zip(PUOR[left], PUOR[left + 1], strict=True)]
    dark = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] < 128
    return RichStyle(color="#ffffff" if dark else "#000000", bgcolor=Color.from_rgb(*rgb))


def role(letter: str) -> RichStyle:
    """The colour of an operand or of its gradient."""
    return RichStyle(color=ROLES.get(letter.partition(".")[0]))
