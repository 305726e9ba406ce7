"""The full screen, by textual: keys, mouse, time, resizing and signals; colours are those of the terminal itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget

from convgrad_cli.errors import INTERRUPTED, OK, ConvGradError
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report
from convgrad_cli.view.board import Board
from convgrad_cli.view.explorer import Explorer
from convgrad_cli.view.player import Player

TOLD = 0.2  # seconds; what is done by then is not announced
ENDS = {"SIGHUP": 129, "SIGINT": INTERRUPTED, "SIGTERM": 143}


class Computed(Message):
    """The gradients that were wanted, or the share of them that is done, or an exception."""

    def __init__(self, wanted: Mapping[str, Any], found: Report | float | Exception) -> None:
        super().__init__()
        self.wanted, self.found = wanted, found


class Screenful(Widget):
    """All of the screen, drawn by the explorer or the player."""

    can_focus = True
    DEFAULT_CSS = "Screenful { width: 100%; height: 100%; background: ansi_default; color: ansi_default; }"

    def __init__(self, shows: Explorer | Player, style: Style) -> None:
        super().__init__()
        self.shows, self._style = shows, style
        self.drawn = Board()
        self._timer: Timer | None = None
        self._busy = False

    def render(self) -> Text:
        self.drawn = self.shows.screen(self.size.width, self.size.height, self._style)
        return Text("\n", no_wrap=True, end="").join(self.drawn.lines)

    def on_mount(self) -> None:
        self.take(self.shows)

    def take(self, shows: Explorer | Player) -> None:
        """Show it, wait as long as it wants to be shown, and compute what it wants."""
        self.shows = shows
        self.refresh()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if shows.seconds is not None:
            self._timer = self.set_timer(shows.seconds, lambda: self.take(self.shows.ticked()))
        if isinstance(shows, Explorer) and shows.wanted and not self._busy:
            self._busy = True
            # No worker of textual's own: the program would wait for it to end when it is left.
            Thread(target=self._compute, args=(shows,), daemon=True).start()

    def _compute(self, asked: Explorer) -> None:
        begun = monotonic()

        def tell(share: float) -> None:
            if monotonic() - begun > TOLD:
                self.post_message(Computed(asked.wanted, float(share)))

        try:
            found: Report | Exception = asked.computed(tell)
        except Exception as error:
            found = error
        self.post_message(Computed(asked.wanted, found))

    def on_computed(self, message: Computed) -> None:
        found = message.found
        self._busy = self._busy and isinstance(found, float)
        if isinstance(found, Exception) and not isinstance(found, ConvGradError):
            raise found
        if not isinstance(self.shows, Explorer):
            return
        if isinstance(found, float):
            self.take(self.shows.told(found))
        elif isinstance(found, Report | ConvGradError):
            self.take(self.shows.answered(message.wanted, found))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        found = self._under(event)
        if found and (moved := self.shows.pointed(*found)) != self.shows:
            self.take(moved)

    def on_click(self, event: events.Click) -> None:
        if found := self._under(event):
            self.take(self.shows.clicked(*found))

    def on_mouse_scroll_down(self) -> None:
        self.take(self.shows.pressed("pagedown"))

    def on_mouse_scroll_up(self) -> None:
        self.take(self.shows.pressed("pageup"))

    def _under(self, event: events.MouseEvent) -> tuple[str, tuple[int, ...]] | None:
        return None if self.shows.helps else self.drawn.at(event.x, event.y)


class View(App[int]):
    """The full screen. `q` ends it with status 0, Ctrl-C with that of an interrupted command."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "interrupt", "Interrupt", priority=True)]

    def __init__(self, shows: Explorer | Player, style: Style) -> None:
        super().__init__(ansi_color=True)
        self.stage = Screenful(shows, style)
        self.error: Exception | None = None

    def compose(self) -> ComposeResult:
        yield self.stage

    def on_mount(self) -> None:
        self.stage.focus()
        for name, status in ENDS.items():
            # Not on Windows, nor where the loop is not in the main thread.
            with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), self.exit, status)

    def on_key(self, event: events.Key) -> None:
        """Every key is the screen's, Tab as well, of which textual would make a step of the focus."""
        event.prevent_default()
        event.stop()
        key = event.character if event.is_printable and event.character else event.key
        if key == "q":
            self.exit(OK)
        else:
            self.stage.take(self.stage.shows.pressed(key))

    def action_interrupt(self) -> None:
        self.exit(INTERRUPTED)

    def action_focus_next(self) -> None:
        self.stage.take(self.stage.shows.pressed("tab"))

    def action_focus_previous(self) -> None:
        self.stage.take(self.stage.shows.pressed("shift+tab"))

    def _handle_exception(self, error: Exception) -> None:
        """Keep it for the one place that prints errors; textual would print a traceback of pages."""
        self.error = self.error or error
        super()._handle_exception(error)
        self._exit_renderables.clear()


def view(shows: Explorer | Player, style: Style) -> int:
    """Show it until it is left; the exit status. What went wrong is raised when the terminal is as it was."""
    app = View(shows, style)
    status = app.run()
    if app.error is not None:
        raise app.error
    return OK if status is None else status
