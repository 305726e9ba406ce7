"""The explorer on a full screen, by textual: keys, mouse and resizing; colours are those of the terminal itself."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from convgrad_cli.errors import INTERRUPTED, OK
from convgrad_cli.render.style import Style
from convgrad_cli.view.board import Board
from convgrad_cli.view.explorer import Explorer


class Screenful(Widget):
    """All of the screen, drawn by the explorer."""

    can_focus = True
    DEFAULT_CSS = "Screenful { width: 100%; height: 100%; background: ansi_default; color: ansi_default; }"

    def __init__(self, explorer: Explorer, style: Style) -> None:
        super().__init__()
        self.explorer, self._style = explorer, style
        self.shown = Board()

    def render(self) -> Text:
        self.shown = self.explorer.screen(self.size.width, self.size.height, self._style)
        return Text("\n", no_wrap=True, end="").join(self.shown.lines)

    def take(self, explorer: Explorer) -> None:
        if explorer != self.explorer:
            self.explorer = explorer
            self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._point(event)

    def on_click(self, event: events.Click) -> None:
        self._point(event)

    def on_mouse_scroll_down(self) -> None:
        self.take(self.explorer.pressed("pagedown"))

    def on_mouse_scroll_up(self) -> None:
        self.take(self.explorer.pressed("pageup"))

    def _point(self, event: events.MouseEvent) -> None:
        found = self.shown.at(event.x, event.y)
        if found and not self.explorer.helps:
            self.take(self.explorer.pointed(*found))


class View(App[int]):
    """The full screen. `q` ends it with status 0, Ctrl-C with that of an interrupted command."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [("ctrl+c", "interrupt", "Interrupt")]

    def __init__(self, explorer: Explorer, style: Style) -> None:
        super().__init__(ansi_color=True)
        self.stage = Screenful(explorer, style)

    def compose(self) -> ComposeResult:
        yield self.stage

    def on_mount(self) -> None:
        self.stage.focus()

    def on_key(self, event: events.Key) -> None:
        """Every key is the explorer's, Tab as well, of which textual would make a step of the focus."""
        event.prevent_default()
        event.stop()
        key = event.character if event.is_printable and event.character else event.key
        if key == "q":
            self.exit(OK)
        elif key != "ctrl+c":
            self.stage.take(self.stage.explorer.pressed(key))

    def action_interrupt(self) -> None:
        self.exit(INTERRUPTED)

    def action_focus_next(self) -> None:
        self.stage.take(self.stage.explorer.pressed("tab"))

    def action_focus_previous(self) -> None:
        self.stage.take(self.stage.explorer.pressed("shift+tab"))


def view(explorer: Explorer, style: Style) -> int:
    """Show it until it is left; the exit status."""
    app = View(explorer, style)
    status = app.run()
    if app.return_code:
        raise RuntimeError("the screen ended by a mistake, which stands above")
    return OK if status is None else status
