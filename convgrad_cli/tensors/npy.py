"""numpy's formats .npy and .npz, read without numpy.load: header first, sizes second, memory last, pickles never.

Also the guards for zip archives, because .pt files are such archives too.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import IO, Any, cast

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.numbers import (
    TENSOR_BYTES,
    Numbers,
    check_shape,
    choose,
    make_numbers,
    refuse_twice,
    size_text,
)

MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
HEADER_BYTES = 10_000
DIRECTORY_BYTES = 4 << 20
CHUNK = 1 << 20

# ast.literal_eval would need guards against deep nesting; three keys with flat values need none.
_VALUE = r"""(?:'[^'\\]*+'|"[^"\\]*+"|True|False|\([0-9, ]*+\))"""
_PAIR = re.compile(rf"""\s*+['"](descr|fortran_order|shape)['"]\s*+:\s*+({_VALUE})\s*+,?""")
_HEADER = re.compile(rf"\s*+\{{((?:{_PAIR.pattern})++)\s*+\}}\s*+")
_SHAPE = re.compile(r"\( *+(?:(?:[0-9]{1,20} *+, *+)++(?:[0-9]{1,20} *+)?)?\)")
_DTYPE = re.compile(r"[<>=|]?(?:f[248]|[iu][1248]|b1)")


def read_npy(stream: IO[bytes], size: int, where: str) -> Numbers:
    """The array in `stream`, which has `size` bytes in all.

    SourceError if the header is not exactly what numpy writes for plain numbers, or the bytes are not exactly as many.
    """
    import numpy

    descr, fortran_order, shape, offset = _read_header(stream, where)
    dtype = numpy.dtype("u1" if descr.endswith("b1") else descr)
    declared = prod(shape) * dtype.itemsize
    if declared != size - offset:
        raise SourceError(
            f"{where} declares {size_text(declared)} of numbers and holds {size_text(size - offset)}; "
            "it was cut or added to: save it again"
        )
    count = check_shape(shape, dtype.itemsize, where)
    flat = numpy.empty(count, dtype)
    _fill(stream, flat.view(numpy.uint8).data, where)
    if descr.endswith("b1"):
        flat = flat != 0
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    return make_numbers(array, where, dtype.name if dtype.kind == "f" else None)


def _read_header(stream: IO[bytes], where: str) -> tuple[str, bool, tuple[int, ...], int]:
    """descr, fortran_order, shape, and the number of bytes before the data."""
    start = stream.read(8)
    if start[:6] != MAGIC or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise SourceError(f"{where} is not a .npy file: it starts with {start.hex(' ') or 'nothing'}; use numpy.save")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > HEADER_BYTES:
        raise SourceError(
            f"{where} has a .npy header of {size_text(length)}; plain numbers need less than "
            f"{size_text(HEADER_BYTES)}: save the array again with numpy.save"
        )
    header = _HEADER.fullmatch(stream.read(length).decode("latin-1"))
    pairs = _PAIR.findall(header[1]) if header else []
    fields = dict(pairs)
    descr, order, shape = (fields.get(name, "") for name in ("descr", "fortran_order", "shape"))
    if len(pairs) != 3 or len(fields) != 3 or order not in ("True", "False") or not _SHAPE.fullmatch(shape):
        raise SourceError(
            f"{where} has a .npy header that does not describe one plain array; save the array again with numpy.save"
        )
    if not _DTYPE.fullmatch(descr[1:-1]):
        raise SourceError(
            f"{where} holds {safe(descr, 40)} elements; float16, float32, float64 and integers are read: "
            "convert it with array.astype('float32')"
        )
    return descr[1:-1], order == "True", tuple(map(int, re.findall("[0-9]+", shape))), 8 + width + length


def _fill(stream: IO[bytes], view: memoryview, where: str) -> None:
    """Read `view` full; from an archive, its last byte is what makes zipfile compare the checksum."""
    filled = 0
    while filled < len(view):
        data = stream.read(min(CHUNK, len(view) - filled))
        if not data:
            raise SourceError(f"{where} ends after {size_text(filled)} of {size_text(len(view))}; save it again")
        view[filled : filled + len(data)] = data
        filled += len(data)


def read_npz(file: IO[bytes], key: str | None, where: str) -> Numbers:
    """The array named `key` (or the only one) of an .npz archive. Names are labels, never paths."""
    with open_archive(file, where) as (archive, members):
        names = [member.filename.removesuffix(".npy") for member in members if member.filename.endswith(".npy")]
        name = choose(names, key.removesuffix(".npy") if key else None, where)
        member = next(member for member in members if member.filename == name + ".npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SourceError(f"{where} is packed in a way that numpy does not use; save it again with numpy.savez")
        with archive.open(member) as stream:
            return read_npy(stream, member.file_size, f"{where}::{safe(name)}")


@contextmanager
def open_archive(file: IO[bytes], where: str) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip archive and its members, after their declared sizes (which bound what zipfile reads) were added up.

    There is no limit on the ratio of compression: honest gradients of zeros compress a thousand to one.
    """
    try:
        with zipfile.ZipFile(cast(IO[bytes], _Careful(file, where))) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > TENSOR_BYTES:
                raise SourceError(
                    f"{where} holds {size_text(total)} when unpacked; at most {size_text(TENSOR_BYTES)} are read: "
                    "save only the tensors you need"
                )
            if any(member.flag_bits & 1 for member in members):
                raise SourceError(f"{where} is encrypted; save it again without a password")
            refuse_twice([member.filename for member in members], "members", where)
            yield archive, members
    except SourceError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, OverflowError) as error:
        reason = safe(str(error) or type(error).__name__, 80)
        raise SourceError(f"{where} is a damaged zip archive ({reason}); save or copy it again") from None


class _Careful:
    """`file`, refusing to hand out much at once: zipfile reads an archive's whole directory in one call."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self._file, self._where = file, where

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        most = DIRECTORY_BYTES + 1
        data = self._file.read(most if size < 0 else min(size, most))
        if len(data) == most:
            raise SourceError(
                f"{self._where} lists its members in more than {size_text(DIRECTORY_BYTES)}; "
                "save the tensors you need in an archive of their own"
            )
        return data
