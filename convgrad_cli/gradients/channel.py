"""Frames between convgrad and the process in which a user's function runs: a JSON header, then raw arrays.

Neither side evaluates or unpickles what the other sent, and whoever reads with `expects` allocates nothing that it did
not expect.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

HEADER_BYTES = 1 << 20
CARRIERS = {"float16": "f2", "float32": "f4", "float64": "f8", "bfloat16": "i2"}
"""By torch's name of a dtype, the NumPy type whose bytes carry it."""

_LENGTH = struct.Struct("<Q")
# A process that convgrad writes to may be gone, and the command line lets SIGPIPE end it.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

Shape = tuple[int, ...]
Fill = Callable[[memoryview], None]


class ChannelError(Exception):
    """What came is not a frame, or not the one that was expected."""


class Block(NamedTuple):
    """An array and torch's name of its dtype; the bits of bfloat16 lie in int16."""

    dtype: str
    array: NDArray[Any]


def send(connection: socket.socket, header: Mapping[str, Any], blocks: Mapping[str, Block]) -> None:
    listed = [[name, block.dtype, block.array.shape] for name, block in blocks.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    connection.sendall(_LENGTH.pack(len(text)) + text, _NO_SIGNAL)
    for block in blocks.values():
        flat = numpy.ascontiguousarray(block.array).reshape(-1)
        connection.sendall(flat.view(numpy.uint8).data, _NO_SIGNAL)


def receive(fill: Fill, expects: Mapping[str, Shape] | None = None) -> tuple[dict[str, Any], dict[str, Block]]:
    """One frame, whose bytes `fill` puts into the buffers it is given.

    ChannelError for what is no frame, or holds an array that is not in `expects` with exactly its shape.
    """
    size = bytearray(_LENGTH.size)
    fill(memoryview(size))
    (length,) = _LENGTH.unpack(size)
    if length > HEADER_BYTES:
        raise ChannelError(f"a header of {length} bytes")
    text = bytearray(length)
    fill(memoryview(text))
    try:
        header = json.loads(text)
        listed = [(str(name), str(dtype), tuple(map(int, shape))) for name, dtype, shape in header.pop("arrays")]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ChannelError(f"a damaged header ({type(error).__name__})") from None
    blocks: dict[str, Block] = {}
    for name, dtype, shape in listed:
        if dtype not in CARRIERS or name in blocks or (expects is not None and expects.get(name) != shape):
            raise ChannelError("an array that was not asked for")
        array = numpy.empty(shape, CARRIERS[dtype])
        fill(array.reshape(-1).view(numpy.uint8).data)
        blocks[name] = Block(dtype, array)
    return header, blocks


def filler(connection: socket.socket) -> Fill:
    """A Fill from `connection`; EOFError where the other side closed it."""

    def fill(view: memoryview) -> None:
        while view:
            count = connection.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]

    return fill
