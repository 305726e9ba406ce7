"""A report as a figure for papers and slides: text that stays text, no font and no style from anywhere else.

Every colour is an attribute, so that a figure put into a page changes nothing there and whatever draws SVG draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from convgrad_cli.render.grids import Cell, Grid, Panel
from convgrad_cli.render.markup import OPERAND, Child, Markup, join, tag
from convgrad_cli.render.names import loss_text
from convgrad_cli.render.palette import PUOR, STEPS, shades
from convgrad_cli.render.panels import panels
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report
from convgrad_cli.safe import safe

MONO = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
SANS = "'DejaVu Sans', 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
EM = 0.602  # the width of a character of a fixed font, in its size
TEXT, SMALL, SIGN = 13.0, 10.5, 20.0  # sizes of letters
HEIGHT, PAD, GAP = 26, 9, 2  # of a cell
MARGIN, APART, BETWEEN = 28, 44, 14  # around the figure, between panels, around signs
WIDE = 980  # panels stand side by side up to here
LINE, LEAST = 19, 380  # height of a line, width that formulas have at least
INK, SOFT, RULE, DIM, BAD = "#1b1d22", "#5d616b", "#dedbd3", "#3d414a", "#b3261e"
ROLES = {"x": "#0a6c6e", "xp": "#0a6c6e", "w": "#a52e75", "b": "#7a570c", "y": "#2460b4", "g": "#2460b4"}  # the page's
SPACED = {"xml:space": "preserve"}  # runs of spaces count
ROLES |= {f"gg{letter}": ROLES[letter] for letter in ("x", "xp", "w", "b")}
VALUES = dict(zip(range(-STEPS, STEPS + 1), shades(PUOR), strict=True))


@dataclass(frozen=True)
class Drawing:
    """What is drawn with its upper left corner at 0, 0."""

    width: float
    height: float
    shapes: Markup


def render(report: Report, style: Style) -> Iterator[str]:
    """The figure, in one piece."""
    found = panels(report, style)
    drawings = [_panel(panel, chr(ord("a") + i) if len(found) > 1 else "") for i, panel in enumerate(found)]
    head = _head(report, style)
    rows = _rows(drawings)
    height, shapes = head.height, [head.shapes]
    for row in rows:
        left = 0.0
        for drawing in row:
            shapes.append(_moved(drawing, left, height))
            left += drawing.width + APART
        height += max(drawing.height for drawing in row) + APART
    wide = max([head.width, *(sum(d.width for d in row) + APART * (len(row) - 1) for row in rows)])
    width, height = round(wide + 2 * MARGIN), round(height - APART * bool(rows) + 2 * MARGIN)
    told = "; ".join(f"{panel.title}: {' '.join(panel.lines)}" for panel in found)
    yield tag(
        "svg",
        tag("title", f"{report.spec.layer_text()}: convgrad {report.command}"),
        tag("desc", told),
        tag("rect", width=width, height=height, fill="#ffffff"),
        tag("g", *shapes, transform=f"translate({MARGIN} {MARGIN})", font_family=MONO, font_size=_n(TEXT), fill=INK),
        xmlns="http://www.w3.org/2000/svg", role="img", viewBox=f"0 0 {width} {height}", width=width, height=height,
    ) + "\n"  # fmt: skip


def _head(report: Report, style: Style) -> Drawing:
    title = report.spec.layer_text()
    said = f"{safe(report.dtype)} · {loss_text(report, style.precision)}"
    if report.check is not None:
        said = f"{safe(report.check.target)}: {report.check.verdict}"
    shapes = [
        _text(0, 14, title, font_size=16, font_weight="bold"),
        _text(0, 34, said, font_family=SANS, font_size=12, fill=SOFT),
    ]
    return Drawing(max(len(title) * 16 * EM, len(said) * 7), 66, join(shapes))


def _rows(drawings: Sequence[Drawing]) -> list[list[Drawing]]:
    """The panels from left to right, as many in a row as there is room for."""
    rows: list[list[Drawing]] = []
    for drawing in drawings:
        if rows and sum(d.width + APART for d in rows[-1]) + drawing.width <= WIDE:
            rows[-1].append(drawing)
        else:
            rows.append([drawing])
    return rows


def _panel(panel: Panel, mark: str) -> Drawing:
    parts = [_sign(part) if isinstance(part, str) else _stack(part) for part in panel.parts]
    tall = max((part.height for part in parts), default=0.0)
    mark_shape = [tag("tspan", f"({mark}) ", font_weight="bold", fill=INK)] if mark else []
    shapes = [_text(0, 12, join([*mark_shape, panel.title]), font_family=SANS, font_size=13, fill=SOFT)]
    left = 0.0
    for part, what in zip(parts, panel.parts, strict=True):
        # A sign stands beside the first row of numbers.
        shapes.append(_moved(part, left, 30 if isinstance(what, str) else 26))
        left += part.width + BETWEEN
    width = max(left - BETWEEN, LEAST)
    lines = [piece for i, line in enumerate(panel.lines) for piece in _wrapped(line, width, i)]
    top = 26 + tall + 26
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else None
        shapes.append(_text(0, top + number * LINE, _coloured(line), font_weight=weight, **SPACED))
    wide = max([left - BETWEEN, len(panel.title) * 8.5, *(len(line) * TEXT * EM for line in lines)])
    return Drawing(wide, top + (len(lines) - 1) * LINE + 6, join(shapes))


def _wrapped(line: str, width: float, number: int) -> list[str]:
    indent = "    " if number else ""
    return wrap(line, max(24, int(width / (TEXT * EM))), subsequent_indent=indent, break_on_hyphens=False) or [""]


def _sign(sign: str) -> Drawing:
    shape = _text(9, 48, sign, font_family=SANS, font_size=_n(SIGN), fill=SOFT, text_anchor="middle")
    return Drawing(18, 0, Markup(shape))


def _stack(grids: Sequence[Grid]) -> Drawing:
    shapes, top, wide = [], 0.0, 0.0
    for grid in grids:
        drawing = _grid(grid)
        shapes.append(_moved(drawing, 0, top))
        top, wide = top + drawing.height + 10, max(wide, drawing.width)
    return Drawing(wide, top - 10 if grids else 0, join(shapes))


def _grid(grid: Grid) -> Drawing:
    """A matrix below its name, with the numbers of its rows and columns."""
    role = ROLES.get(grid.letter.partition(".")[0], INK)
    edge = 0.0 if grid.rows is None else len(str(grid.rows[-1])) * SMALL * EM + 6
    wide = max(34.0, max(len(cell.text) for row in grid.cells for cell in row) * TEXT * EM + 2 * PAD)
    shapes = [_text(edge, 12, grid.label, fill=role, font_weight="bold")]
    above: list[Markup] = []
    lit: list[Markup] = []
    some = any(cell.mark for row in grid.cells for cell in row)
    for c, name in enumerate(grid.columns):
        x = edge + c * (wide + GAP)
        above.append(_text(x + wide / 2, 26, str(name), text_anchor="middle"))
    for r, row in enumerate(grid.cells):
        y = 31 + r * (HEIGHT + GAP)
        if grid.rows is not None:
            above.append(_text(edge - 6, y + 17, str(grid.rows[r]), text_anchor="end"))
        for c, cell in enumerate(row):
            drawn = _cell(cell, edge + c * (wide + GAP), y, wide, role, grid.kind, some)
            (lit if cell.mark else shapes).append(drawn)  # marked ones last: nothing covers their frames
    bottom = 31 + len(grid.cells) * (HEIGHT + GAP)
    if grid.remark:
        above.append(_text(edge, bottom + 11, grid.remark, font_family=SANS))
    names = tag("g", *above, font_size=_n(SMALL), fill=SOFT)
    width = edge + len(grid.columns) * (wide + GAP) - GAP
    width = max(width, edge + len(grid.remark) * 6, edge + len(grid.label) * TEXT * EM)
    return Drawing(width, bottom + 16 * bool(grid.remark), join([*shapes, names, *lit]))


def _cell(cell: Cell, x: float, y: float, wide: float, role: str, kind: str, marked: bool) -> Markup:
    """A number on its shade; one that lights up has a frame and a corner, so that no colour is needed to see it."""
    fill, ink = _shade(cell, kind)
    if marked and not cell.mark and kind == "value":
        fill, ink = _pale(fill), DIM
    frame = {"lit": role, "bad": BAD, "at": INK}.get(cell.mark)
    box = tag("rect", x=_n(x), y=_n(y), width=_n(wide), height=HEIGHT, rx=3, fill=fill,
              stroke=frame or (RULE if cell.shade is None else None), stroke_width=_n(2.5 if frame else 1))  # fmt: skip
    corner = tag("path", d=f"M{_n(x)} {_n(y)}h9l-9 9z", fill=frame) if cell.mark in ("lit", "bad") else None
    inner = (
        tag("rect", x=_n(x + 3), y=_n(y + 3), width=_n(wide - 6), height=HEIGHT - 6, rx=2, fill="none", stroke=ink)
        if cell.mark == "at"
        else None
    )
    weight = "bold" if cell.mark else None
    number = _text(x + wide - PAD, y + 17.5, cell.text, text_anchor="end", fill=ink, font_weight=weight)
    return tag("g", box, corner, inner, number)


def _shade(cell: Cell, kind: str) -> tuple[str, str]:
    if cell.shade is None:
        return "#ffffff", BAD if cell.text and kind == "value" else INK
    if kind == "value":
        return VALUES[cell.shade]
    return _mixed("#ffffff", BAD, 0.06 * cell.shade), INK


def _pale(colour: str) -> str:
    return _mixed("#ffffff", colour, 0.28)


def _mixed(one: str, other: str, share: float) -> str:
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return f"#{bytes(round(a + (b - a) * share) for a, b in pairs).hex()}"


def _coloured(text: str) -> Markup:
    children: list[Child] = []
    end = 0
    for found in OPERAND.finditer(text):
        children += [text[end : found.start()], tag("tspan", found[0], fill=ROLES[found[1]])]
        end = found.end()
    return join([*children, text[end:]])


def _text(x: float, y: float, *children: Child, **attributes: object) -> Markup:
    return tag("text", *children, x=_n(x), y=_n(y), **attributes)


def _moved(drawing: Drawing, x: float, y: float) -> Markup:
    return tag("g", drawing.shapes, transform=f"translate({_n(x)} {_n(y)})")


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
