"""A SOURCE as the user writes it: the name of a fill, inline values, FILE, FILE::KEY, or - for standard input."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.files import Numbers, read_file, read_stdin, read_text
from convgrad_cli.tensors.fills import FILLS, KERNELS


@dataclass(frozen=True)
class Fill:
    """A fill by name; its size follows from the layer, but for the 3x3 kernels."""

    name: str

    @property
    def kernel_size(self) -> tuple[int, int] | None:
        return (3, 3) if self.name in KERNELS else None


Source = Fill | Numbers


def read_source(text: str, option: str) -> Source:
    """What `option` (say --x) names: a Fill, or the numbers themselves. Raises SourceError with what would be right."""
    if text in FILLS:
        return Fill(text)
    path, _, key = text.partition("::")
    if path == "-":
        return read_stdin(key or None)
    if key or text.startswith(_PATHS) or Path(path).suffix in _SUFFIXES or _exists(path):
        return read_file(path, key or None)
    if re.match(r"\s*[\[+\-.\d]|\s*(nan|inf)", text, re.IGNORECASE):
        return read_text(text, option)
    close = difflib.get_close_matches(text, FILLS, 1)
    hint = f"did you mean {close[0]}?" if close else f"fills are {', '.join(FILLS)}"
    raise SourceError(f"{option} {safe(text)!r} is neither a fill, numbers, nor a file that exists; {hint}")


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):
        return False


_PATHS = ("./", "../", "/", "~")
_SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".safetensors", ".csv", ".tsv", ".json", ".txt")
