"""The explorer without its screen: what is shown, and what every key and every click makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import Any

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.errors import ConvGradError
from convgrad_cli.render.palette import BAD
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report
from convgrad_cli.view import places
from convgrad_cli.view.board import Board, board
from convgrad_cli.view.light import Light, light_at, light_of
from convgrad_cli.view.numbers import Numbers
from convgrad_cli.view.panes import Scene
from convgrad_cli.view.places import Place
from convgrad_cli.view.player import Player, play
from convgrad_cli.view.sheet import page_of, sheet, stacked, too_small
from convgrad_cli.view.words import DIM, HELP, KEYS, formula_lines, heading

SETTINGS = {"k": "kernel_size", "s": "stride", "p": "padding", "d": "dilation", "x": "input_size"}
LEADING = {"c": "channel", "i": "in channel", "b": "sample", "z": "depth"}
TENSORS = {str(number): name for number, name in enumerate(places.ORDER, 1)}
BELOW = 6  # lines of the formula

Told = Callable[[float], None]
Inspect = Callable[[Report, Mapping[str, Any], Told], Report]


@dataclass(frozen=True)
class Lab:
    """What the explorer can ask for; both raise ConvGradError.

    `inspect` makes of a report that of its layer with other settings (keywords of make_spec), and tells the share done;
    `play` adds the steps of the player to a report.
    """

    inspect: Inspect
    play: Callable[[Report], Report]


@dataclass(frozen=True)
class Explorer:
    """A report with a cursor. `wanted` are settings whose gradients are still to be computed, `share` of them done."""

    lab: Lab
    report: Report
    place: Place
    said: str = ""
    helps: bool = False
    pinned: bool = False
    wanted: Mapping[str, Any] = field(default_factory=dict)
    share: float | None = None

    seconds = None  # nothing here moves by itself

    def ticked(self) -> Explorer:
        return self

    @property
    def light(self) -> Light:
        return light_of(places.element_at(self.report, self.place))

    def pressed(self, key: str) -> Explorer | Player:
        """What the key makes of it; nothing where it has no meaning."""
        if self.helps or key == "?":
            return replace(self, helps=not self.helps, said="")
        if key in ("space", " "):
            return self._played()
        if key in ("enter", "escape"):
            return replace(self, pinned=key == "enter", said="")
        if key.lower() in SETTINGS:
            name, step = SETTINGS[key.lower()], 1 if key.islower() else -1
            now = self.wanted.get(name) or getattr(self.report.spec, name)
            return replace(self, wanted={**self.wanted, name: _stepped(name, now, step)}, said="")
        if key in TENSORS:
            if all(table.tensor != TENSORS[key] for table in self.report.tables):
                return replace(self, said="the layer has no bias; start with --bias")
            return self.put(places.at_start(self.report, TENSORS[key]))
        return self.put(self._moved(key))

    def put(self, place: Place) -> Explorer:
        return replace(self, place=place, said="")

    def pointed(self, tensor: str, index: places.Index) -> Explorer:
        """With the cursor on a cell, unless it is pinned; only y and the gradients are made of others."""
        if self.pinned or all(table.tensor != tensor for table in self.report.tables):
            return self
        return self.put(Place(tensor, index))

    def clicked(self, tensor: str, index: places.Index) -> Explorer:
        """The same, and pinned there."""
        there = replace(self, pinned=False).pointed(tensor, index)
        return replace(there, pinned=there.place == Place(tensor, index) or self.pinned)

    def computed(self, tell: Told) -> Report | ConvGradError:
        """The report of the layer that is wanted, or why there is none; this is what takes time."""
        try:
            return self.lab.inspect(self.report, self.wanted, tell)
        except ConvGradError as error:
            return error

    def told(self, share: float) -> Explorer:
        """With the share that is done; nothing where nothing is wanted any more."""
        return replace(self, share=share) if self.wanted else self

    def answered(self, wanted: Mapping[str, Any], found: Report | ConvGradError) -> Explorer:
        """With what was computed for `wanted`; as it was where something else is wanted by now."""
        if wanted != self.wanted:
            return self
        done = replace(self, wanted={}, share=None)
        if isinstance(found, ConvGradError):
            return replace(done, said=str(found))
        return replace(done, report=found, place=places.kept(found, self.place))

    def _played(self) -> Explorer | Player:
        if self.wanted:
            return replace(self, said="the new layer is still being computed; it can be played then")
        try:
            return play(self.lab.play(self.report), back=replace(self, said=""))
        except ConvGradError as error:
            return replace(self, said=str(error))

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

    def screen(self, width: int, height: int, style: Style) -> Board:
        """All lines, exactly `height` of them, none longer than `width`."""
        shown = too_small(width, height) or (page_of(HELP, width) if self.helps else self._stage(width, height, style))
        return sheet(shown, width, height)

    def _stage(self, width: int, height: int, style: Style) -> Board:
        above = [*heading(self.report, width), Text()]
        room = height - len(above) - BELOW - 2
        at = light_at(self.place.tensor, self.place.index)
        shown = board(Scene(Numbers(self.report), self.light, at, self.place.pick, style), width, room)
        element = places.element_at(self.report, self.place)
        below = formula_lines(self.report, element, width, style, self.pinned)
        shown = stacked(above, shown, below, self._last(), height)
        said = [Text(part, RichStyle(color=BAD if style.color else None, bold=True)) for part in wrap(self.said, width)]
        if said:  # over the last lines, where they are empty or not
            shown.lines[height - 1 - len(said) : height - 1] = said
        return shown

    def _last(self) -> Text:
        if self.share is None:
            return Text(KEYS, DIM)
        return Text(f"computing the gradients of the new layer, {self.share:.0%} ...", DIM)


def start(lab: Lab, report: Report) -> Explorer:
    return Explorer(lab, report, places.first_place(report))


def _stepped(name: str, now: Any, step: int) -> Any:
    """A setting a step up or down on every axis."""
    if name == "padding":
        return now if step < 0 and min(map(min, now)) <= 0 else tuple((a + step, b + step) for a, b in now)
    return tuple(size + step for size in now)
