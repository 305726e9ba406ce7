"""The lines around the matrices: the layer and its settings above, the formula of one element below, the keys."""

from __future__ import annotations

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.render.names import route_name
from convgrad_cli.render.numbers import column, stored, sum_of_terms
from convgrad_cli.render.palette import BAD, role
from convgrad_cli.render.rows import FITTING_TERMS, added, coloured
from convgrad_cli.render.style import Style
from convgrad_cli.report import Element, Report

BOLD, DIM = RichStyle(bold=True), RichStyle(dim=True)
ADDED, EXPRESSION = 3, 2  # lines that the numbers of a formula and the formula itself may fill
KEYS = "arrows move  tab tensor  k s p d x settings  space play  ? help  q quit"
HELP = """\
arrow keys           move over the matrix     home, end   ends of a row
tab, shift+tab       next, last tensor        1 2 3 4     y x.grad w.grad b.grad
page down, page up   next, last matrix        o           other lit matrices
c C  channel         i I  in channel of w     b B  sample     z Z  depth

k K  kernel size up, down     s S  stride up, down     p P  padding up, down
d D  dilation up, down        x X  input size up, down

space                play: the kernel's placements one by one
mouse                point at a cell of y or of a gradient
click, enter         stay there               escape      follow the mouse again

Small letters go up, capitals down. What no convolution can have is refused.

>1.00< is where you are, [1.00] what it is made of: slices of x, w and g.
? or any other key goes back, q quits."""


def layer_line(report: Report, width: int) -> Text:
    """The layer, and what it runs with where there is room for it."""
    line = Text().append(report.spec.layer_text(), BOLD)
    for more in (f"  {report.dtype}", f"  loss = {report.loss}"):
        if len(line.plain + more) <= width:
            line.append(more, DIM)
    if len(line.plain) > width:
        line.truncate(width - 4)
        line.append(" ...", BOLD)
    return line


def heading(report: Report, width: int) -> list[Text]:
    """The layer and its settings, each with the key that changes it underlined."""
    return [layer_line(report, width), settings_line(report.spec)]


def settings_line(spec: ConvSpec) -> Text:
    pads = by_x([before if before == after else f"{before}:{after}" for before, after in spec.padding])
    said = {
        ("kernel", 0): by_x(spec.kernel_size),
        ("stride", 0): by_x(spec.stride),
        ("padding", 0): pads,
        ("dilation", 0): by_x(spec.dilation),
        ("x", 0): f"{by_x(spec.input_size)} -> y {by_x(spec.output_size)}",
    }
    line = Text()
    for (word, at), value in said.items():
        line.append(word[:at])
        line.append(word[at], RichStyle(bold=True, underline=True))
        line.append(f"{word[at + 1 :]} {value}   ")
    line.rstrip()
    return line


def formula_lines(report: Report, element: Element, width: int, style: Style, pinned: bool = False) -> list[Text]:
    """The element with its number by every route, its expression, and the numbers that are added."""
    tensor = element.tensor
    letter = report.tensors[tensor].letter
    line = Text().append(f"{letter}[{','.join(map(str, element.index))}]", _role(letter, style) + BOLD)
    dtypes = {route: "float64" if route == "by_hand" else report.dtype for route in element.values}
    values = [stored(value, dtypes[route]) for route, value in element.values.items()]
    for route, text in zip(element.values, column(values, style.precision), strict=True):
        line.append(f"   {route_name(route, tensor)} ", DIM)
        line.append(text, BOLD)
    if element.agrees is not None:
        agree = element.agrees
        mark = RichStyle(color=BAD if style.color else None, bold=True)
        line.append("   agree" if agree else "   DIFFER", RichStyle() if agree else mark)
    if pinned:
        line.append("   pinned", DIM)
    reason = f"   {element.formula.reason}" if element.formula.reason else ""
    expression = Text(f"= {element.expression}{reason}")
    if style.color:
        expression = coloured(expression.plain)
    return [
        line,
        *folded(expression, width, EXPRESSION),
        *folded(Text(_told(report, element, style)), width, ADDED, f" ... {element.formula.count:,} terms"),
    ]


def _told(report: Report, element: Element, style: Style) -> str:
    """The numbers that are added, the first of them where they are many."""
    count = element.formula.count
    if element.terms is not None and len(element.terms) == 1:
        return f"= {sum_of_terms([[stored(f, report.dtype) for f in element.terms[0]]], style.precision)}"
    if numbers := added(element, report.dtype, style.precision):
        return f"= {numbers}"
    if element.terms is None or count <= FITTING_TERMS:
        return f"{count:,} terms" if count != 1 else "1 term"
    first = [[stored(factor, report.dtype) for factor in term] for term in element.terms[:FITTING_TERMS]]
    return f"= {sum_of_terms(first, style.precision)} ... {count:,} terms"


def folded(text: Text, width: int, most: int, more: str = " ...") -> list[Text]:
    """`text` in lines of `width`, at most so many of them; `more` stands where some is left out."""
    parts: list[Text] = []
    rest = text
    while len(rest.plain) > width and len(parts) < most - 1:
        end = rest.plain.rfind(" ", 1, width) if " " in rest.plain[3:width] else width
        parts.append(rest[:end])
        rest = rest[end:]
    if len(rest.plain) > width:
        rest = rest[: max(rest.plain.rfind(" ", 0, width - len(more)), 1)] + Text(more)
    return [*parts, rest]


def _role(letter: str, style: Style) -> RichStyle:
    return role(letter) if style.color else RichStyle()
