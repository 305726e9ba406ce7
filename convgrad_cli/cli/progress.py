"""Progress with the time left, on standard error, for what takes more than two seconds at a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

PATIENCE = 2.0  # seconds before anything is shown


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """A function to call with the share done, from 0 to 1; what it shows is gone at the end."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=1.0, start=False)
    begun: float | None = None

    def tell(share: float) -> None:
        nonlocal begun
        if begun is None:  # the first share, not the call: importing torch alone takes seconds
            begun = time.monotonic()
            bar.start_task(task)
        if share < 1 and time.monotonic() - begun > PATIENCE:
            bar.start()
        bar.update(task, completed=share)

    try:
        yield tell
    finally:
        if bar.live.is_started:
            bar.stop()


class Meter:
    """A line on standard error that says how far a list is and how long the rest may take; gone after the block.

    Lines of results go to a terminal between `clear` and `show`, so that the two never mix.
    """

    def __init__(self) -> None:
        self._there = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.clear()

    def show(self, share: float, passed: float, done: str) -> None:
        """`share` is from 0 to 1, `passed` the seconds that it took, `done` in words."""
        if self._there and passed > PATIENCE and 0 < share < 1:
            left = round(passed / share - passed)
            hours, minutes, seconds = left // 3600, left // 60 % 60, left % 60
            clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
            sys.stderr.write(f"{done}, {clock} left")
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
