"""What the terminal can show: colours, width, characters; decided once, from the environment and the streams."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping

from convgrad_cli.errors import ConvGradError
from convgrad_cli.safe import safe

DRAWING = "▁▂▃▄▅▆▇█"


def wants_color(choice: str, environ: Mapping[str, str], is_terminal: bool) -> bool:
    """--color, else NO_COLOR, FORCE_COLOR (0: off), CLICOLOR_FORCE, CLICOLOR=0, TERM=dumb, is it a terminal."""
    if choice not in ("auto", "always", "never"):
        raise ConvGradError(f"--color {safe(choice)!r} is not one of auto, always, never")
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] not in ("0", "false")
    if environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    if environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb":
        return False
    return is_terminal


def color_system(environ: Mapping[str, str]) -> str:
    """How many colours the terminal says it has; without a word, the 256 that all of them have had for decades."""
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "standard" if environ.get("TERM") in ("linux", "ansi", "vt100") else "256"


def terminal_width() -> int | None:
    """The columns of the terminal on standard output, None where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def can_draw(encoding: str | None) -> bool:
    """Whether text in `encoding` can hold the characters of a histogram."""
    try:
        DRAWING.encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
