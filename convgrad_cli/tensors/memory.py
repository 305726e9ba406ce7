"""How much memory there is, so that a layer too large for it is refused before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from convgrad_cli.errors import ConvGradError


def available_memory() -> int | None:
    """Bytes that can be taken now without swapping, within this process's cgroup; None where nothing says."""
    limits = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        cap, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        limits += [int(cap) - int(used)] if cap != "max" else []
    except (OSError, ValueError):
        pass
    if not limits and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2]
    return min(limits, default=None)


def fits(needed: int) -> bool:
    """Whether `needed` bytes are no more than half of what is available."""
    available = available_memory()
    return available is None or needed <= available // 2


def require_memory(needed: int, what: str, instead: str) -> None:
    """Raise ConvGradError unless `needed` bytes fit."""
    if not fits(needed):
        available = available_memory() or 0
        raise ConvGradError(
            f"{what} needs about {gib(needed)} of memory, and half of what is available is {gib(available // 2)}; "
            f"{instead}"
        )


def gib(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"
