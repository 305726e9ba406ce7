"""The figure as pixels, through resvg (extra `png`), at twice its size so that it is sharp on slides."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from convgrad_cli.render import svg
from convgrad_cli.render.style import Style
from convgrad_cli.render.svg import MONO, SANS
from convgrad_cli.report import Report

ZOOM = 2
_FRAME = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{}</svg>'


def render(report: Report, style: Style) -> Iterator[bytes]:
    """The bytes of the picture, in one piece."""
    yield _pixels("".join(svg.render(report, style)))


def missing() -> str:
    """What to install before there can be a picture; "" where nothing is missing."""
    if find_spec("resvg_py") is None:
        return "resvg-py: pip install 'convgrad[png]'"
    blank = _pixels(_FRAME.format(""))
    # Without a font resvg draws no text, and says nothing.
    if any(_pixels(_FRAME.format(f'<text y="9" font-family="{font}">0</text>')) == blank for font in (MONO, SANS)):
        return "a font on this machine, such as Debian's fonts-dejavu-core"
    return ""


def _pixels(picture: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=picture, zoom=ZOOM))
