"""`convgrad doctor`"""

from typing import Annotated

from typer import Option

from convgrad_cli.cli.options import Version


def command(
    format: Annotated[
        str, Option("--format", "-f", metavar="NAME", help="table or json. Default: table.", show_default=False)
    ] = "table",
    version: Version = False,
) -> int:
    """Print what a bug report needs: versions, devices, flags, terminal."""
    import json
    import os
    import sys

    from convgrad_cli.cli.output import print_pieces
    from convgrad_cli.cli.request import require_directory
    from convgrad_cli.cli.terminal import can_draw, color_system, terminal_width, wants_color
    from convgrad_cli.commands.doctor import doctor
    from convgrad_cli.errors import ConvGradError
    from convgrad_cli.safe import safe

    if format not in ("table", "json"):
        raise ConvGradError(f"--format {safe(format)!r}: doctor prints table or json")
    require_directory()
    color = wants_color("auto", os.environ, sys.stdout.isatty())
    found = doctor()
    found["terminal"] = {
        "standard output": "a terminal" if sys.stdout.isatty() else "not a terminal",
        "width": str(terminal_width() or "unlimited"),
        "encoding": f"{sys.stdout.encoding}{'' if can_draw(sys.stdout.encoding) else ', so ASCII only'}",
        "colours": color_system(os.environ) if color else "none",
    }
    if format == "json":
        print_pieces([json.dumps(found, indent=2), "\n"])
        return 0
    lines = []
    for title, facts in found.items():
        lines += [title, *(f"  {name:<18}{value}" for name, value in facts.items()), ""]
    print_pieces(["\n".join(lines[:-1]), "\n"])
    return 0
