"""Numbers from files, standard input and inline text: which format it is, and that it is a file one can read.

The formats themselves are in npy.py, checkpoints.py, json.py and text.py; the limits in numbers.py.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import PurePath
from typing import IO

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.checkpoints import read_pt, read_safetensors
from convgrad_cli.tensors.json import read_json
from convgrad_cli.tensors.npy import CHUNK, MAGIC, ZIP_MAGIC, open_archive, read_npy, read_npz
from convgrad_cli.tensors.numbers import STDIN, TENSOR_BYTES, TEXT_BYTES, Numbers, refuse_key, require_finite, size_text
from convgrad_cli.tensors.text import decode, read_table

__all__ = ["Numbers", "read_file", "read_stdin", "read_text"]

FORMATS = {
    ".npy": "npy",
    ".npz": "npz",
    ".pt": "pt",
    ".pth": "pt",
    ".safetensors": "safetensors",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".txt": "text",
}
FOREIGN = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x1f\x8b": "gzip data",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"\x80": "a Python pickle",
}
KINDS = {
    stat.S_IFDIR: "a directory; name a file in it",
    stat.S_IFIFO: "a pipe, not a file; give - and send it to standard input",
    stat.S_IFCHR: "a device, not a file; give - and send it to standard input",
}


def read_file(path: str, key: str | None = None, *, nonfinite: bool = True) -> Numbers:
    """The numbers in the file `path`, or in its member `key`; the suffix names the format, else its first bytes do.

    Raises SourceError for what is no regular file, is not exactly of the format, is too large, or, unless `nonfinite`,
    has NaN or infinities.
    """
    where = safe(path) or "''"
    with _told(where), _open(path, where) as file:
        kind = FORMATS.get(PurePath(path).suffix.lower()) or _sniff(file, where)
        if kind == "safetensors":
            numbers = read_safetensors(path, key, where)
        else:
            numbers = _read(kind, file, os.fstat(file.fileno()).st_size, key, where)
    if not nonfinite:
        require_finite(numbers)
    return numbers


def read_stdin(key: str | None = None) -> Numbers:
    """The numbers on standard input, which is read to its end; its first bytes name the format."""
    where = STDIN
    if sys.stdin is None or sys.stdin.closed:
        raise SourceError(f"{where} is closed; name a file instead of -")
    with _told(where), BytesIO() as file:
        limit = 0
        while data := sys.stdin.buffer.read(CHUNK):
            file.write(data)
            limit = limit or (TENSOR_BYTES + CHUNK if data.startswith((MAGIC, ZIP_MAGIC)) else TEXT_BYTES)
            if file.tell() > limit:
                raise SourceError(f"{where} has more than {size_text(limit)}; save a smaller tensor")
        size = file.tell()
        file.seek(0)
        kind = _sniff(file, where)
        if kind == "safetensors":
            raise SourceError(f"{where} is a .safetensors file, which is read from disk only; name it instead of -")
        return _read(kind, file, size, key, where)


def read_text(text: str, where: str) -> Numbers:
    """Inline values: `1 2 3; 4 5 6` (rows end at ; or a new line) or nested lists `[[1, 2], [3, 4]]`, as float64.

    One row has shape (columns), more have (rows, columns). Raises SourceError with line and column.
    """
    where = safe(where)
    if len(text) > TEXT_BYTES:
        raise SourceError(f"{where} has {len(text)} characters; at most {TEXT_BYTES} are read: put them in a .npy file")
    with _told(where):
        return _read_characters("text", text, None, where)


def _read(kind: str, file: IO[bytes], size: int, key: str | None, where: str) -> Numbers:
    if kind == "npz":
        return read_npz(file, key, where)
    if kind == "pt":
        return read_pt(file, key, where)
    if kind == "npy":
        refuse_key(key, where)
        return read_npy(file, size, where)
    data = file.read(TEXT_BYTES + 1)  # not `size`: a file may have grown since it was asked
    if len(data) > TEXT_BYTES:
        raise SourceError(f"{where} has more than {size_text(TEXT_BYTES)} of text; save the array as .npy")
    return _read_characters(kind, decode(data, where), key, where)


def _read_characters(kind: str, text: str, key: str | None, where: str) -> Numbers:
    if kind == "json" or (kind == "text" and text.lstrip().startswith(("[", "{"))):
        return read_json(text, key, where)
    refuse_key(key, where)
    return read_table(text, kind, where)


def _sniff(file: IO[bytes], where: str) -> str:
    """The format of `file` by its first bytes; leaves it at its start."""
    head = file.read(9)
    file.seek(0)
    if head.startswith(MAGIC):
        return "npy"
    if head.startswith(ZIP_MAGIC):
        with open_archive(file, where) as (_, members):
            kind = "pt" if any(member.filename.endswith("data.pkl") for member in members) else "npz"
        file.seek(0)
        return kind
    if head.endswith(b"{") and b"\0" in head:  # 8 bytes of length, then JSON
        return "safetensors"
    for start, name in FOREIGN.items():
        if head.startswith(start):
            raise SourceError(
                f"{where} is {name}; numbers are read from {', '.join(FORMATS)}: convert it, with numpy.save say"
            )
    return "text"


@contextmanager
def _open(path: str, where: str) -> Iterator[IO[bytes]]:
    """The regular file `path`, opened so that nothing can hang, even if it is swapped for a pipe in between."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise SourceError(f"{where} does not exist; check the name") from None
    except ValueError as error:  # NUL characters and lone surrogates
        raise SourceError(f"{where} cannot be the name of a file ({safe(str(error), 80)}); check the name") from None
    if stat.S_ISREG(mode):
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode):
                yield file
                return
    raise SourceError(f"{where} is {KINDS.get(stat.S_IFMT(mode), 'not a regular file; copy it to one')}")


@contextmanager
def _told(where: str) -> Iterator[None]:
    """What the system refuses, as SourceError."""
    try:
        yield
    except MemoryError:
        raise SourceError(f"{where} needs more memory than there is; give a smaller tensor") from None
    except OSError as error:
        raise SourceError(
            f"{where} cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from None
