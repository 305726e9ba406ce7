"""convgrad on a pseudo terminal that is typed on, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from shell import PATIENCE, Changes, environment, program

PIECE = re.compile(r"\x1b\[(\d*);?(\d*)H|\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[^\[]|(\r)|(\n)|([^\x1b\r\n])")


class Left(NamedTuple):
    """What a command left: its status, all that it wrote, and whether the terminal is as it was before."""

    status: int
    raw: str
    restored: bool

    @property
    def after(self) -> str:
        """What stands there when the full screen is gone, without escapes."""
        return re.sub(r"\x1b\[[^@-~]*[@-~]", "", self.raw.rpartition("\x1b[?1049l")[2])


def drawn(raw: str, columns: int = 80, rows: int = 24) -> list[str]:
    """The lines of the screen after all that was written: cursor positions, line ends and characters."""
    screen = [[" "] * columns for _ in range(rows)]
    line = column = 0
    for piece in PIECE.finditer(raw):
        if piece[0].endswith("H") and piece[0].startswith("\x1b["):
            line, column = int(piece[1] or 1) - 1, int(piece[2] or 1) - 1
        elif piece[3]:
            column = 0
        elif piece[4]:
            line += 1
        elif piece[5] and line < rows and column < columns:
            screen[line][column] = piece[5]
            column += 1
    return ["".join(line).rstrip() for line in screen]


def typed(
    *arguments: str,
    script: Sequence[tuple[str, Any]],
    size: tuple[int, int] = (80, 24),
    env: Changes = None,
    code: str = "",
) -> Left:
    """`convgrad ARGUMENTS`; when the screen shows a text of the script, what stands beside it is done.

    That is keys to be typed, a signal to be sent, or a (columns, rows) that the terminal becomes.
    """
    here, there = pty.openpty()
    _resize(there, size)
    before = termios.tcgetattr(there)
    process = subprocess.Popen(
        program(*arguments, code=code), env=environment(env), stdin=there, stdout=there, stderr=there
    )
    raw, left, until = b"", list(script), time.monotonic() + PATIENCE
    try:
        while process.poll() is None and time.monotonic() < until:
            if select.select([here], [], [], 0.05)[0]:
                raw += os.read(here, 65536)
            if left and left[0][0] in "\n".join(drawn(raw.decode(), *size)):
                size = _do(left.pop(0)[1], process, here, there, size)
        while select.select([here], [], [], 0.1)[0]:
            raw += os.read(here, 65536)
        restored = termios.tcgetattr(there) == before
    finally:
        process.kill()
        process.wait()
        os.close(here)
        os.close(there)
    assert not left, f"{left[0][0]!r} never came:\n" + "\n".join(drawn(raw.decode(), *size))
    return Left(process.returncode, raw.decode(), restored)


def _do(what: Any, process: subprocess.Popen, here: int, there: int, size: tuple[int, int]) -> tuple[int, int]:
    if isinstance(what, str):
        os.write(here, what.encode())
    elif isinstance(what, tuple):
        _resize(there, what)
        process.send_signal(signal.SIGWINCH)
        return what
    else:
        process.send_signal(what)
    return size


def _resize(terminal: int, size: tuple[int, int]) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
