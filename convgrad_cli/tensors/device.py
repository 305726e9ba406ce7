"""Devices and dtypes by name, and what this machine has of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from convgrad_cli.errors import ConvGradError
from convgrad_cli.safe import safe

if TYPE_CHECKING:
    import torch

DTYPES = ("float64", "float32", "float16", "bfloat16")
_ALIASES = {"double": "float64", "float": "float32", "half": "float16", "fp64": "float64", "fp32": "float32"}
_ALIASES |= {"fp16": "float16", "bf16": "bfloat16", "f64": "float64", "f32": "float32", "f16": "float16"}


def check_dtype(name: str) -> str:
    """The dtype's name as torch spells it. Complex and integer types have no real gradients and are refused."""
    plain = name.strip().lower().removeprefix("torch.")
    plain = _ALIASES.get(plain, plain)
    if plain in DTYPES:
        return plain
    why = " complex gradients are not supported;" if plain.startswith(("complex", "cfloat", "cdouble")) else ""
    raise ConvGradError(f"--dtype {safe(name)!r}:{why} use one of {', '.join(DTYPES)}")


def check_device(name: str) -> str:
    """The device's name, if it is one that torch could know; whether it is there is asked later."""
    if re.fullmatch(r"cpu|auto|mps|(cuda|xpu)(:\d{1,3})?", name):
        return name
    raise ConvGradError(f"--device {safe(name)!r} is not a device; use cpu, cuda, cuda:1, mps, xpu or auto")


def find_device(name: str) -> torch.device:
    """The device called `name` ("auto": the first accelerator, else the cpu). ConvGradError says what is there."""
    import torch

    there = present_devices()
    if name == "auto":
        name = there[1] if len(there) > 1 else "cpu"
    # "cuda" stands for whichever is current, "cuda:1" for that one.
    if name in there or f"{name}:0" in there:
        return torch.device(name)
    raise ConvGradError(
        f"--device {name}: not on this machine (torch {torch.__version__}); there is: {', '.join(there)}"
    )


def present_devices() -> list[str]:
    """Every device that torch can use here, the cpu first."""
    import torch

    devices = ["cpu"]
    devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    devices += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])
