"""Which notation a text is in, and a layer in the notation that is asked for.

torch      Conv2d(3, 4, kernel_size=(2, 2))
benchdnn   mb2ic16ih8oc32oh8kh3ph1n"name", with --dir, --dt, --mb or deconv: in front
miopen     conv -n 32 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3, with or without MIOpenDriver in front
verbose    a line that oneDNN logs
json       {"layer": "Conv2d(3, 4, 2)", "input_size": 8}, or any keywords of make_spec
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry import benchdnn, miopen, onednn_verbose
from convgrad_cli.geometry.layer_text import DIRECTIONS, DTYPES, LayerText, require_alike, settled
from convgrad_cli.geometry.notation import parse_layer
from convgrad_cli.geometry.settings import PER_AXIS, SINGLE, plain_settings
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.safe import safe

LONGEST = 10_000  # characters; the lines of a log are the longest
WRITTEN = ("torch", "benchdnn", "miopen")
_SETTINGS = {*PER_AXIS, *SINGLE, "padding", "bias", "padding_mode", "transposed"}
_DERIVED = {"output_size", "text"}  # what a report's layer says beside its settings
_DESCRIPTOR = re.compile(r"""(?:--\S+\s+)*(?:deconv:)?_*(?:g|mb|ic|oc|[iokspd][dhw])\d\S*(?:"[^"]*")?""")


def language(text: str) -> str:
    """The notation of `text`, by its looks; what looks like none is `torch`, whose refusal is the one to read."""
    text = text.strip()
    if text.startswith("{"):
        return "json"
    if onednn_verbose.LINE.match(text):
        return "verbose"
    if _DESCRIPTOR.fullmatch(text):
        return "benchdnn"
    command = miopen.COMMAND.fullmatch(text)
    return "miopen" if (command and command[2]) or "MIOpenDriver" in text else "torch"


def read_layer(text: str) -> LayerText:
    """What `text`, in any of the notations, says about a layer. Raises SpecError."""
    if len(text) > LONGEST:
        raise SpecError(f"--layer {safe(text, 40)!r} is too long; no notation needs more than {LONGEST} characters")
    kind = language(text)
    if kind == "json":
        return _read_json(text)
    if kind == "torch":
        settings = parse_layer(text)
        return LayerText(settings, None, None, DIRECTIONS if settings["bias"] else DIRECTIONS[:-1])
    parse = {"benchdnn": benchdnn.parse, "miopen": miopen.parse, "verbose": onednn_verbose.parse}[kind]
    return parse(text)


def write_layer(spec: ConvSpec, notation: str, dtype: str | None = None) -> str:
    """The layer of `spec` in one of the notations WRITTEN. Raises SpecError where that one has no words for it."""
    if notation == "benchdnn":
        return benchdnn.write(spec, dtype)
    if notation == "miopen":
        return miopen.write(spec, dtype)
    if notation == "torch":
        return write_module(spec)
    raise SpecError(f"--as {safe(notation, 40)} is not one of {', '.join(WRITTEN)}")


def write_module(spec: ConvSpec) -> str:
    """The module as PyTorch writes it, to be run as Python; sizes of the input are no part of it."""
    # An even kernel's `same` is the only uneven padding that a module knows.
    if not spec.transposed and set(spec.stride) == {1} and spec.padding == _same(spec):
        uneven = any(before != after for before, after in spec.padding)
        if uneven:
            return re.sub(r"padding=\(\(.*?\)\)", "padding='same'", spec.layer_text())
    spec = settled(spec)
    require_alike(spec, "PyTorch")
    return spec.layer_text()


def _same(spec: ConvSpec) -> tuple[tuple[int, int], ...]:
    return tuple(((extent - 1) // 2, extent // 2) for extent in spec.kernel_extent)


def _read_json(text: str) -> LayerText:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{safe(text, 80)!r} is not JSON: {error}") from None
    described = LayerText({}, directions=())
    if "layer" in said and not isinstance(said["layer"], str):
        raise SpecError(f'"layer" in {safe(text, 80)!r} is text in any notation: {{"layer": "Conv2d(3, 4, 2)"}}')
    if "layer" in said:
        described = read_layer(said.pop("layer"))
    name, dtype = said.pop("name", described.name), said.pop("dtype", described.dtype)
    directions = said.pop("directions", None)
    settings = {key: value for key, value in said.items() if key not in _DERIVED}
    _check_json(settings, described.settings, name, dtype, directions)
    settings = {**described.settings, **plain_settings(settings)}
    bias = settings.get("bias", False)
    default = described.directions if "bias" not in said and described.settings else DIRECTIONS
    asked_for = tuple(one for one in DIRECTIONS if one in (directions or default) and (bias or one != "grad_bias"))
    return LayerText(settings, name, DTYPES.get(str(dtype), dtype), asked_for)


def _check_json(
    settings: Mapping[str, Any], described: Mapping[str, Any], name: Any, dtype: Any, directions: Any
) -> None:
    unknown = [key for key in settings if key not in _SETTINGS]
    if unknown:
        known = ", ".join(["layer", "name", "dtype", "directions", *sorted(_SETTINGS)])
        raise SpecError(f"a layer in JSON has no {safe(unknown[0], 40)!r}; it knows {known}")
    twice = [key for key in settings if key in described and key not in ("bias", "batch_size")]
    if twice:
        raise SpecError(f'"layer" already says {twice[0]}; drop one of them')
    if not isinstance(name, str | None):
        raise SpecError(f'"name" is text, not {safe(repr(name), 40)}')
    if dtype is not None and str(dtype) not in {*DTYPES, *DTYPES.values()}:
        raise SpecError(f'"dtype" {safe(repr(dtype), 40)} is not one of {", ".join(DTYPES.values())}')
    if directions is not None and not (isinstance(directions, list) and set(map(str, directions)) <= set(DIRECTIONS)):
        raise SpecError(f'"directions" {safe(repr(directions), 60)} is a list of some of {", ".join(DIRECTIONS)}')
