"""A sheet: the lines that fill a screen of a given size, whatever is on it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich.text import Text

from convgrad_cli.view.board import Board

NARROWEST, LOWEST = 40, 14


def sheet(shown: Board, width: int, height: int) -> Board:
    """`shown` with exactly `height` lines, none longer than `width`."""
    lines = shown.lines[:height]
    shown.lines = [*lines, *(Text() for _ in range(height - len(lines)))]
    for line in shown.lines:
        line.truncate(width)
    return shown


def too_small(width: int, height: int) -> Board | None:
    """What is shown where matrices and a formula have no room; None where they have."""
    if width >= NARROWEST and height >= LOWEST:
        return None
    return Board([Text(line) for line in wrap(f"make the terminal {NARROWEST}x{LOWEST} or larger", max(width, 1))])


def page_of(text: str, width: int) -> Board:
    """A text for reading; lines that are too long go on below."""
    lines = [part for line in text.split("\n") for part in (wrap(line, width) if len(line) > width else [line])]
    return Board([Text(line) for line in lines])


def stacked(above: Sequence[Text], shown: Board, room: int, below: Sequence[Text], last: Text, height: int) -> Board:
    """The board between what stands above it and, at a fixed place, what stands below; `last` at the very end."""
    lines = [*above, *shown.lines, *(Text() for _ in range(room - len(shown.lines) + 1)), *below]
    lines += [Text() for _ in range(height - 1 - len(lines))]
    return Board([*lines[: height - 1], last], [cell.moved(len(above), 0) for cell in shown.cells])
