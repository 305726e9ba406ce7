"""oneDNN's benchdnn: descriptors such as mb2ic16ih8oc32oh8kh3ph1n"name", and the options that stand before them.

Its rules: entries in any order, `_` between them as one likes; ic and oc are totals over g; mb is 2 and strides are 1
unless given; dilation counts from 0; a missing output size follows from the padding (0 if missing too), a missing
padding from the output size, and the back padding, which may be negative, always from the output size; an axis that is
not given is a copy of the one before it. `deconv:` in front makes it a transposed convolution.

Without --dir a descriptor is read as all it could ask for: output and every gradient, with a bias.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.layer_text import DTYPES, LayerText, asked, axis_padding, number, require_plain
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.safe import safe

TRANSPOSED = "deconv:"
_ENTRY = re.compile(r"(g|mb|ic|oc|[iokspd][dhw])(-?\d*)")
_BIAS = {"FWD_B", "BWD_WB"}
_DIRECTIONS = {
    "FWD_B": {"output"},
    "FWD_D": {"output"},
    "FWD_I": {"output"},
    "BWD_D": {"grad_input"},
    "BWD_W": {"grad_weight"},
    "BWD_WB": {"grad_weight", "grad_bias"},
    "BWD_DW": {"grad_input", "grad_weight"},
}


@dataclass(frozen=True)
class Knobs:
    """The options in force; empty where none was given. Each holds the alternatives that commas separate."""

    dir: tuple[str, ...] = ()
    dt: tuple[str, ...] = ()
    mb: tuple[int, ...] = ()
    transposed: bool = False

    def turned(self, option: str) -> Knobs | None:
        """These with `option` (`--dir=BWD_D`) in force, or None if it is none of benchdnn's that matter here."""
        name, _, value = option.partition("=")
        values = value.split(",")
        if name == "--reset" and not value:
            return Knobs(transposed=self.transposed)
        if name in ("--conv", "--deconv") and not value:
            return replace(self, transposed=name == "--deconv")
        if name == "--dir":
            return replace(self, dir=tuple(_direction(one) for one in values if value))
        if name == "--dt":
            return replace(self, dt=tuple(values) if value else ())
        if name == "--mb":
            return replace(self, mb=tuple(size for one in values if value and (size := number(one, name))))
        return None

    @property
    def variants(self) -> tuple[Knobs, ...]:
        """One for each alternative type and batch size; the directions are asked for together."""
        return tuple(replace(self, dt=dt, mb=mb) for dt in _each(self.dt) for mb in _each(self.mb))

    @property
    def dtype(self) -> str | None:
        """The name that torch has for --dt, None if it is not given. Raises SpecError for integers and mixtures."""
        kinds = {kind for one in self.dt for kind in one.split(":")}
        if kinds and (len(kinds) > 1 or not kinds <= DTYPES.keys()):
            raise SpecError(f"--dt={safe(','.join(self.dt), 60)} is not one of {', '.join(DTYPES)}")
        return DTYPES[kinds.pop()] if kinds else None

    def __str__(self) -> str:
        said = {"dir": self.dir, "dt": self.dt, "mb": self.mb}
        return "".join(f"--{name}={','.join(map(str, values))} " for name, values in said.items() if values)


def _each(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
    return tuple((value,) for value in values) or ((),)


def _direction(text: str) -> str:
    if text.upper() not in _DIRECTIONS:
        raise SpecError(f"--dir={safe(text, 40)} is not one of {', '.join(_DIRECTIONS)}")
    return text.upper()


def parse(text: str) -> LayerText:
    """The one layer of `--dir=BWD_D mb2ic16ih8oc32kh3ph1`; the options may be missing. Raises SpecError."""
    knobs = Knobs()
    words = text.split()
    options = list(takewhile(lambda word: word.startswith("-"), words))
    descriptor = " ".join(words[len(options) :])  # a name may have blanks
    for option in options:
        turned = knobs.turned(option)
        if turned is None:
            raise SpecError(f"{safe(option, 60)} before a benchdnn descriptor is not --dir, --dt, --mb or --deconv")
        knobs = turned
    if len(knobs.variants) > 1:
        raise SpecError(f"{safe(text)!r} names several problems; give --dt and --mb one value each")
    return describe(descriptor, knobs)


def describe(descriptor: str, knobs: Knobs) -> LayerText:
    """What `descriptor` says under `knobs`, which hold no alternatives any more. Raises SpecError."""
    transposed = knobs.transposed or descriptor.startswith(TRANSPOSED)
    entries, name = _entries(descriptor.removeprefix(TRANSPOSED))
    bias = not knobs.dir or not _BIAS.isdisjoint(knobs.dir)
    directions = set().union(*(_DIRECTIONS[one] for one in knobs.dir or _DIRECTIONS))
    settings = _layer(entries, transposed) | {"bias": bias, "transposed": transposed}
    if knobs.mb:
        settings["batch_size"] = knobs.mb[0]
    return LayerText(settings, name, knobs.dtype, asked(directions, bias))


def _entries(text: str) -> tuple[dict[str, int], str | None]:
    """The numbers of a descriptor by their letters, and its name."""
    entries: dict[str, int] = {}
    at = 0
    while at < len(text):
        if text[at] == "n":
            return entries, text[at + 1 :].strip('"') or None
        match = _ENTRY.match(text, at)
        if text[at] == "_":
            at += 1
        elif match is None:
            raise SpecError(
                f"{safe(text)!r} is not a benchdnn descriptor from {safe(text[at:], 20)!r} on; "
                "write it as mb2ic16ih8oc32oh8kh3ph1"
            )
        else:
            entries[match[1]] = number(match[2], f"{match[1]} in a benchdnn descriptor")
            at = match.end()
    return entries, None


def _layer(entries: Mapping[str, int], transposed: bool) -> dict[str, Any]:
    missing = [name for name in ("ic", "oc") if not entries.get(name)]
    if missing:
        raise SpecError(f"a benchdnn descriptor needs {missing[0]} of 1 or more: mb2ic16ih8oc32oh8kh3ph1")
    letters = [letter for letter in "dhw" if _is_given(entries, letter)]
    axes = [_axis(entries, letter, transposed) for letter in letters]
    if not axes or letters in (["d", "h"], ["d", "w"]):
        raise SpecError(
            "a benchdnn descriptor needs iw and kw, ih and kh, or id and kd; with d, both or none of h and w"
        )
    axes *= {"d": 3, "h": 2}.get(letters[0], 1) if len(axes) == 1 else 1
    return {
        "in_channels": entries["ic"],
        "out_channels": entries["oc"],
        "groups": entries.get("g", 1),
        "batch_size": entries.get("mb", 2),
        "dims": len(axes),
        **{name: tuple(axis[name] for axis in axes) for name in axes[0]},
    }


def _is_given(entries: Mapping[str, int], letter: str) -> bool:
    """Whether the axis is more than what would be printed for one that is not there."""
    nothing = {"s": 1}
    return any(entries.get(kind + letter, nothing.get(kind, 0)) != nothing.get(kind, 0) for kind in "iokspd")


def _axis(entries: Mapping[str, int], letter: str, transposed: bool) -> dict[str, Any]:
    size, kernel, output = (entries.get(kind + letter, 0) for kind in "iko")
    stride, dilation = entries.get(f"s{letter}", 1), entries.get(f"d{letter}", 0) + 1
    for name, value in ((f"i{letter}", size), (f"k{letter}", kernel), (f"s{letter}", stride)):
        if not value:
            raise SpecError(f"a benchdnn descriptor with an axis {letter} needs {name} of 1 or more")
    extent = dilation * (kernel - 1) + 1
    before = entries.get(f"p{letter}")
    if before is None:
        before = _trivial_padding(size, output, extent, stride, transposed) if output else 0
    if not output:
        reach = (size - 1) * stride + extent - 2 * before
        output = reach if transposed else (size + 2 * before - extent) // stride + 1
    if output < 1:
        raise SpecError(f"o{letter} of this benchdnn descriptor would be {output}: kernel and padding do not fit")
    pair, extra = axis_padding(transposed, before, size, output, extent, stride, dilation)
    return {
        "input_size": size,
        "kernel_size": kernel,
        "stride": stride,
        "padding": pair,
        "dilation": dilation,
        "output_padding": extra,
    }


def _trivial_padding(size: int, output: int, extent: int, stride: int, transposed: bool) -> int:
    """Half of what the sizes leave for both ends, cut towards zero as C does."""
    small, large = (size, output) if transposed else (output, size)
    total = (small - 1) * stride + extent - large
    return total // 2 if total >= 0 else -(-total // 2)


def write(spec: ConvSpec, dtype: str | None = None, name: str | None = None) -> str:
    """The layer as benchdnn writes it, to be read by `parse`. Raises SpecError where it has no words for it."""
    require_plain(spec, "benchdnn")
    letters = "dhw"[-spec.dims :]
    columns = {
        "i": spec.input_size,
        "o": spec.output_size,
        "k": spec.kernel_size,
        "s": spec.stride if any(s != 1 for s in spec.stride) else (),
        "p": _front(spec),
        "d": tuple(d - 1 for d in spec.dilation) if any(d != 1 for d in spec.dilation) else (),
    }
    told = {
        kind: "".join(f"{kind}{letter}{n}" for letter, n in zip(letters, values, strict=False) if n is not None)
        for kind, values in columns.items()
    }
    groups = f"g{spec.groups}" if spec.groups != 1 else ""
    front = f"{groups}mb{spec.batch_size}ic{spec.in_channels}{told['i']}oc{spec.out_channels}{told['o']}"
    knobs = "" if spec.bias else "--dir=FWD_D,BWD_D,BWD_W "
    knobs += next((f"--dt={short} " for short, long in DTYPES.items() if long == dtype != "float32"), "")
    prefix = TRANSPOSED if spec.transposed else ""
    return f"{knobs}{prefix}{front}{told['k']}{told['s']}{told['p']}{told['d']}" + (f'n"{name}"' if name else "")


def _front(spec: ConvSpec) -> tuple[int | None, ...]:
    """The padding in front by axis; None where it is negative, which only its absence can say, if at all."""
    found: list[int | None] = []
    columns = (spec.padding, spec.input_size, spec.output_size, spec.kernel_extent, spec.stride)
    for (before, _), size, output, extent, stride in zip(*columns, strict=True):
        if before < 0 and _trivial_padding(size, output, extent, stride, spec.transposed) != before:
            raise SpecError(f"benchdnn has no negative padding in front, and this layer needs {before}")
        found.append(before if before >= 0 else None)
    return tuple(found)
