"""What a full screen needs before anything is computed: a terminal on every stream, textual, and a style."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from convgrad_cli.cli.options import OutputOptions, ScreenOptions
from convgrad_cli.cli.output import check_precision
from convgrad_cli.cli.terminal import can_draw, color_system, wants_color
from convgrad_cli.errors import ConvGradError
from convgrad_cli.render.style import Style


def screen_style(options: ScreenOptions | OutputOptions) -> Style:
    """The style that the options ask for. Raises ConvGradError."""
    check_precision(options.precision)
    color = wants_color(options.color, os.environ, is_terminal=True)
    return Style(
        color=color_system(os.environ) if color else None,
        precision=options.precision,
        ascii=options.ascii or not can_draw(sys.stdout.encoding),
    )


def require_screen(command: str, instead: str) -> None:
    """Refuse to draw on what is no terminal, or cannot place a cursor; `instead` is the command to use there."""
    streams = {"standard input": sys.stdin, "standard output": sys.stdout, "standard error": sys.stderr}
    for name, stream in streams.items():
        if stream is None or not stream.isatty():
            raise ConvGradError(f"{command} needs a terminal, and {name} is none; use {instead} there")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise ConvGradError(f"{command} needs a terminal that can place its cursor, and TERM is dumb; use {instead}")
    if find_spec("textual") is None:
        raise ConvGradError(f"{command} needs textual, which is not installed; pip install 'convgrad[tui]'")
