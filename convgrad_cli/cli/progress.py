"""Progress with the time left, on standard error, for what takes more than two seconds at a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
