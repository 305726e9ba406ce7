"""The explorer without its screen: what is shown, and what every key and every click makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.render.palette import BAD
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report
from convgrad_cli.view import places
from convgrad_cli.view.board import Board, board
from convgrad_cli.view.light import Light, light_of
from convgrad_cli.view.places import Place
from convgrad_cli.view.words import DIM, HELP, KEYS, formula_lines, heading

SETTINGS = {"k": "kernel_size", "s": "stride", "p": "padding", "d": "dilation", "x": "input_size"}
LEADING = {"c": "channel", "i": "in channel", "b": "sample", "z": "depth"}
TENSORS = {str(number): name for number, name in enumerate(places.ORDER, 1)}
BELOW = 6  # lines of the formula
NARROWEST, LOWEST = 40, 14

Inspect = Callable[[Report, Mapping[str, Any]], Report]


@dataclass(frozen=True)
class Explorer:
    """`inspect` makes of a report that of its layer with other settings (keywords of make_spec), or ConvGradError."""

    inspect: Inspect
    report: Report
    place: Place
    said: str = ""
    helps: bool = False

    @property
    def light(self) -> Light:
        return light_of(places.element_at(self.report, self.place))

    def pressed(self, key: str) -> Explorer:
        """What the key makes of it; nothing where it has no meaning."""
        if self.helps or key == "?":
            return replace(self, helps=not self.helps, said="")
        if key.lower() in SETTINGS:
            return self._set(SETTINGS[key.lower()], 1 if key.islower() else -1)
        if key in TENSORS:
            if all(table.tensor != TENSORS[key] for table in self.report.tables):
                return replace(self, said="the layer has no bias; start with --bias")
            return self.put(places.at_start(self.report, TENSORS[key]))
        return self.put(self._moved(key))

    def put(self, place: Place) -> Explorer:
        return replace(self, place=place, said="")

    def pointed(self, tensor: str, index: places.Index) -> Explorer:
        """With the cursor on a cell; only y and the gradients are made of others."""
        if all(table.tensor != tensor for table in self.report.tables):
            return self
        return self.put(Place(tensor, index))

    def _moved(self, key: str) -> Place:
        report, place = self.report, self.place
        shape = places.table_of(report, place.tensor).shape
        flat = places.drawn_axes(report.spec, place.tensor) == 1
        steps = {"left": (-1, -1), "right": (-1, 1), "home": (-1, -shape[-1]), "end": (-1, shape[-1])}
        if place.tensor == "grad_bias":
            steps = {"up": (0, -1), "down": (0, 1), "home": (0, -shape[0]), "end": (0, shape[0])}
        elif not flat:
            steps |= {"up": (-2, -1), "down": (-2, 1)}
        if key in steps:
            return place.moved(shape, *steps[key])
        if key in ("tab", "shift+tab"):
            return places.next_tensor(report, place, 1 if key == "tab" else -1)
        if key in ("pagedown", "pageup"):
            return places.next_slice(report, place, 1 if key == "pagedown" else -1)
        if key == "o":
            return replace(place, pick=place.pick + 1)
        if key.lower() in LEADING:
            return places.along(report, place, LEADING[key.lower()], 1 if key.islower() else -1)
        return place

    def _set(self, name: str, step: int) -> Explorer:
        """The layer with one setting a step up or down on every axis; as it was, with the reason, where none has it."""
        try:
            report = self.inspect(self.report, {name: _stepped(self.report.spec, name, step)})
        except ConvGradError as error:
            return replace(self, said=str(error))
        return replace(self, report=report, place=places.kept(report, self.place), said="")

    def screen(self, width: int, height: int, style: Style) -> Board:
        """All lines, exactly `height` of them, none longer than `width`."""
        if width < NARROWEST or height < LOWEST:
            shown = Board([Text(f"make the terminal {NARROWEST}x{LOWEST} or larger")])
        elif self.helps:
            shown = Board([Text(line) for line in HELP.split("\n")])
        else:
            shown = self._stage(width, height, style)
        lines = shown.lines[:height]
        shown.lines = [*lines, *(Text() for _ in range(height - len(lines)))]
        for line in shown.lines:
            line.truncate(width)
        return shown

    def _stage(self, width: int, height: int, style: Style) -> Board:
        above = [*heading(self.report, style), Text()]
        said = [Text(part) for part in _wrapped(self.said, width)]
        room = height - len(above) - BELOW - 2
        shown = board(self.report, self.light, self.place, width, room, style)
        shown.cells = [(cell[0] + len(above), *cell[1:]) for cell in shown.cells]
        element = places.element_at(self.report, self.place)
        below = formula_lines(self.report, element, width, style)
        lines = [*above, *shown.lines, *(Text() for _ in range(room - len(shown.lines) + 1)), *below]
        lines += [Text() for _ in range(height - 1 - len(lines))]
        for i, part in enumerate(said):  # over the last lines, where they are empty or not
            part.stylize(RichStyle(color=BAD if style.color else None, bold=True))
            lines[height - 1 - len(said) + i] = part
        shown.lines = [*lines, Text(KEYS, DIM)]
        return shown


def start(inspect: Inspect, report: Report) -> Explorer:
    return Explorer(inspect, report, places.first_place(report))


def _stepped(spec: ConvSpec, name: str, step: int) -> Any:
    if name == "padding":
        return tuple((before + step, after + step) for before, after in spec.padding)
    return tuple(size + step for size in getattr(spec, name))


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width)
