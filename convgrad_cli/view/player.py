"""The player without its screen: one placement of the kernel after another, and what every key makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.render.numbers import number, sum_of_terms
from convgrad_cli.render.palette import role
from convgrad_cli.render.rows import FITTING_TERMS
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report, Step
from convgrad_cli.view.board import Board, board
from convgrad_cli.view.light import Light, light, written_to
from convgrad_cli.view.numbers import Course, Moment
from convgrad_cli.view.panes import Scene
from convgrad_cli.view.places import Index
from convgrad_cli.view.sheet import page_of, sheet, stacked, too_small
from convgrad_cli.view.words import BOLD, DIM, folded, layer_line

if TYPE_CHECKING:
    from convgrad_cli.view.explorer import Explorer

SLOWEST, FASTEST = 0.1, 20.0  # placements a second
BELOW = 7  # lines of the pass, the statement and its numbers
BAR = 18  # columns of the longest bar
TITLES = {
    ("output", False): "Forward: under every placement of the kernel, an entry of y",
    ("output", True): "Forward: every x puts a copy of the kernel into y, times itself",
    ("grad_input", False): "Backward to x: every g goes back to where its kernel was put, times w",
    ("grad_input", True): "Backward to x: what every x went into comes back, times w",
    ("grad_weight", False): "Backward to w: every g adds the x that its kernel was put on, times itself",
    ("grad_weight", True): "Backward to w: every x adds the g of what it went into, times itself",
    ("grad_bias", False): "Backward to b: every g adds itself",
    ("grad_bias", True): "Backward to b: every g adds itself",
}
KEYS = "space stop/go  arrows step  tab pass  +- speed  ? help  "
HELP = """\
space                stop, go on              + -         faster, slower
right, left          one placement on, back   home, end   first, last
tab, shift+tab       next, last pass          1 2 3 4     y x.grad w.grad b.grad
o                    other lit matrices, where there are channels or depth

A placement of the kernel is one meeting of taps of w and entries of x. Forward,
their products are added up in y. Backward, the g of that y goes the same ways
back: times w to where the x were, and times x to where the w were.

[1.00] is read, >1.00< is made of it, and a dot waits for its first part. A
number is the sum so far; with its last part it is the gradient of autograd.
? or any other key goes back, q quits."""


@dataclass(frozen=True)
class Player:
    """A report with steps, at one of them; `back` is the explorer that it came from, to which Escape returns."""

    report: Report
    course: Course
    number: int = 0
    speed: float = 1.0
    playing: bool = True
    pick: int = 0
    helps: bool = False
    back: Explorer | None = None

    @property
    def step(self) -> Step:
        return self.report.steps[self.number]

    @property
    def seconds(self) -> float | None:
        """How long this step is shown; None where it stays."""
        return 1 / self.speed if self.playing else None

    def ticked(self) -> Player:
        """The next step; stopped at the last."""
        if self.number == len(self.report.steps) - 1:
            return replace(self, playing=False)
        return self if not self.playing else replace(self, number=self.number + 1)

    def pressed(self, key: str) -> Player | Explorer:
        """What the key makes of it; nothing where it has no meaning."""
        if self.helps or key == "?":
            return replace(self, helps=not self.helps, playing=False)
        if key == "space" or key == " ":
            at_end = self.number == len(self.report.steps) - 1 and not self.playing
            return replace(self, playing=not self.playing, number=0 if at_end else self.number)
        if key in ("+", "=", "-"):
            speed = self.speed / 2 if key == "-" else self.speed * 2
            return replace(self, speed=min(max(speed, SLOWEST), FASTEST))
        if key == "o":
            return replace(self, pick=self.pick + 1)
        if key == "escape":
            return replace(self, playing=False) if self.back is None else self.back
        return self._to(key)

    def _to(self, key: str) -> Player:
        """Another step, at which it stays; another pass goes on as it was."""
        last = len(self.report.steps) - 1
        steps = {"right": self.number + 1, "down": self.number + 1, "left": self.number - 1, "up": self.number - 1}
        steps |= {"home": 0, "end": last, "pagedown": self.number + 10, "pageup": self.number - 10}
        if key in steps:
            return replace(self, number=min(max(steps[key], 0), last), playing=False)
        passes = list(self.course.passes.values())
        now = next(i for i, steps_of in enumerate(passes) if self.number in steps_of)
        begins = {str(i): steps_of.start for i, steps_of in enumerate(passes, 1)}
        begins |= {"tab": passes[(now + 1) % len(passes)].start, "shift+tab": passes[now - 1].start}
        return replace(self, number=begins[key]) if key in begins else self

    def pointed(self, tensor: str, index: Index) -> Player:
        """A pointer moves nothing here."""
        return self

    def clicked(self, tensor: str, index: Index) -> Player:
        """At the step that is the first to write to the entry."""
        steps = self.course.steps_of(tensor, index)
        return replace(self, number=steps[0], playing=False) if steps else self

    @cached_property
    def made(self) -> Light:
        return written_to(self.step)

    @cached_property
    def read(self) -> Light:
        return light(self.step.reads)

    def screen(self, width: int, height: int, style: Style) -> Board:
        """All lines, exactly `height` of them, none longer than `width`."""
        shown = too_small(width, height) or (page_of(HELP, width) if self.helps else self._stage(width, height, style))
        return sheet(shown, width, height)

    def _stage(self, width: int, height: int, style: Style) -> Board:
        spec = self.report.spec
        title = Text(TITLES[self.step.tensor, spec.transposed], role(self._letter) if style.color else RichStyle())
        above = [layer_line(self.report, width), title, Text()]
        room = height - len(above) - BELOW - 2
        scene = Scene(Moment(self.report, self.course, self.number), self.read, self.made, self.pick, style)
        keys = f"{KEYS}{'q quit' if self.back is None else 'esc back'}"
        return stacked(above, board(scene, width, room), self._below(width, style), Text(keys, DIM), height)

    @property
    def _letter(self) -> str:
        return self.report.tensors[self.step.tensor].letter

    def _below(self, width: int, style: Style) -> list[Text]:
        step = self.step
        statement = Text(step.statement)
        for letter in LETTERS.values() if style.color else ():
            statement.highlight_regex(rf"\b{letter}(\.grad)?(\[[^\]]*\])", role(letter))
        lines = (
            [self._bars(width, style), *folded(statement, width, 2)] if step.statement else [self._bars(width, style)]
        )
        if step.reason:
            lines += folded(Text(step.reason, DIM), width, 2)
        return [*lines, *folded(Text(self._numbers(style)), width, 4, f" ... {len(step.terms):,} terms")]

    def _numbers(self, style: Style) -> str:
        """The numbers that are added up in one entry, or that are added to many."""
        step = self.step
        if not step.terms:
            return ""
        few = step.terms[:FITTING_TERMS]
        more = f" ... {len(step.terms):,} terms" if len(few) < len(step.terms) else ""
        if step.whole and len(step.terms) > 1:
            value = Moment(self.report, self.course, self.number).at(step.tensor, step.index)
            total = "" if value is None else f" = {number(value, style.precision)}"
            return f"= {sum_of_terms(few, style.precision)}{more}{total}"
        return f"adds {', '.join(sum_of_terms([term], style.precision) for term in few)}{more}"

    def _bars(self, width: int, style: Style) -> Text:
        """How far every pass is, and which placement of how many this is."""
        now = self.course.passes[self.step.tensor]
        rate = f"{self.speed:.3g} a second" if self.playing else "stopped"
        most = str(max(map(len, self.course.passes.values())))
        end = f"{self.number - now.start + 1:>{len(most)}} of {len(now)}, {rate}".ljust(2 * len(most) + 19)
        letters = [self.report.tensors[name].letter for name in self.course.passes]
        spare = width - sum(len(letter) + 3 for letter in letters) - len(end)
        long = min(spare // len(letters), BAR)
        line = Text()
        for letter, steps in zip(letters, self.course.passes.values(), strict=True):
            done = min(max(self.number - steps.start + 1, 0), len(steps)) * long // len(steps)
            line.append(letter, (role(letter) if style.color else RichStyle()) + RichStyle(bold=self.number in steps))
            line.append(" ")
            line.append(("#" if style.ascii else "━") * done, role(letter) if style.color else BOLD)
            line.append(("-" if style.ascii else "─") * (long - done), DIM)
            line.append("  ")
        return line.append(end, DIM)


def play(report: Report, speed: float = 1.0, back: Explorer | None = None) -> Player:
    """The player of a report with steps, at the first."""
    return Player(report, Course(report), speed=speed, back=back)
