"""The files of problems that are named on the command line: read whole, as text, and no more than that."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from convgrad_cli.errors import SourceError
from convgrad_cli.geometry.problem_list import Listed, read_problems
from convgrad_cli.safe import safe

LARGEST = 64 * 2**20  # bytes of a list; benchdnn's longest has 200 KB


def read_lists(files: list[str], tell: Callable[[str], None]) -> Iterator[Listed]:
    """The problems of all files in their order; raises SourceError where a file has none, or is no text."""
    if files.count("-") > 1:
        raise SourceError("standard input (-) can only be read once")
    for name in files:
        source = "standard input" if name == "-" else os.path.basename(name)
        lines = _text(name).splitlines()
        found = list(read_problems(lines, source))
        if not found:
            raise SourceError(f'{safe(name)} has no problem in it; a line of it is such as ic16ih8oc32oh8kh3ph1n"name"')
        yield from found


def _text(name: str) -> str:
    return _decoded(sys.stdin.buffer.read(LARGEST + 1) if name == "-" else _bytes(name), name)


def _bytes(name: str) -> bytes:
    try:
        kind = os.stat(name).st_mode
        if stat.S_ISDIR(kind):
            raise SourceError(f"{safe(name)} is a directory; name the files in it, such as {safe(name)}/*")
        if not stat.S_ISREG(kind):
            raise SourceError(f"{safe(name)} is no regular file; send it through standard input: -")
        with Path(name).open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise SourceError(f"{safe(name)}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise SourceError(f"{safe(name)}: {error}") from None


def _decoded(found: bytes, name: str) -> str:
    if len(found) > LARGEST:
        raise SourceError(f"{safe(name)} is larger than {LARGEST // 2**20} MiB, which is no list of problems")
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{safe(name)} is no text: byte {error.start} is not UTF-8; it takes lists of problems"
        ) from None
    if "\0" in text:
        raise SourceError(f"{safe(name)} is no text: it has NUL bytes in it; it takes lists of problems")
    return text
