"""Colours: one role a letter, and the diverging map of values; both readable on light and on dark backgrounds."""

from __future__ import annotations

from collections.abc import Sequence

from rich.color import Color
from rich.style import Style as RichStyle

# Mid-tones with a contrast of at least 3 on black and on white.
ROLES = {"x": "#0f8b8d", "xp": "#0f8b8d", "w": "#c2478f", "b": "#a0741a", "y": "#3d7fd6", "g": "#3d7fd6"}
ROLES |= {"ggx": ROLES["x"], "ggxp": ROLES["x"], "ggw": ROLES["w"], "ggb": ROLES["b"]}
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
    rgb = _between(PUOR, value / largest)
    dark = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] < 128
    return RichStyle(color="#ffffff" if dark else "#000000", bgcolor=Color.from_rgb(*rgb))


def _between(colours: Sequence[tuple[int, int, int]], place: float) -> list[int]:
    """The colour at `place`, from -1 to 1, on a map."""
    at = (place + 1) / 2 * (len(colours) - 1)
    left = min(int(at), len(colours) - 2)
    return [round(a + (b - a) * (at - left)) for a, b in zip(colours[left], colours[left + 1], strict=True)]


def role(letter: str) -> RichStyle:
    """The colour of an operand or of its gradient."""
    return RichStyle(color=ROLES.get(letter.partition(".")[0]))


STEPS = 10  # shades on each side of 0
# The same map for dark pages: it runs through the dark, and what is large is light.
DARK_PUOR = (
    (255, 205, 128), (240, 163, 64), (196, 112, 24), (132, 76, 20), (80, 52, 32), (38, 40, 47),
    (56, 54, 82), (82, 74, 130), (118, 106, 178), (165, 155, 214), (212, 206, 240),
)  # fmt: skip


def shade(value: float, largest: float) -> int | None:
    """Which of the shades from -STEPS to STEPS a value has; None where it is not finite or there is nothing to compare.

    A number other than 0 never has the shade of 0.
    """
    if not abs(value) <= largest or largest in (0, float("inf")):
        return None
    step = round(value / largest * STEPS)
    return step or (value > 0) - (value < 0)


def shades(colours: Sequence[tuple[int, int, int]]) -> list[tuple[str, str]]:
    """The background of each shade and the text colour that reads best on it."""
    found = []
    for step in range(-STEPS, STEPS + 1):
        rgb = _between(colours, step / STEPS)
        light = sum(share * _linear(channel) for share, channel in zip((0.2126, 0.7152, 0.0722), rgb, strict=True))
        found.append((f"#{bytes(rgb).hex()}", "#ffffff" if light < 0.179 else "#000000"))
    return found


def _linear(channel: int) -> float:
    """The light of an sRGB channel (IEC 61966-2-1)."""
    part = channel / 255
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
