"""What can be asked of `check`, by name; settled without torch."""

from __future__ import annotations

import difflib
from typing import Any

from convgrad_cli.errors import ConvGradError
from convgrad_cli.safe import safe

ARITHMETIC_NAMES = ("exact", "direct", "partial", "short", "tf32", "bf16")
LAYOUT_NAMES = ("channels_last", "sliced", "transposed")
CHEAP = ("repeat", "stride-0", *LAYOUT_NAMES, "masks", "inputs")
CONDITIONS = (*CHEAP, "poison", "accumulate", "sizes")

LAYER: dict[str, Any] = {
    "in_channels": 2,
    "out_channels": 3,
    "input_size": (6, 5),
    "kernel_size": (3, 2),
    "batch_size": 2,
}
"""The layer that is checked where none is given: no two sizes are equal, so that no two axes can be mixed up unseen."""


def choose_conditions(text: str | None) -> tuple[str, ...]:
    """The conditions that `--conditions` names: "all", "none" or a list; the cheap ones where it is None."""
    if text in ("all", "none"):
        return CONDITIONS if text == "all" else ()
    names = CHEAP if text is None else tuple(name.strip() for name in text.split(","))
    for name in names:
        require_name("--conditions", name, ("all", "none", *CONDITIONS))
    return names


def choose_arithmetic(name: str, dtype: str) -> str:
    """The arithmetic called `name`, if a result of `dtype` can have been computed in it."""
    require_name("--arithmetic", name, ARITHMETIC_NAMES)
    short = dtype in ("float16", "bfloat16")
    if (name in ("partial", "short") and not short) or (name in ("tf32", "bf16") and dtype != "float32"):
        needed = "float32" if name in ("tf32", "bf16") else "float16 or bfloat16"
        raise ConvGradError(f"--arithmetic {name} describes results of {needed}; these are {dtype}: use direct")
    return name


def choose_hint(level: int) -> int:
    """How much of a diagnosis is given away, from 1 to 4."""
    if level not in range(1, 5):
        raise ConvGradError(f"--hint must be from 1 (where it is wrong) to 4 (everything), not {level}")
    return level


def require_name(option: str, name: str, known: tuple[str, ...]) -> None:
    """Raise ConvGradError unless `name`, which stands after `option`, is one of those that are known."""
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConvGradError(f"{option} {safe(name)!r} is not one of {', '.join(known)}{hint}")
