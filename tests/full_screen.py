"""The explorer and the player of a layer without their screen, and what textual composes of them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console

from convgrad_cli.commands.arguments import problem_from
from convgrad_cli.commands.inspect import changed, inspect_problem
from convgrad_cli.commands.play import played
from convgrad_cli.render.style import Style
from convgrad_cli.view.app import View
from convgrad_cli.view.explorer import Explorer, Lab, start
from convgrad_cli.view.player import Player, play


def in_a_thread(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, where this thread may have an event loop already, as tests of pages leave one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def explorer(**options: Any) -> Explorer:
    """The explorer of a layer, as `convgrad view` starts it."""
    problem = problem_from(None, options)
    lab = Lab(
        inspect=lambda report, changes, tell: inspect_problem(changed(problem, report.spec, changes), tell),
        play=lambda report: played(changed(problem, report.spec, {}), report),
    )
    return start(lab, inspect_problem(problem))


def player(**options: Any) -> Player:
    """The player of a layer, as `convgrad explain --play` starts it."""
    problem = problem_from(None, options)
    return play(played(problem, inspect_problem(problem)))


def pressed(shown: Any, *keys: str) -> Any:
    """After these keys, and with what they want computed."""
    for key in keys:
        shown = shown.pressed(key)
        if isinstance(shown, Explorer) and shown.wanted:
            shown = shown.answered(shown.wanted, shown.computed(lambda share: None))
    return shown


def screen(shown: Any, width: int, height: int) -> Console:
    """A console that has recorded the screen, as textual composes it."""

    async def go() -> Console:
        app = View(shown, Style(color="truecolor"))
        async with app.run_test(size=(width, height)) as pilot:
            await pilot.pause()
            console = Console(
                record=True, width=width, height=height, file=io.StringIO(), force_terminal=True,
                color_system="truecolor", _environ={},
            )  # fmt: skip
            console.print(app.screen._compositor.render_update(full=True))
            return console

    return in_a_thread(go())
