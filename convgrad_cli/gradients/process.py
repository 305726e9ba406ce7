"""The process of its own in which a user's Python runs, seen from outside: started, asked, and ended with all it began.

It has no standard input, and what it prints goes to standard error. Answers come over a socket of their own, so that
an exit status means nothing and a missing answer is always an error.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

from convgrad_cli.gradients.channel import Block, ChannelError, Fill, Shape, receive, send
from convgrad_cli.gradients.target import TargetError
from convgrad_cli.safe import safe

POLL = 0.1  # seconds after which a silent process is looked at: what it forked may hold the socket open
MESSAGE = 1000  # characters

# It imports from where this process would, so nothing in the current directory can come before what it needs itself.
_CHILD = "import json, sys; sys.path[:] = json.loads(sys.argv[3]); from {} import main; main()"

Frame = tuple[dict[str, Any], dict[str, Block]]


class Worker:
    """A process that answers one question after another; started by the first, and anew after it ended.

    `name` stands in messages, `setup` is what the process loads, `timeout` is in seconds and for one question, with the
    start where there is one; what is told before the answer starts it anew. `main` is the module that answers.
    """

    def __init__(
        self, name: str, setup: Mapping[str, Any], timeout: float, main: str = "convgrad_cli.gradients.child"
    ) -> None:
        self.name, self.setup, self.timeout, self._main = name, setup, timeout, main
        self._ready: dict[str, Any] = {}
        self._running: _Running | None = None
        self._end: Callable[[], object] = lambda: None

    @property
    def pid(self) -> int | None:
        """The process, which is also its group; None where none runs."""
        return self._running.process.pid if self._running else None

    @property
    def loaded(self) -> dict[str, Any]:
        """What the process said about what it loaded; empty before it was started."""
        return self._ready

    def describe(self) -> dict[str, Any]:
        """The same, and it is started if it never was. Raises TargetError."""
        if not self._ready:
            self._start(monotonic() + self.timeout)
        return self._ready

    def ask(
        self,
        question: Mapping[str, Any],
        blocks: Mapping[str, Block],
        expects: Mapping[str, Shape],
        told: Callable[[Any], None] | None = None,
    ) -> Frame:
        """The answer, with arrays of exactly the shapes in `expects`, or fewer of them. Raises TargetError.

        What comes before the answer is `told`.
        """
        deadline = monotonic() + self.timeout
        running = self._running or self._start(deadline)
        with self._ended_unless_answered(running):
            reply, results = _exchange(running, deadline, question, blocks, expects)
            while told is not None and "told" in reply:
                told(reply["told"])
                reply, results = receive(_fill_before(running, monotonic() + self.timeout), expects)
            return reply, results

    def close(self) -> None:
        """End the process, and every other in its group."""
        self._end()
        self._running = None

    def _start(self, deadline: float) -> _Running:
        ours, theirs = socket.socketpair()
        # Nothing is written to it. When this process ends, however it does, the other end is told by the kernel.
        lifeline, held = os.pipe()
        with theirs:
            fds = (theirs.fileno(), lifeline)
            try:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-c",
                        _CHILD.format(self._main),
                        *map(str, fds),
                        json.dumps([str(path) for path in sys.path]),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=stderr_or_nothing(),
                    pass_fds=fds,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                ours.close()
                os.close(held)
                raise TargetError(f"{self.name} can't be run: no process can be started ({safe(str(error))})") from None
            finally:
                os.close(lifeline)
        running = self._running = _Running(process, ours)
        self._end = weakref.finalize(self, _end, running, held)
        with self._ended_unless_answered(running):
            ready, _ = _exchange(running, deadline, self.setup, {}, {})
        if "error" in ready:
            self.close()
            raise TargetError(self.said(ready["error"]))
        self._ready = ready
        return running

    @contextmanager
    def _ended_unless_answered(self, running: _Running) -> Iterator[None]:
        """Ends the process where there is no answer, and says in a TargetError why there is none."""
        try:
            yield
        except TimeoutError:
            self.close()
            raise TargetError(
                f"{self.name} gave no answer in {self.timeout:g} s and was ended; give it longer with --timeout"
            ) from None
        except (EOFError, ConnectionError):
            message = f"{self.name} {_last_words(running)}"
            self.close()
            raise TargetError(message) from None
        except ChannelError as error:
            self.close()
            raise TargetError(f"{self.name} wrote into convgrad's own channel: {safe(str(error))}") from None
        except BaseException:
            self.close()
            raise

    def said(self, error: object) -> str:
        """What the process said went wrong, after the name."""
        return f"{self.name} {safe(str(error), MESSAGE)}"


class _Running(NamedTuple):
    process: subprocess.Popen[bytes]
    connection: socket.socket


def _exchange(
    running: _Running,
    deadline: float,
    question: Mapping[str, Any],
    blocks: Mapping[str, Block],
    expects: Mapping[str, Shape],
) -> Frame:
    running.connection.settimeout(max(deadline - monotonic(), 0.001))
    send(running.connection, question, blocks)
    return receive(_fill_before(running, deadline), expects)


def _fill_before(running: _Running, deadline: float) -> Fill:
    """Reads from the process; TimeoutError after the deadline, EOFError when it is gone."""
    process, connection = running

    def fill(view: memoryview) -> None:
        gone = False
        while view:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(min(left, POLL))
            try:
                count = connection.recv_into(view)
            except TimeoutError:
                if gone:
                    raise EOFError from None
                gone = process.poll() is not None  # what it sent before that is still to be read
                continue
            if not count:
                raise EOFError
            view = view[count:]

    return fill


def _last_words(running: _Running) -> str:
    """How the process ended, in words that follow its name."""
    try:
        return f"{ending(running.process.wait(1))} before it answered"
    except subprocess.TimeoutExpired:
        return "closed its connection to convgrad before it answered"


def ending(status: int) -> str:
    """How a process that left this status ended: "was ended by SIGKILL", "ended its process with status 0"."""
    if status >= 0:
        return f"ended its process with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    why = {"SIGKILL": " (the system does that where memory runs out)", "SIGSEGV": " (a segmentation fault)"}
    return f"was ended by {name}{why.get(name, '')}"


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and its group, and wait for it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nobody is left, or on macOS only what is already dead
        process.kill()
    process.wait()


def stderr_or_nothing() -> int:
    """Where the standard output of foreign code goes."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def _end(running: _Running, held: int) -> None:
    end_group(running.process)
    running.connection.close()
    os.close(held)
