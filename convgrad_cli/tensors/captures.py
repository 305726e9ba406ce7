"""A capture: one run of a real layer in a .safetensors file, its tensors by name and the layer in the metadata."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from convgrad_cli.errors import ConvGradError, SourceError, SpecError
from convgrad_cli.geometry.spec import ConvSpec, make_spec
from convgrad_cli.safe import safe
from convgrad_cli.tensors.files import read_file
from convgrad_cli.tensors.numbers import Numbers

if TYPE_CHECKING:
    from convgrad_cli.tensors.operands import Tensor

SCHEMA = "convgrad-capture/1"
OPERANDS = ("input", "weight", "bias", "grad_output")
SUFFIX = ".safetensors"
NAMING = "._#-"  # what a file may be called beside letters and digits


@dataclass(frozen=True)
class Captured:
    """What a capture says: the layer's name in its model, the keywords of `make_spec`, and its operands.

    `left` are the gradients that autograd left in the model, by operand; those that nobody asked for are missing.
    """

    name: str
    settings: dict[str, Any]
    operands: dict[str, Numbers]
    left: dict[str, Numbers]


def read_capture(path: str) -> Captured:
    """The capture in the file `path`. Raises SourceError for a file that is none."""
    where = safe(path)
    weight = read_file(path, "weight") if path.lower().endswith(SUFFIX) else None
    if weight is None:
        raise SourceError(f"{where} is no capture; those end in {SUFFIX} and are written by convgrad model --save")
    name, settings, left = _metadata(path, where)
    names = [name for name in OPERANDS if name != "bias" or settings["bias"]]
    operands = {n: weight if n == "weight" else read_file(path, n) for n in names}
    return Captured(name, settings, operands, {n: read_file(path, f"grad_{n}") for n in left})


def write_capture(folder: str, name: str, spec: ConvSpec, tensors: Mapping[str, Tensor]) -> str:
    """Write the capture of the layer `name` into `folder`, whole or not at all; its path. Raises ConvGradError."""
    from safetensors.torch import save

    said = {"schema": SCHEMA, "name": name, "layer": asdict(spec)}
    text = save({n: t.contiguous() for n, t in tensors.items()}, {"convgrad": json.dumps(said)})
    path = Path(folder) / (_file_name(name) + SUFFIX)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise ConvGradError(f"{safe(str(path))} can't be written: {error.strerror or error}") from None
    return str(path)


def _metadata(path: str, where: str) -> tuple[str, dict[str, Any], list[str]]:
    """The name and the settings, once a layer can have them, and of which operands there are gradients."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as opened:
        text = (opened.metadata() or {}).get("convgrad")
        keys = set(opened.keys())
    try:
        said = json.loads(text or "")
        if said["schema"] != SCHEMA:
            raise ValueError
        settings = {field.name: said["layer"][field.name] for field in fields(ConvSpec)}
        make_spec(**settings, dims=len(settings["kernel_size"]))
        left = [name for name in ("input", "weight", "bias") if f"grad_{name}" in keys]
        return str(said["name"]), {**settings, "dims": len(settings["kernel_size"])}, left
    except SpecError as error:
        raise SourceError(f"{where} is a capture of a layer that can't be: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SourceError(f"{where} has no layer of convgrad in its metadata; captures are written by --save") from None


def _file_name(name: str) -> str:
    """A name for any file system, and one of its own for every layer."""
    clean = "".join(c if c.isascii() and (c.isalnum() or c in NAMING) else "_" for c in name)[:120].lstrip(".")
    return clean if clean == name else f"{clean or 'layer'}-{crc32(name.encode()):08x}"
