"""Every tensor of a report as one matrix each, in a forward and a backward row that fit a screen.

What is read stands in brackets, and what is made of it between arrows, so that no one has to tell hues apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.render.palette import ROLES, heat, role
from convgrad_cli.render.stage import SIGNS
from convgrad_cli.render.style import Style
from convgrad_cli.view.numbers import written
from convgrad_cli.view.panes import GAP, Pane, Scene, arranged, drawn_numbers
from convgrad_cli.view.places import Index


class Cell(NamedTuple):
    """Where on a screen an entry of a tensor is: on `line`, from column `start` to before `stop`."""

    line: int
    start: int
    stop: int
    tensor: str
    entry: Index

    def moved(self, lines: int, columns: int) -> Cell:
        return Cell(self.line + lines, self.start + columns, self.stop + columns, self.tensor, self.entry)


@dataclass
class Board:
    """The lines of a screen and, for a pointer, which cell is where."""

    lines: list[Text] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)

    def at(self, column: int, line: int) -> tuple[str, Index] | None:
        found = (cell for cell in self.cells if cell.line == line and cell.start <= column < cell.stop)
        return next(((cell.tensor, cell.entry) for cell in found), None)


def board(scene: Scene, width: int, height: int) -> Board:
    """Both rows within `width` columns and `height` lines; a matrix with no room for all is cut around what is lit."""
    drawn = Board()
    panes, precision = arranged(scene, width, height)
    for line in panes:
        _draw(scene, line, drawn, precision)
        drawn.lines.append(Text())
    del drawn.lines[-1]
    return drawn


def _draw(scene: Scene, line: Sequence[Pane], drawn: Board, precision: int) -> None:
    top = len(drawn.lines)
    tall = max(len(pane.rows) for pane in line) + 1
    texts = [Text() for _ in range(tall)]
    left = 0
    for number, pane in enumerate(line):
        if number:
            sign = SIGNS.get(pane.tensor.name, "")
            sign = "*" if sign == "∗" else "" if sign == "→" else sign
            for i, text in enumerate(texts):
                text.append(f"{sign if i == 1 else '':^{GAP}}")
            left += GAP
        drawn.cells += [cell.moved(top, left) for cell in _fill(scene, pane, texts, precision)]
        left += pane.wide
        for text in texts:
            text.pad_right(left - len(text.plain))
    drawn.lines += texts


def _fill(scene: Scene, pane: Pane, texts: Sequence[Text], precision: int) -> list[Cell]:
    """Write a pane to the ends of the lines; where its cells are."""
    name, style = pane.tensor.name, scene.style
    head = (role(pane.tensor.letter) if style.color else RichStyle()) + RichStyle(
        bold=True, underline=name in scene.made.blocks
    )
    texts[0].append(pane.label, head)
    values = drawn_numbers(scene, pane)
    scale = scene.numbers.scale(name)
    largest = max((abs(value) for value in scale if isfinite(value)), default=0.0)
    there = iter(written([*(value for value in values if value is not None), *scale], precision))
    cells = []
    for number, value in enumerate(values):
        row, place = divmod(number, len(pane.columns))
        index = pane.index(pane.rows[row], pane.columns[place])
        text = ("." if style.ascii else "·") if value is None else next(there)
        shade = heat(value, largest) if style.color and value is not None else RichStyle()
        made, read = scene.made.holds(name, index), scene.read.holds(name, index)
        _cell_text(texts[1 + row], text.rjust(pane.width - 2), made, read, shade, pane.tensor.letter, style)
        cells.append(Cell(1 + row, place * pane.width, (place + 1) * pane.width, name, index))
    return cells


def _cell_text(line: Text, text: str, here: bool, lit: bool, shade: RichStyle, letter: str, style: Style) -> None:
    """One number: between arrows where it is made, in brackets where it is read, else plain."""
    if here:
        line.append(f">{text}<", RichStyle(bold=True, reverse=True))
    elif lit:
        colour = ROLES.get(letter.partition(".")[0])
        edge = RichStyle(color="#ffffff", bgcolor=colour, bold=True) if style.color else RichStyle(bold=True)
        line.append("[", edge)
        line.append(text, shade + RichStyle(bold=True, underline=True))
        line.append("]", edge)
    else:
        line.append(f" {text} ", shade)
