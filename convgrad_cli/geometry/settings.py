"""The keywords of `make_spec` as Python callers give them, made plain: ints, tuples of ints, words, True and False.

Sizes come as numpy's or torch's integers, as arrays and as torch.Size. What is none of them is told here, by the name
of its option, before anything counts with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.safe import safe

LARGEST = 10**9  # no size reaches it, and larger ones only make longer messages
PER_AXIS = {
    "input_size": "--size",
    "kernel_size": "--kernel",
    "stride": "--stride",
    "dilation": "--dilation",
    "output_padding": "--output-padding",
}
SINGLE = {
    "in_channels": "--in-channels",
    "out_channels": "--out-channels",
    "groups": "--groups",
    "batch_size": "--batch",
    "dims": "--dims",
}
MAY_BE_NONE = ("input_size", "in_channels", "out_channels", "batch_size", "dims")


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with the same names and plain values. Raises SpecError."""
    return {
        name: None if value is None and name in MAY_BE_NONE else _plain(name, value)
        for name, value in settings.items()
    }  # fmt: skip


def _plain(name: str, value: Any) -> Any:
    try:
        if name in PER_AXIS:
            return _parts(value, _number)
        if name in SINGLE:
            return _number(value)
        if name == "padding":
            return value if isinstance(value, str) else _parts(value, lambda part: _parts(part, _number))
        if name in ("bias", "transposed") and value not in (True, False):
            raise TypeError
    except OverflowError:
        option = PER_AXIS.get(name) or SINGLE.get(name, "--padding")
        raise SpecError(f"{option} is too large; numbers here are below 10^9") from None
    except (TypeError, ValueError, RuntimeError):  # what numpy and torch raise for arrays that are no single number
        raise SpecError(f"{_takes(name)}, not {safe(repr(value), 60)}") from None
    return bool(value) if name in ("bias", "transposed") else value


def _takes(name: str) -> str:
    if name in PER_AXIS:
        return f"{PER_AXIS[name]} takes whole numbers, one or one an axis"
    if name in SINGLE:
        return f"{SINGLE[name]} takes a whole number"
    return (
        "--padding takes whole numbers, pairs of them or a word" if name == "padding" else f"--{name} is True or False"
    )


def _number(value: Any) -> int:
    number = index(value)
    if abs(number) >= LARGEST:
        raise OverflowError
    return number


def _parts(value: Any, read: Any) -> Any:
    """One number, or a tuple of what `read` makes of each part."""
    try:
        return _number(value)
    except TypeError:
        if isinstance(value, (str, bytes, set, frozenset, dict)):
            raise
    parts = tuple(read(part) for part in value)
    if not parts:
        raise TypeError
    return parts
