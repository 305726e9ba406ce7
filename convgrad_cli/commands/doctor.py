"""`doctor`: versions, devices and flags, as text by group and name."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "numpy", "typer", "rich", "safetensors")
VARIABLES = (
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "COLORTERM", "COLUMNS", "PYTHONIOENCODING"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "CONVGRAD_DEBUG"),
)


def doctor() -> dict[str, dict[str, str]]:
    """What a bug report needs, every value a short text."""
    from convgrad_cli import __version__
    from convgrad_cli.safe import safe
    from convgrad_cli.tensors.memory import available_memory, gib

    memory = available_memory()
    found = {
        "versions": {
            "convgrad": __version__,
            "python": f"{platform.python_version()} ({platform.python_implementation()})",
            **{name: _version(name) for name in PACKAGES},
        },
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": str(os.cpu_count()),
            "memory available": "unknown" if memory is None else gib(memory),
            "byte order": sys.byteorder,
        },
        "torch": _torch(),
    }
    said = {name: safe(os.environ[name]) for name in VARIABLES if name in os.environ}
    return found | ({"environment": said} if said else {})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _torch() -> dict[str, str]:
    try:
        import torch
    except ImportError as error:
        return {"import": f"fails: {error}"}
    from convgrad_cli.tensors.device import present_devices

    flags = {
        "threads": str(torch.get_num_threads()),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": str(torch.backends.mkldnn.is_available()),  # type: ignore[no-untyped-call]
        "devices": ", ".join(present_devices()),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        "tf32 convolutions": str(torch.backends.cudnn.allow_tf32),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
    }
    for i in range(torch.cuda.device_count()):
        flags[f"cuda:{i}"] = torch.cuda.get_device_name(i)
    return flags
