"""What runs in the process of its own: it loads the user's code, calls it, and sends back what it returned.

torch is imported only for code that works on tensors. Nothing that the code does, raises or returns leaves this process
but as plain numbers or one sentence.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from convgrad_cli.gradients.channel import Block, filler, receive, send
from convgrad_cli.gradients.results import OtherLayer, Refusal
from convgrad_cli.gradients.subject import load
from convgrad_cli.tensors.memory import available_memory, gib

MESSAGE = 500  # characters of an exception that are passed on
Tell = Callable[[Mapping[str, Any]], None]


class Subject(Protocol):
    """What was loaded: `takes` are the keywords to give it, `sha256` is that of its file."""

    @property
    def takes(self) -> tuple[str, ...]: ...
    @property
    def sha256(self) -> str: ...

    def answer(
        self, question: Mapping[str, Any], blocks: Mapping[str, Block]
    ) -> tuple[dict[str, Any], dict[str, Block]]: ...


def main() -> None:
    """Answer for one function of the user's."""
    serve(lambda setup, tell: load(setup))


def serve(load: Callable[[Mapping[str, Any], Tell], Subject]) -> None:
    """Answer on the socket whose number is the first argument until it is closed; the second is the lifeline.

    `load` makes of what was set up something that answers; what it tells meanwhile goes out before the answer.
    """
    channel, lifeline = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(channel, False)
    os.set_inheritable(lifeline, False)
    _end_with_parent(lifeline)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    connection = socket.socket(fileno=channel)
    fill = filler(connection)
    setup, _ = receive(fill)
    room = None
    try:
        if setup["framework"] == "torch":
            import torch  # noqa: F401  # before the user's folder can stand in its way
        room = _limit_memory()
        sys.argv[:] = [setup["path"] or setup["module"]]
        subject = load(setup, lambda told: send(connection, {"told": told}, {}))
        ready: dict[str, Any] = {"takes": subject.takes, "sha256": subject.sha256}
    except BaseException as error:
        send(connection, {"error": _sentence(error, setup["path"], room, "can't be loaded: it ")}, {})
        return
    send(connection, ready, {})
    own, silent = os.getpid(), False
    while True:
        try:
            question, blocks = receive(fill)
        except (EOFError, ConnectionError):
            os._exit(0)  # threads of the user's may still run
        try:
            reply, results = subject.answer(question, blocks)
        except BaseException as error:
            other = isinstance(error, OtherLayer | NotImplementedError)
            reply, results = {"error": _sentence(error, setup["path"], room), "other_layer": other}, {}
        if os.getpid() != own:  # a fork that the code made, and let run on to here
            os._exit(0)
        if not silent:  # it is called many times with numbers of ours; what it prints is of interest once
            silent = True
            _discard_output()
        send(connection, reply, results)
        del blocks, results


def _end_with_parent(lifeline: int) -> None:
    """Have the kernel end this group when the parent is gone, even while code hangs that never comes back to Python."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # it was gone before that
        os._exit(0)


def _discard_output() -> None:
    """Let nothing of what is printed from here on be seen."""
    with suppress(Exception):  # it may have closed it, or put something else in its place
        sys.stdout.flush()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def _limit_memory() -> int | None:
    """Let this process take half of the available memory beside what it has; returns that, None where nothing says."""
    try:
        import resource

        lines = Path("/proc/self/status").read_text().splitlines()
        (used,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
    except (ImportError, OSError, ValueError):
        return None
    available = available_memory()
    if available is None:
        return None
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + available // 2
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    return limit - used


def _sentence(error: BaseException, path: str | None, room: int | None, start: str = "") -> str:
    """What happened, in words that follow the name of the function."""
    if isinstance(error, Refusal):
        return str(error)
    if os.environ.get("CONVGRAD_DEBUG"):
        import traceback

        traceback.print_exception(error)
    try:
        text = str(error).strip()
    except BaseException:
        text = ""
    place = _place(error, path)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in text):
        most = f": it may take {gib(room)}, half of what is available" if room else ""
        return f"{start}ran out of memory{place}{most}"
    if isinstance(error, SystemExit):
        return f"{start}called sys.exit({error.code!r}){place}"
    first = text.splitlines()[0] if text else ""
    first = first if len(first) <= MESSAGE else f"{first[:MESSAGE]}..."
    return f"{start}raised {type(error).__name__}{': ' if first else ''}{first}{place}"


def _place(error: BaseException, path: str | None) -> str:
    """` (mine.py:12)`: the last line of the user's own file, else of any code that is not convgrad's."""
    own, other = "", ""
    if isinstance(error, SyntaxError) and error.filename:
        own = f"{Path(error.filename).name}:{error.lineno}"
    trace = error.__traceback__
    here = str(Path(__file__).parent.parent)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == path:
            own = f"{Path(file).name}:{trace.tb_lineno}"
        elif not file.startswith((here, "<frozen")):
            other = f"{Path(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f" ({own or other})" if own or other else ""
