"""The files of problems that are named on the command line: read whole, as text, and no more than that."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from convgrad_cli.errors import ConvGradError, SourceError
from convgrad_cli.geometry.languages import read_layer
from convgrad_cli.geometry.problem_list import Listed, Remark, read_problems, told_apart
from convgrad_cli.safe import safe

LARGEST = 64 * 2**20  # bytes of a list; benchdnn's longest has 200 KB


def read_lists(files: list[str], tell: Callable[[str], None]) -> tuple[list[Listed], list[Remark]]:
    """The problems of all files in their order, and the lines that could not be read; `tell` is given what is skipped.

    Raises SourceError where a file is no text, or has no problem.
    """
    if files.count("-") > 1:
        raise SourceError("standard input (-) can only be read once")
    problems: list[Listed] = []
    wrong: list[Remark] = []
    for name in files:
        before = len(problems), len(wrong)
        for found in read_problems(_lines(name), _source(name), _nested_in(os.path.dirname(name))):
            if isinstance(found, Listed):
                problems.append(found)
            elif found.wrong:
                wrong.append(found)
            else:
                tell(str(found))
        if before == (len(problems), len(wrong)):
            raise SourceError(f"{_source(name)} has no problem in it; one is such as ic16ih8oc32oh8kh3ph1, a line each")
    if not problems:
        raise SourceError(str(wrong[0]))
    return told_apart(problems), wrong


def _source(name: str) -> str:
    return "standard input" if name == "-" else safe(os.path.basename(name))


def _nested_in(folder: str) -> Callable[[str], Iterable[str]]:
    """How a list that --batch names is found: beside the one that names it first of all, or from here."""
    return lambda name: _lines(name if not os.path.exists(beside := os.path.join(folder, name)) else beside)


def _lines(name: str) -> list[str]:
    found, named = (sys.stdin.buffer.read(LARGEST + 1), "standard input") if name == "-" else (_bytes(name), safe(name))
    if len(found) > LARGEST:
        raise SourceError(f"{named} is larger than {LARGEST // 2**20} MiB, which is no list of problems")
    try:
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{named} is no text, as lists of problems are: byte {error.start} is not UTF-8") from None
    if "\0" in text:
        raise SourceError(f"{named} is no text, as lists of problems are: it has NUL bytes in it")
    return text.splitlines()


def _instead(name: str) -> str:
    """What else a name that no file has may be meant for."""
    if "::" in name:
        return "; code is named with --target"
    try:
        read_layer(name)
    except ConvGradError:
        return ""
    return "; lists are files, and one layer is for convgrad check --layer, or comes through standard input: -"


def _bytes(name: str) -> bytes:
    try:
        kind = os.stat(name).st_mode
        if stat.S_ISREG(kind):
            with Path(name).open("rb") as file:
                return file.read(LARGEST + 1)
    except OSError as error:
        raise SourceError(f"{safe(name)}: {error.strerror or error}{_instead(name)}") from None
    except ValueError as error:  # a NUL in the name
        raise SourceError(f"{safe(name)}: {error}") from None
    if stat.S_ISDIR(kind):
        raise SourceError(f"{safe(name)} is a directory; name the files in it")
    raise SourceError(f"{safe(name)} is no regular file; send it through standard input: -")
