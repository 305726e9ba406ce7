"""The README's pictures: what a terminal of 80 columns shows, as SVG. `python tests/pictures.py` writes them anew."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

import convgrad_cli
from convgrad_cli.render.style import Style
from convgrad_cli.render.terminal import parts
from convgrad_cli.report import Report

GOLDEN = Path(__file__).parent / "golden"
BLACK, WHITE = (22, 23, 29), (222, 223, 228)
COLOURS = [
    (0, 0, 0),
    (205, 70, 60),
    (104, 190, 104),
    (200, 180, 80),
    (80, 130, 230),
    (190, 90, 190),
    (80, 180, 190),
    WHITE,
]
THEME = TerminalTheme(BLACK, WHITE, COLOURS, COLOURS)

# Rich's own template links fonts on the web; a picture asks for nothing but what is there.
TEMPLATE = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>COMMAND</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture(report: Report, command: str) -> str:
    """The report as a terminal of 80 columns shows it."""
    console = Console(
        record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    for part in parts(report, Style(width=80, color="truecolor")):
        console.print(part, markup=False, emoji=False, highlight=False)
    return console.export_svg(
        title=command, theme=THEME, code_format=TEMPLATE.replace("COMMAND", command), unique_id="convgrad"
    )


PICTURES = {
    "inspect": lambda: picture(
        convgrad_cli.inspect(input_size=3, kernel_size=2), "convgrad inspect --size 3 --kernel 2"
    ),
    "explain-bias": lambda: picture(convgrad_cli.explain(bias=True), "convgrad explain --bias"),
}


if __name__ == "__main__":
    for name, make in PICTURES.items():
        (GOLDEN / f"{name}.svg").write_text(make(), encoding="utf-8")
