"""A report for people at a terminal: coloured matrices, one table a gradient, one line that says whether all agree."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.findings import Check
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.render import nonfinite, selection
from convgrad_cli.render.check import labelled
from convgrad_cli.render.check import parts as check_parts
from convgrad_cli.render.matrices import draw, pictures_of, summary_line
from convgrad_cli.render.names import closeness, distance, indexed, loss_lines
from convgrad_cli.render.numbers import aligned
from convgrad_cli.render.palette import BAD, role
from convgrad_cli.render.rows import BOLD, DIM, coloured, rows_of, table_of
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.report import Passage, Report, TensorData
from convgrad_cli.safe import safe


def render(report: Report, style: Style) -> Iterator[str]:
    """The report as text, with colours only if the style has some."""
    for part in parts(report, style):
        yield printed(part, style)


def parts(report: Report, style: Style) -> Iterator[RenderableType]:
    """What the report shows, from top to bottom."""
    if not style.only:
        yield from _header(report, style)
    if report.check is not None:
        yield from _judged(report, report.check, style)
    else:
        yield from _explained(report, style)
    if not style.quiet:
        for note in report.notes:
            yield Text(f"note: {safe(note, SENTENCE)}", DIM)


def _judged(report: Report, check: Check, style: Style) -> Iterator[RenderableType]:
    """Operands only where they are asked for: a verdict is not read from matrices."""
    drawn = list(_tensors(report, style)) if style.only else []
    yield from drawn
    yield from [Text()] if drawn else []
    yield from check_parts(report, check, style)


def _explained(report: Report, style: Style) -> Iterator[RenderableType]:
    for passage in report.passages:
        yield from _passage(passage, report, style)
    # A story has told its elements already.
    shown = [] if report.passages and not style.only else selection.tables(report, style)
    tensors = [] if report.passages else list(_tensors(report, style))
    yield from tensors
    for place, table in enumerate(shown):
        if place or tensors:
            yield Text()
        yield from table_of(table, report, style)
    if report.nonfinite is not None and not style.only:
        yield Text()
        lines = [Text(said) for said in nonfinite.sentences(report.nonfinite, report.dtype)]
        yield from labelled(Text(nonfinite.TITLE, RichStyle(bold=True, color=BAD)), lines, style)
    if report.comparisons and not style.only:
        yield Text()
        yield from _agreement(report)


def printed(part: RenderableType, style: Style) -> str:
    """The part as text for a terminal of this style."""
    # The environment (NO_COLOR, FORCE_COLOR, COLUMNS, ...) has had its say in the style; rich must not read it again.
    console = Console(
        file=io.StringIO(),
        width=style.width or 100_000,
        color_system=style.color,  # type: ignore[arg-type]
        force_terminal=style.color is not None,
        no_color=style.color is None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    with console.capture() as captured:
        console.print(part, crop=False, soft_wrap=isinstance(part, Text) and style.width is None)
    text = captured.get()
    if style.color is None:
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    return text


def _header(report: Report, style: Style) -> Iterator[RenderableType]:
    line = Text(report.spec.layer_text(), BOLD)
    line.append(f"  {safe(report.dtype)}  {safe(report.device)}  seed {report.seed}", DIM)
    yield line
    sizes = Text()
    for letter, shape in (("x", report.spec.input_shape), ("w", report.spec.weight_shape)):
        sizes.append(letter, role(letter)).append(f" {by_x(shape)}   ")
    sizes.append("y", role("y")).append(f" {by_x(report.spec.output_shape)}   ")
    lines = [] if report.check is not None else loss_lines(report, style.precision)
    if len(lines) == 1:
        sizes.append(lines.pop())
    yield sizes
    yield from map(Text, lines)


def _tensors(report: Report, style: Style) -> Iterator[RenderableType]:
    names = ["input", "padded_input", "weight", "bias", "grad_output", "output"]
    names += ["grad_grad_input", "padded_grad_grad_input", "grad_grad_weight", "grad_grad_bias"]
    if report.loss == "y.sum()" and "grad_output" not in style.only:
        names.remove("grad_output")
    if report.second_order and "bias" not in style.only:
        names.remove("bias")  # it has no part in it
    if report.check is not None:
        names.remove("output")  # it is judged, as the gradients are
    found = [report.tensors[name] for name in names if name in report.tensors and style.shows(name)]
    drawn = {tensor.name: pictures_of(tensor, _spatial(report, tensor)) for tensor in found}
    for second in (False, True):  # below the operands their cotangents
        group = [tensor for tensor in found if ("grad_grad" in tensor.name) is second]
        if group and not style.only:
            yield Text()
        yield from draw([picture for tensor in group for picture in drawn[tensor.name]], style)
        yield from (summary_line(tensor, style) for tensor in group if not drawn[tensor.name])


def _spatial(report: Report, tensor: TensorData) -> int:
    return 0 if tensor.name in ("bias", "grad_grad_bias") else report.spec.dims


def _passage(passage: Passage, report: Report, style: Style) -> Iterator[RenderableType]:
    yield Text()
    yield Text(passage.title, BOLD)
    for sentence in passage.sentences:
        yield Text(sentence)
    if passage.pictures:
        yield from (_indented(line) for line in draw(passage.pictures, style))
    for line in aligned(passage.rows, style.precision):
        yield _indented(coloured(line))
    for table in passage.tables:
        yield from rows_of(list(table.elements), report, style)


def _indented(text: Text) -> Text:
    return Text("  ").append_text(text)


def _agreement(report: Report) -> Iterator[Text]:
    gradients = [c for c in report.comparisons if c.tensor != "output"]
    what = "gradient" if gradients else "output"
    gradients = gradients or list(report.comparisons)
    agreeing, total = (sum(getattr(c, key) for c in gradients) for key in ("agreeing", "elements"))
    if report.exit_code == 0:
        line = Text().append("agree", RichStyle(bold=True, color="green"))
        yield line.append(f"  {agreeing:,} of {total:,} {what} elements; {closeness(report)}")
    for c in report.comparisons:
        if c.agreeing < c.elements:
            line = Text().append("DIFFER", RichStyle(bold=True, color=BAD))
            line.append(f"  {c.elements - c.agreeing:,} of {c.elements:,} elements of {c.tensor}; the worst, ")
            at = indexed(c.tensor, c.worst or ())
            yield line.append(f"{at}, is {distance(c.ratio)}")
