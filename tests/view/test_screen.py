"""`convgrad view` on a screen: textual's pilot with keys, mouse and resizing, a real terminal, and refusals."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import time

import pytest
from shell import PATIENCE, environment, program, run, terminal
from view.test_explorer import explorer

from convgrad_cli.render.style import Style
from convgrad_cli.view.app import View


def piloted(size, play):
    """What `play(app, pilot)` returns, on a screen of `size`."""

    async def go():
        app = View(explorer(input_size=3, kernel_size=2), Style(color="truecolor"))
        async with app.run_test(size=size) as pilot:
            return await play(app, pilot)

    return asyncio.run(go())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_keys_mouse_and_help(size):
    async def play(app, pilot):
        stage = app.stage
        await pilot.press("right", "down")
        assert stage.explorer.place.index == (0, 0, 1, 1)
        await pilot.press("tab")
        assert stage.explorer.place.tensor == "output"
        await pilot.press("?")
        assert stage.explorer.helps
        await pilot.press("?", "s")
        assert stage.explorer.report.spec.stride == (2, 2)
        await pilot.press("S")
        line, column, _, tensor, index = next(c for c in stage.shown.cells if c[3:] == ("grad_input", (0, 0, 1, 2)))
        await pilot.click(offset=(column + 1, line))
        assert (stage.explorer.place.tensor, stage.explorer.place.index) == (tensor, index)
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert len(stage.shown.lines) == 20
        await pilot.press("q")

    piloted(size, play)


def test_a_real_terminal_is_left_with_q():
    here, there = pty.openpty()
    process = subprocess.Popen(
        program("view", "--size", "3"), env=environment(), stdin=there, stdout=there, stderr=there
    )
    os.close(there)
    received, asked, until = b"", False, time.monotonic() + PATIENCE
    while time.monotonic() < until and select.select([here], [], [], PATIENCE)[0]:
        try:
            received += os.read(here, 65536)
        except OSError:
            break
        if not asked and b"w.grad" in received:
            os.write(here, b"q")
            asked = True
    os.close(here)
    assert asked
    assert process.wait(PATIENCE) == 0
    assert b"\x1b[?1049l" in received  # the screen from before is back


def test_refusals():
    done = run("view")
    assert (done.status, done.out) == (2, "")
    assert done.err == ("convgrad: view needs a terminal, and standard input is none; use convgrad inspect there\n")
    dumb = terminal("view", env={"TERM": "dumb"})
    assert (dumb.status, dumb.text.count("\n")) == (2, 1)
    code = "import sys; sys.modules['textual'] = None; from convgrad_cli.cli.main import main; main()"
    absent = terminal("view", code=code)
    assert absent.status == 2
    assert "pip install 'convgrad[tui]'" in absent.text
