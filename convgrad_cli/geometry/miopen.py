"""MIOpenDriver command lines: conv -n 32 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1 -g 1, short and long, 2-D and 3-D.

Every option takes a value and has the default that MIOpenDriver gives it (a batch of 100 images of 3x32x32 among them).
`-F` adds up 1 for the output, 2 for the gradient of the input and 4 for that of the weight; 0 is all three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.layer_text import LayerText, asked, number, require_alike, require_plain, settled
from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.safe import safe

COMMAND = re.compile(r"(?:.*?MIOpenDriver:?\s+)?(conv\w*)((?:\s+-.*)?)", re.DOTALL)
_PROGRAM = re.compile(r".*?MIOpenDriver:?\s+([A-Za-z]\w*)")
_SHELL = re.compile(r"\s(?:\d?>|\||&|;)")  # where the command ends and a script goes on
_DTYPES = {"conv": None, "convfp16": "float16", "convbfp16": "bfloat16"}
# The axes are in this order in every row.
_PER_AXIS = {
    "input_size": (("in_d", "in_h", "in_w"), 32),
    "kernel_size": (("fil_d", "fil_h", "fil_w"), 3),
    "padding": (("pad_d", "pad_h", "pad_w"), 0),
    "stride": (("conv_stride_d", "conv_stride_h", "conv_stride_w"), 1),
    "dilation": (("dilation_d", "dilation_h", "dilation_w"), 1),
    "output_padding": (("trans_output_pad_d", "trans_output_pad_h", "trans_output_pad_w"), 0),
}
_SINGLE = {
    "batch_size": ("batchsize", 100),
    "in_channels": ("in_channels", 3),
    "out_channels": ("out_channels", 32),
    "groups": ("group_count", 1),
}
_SHORT = {
    "n": "batchsize",
    "c": "in_channels",
    "H": "in_h",
    "W": "in_w",
    "k": "out_channels",
    "y": "fil_h",
    "x": "fil_w",
    "u": "conv_stride_h",
    "v": "conv_stride_w",
    "p": "pad_h",
    "q": "pad_w",
    "l": "dilation_h",
    "j": "dilation_w",
    "Y": "trans_output_pad_h",
    "X": "trans_output_pad_w",
    "g": "group_count",
    "b": "bias",
    "m": "mode",
    "z": "pad_mode",
    "F": "forw",
    "r": "pad_val",
    "_": "spatial_dim",
    "Z": "tensor_vect",
    "L": "vector_length",
    "U": "in_cast_type",
    "T": "out_cast_type",
    "R": "wei_cast_type",
}
# Read, and not written: older names, and the short forms of what has a depth, which a shell would take for its own.
_UNUSUAL = {
    "conv_stride_0": "conv_stride_h",
    "conv_stride_1": "conv_stride_w",
    "!": "in_d",
    "@": "fil_d",
    "#": "conv_stride_d",
    "$": "pad_d",
    "%": "trans_output_pad_d",
    "^": "dilation_d",
}
# How it is run, stored and reported: none of it changes the layer.
_OTHERS = {
    *("in_layout", "out_layout", "fil_layout", "iter", "verify", "verification_cache", "time", "wall", "search"),
    *("printconv", "dump_output", "in_data", "weights", "in_bias", "dout_data", "solution", "gpubuffer_check"),
    *("gpualloc", *"IOfiVCtwsPodeaDSG"),
}
_KNOWN = {*_SHORT.values(), *(name for names, _ in _PER_AXIS.values() for name in names), *_OTHERS}
_FIXED = {"pad_val": "0", "tensor_vect": "0", "vector_length": "1"}
_FIXED |= dict.fromkeys(("in_cast_type", "out_cast_type", "wei_cast_type"), "-1")


def other_program(text: str) -> str | None:
    """What a MIOpenDriver command line runs if it is no convolution: `pool`, `bnormfp16`."""
    match = _PROGRAM.match(text)
    return match[1] if match and not match[1].startswith("conv") else None


def parse(text: str) -> LayerText:
    """The layer of a MIOpenDriver command line, with or without the program's name. Raises SpecError."""
    match = COMMAND.fullmatch(_SHELL.split(text)[0].strip())
    if match is None:
        raise SpecError(
            f"{safe(text)!r} is no convolution of MIOpenDriver; write it as conv -n 32 -c 64 -H 56 -W 56 -k 64"
        )
    if match[1] not in _DTYPES:
        raise SpecError(f"MIOpenDriver {safe(match[1], 40)} is not one of {', '.join(_DTYPES)}")
    given = _options(match[2].split())
    for name, only in _FIXED.items():
        if given.get(name, only) != only:
            raise SpecError(f"MIOpenDriver --{name} {safe(given[name], 40)} is not supported, only {only}")
    settings = _layer(given)
    forward = number(given.get("forw", "0"), "MIOpenDriver -F") or 7
    parts = {1: {"output"}, 2: {"grad_input"}, 4: {"grad_weight", "grad_bias"}}
    directions = set().union(*(names for bit, names in parts.items() if forward & bit))
    return LayerText(settings, None, _DTYPES[match[1]], asked(directions, settings["bias"]))


def _options(words: list[str]) -> dict[str, str]:
    """The values by the long names of their options; as in MIOpenDriver the last one counts."""
    given = {}
    rest = iter(words)
    for word in rest:
        key, joined, value = word.partition("=")
        name = key[2:] if key.startswith("--") else _SHORT.get(key[1:], key[1:])
        name = _UNUSUAL.get(name, name)
        if not key.startswith("-") or name not in _KNOWN or (not key.startswith("--") and len(key) > 2):
            raise SpecError(
                f"MIOpenDriver has no option {safe(word, 60)!r}; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3"
            )
        found = value if joined else next(rest, None)
        if found is None:
            raise SpecError(f"MIOpenDriver {safe(word, 60)} is given no value")
        given[name] = found
    return given


def _layer(given: Mapping[str, str]) -> dict[str, Any]:
    def read(name: str, default: int) -> int:
        return number(given[name], f"MIOpenDriver --{name}") if name in given else default

    dims, mode, word = read("spatial_dim", 2), given.get("mode", "conv"), given.get("pad_mode", "default")
    if dims not in (2, 3):
        raise SpecError(f"MIOpenDriver knows --spatial_dim 2 and 3, not {dims}")
    if mode not in ("conv", "trans"):
        raise SpecError(f"MIOpenDriver -m {safe(mode, 40)} is neither conv nor trans")
    if word not in ("default", "same", "valid"):
        raise SpecError(f"MIOpenDriver -z {safe(word, 40)} is not one of default, same, valid")
    settings: dict[str, Any] = {key: read(*row) for key, row in _SINGLE.items()}
    for key, (names, default) in _PER_AXIS.items():
        settings[key] = tuple(read(name, default) for name in names[-dims:])
    settings |= {"groups": max(settings["groups"], 1), "bias": read("bias", 0) != 0, "dims": dims}
    settings["transposed"] = mode == "trans"
    if mode == "conv":
        settings["output_padding"] = (0,) * dims
        plain = {1} in (set(settings["dilation"]), set(settings["kernel_size"]))
        if plain and word != "default":
            sizes = zip(settings["input_size"], settings["kernel_size"], settings["stride"], strict=True)
            # Half of what `same` needs, so an odd rest is lost.
            same = tuple(max(k - (n % s or s), 0) // 2 for n, k, s in sizes)
            settings["padding"] = same if word == "same" else (0,) * dims
    return settings


def write(spec: ConvSpec, dtype: str | None = None) -> str:
    """The layer as the arguments of MIOpenDriver. Raises SpecError where it has no words for it."""
    require_plain(spec, "MIOpenDriver")
    if spec.dims == 1:
        raise SpecError("MIOpenDriver knows 2-D and 3-D layers; write this one as 2-D, with a height of 1")
    spec = settled(spec)
    require_alike(spec, "MIOpenDriver")
    commands = {name: command for command, name in _DTYPES.items()} | {"float32": "conv"}
    if dtype not in commands:
        raise SpecError(f"MIOpenDriver computes in float32, float16 and bfloat16, not {dtype}")
    options = {"batchsize": spec.batch_size, "in_channels": spec.in_channels}
    for key, (names, _) in _PER_AXIS.items():
        told = [pair[0] for pair in spec.padding] if key == "padding" else getattr(spec, key)
        if key != "output_padding" or any(told):
            options |= dict(zip(names[-spec.dims :], told, strict=True))
        if key == "input_size":
            options["out_channels"] = spec.out_channels
    flags = {name: f"-{letter}" for letter, name in _SHORT.items()}
    words = [f"{flags.get(name, f'--{name}')} {value}" for name, value in options.items()]
    words += ["--spatial_dim 3"] if spec.dims == 3 else []
    words += ["-m trans"] if spec.transposed else []
    words += [f"-g {spec.groups}"] + (["-b 1"] if spec.bias else [])
    return f"{commands[dtype]} {' '.join(words)}"
