"""`convgrad view` and `explain --play` on a screen: textual's pilot with keys, mouse, time and resizing; real terminals
that are left as they were whatever happens; and refusals."""

from __future__ import annotations

import re
import signal
import threading
from dataclasses import replace

import pytest
from full_screen import explorer, in_a_thread, player, pressed
from shell import run, terminal
from view.screens import drawn, typed
from view.test_explorer import text

from convgrad_cli.render.palette import ROLES
from convgrad_cli.render.style import Style
from convgrad_cli.view.app import View

PLAY = ("explain", "--play", "--x", "ramp", "--w", "ramp")


def piloted(shows, size, play):
    """What `play(app, pilot)` returns, on a screen of `size`."""

    async def go():
        app = View(shows, Style(color="truecolor"))
        async with app.run_test(size=size) as pilot:
            return await play(app, pilot)

    return in_a_thread(go())


async def until(pilot, told):
    """Wait for what does not depend on a key."""
    for _ in range(3000):
        if told():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came")


def offset(stage, tensor, index):
    """Where the pointer must be for an entry."""
    cell = next(cell for cell in stage.drawn.cells if (cell.tensor, cell.entry) == (tensor, index))
    return cell.start + 1, cell.line


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_keys_mouse_and_help(size):
    async def play(app, pilot):
        stage = app.stage
        await pilot.press("right", "down")
        assert stage.shows.place.index == (0, 0, 1, 1)
        await pilot.press("tab")
        assert stage.shows.place.tensor == "output"
        await pilot.press("?")
        assert stage.shows.helps
        await pilot.press("?", "s")
        await until(pilot, lambda: not stage.shows.wanted)
        assert stage.shows.report.spec.stride == (2, 2)
        await pilot.press("S")
        await until(pilot, lambda: not stage.shows.wanted)
        await pilot.click(offset=offset(stage, "grad_input", (0, 0, 1, 2)))
        assert (stage.shows.place.tensor, stage.shows.place.index) == ("grad_input", (0, 0, 1, 2))
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert len(stage.drawn.lines) == 20
        await pilot.press("q")

    piloted(explorer(input_size=3, kernel_size=2), size, play)


def test_pointing_moves_until_a_click_or_enter_pins_and_escape_releases():
    async def play(app, pilot):
        stage = app.stage
        await pilot.hover(offset=offset(stage, "grad_input", (0, 0, 1, 1)))
        assert stage.shows.place.index == (0, 0, 1, 1)
        await pilot.click(offset=offset(stage, "grad_input", (0, 0, 2, 2)))
        await pilot.hover(offset=offset(stage, "output", (0, 0, 0, 0)))
        assert (stage.shows.place.tensor, stage.shows.place.index) == ("grad_input", (0, 0, 2, 2))
        assert "pinned" in "\n".join(line.plain for line in stage.drawn.lines)
        await pilot.press("escape")
        await pilot.hover(offset=offset(stage, "output", (0, 0, 1, 1)))
        assert (stage.shows.place.tensor, stage.shows.place.index) == ("output", (0, 0, 1, 1))
        await pilot.press("enter", "left")
        await pilot.hover(offset=offset(stage, "grad_weight", (0, 0, 1, 1)))
        assert (stage.shows.place.tensor, stage.shows.place.index) == ("output", (0, 0, 1, 0))
        await pilot.click(offset=offset(stage, "weight", (0, 0, 0, 0)))  # made of nothing: the pin stays where it is
        assert stage.shows.pinned
        assert stage.shows.place.tensor == "output"

    piloted(explorer(input_size=3, kernel_size=2), (80, 24), play)


def test_gradients_are_computed_aside_and_the_screen_answers_meanwhile():
    """One that takes as long as the test wants: it is told, keys still move, and what was wanted last is shown."""
    goes_on, shows = threading.Event(), explorer(input_size=6, kernel_size=2)
    inspect, asked = shows.lab.inspect, []

    def slow(report, changes, tell):
        asked.append(changes)
        while not goes_on.wait(0.05):
            tell(0.25)
        return inspect(report, changes, tell)

    async def play(app, pilot):
        stage = app.stage
        await pilot.press("s")
        await until(pilot, lambda: "computing the gradients of the new layer, 25%" in stage.drawn.lines[-1].plain)
        await pilot.press("right", "s", "p")
        assert stage.shows.place.index == (0, 0, 0, 1)
        assert stage.shows.report.spec.stride == (1, 1)
        goes_on.set()
        await until(pilot, lambda: not stage.shows.wanted)
        spec = stage.shows.report.spec
        assert (spec.stride, spec.padding) == ((3, 3), ((1, 1), (1, 1)))
        await until(pilot, lambda: "computing" not in stage.drawn.lines[-1].plain)

    piloted(replace(shows, lab=replace(shows.lab, inspect=slow)), (80, 24), play)
    assert asked == [{"stride": (2, 2)}, {"stride": (3, 3), "padding": ((1, 1), (1, 1))}]


def test_time_moves_the_kernel_and_space_stops_it():
    async def play(app, pilot):
        stage = app.stage
        await until(pilot, lambda: stage.shows.number >= 2)
        await pilot.press("space")
        number = stage.shows.number
        await pilot.pause(0.3)
        assert stage.shows.number == number
        await pilot.press("home", "space")
        await until(pilot, lambda: stage.shows.number == 11)
        await until(pilot, lambda: not stage.shows.playing)

    piloted(replace(player(input_size=3, kernel_size=2), speed=20.0), (80, 24), play)


def test_space_in_the_view_plays_and_escape_comes_back():
    async def play(app, pilot):
        stage = app.stage
        await pilot.press("right", "space", "space", "right")
        assert stage.shows.number == 1
        await pilot.click(offset=offset(stage, "grad_input", (0, 0, 2, 2)))
        assert stage.shows.number == 7
        await pilot.press("escape")
        assert stage.shows.place.index == (0, 0, 0, 1)

    piloted(explorer(input_size=3, kernel_size=2), (80, 24), play)


def test_words_have_the_colour_of_the_text_and_letters_that_of_their_role():
    """Of the line that says the element: only its name is coloured."""
    [line] = [x for x in explorer().screen(80, 24, Style(color="truecolor")).lines if "autograd" in x.plain]
    assert line.style == ""
    coloured = {line.plain[span.start : span.end] for span in line.spans if getattr(span.style, "color", None)}
    assert coloured == {"w.grad[0,0,0,0]"}
    [name] = [span.style for span in line.spans if getattr(span.style, "color", None)]
    assert name.color.name == ROLES["w"]


def test_a_real_terminal_shows_the_frames_of_the_player_and_is_left_as_it_was():
    shown = player(input="ramp", weight="ramp")
    third = text(pressed(shown, *["right"] * 5)).split("\n")
    left = typed(
        *PLAY,
        script=[
            ("1 of 4, 1 a second", " "),
            ("stopped", "\x1b[H"),
            ("1 of 4, stopped", "\x1b[C" * 5),
            ("x.grad[0,:,0:2,1:3] += g[0,0,0,1]", "q"),
        ],
    )
    assert (left.status, left.restored, left.after) == (0, True, "")
    assert drawn(left.raw.rpartition("\x1b[?1049l")[0]) == third


@pytest.mark.parametrize(
    ("command", "what", "status"),
    [
        (PLAY, "\x03", 130),
        (PLAY, signal.SIGINT, 130),
        (PLAY, signal.SIGTERM, 143),
        (PLAY, signal.SIGHUP, 129),
        (("view",), "\x03", 130),
    ],
)
def test_whatever_ends_it_the_terminal_is_as_it_was(command, what, status):
    left = typed(*command, script=[("w.grad", what)])
    assert (left.status, left.restored, left.after) == (status, True, "")
    for ended in ("?1049l", "?1000l", "?25h"):
        assert f"\x1b[{ended}" in left.raw


@pytest.mark.parametrize(
    ("command", "broken", "keys"),
    [
        (PLAY, "convgrad_cli.view.player.Player.screen", ""),
        (PLAY, "convgrad_cli.view.player.Player.pressed", "x"),
        ((*PLAY, "--speed", "20"), "convgrad_cli.view.player.Player.ticked", ""),
        (("view",), "convgrad_cli.commands.inspect.changed", "s"),
    ],
)
def test_a_mistake_in_convgrad_is_one_line_and_status_70(command, broken, keys):
    module, *name = broken.rsplit(".", 2 if "Player" in broken else 1)
    code = (
        f"import {module} as module\ndef bad(*a, **k): raise ValueError('planted [/x]')\nmodule.{'.'.join(name)} = bad"
    )
    left = typed(*command, script=[("w.grad", keys)] if keys else [], code=code)
    assert (left.status, left.restored) == (70, True)
    said = "convgrad: ValueError: planted [/x]. This is a bug in convgrad; CONVGRAD_DEBUG=1 shows where"
    assert left.after.split() == said.split()


def test_a_terminal_may_become_tiny_and_large_again():
    left = typed(
        *PLAY, script=[("w.grad", (20, 5)), ("make the terminal", (120, 40)), ("arrows step", "q")], size=(80, 24)
    )
    assert (left.status, left.restored) == (0, True)


def test_without_colour_there_is_none():
    left = typed(*PLAY, "--ascii", script=[("2 of 4", "q")], env={"NO_COLOR": "1"})
    colours = [part for codes in re.findall(r"\x1b\[([0-9;]*)m", left.raw) for part in codes.split(";")]
    assert {int(code) for code in colours if code} <= {0, 1, 2, 4, 7, 22, 23, 24, 27, 39, 49}
    assert left.raw.isascii()


def test_refusals():
    done = run("view")
    assert (done.status, done.out) == (2, "")
    assert done.err == "convgrad: view needs a terminal, and standard input is none; use convgrad inspect there\n"
    done = run("explain", "--play")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "convgrad: explain --play needs a terminal, and standard input is none; use convgrad explain there\n"
    )
    dumb = terminal("explain", "--play", env={"TERM": "dumb"})
    assert (dumb.status, dumb.text.count("\n")) == (2, 1)
    code = "import sys; sys.modules['textual'] = None; from convgrad_cli.cli.main import main; main()"
    absent = terminal("view", code=code)
    assert absent.status == 2
    assert "pip install 'convgrad[tui]'" in absent.text
    large = terminal("explain", "--play", "--size", "512", "--in-channels", "64", "--out-channels", "64")
    assert (large.status, large.text.count("\n")) == (2, 1)
    assert "the kernel is put in 16,711,744 places" in large.text


def test_notes_are_told_when_the_screen_is_gone():
    left = typed("explain", "--play", "--x", "1 2 3; 4 5 6; 7 8 9", script=[("w.grad", "q")])
    assert left.after == "note: --x has shape 3x3; taken as 1x1x3x3\r\n"
