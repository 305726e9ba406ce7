"""convgrad as a shell, a terminal or another program runs it; and, where a process is not the point, in this one."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from convgrad_cli.cli import main

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "convgrad_cli")
PATIENCE = 300  # seconds; machines that run tests are busy
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")

# What an ordinary login sets, and nothing of CI's own: some of its variables switch colours on.
ORDINARY = {
    "PATH": os.environ.get("PATH", os.defpath),
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "HOME": os.environ.get("HOME", "/"),
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
}

# In a program run by `code=`: the most MiB it has held. Unlike ru_maxrss, not inherited from the one that started it.
PEAK = """
import re
from pathlib import Path
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
"""

Changes = Mapping[str, str | None] | None


@dataclass(frozen=True)
class Run:
    """What a command left: its exit status (negative: the signal that ended it) and both streams."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


def environment(changes: Changes = None) -> dict[str, str]:
    """The ordinary environment with `changes`; None takes a name out."""
    return {name: value for name, value in {**ORDINARY, **(changes or {})}.items() if value is not None}


def program(*arguments: str, code: str = "") -> list[str]:
    """The command line of `convgrad ARGUMENTS`; with `code`, Python that has its say before main() is called."""
    start = [sys.executable, "-c", f"{code}\nfrom convgrad_cli.cli.main import main\nmain()"] if code else COMMAND
    return [*start, *arguments]


def run(*arguments: str, code: str = "", stdin: str = "", env: Changes = None, **more: Any) -> Run:
    """`convgrad ARGUMENTS` in a process of its own, with pipes on both sides."""
    return _done(program(*arguments, code=code), input=stdin.encode(), env=environment(env), **more)


def in_bash(script: str, **more: Any) -> Run:
    """A script of bash in which `convgrad` is the command."""
    return _done(["bash", "-c", f'convgrad() {{ {" ".join(COMMAND)} "$@"; }}\n{script}'], env=environment(), **more)


def _done(command: list[str], **more: Any) -> Run:
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, **more)
    return Run(done.returncode, *(stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr)))


@contextmanager
def started(*arguments: str, code: str = "", **more: Any) -> Iterator[subprocess.Popen[str]]:
    """`convgrad ARGUMENTS` as a process that still runs; it ends with the block at the latest."""
    process = subprocess.Popen(
        program(*arguments, code=code),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
        **more,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Screen:
    """What a terminal received, and the exit status."""

    status: int
    raw: str

    @property
    def text(self) -> str:
        """Without escapes and with plain ends of lines."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


def terminal(*arguments: str, columns: int = 80, env: Changes = None, code: str = "") -> Screen:
    """`convgrad ARGUMENTS` with all its streams on a terminal of so many columns."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = subprocess.Popen(
        program(*arguments, code=code), env=environment(env), stdin=there, stdout=there, stderr=there
    )
    os.close(there)
    received = b""
    with open(here, "rb", buffering=0) as screen:
        while select.select([here], [], [], PATIENCE)[0]:
            try:
                piece = screen.read(65536)
            except OSError:  # Linux's way to say that the other side is closed
                break
            if not piece:
                break
            received += piece
    return Screen(process.wait(PATIENCE), received.decode("utf-8", "backslashreplace"))


def call(*arguments: str, stdin: str = "", env: Changes = None, encoding: str = "utf-8") -> Run:
    """`convgrad ARGUMENTS` in this process, into pipes; fast, for what does not depend on having a process."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, newline="\n") for _ in range(2)]
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
    with (
        mock.patch.dict(os.environ, environment(env), clear=True),
        mock.patch.object(sys, "stdin", given),
        mock.patch.object(sys, "argv", ["convgrad", *arguments]),
        redirect_stdout(streams[0]),
        redirect_stderr(streams[1]),
    ):
        status = main._run(list(arguments))
        for stream in streams:
            stream.flush()
    return Run(status, *(stream.buffer.getvalue().decode(encoding) for stream in streams))  # type: ignore[attr-defined]
