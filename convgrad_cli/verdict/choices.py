"""What can be asked of `check`, by name, and which layer it takes where little is said; settled without torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from convgrad_cli.errors import ConvGradError
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.safe import safe
from convgrad_cli.tensors.files import Numbers
from convgrad_cli.tensors.sizes import complete_spec, count_axes, fit
from convgrad_cli.tensors.sources import Source

ARITHMETIC_NAMES = ("exact", "direct", "partial", "short", "tf32", "bf16")
LAYOUT_NAMES = ("channels_last", "sliced", "transposed")
CHEAP = ("repeat", "stride-0", *LAYOUT_NAMES, "masks", "inputs")
CONDITIONS = (*CHEAP, "poison", "accumulate", "sizes")

SIZES = {1: ((6,), (3,)), 2: ((6, 5), (3, 2)), 3: ((7, 6, 5), (4, 3, 2))}
"""Input and kernel by the number of axes: no two are equal, so that no two axes can be mixed up unseen."""
OF_EVERY_CLASS = {"bias", "dims", "transposed"}
"""What may be said of a layer, and classes of layers are tried all the same: each of them is such a one."""
GROWING = 64  # entries by which an input may have to be larger for a kernel that was given


def complete_layer(
    settings: Mapping[str, Any], sources: Mapping[str, Source], convention: str | None = None
) -> dict[str, Any]:
    """`settings` (keywords of make_spec, those given) with several samples and channels, as far as they leave it open.

    One of each, as `inspect` takes, would hide that samples or channels are mixed up. Layers of cs231n have a bias.
    """
    dims, groups = count_axes(settings, sources), settings.get("groups") or 1
    size, kernel = SIZES.get(dims, ((), ()))
    usual: dict[str, list[Any]] = {
        "input_size": [tuple(n + more for n in size) for more in range(GROWING)],
        "kernel_size": [(3,) * dims if settings.get("padding") == "same" else kernel],  # an even one is padded by pairs
        "batch_size": [2],
        "in_channels": [2 * groups],
        "out_channels": [3 * groups],
        "bias": [True] if convention == "cs231n" else [],
    }
    found = {name: value for name, value in settings.items() if value is not None or name == "batch_size"}
    for name, values in usual.items():
        tries = () if name in found else ({**found, name: value} for value in values)
        found = next(
            (one for one in tries if _makes_sense(one, sources, several=name in ("input_size", "kernel_size"))), found
        )
    return found


def _makes_sense(settings: Mapping[str, Any], sources: Mapping[str, Source], *, several: bool) -> bool:
    """Whether there is such a layer, and the given numbers fit it; with `several` outputs on each axis."""
    try:
        spec: ConvSpec = complete_spec(settings, sources)
        for name, source in sources.items():
            if isinstance(source, Numbers):
                fit(spec, name, source)
    except ConvGradError:
        return False
    return not several or min(spec.output_size) > 1


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
