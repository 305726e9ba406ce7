"""Numbers as they come from outside, and the limits that hold for all of them, whatever the format.

Sizes are checked as Python integers before anything is allocated. Nothing here opens a file or imports numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

STDIN = "standard input"  # as messages call it
TENSOR_BYTES = 2 << 30
"""The most bytes that one tensor, or all members of one archive together, may have."""

TEXT_BYTES = 64 << 20
"""The most bytes of text (csv, json, ...); nested lists need up to thirty times as much while they are read."""

MAX_RANK = 5
LONGEST_NAME = 1000


@dataclass(frozen=True, eq=False)
class Numbers:
    """An array from outside, still without a layer.

    `array` is C-contiguous and native: float16, float32, float64 or an integer type, rank 1 to 5, never empty; `dtype`
    is torch's name of the floating type that the file fixes (bfloat16 is widened to float32 in `array`), or None;
    `where` says where it came from and is safe to print, `notes` what a reader made of it that nobody asked for.
    """

    array: Array
    dtype: str | None
    where: str
    notes: tuple[str, ...] = ()


def make_numbers(array: Array, where: str, dtype: str | None = None, notes: tuple[str, ...] = ()) -> Numbers:
    """`array` as Numbers, made C-contiguous, native and writable; one number gets rank 1, bool becomes uint8."""
    import numpy

    if array.dtype == bool:
        array = array.astype(numpy.uint8)
        notes = (*notes, f"{where} holds booleans; True was read as 1, False as 0")
    array = numpy.require(array.reshape(array.shape or (1,)), array.dtype.newbyteorder("="), ["C", "W"])
    return Numbers(array, dtype, where, notes)


def require_finite(numbers: Numbers) -> None:
    """SourceError, with the first place, where `numbers` has NaN or infinities."""
    import numpy

    bad = numpy.argwhere(~numpy.isfinite(numbers.array))
    if len(bad):
        index = tuple(bad[0].tolist())
        raise SourceError(
            f"{numbers.where} has {numbers.array[index]} at [{', '.join(map(str, index))}] ({len(bad)} of "
            f"{numbers.array.size} numbers are not finite); give finite numbers here"
        )


def check_shape(shape: Sequence[int], itemsize: int, where: str) -> int:
    """The number of elements of `shape`; SourceError if no tensor can be so, or it is too large."""
    shown = safe(f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})")
    if len(shape) > MAX_RANK:
        raise SourceError(
            f"{where} has {len(shape)} axes, shape {shown}; a tensor here has 1 to {MAX_RANK}: drop axes of size 1"
        )
    if 0 in shape:
        raise SourceError(f"{where} has shape {shown}, which holds no numbers; every axis needs a size of 1 or more")
    count = prod(shape)
    if count * itemsize > TENSOR_BYTES:
        raise SourceError(
            f"{where} declares shape {shown}, {size_text(count * itemsize)}; "
            f"at most {size_text(TENSOR_BYTES)} are read: save a smaller tensor"
        )
    return count


def choose(names: Sequence[str], key: str | None, where: str) -> str:
    """The name that `key` asks for, or the only one there is; SourceError with the names where that leaves a doubt."""
    refuse_twice(names, "arrays", where)
    if key is not None and key in names:
        return key
    if not names:
        raise SourceError(f"{where} holds no array of numbers; save at least one tensor in it")
    listed = ", ".join(safe(name, 60) for name in names[:10])
    listed += f" and {len(names) - 10} more" if len(names) > 10 else ""
    if key is not None:
        raise SourceError(f"{where} has no array named {safe(key)!r}; it has {listed}")
    if len(names) > 1:
        file = "-" if where == STDIN else "FILE"
        raise SourceError(
            f"{where} has {len(names)} arrays; name one, as in {file}::{safe(names[0], 60)}: it has {listed}"
        )
    return names[0]


def join_name(outer: str, inner: str | int, where: str) -> str:
    """`outer.inner`; SourceError where names grow so long that a small file of nested ones would fill the memory."""
    fits = isinstance(inner, int) and abs(inner) < 1 << 63
    if not fits and not (isinstance(inner, str) and len(outer) + len(inner) < LONGEST_NAME):
        raise SourceError(
            f"{where} has a name that is not text of at most {LONGEST_NAME} characters; save it with short names"
        )
    return f"{outer}.{inner}" if outer else str(inner)


def refuse_key(key: str | None, where: str) -> None:
    """SourceError where a name is asked for in a file that holds a single array without one."""
    if key is not None:
        raise SourceError(f"{where} holds a single array without a name; leave out ::{safe(key)}")


def refuse_twice(names: Sequence[str], what: str, where: str) -> None:
    """SourceError where a name comes twice: readers take the first or the last without a word."""
    known: set[str] = set()
    for name in names:
        if name in known:
            raise SourceError(f"{where} has two {what} named {safe(name)!r}; save it again with distinct names")
        known.add(name)


def size_text(size: int) -> str:
    """Bytes as people say them: 128 bytes, 64 MiB, 4 TiB."""
    if size < 1024:
        return f"{size} byte{'s' * (size != 1)}"
    power = min((size.bit_length() - 1) // 10, 6)
    return f"{size / 1024**power:.4g} {'KMGTPE'[power - 1]}iB" if size < 1 << 80 else "more than 2^80 bytes"
