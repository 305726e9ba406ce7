"""The one function through which every untrusted string goes before it is printed: names, paths, keys, cells."""

from __future__ import annotations

from unicodedata import category

UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that can move a cursor, reorder or hide text, break a line, or have no agreed picture."""


def safe(text: str, limit: int = 200) -> str:
    r"""`text` on one line with control and invisible characters as \xNN, \uNNNN or \UNNNNNNNN.

    >>> safe("\x1b[31mred")
    '\\x1b[31mred'

    What is longer than `limit` characters is cut there, never inside an escape, and `... (1000000 characters)` follows.
    """
    pieces: list[str] = []
    room = limit
    for character in text:
        piece = _escape(character) if category(character) in UNSAFE else character
        room -= len(piece)
        if room < 0:
            return "".join(pieces) + f"... ({len(text)} characters)"
        pieces.append(piece)
    return "".join(pieces)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
