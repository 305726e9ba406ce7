"""The README's pictures: what a terminal of 80 columns shows, as SVG. `python tests/pictures.py` writes them anew."""

from __future__ import annotations

import io
import sys
from contextlib import chdir
from dataclasses import replace
from inspect import getsource
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

import numpy as np
from full_screen import explorer, player, pressed, screen
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from test_readme import write_files

import convgrad_cli
from convgrad_cli.render import html, svg
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
    return as_svg(console, command)


def as_svg(console: Console, command: str) -> str:
    """What a console has recorded."""
    return console.export_svg(
        title=command, theme=THEME, code_format=TEMPLATE.replace("COMMAND", command), unique_id="convgrad"
    )


def viewed() -> str:
    """`convgrad view` with the cursor on an element of the input's gradient."""
    shown = explorer(input_size=5, kernel_size=3, stride=2, padding=1)
    shown = pressed(shown, "2", "down", "right", "right", "right")
    return as_svg(screen(shown, 80, 24), "convgrad view --size 5 --kernel 3 --stride 2 --padding 1")


def viewed_large() -> str:
    """The same on a larger terminal: a transposed convolution with channels."""
    shown = explorer(
        transposed=True, input_size=3, kernel_size=3, stride=2, in_channels=2, out_channels=2, grad_output="randn"
    )
    command = "convgrad view --transposed --size 3 --kernel 3 --stride 2 --in-channels 2 --out-channels 2 --g randn"
    return as_svg(screen(pressed(shown, "2", "c", "down", "right"), 120, 40), command)


def played() -> str:
    """`convgrad explain --play` amid the backward pass to the input."""
    return as_svg(screen(pressed(player(input_size=4), *["right"] * 13), 80, 24), "convgrad explain --play --size 4")


def backward(x, w, b, g, *, stride, padding):
    """The README's mine.py: right but for the input gradient, which forgets the stride."""
    (sh, sw), (ph, pw), (kh, kw) = stride, padding, w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    grad_xp, grad_w = np.zeros_like(xp), np.zeros_like(w)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            patch = xp[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            grad_w += np.einsum("no,nchw->ochw", g[:, :, i, j], patch)
            grad_xp[:, :, i : i + kh, j : j + kw] += np.einsum("no,ochw->nchw", g[:, :, i, j], w)
    grad_x = grad_xp[:, :, ph : grad_xp.shape[2] - ph, pw : grad_xp.shape[3] - pw]
    return grad_x, grad_w, g.sum((0, 2, 3))


def checked() -> str:
    """What the README's second command about mine.py shows."""
    with TemporaryDirectory() as folder, chdir(folder):
        Path("mine.py").write_text(f"import numpy as np\n\n\n{getsource(backward)}", encoding="utf-8")
        report = convgrad_cli.check("mine.py::backward", input_size=7, kernel_size=3, stride=2, padding=1, bias=True)
    return picture(
        replace(report, notes=()), "convgrad check mine.py::backward --size 7 --kernel 3 --stride 2 --padding 1 --bias"
    )


def modelled() -> str:
    """What `convgrad model` shows of the README's network; its errors and seconds depend on the machine."""
    words = ["model", "net.py::Net", "--input-size", "2x3x32x32"]
    console = Console(record=True, width=80, file=io.StringIO(), _environ={})
    with TemporaryDirectory() as folder:
        write_files(Path(folder))
        forced = ["-q", "--color", "always", "--width", "80"]
        done = run([sys.executable, "-m", "convgrad_cli", *words, *forced], cwd=folder, capture_output=True, check=True)
    console.print(Text.from_ansi(done.stdout.decode()))
    return as_svg(console, " ".join(["convgrad", *words]))


def figure() -> str:
    """Every gradient of the README's notebook example, as `-o figure.svg` draws it."""
    x = "1.8676 -0.2631 -0.2380; 1.0669 0.5283 -1.2112; 1.1241 -0.1771 1.3998"
    report = convgrad_cli.inspect(input=x, weight="0.0848 -0.0717; -0.2816 0.3315", bias="-0.0465")
    return "".join(svg.render(report, Style()))


def photograph(file: Path) -> None:
    """Write the README's page as a browser shows it. Its pixels depend on the browser and on the fonts there are."""
    from playwright.sync_api import sync_playwright
    from render.browser import chromium

    layer = {"input_size": 4, "kernel_size": 3, "stride": 2, "padding": 1}
    numbers = {"input": "ramp", "weight": "ramp", "bias": "ones", "grad_output": "ramp"}
    typed = "convgrad inspect --size 4 --kernel 3 --stride 2 --padding 1 --x ramp --w ramp --b ones --g ramp"
    text = "".join(html.render(convgrad_cli.inspect(**layer, **numbers), Style(typed=typed)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 960, "height": 905})
        page.set_content(text)
        page.locator("#tensor-grad_input tbody td[tabindex]").nth(4).hover()
        page.wait_for_timeout(500)  # until the shades have changed
        page.screenshot(path=file)
        browser.close()


PICTURES = {
    "figure": figure,
    "inspect": lambda: picture(
        convgrad_cli.inspect(input_size=3, kernel_size=2), "convgrad inspect --size 3 --kernel 2"
    ),
    "check": checked,
    "view": viewed,
    "view-large": viewed_large,
    "play": played,
    "explain-bias": lambda: picture(convgrad_cli.explain(bias=True), "convgrad explain --bias"),
}


if __name__ == "__main__":
    for name, make in PICTURES.items():
        (GOLDEN / f"{name}.svg").write_text(make(), encoding="utf-8")
    (GOLDEN / "model.svg").write_text(modelled(), encoding="utf-8")  # as page.png, one that no test can compare
    photograph(GOLDEN / "page.png")
