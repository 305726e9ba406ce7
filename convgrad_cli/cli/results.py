"""The file of results of a suite: a line a problem, written as it is done, so that a run that ended early goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from convgrad_cli.errors import ConvGradError
from convgrad_cli.render.json import row_object, row_of
from convgrad_cli.render.style import SENTENCE
from convgrad_cli.safe import safe

if TYPE_CHECKING:
    from convgrad_cli.commands.suite_settings import Settings
    from convgrad_cli.geometry.problem_list import Listed
    from convgrad_cli.report import Row


class Results:
    """An open file of rows. `rows` are those that it held, `mended` says that its last line was half written."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self.name = descriptor, name
        whole = b"".join(iter(lambda: os.read(descriptor, 2**20), b""))
        end = whole.rfind(b"\n") + 1
        self.mended = end < len(whole)
        self.rows = list(_rows(whole[:end], name))
        if self.mended:  # not before every line was understood: it might be a file of something else
            os.ftruncate(descriptor, end)

    def add(self, row: Row) -> None:
        """Write the row, in one call so that nothing can come between its beginning and its end."""
        line = json.dumps(row_object(row), allow_nan=False).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            raise ConvGradError(f"--results {safe(self.name)}: {error.strerror or error}") from None

    def split(self, problems: Iterable[Listed], settings: Settings) -> tuple[list[Row], list[Listed]]:
        """The rows of problems that are done, and the other problems. ConvGradError for other settings or code."""
        now = str(settings)
        other = next((row.settings for row in self.rows if row.settings != now), None)
        if other is not None:
            one, two = (f"'{safe(text, SENTENCE)}'" if text else "the usual options" for text in (other, now))
            raise ConvGradError(
                f"--results {safe(self.name)} was written with {one}, and this run has {two}; "
                "give the same options, or another file"
            )
        if any(row.sha256 != settings.sha256 for row in self.rows):
            raise ConvGradError(
                f"--results {safe(self.name)} was written with other code in {safe(settings.file)}; name another file"
            )
        there: dict[str, list[Row]] = {}
        for row in self.rows:
            there.setdefault(row.problem, []).append(row)
        done: list[Row] = []
        left: list[Listed] = []
        for listed in problems:
            rows = there.get(safe(listed.text, SENTENCE))
            if rows:
                done.append(rows.pop(0))
            else:
                left.append(listed)
        return done, left


@contextmanager
def open_results(path: str, *, resume: bool) -> Iterator[Results]:
    """The file at `path`, new or to be continued, for this process alone. Raises ConvGradError."""
    from convgrad_cli.cli.output import check_writable

    check_writable(path, "--results")
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise ConvGradError(
                f"--results {safe(path)} is no regular file, and --resume could not read it; name a file"
            )
        if Path(path).exists() and Path(path).stat().st_size and not resume:
            raise ConvGradError(
                f"--results {safe(path)} is there already; add --resume to go on with it, or name another file"
            )
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise ConvGradError(f"--results {safe(path)}: {error.strerror or error}") from None
    try:
        _lock(descriptor, path)
        yield Results(descriptor, path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConvGradError(f"--results {safe(path)} is being written by another suite; name another file") from None


def _rows(lines: bytes, name: str) -> Iterator[Row]:
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            yield row_of(json.loads(line))
        except (ValueError, RecursionError):
            raise ConvGradError(
                f"--results {safe(name)}: line {number} is no result of a suite; name another file"
            ) from None
