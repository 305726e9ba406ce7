"""The convolutions of a model, a row for each, in every format that has rows."""

from __future__ import annotations

import csv as csv_module
import json as json_module
import shlex
from collections.abc import Callable, Iterator

from rich.style import Style as RichStyle
from rich.text import Text

from convgrad_cli.geometry.spec import ConvSpec
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.layers import LayerRow, ModelReport
from convgrad_cli.render.check import COLOURS
from convgrad_cli.render.csv import Line, text_cell
from convgrad_cli.render.json import layer_object, model_document
from convgrad_cli.render.markdown import prose
from convgrad_cli.render.nonfinite import brief
from convgrad_cli.render.numbers import number, stored
from convgrad_cli.render.roll import Entry, Roll, roll_page
from convgrad_cli.render.rows import BOLD, DIM
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.render.terminal import printed
from convgrad_cli.safe import safe

HEADS = ("", "layer", "sizes", "of", "x bound", "bits", "s")
RIGHT = HEADS[4:]
GAP = "  "
LETTERS = {"grad_weight": "w", "grad_input": "x", "grad_bias": "b"}


def table(report: ModelReport, style: Style) -> Iterator[str]:
    """The lines as text."""
    yield from (printed(line, style) for line in lines(report, style))


def lines(report: ModelReport, style: Style) -> Iterator[Text]:
    """What was run, a line a layer, what is wrong with it below, and the counts at the end."""
    yield from _head(report, style)
    if report.rows:
        yield Text()
        yield from _layers(report, style)
    yield Text()
    yield _total(report)
    if not style.quiet:
        yield from (Text(f"note: {safe(note, SENTENCE)}", DIM) for note in report.notes)


def _layers(report: ModelReport, style: Style) -> Iterator[Text]:
    cells = [_cells(row) for row in report.rows]
    widths = [max(map(len, column)) for column in zip(HEADS, *cells, strict=True)]
    if style.width is None or style.width >= sum(widths) + len(GAP) * (len(widths) - 1):
        yield Text(_line(HEADS, widths), DIM)
        lines = [Text(_line(texts, widths)) for texts in cells]
    else:
        said = "{} {}\n  {}; of {}: {} x bound, {} bits, {} s"
        lines = [Text(said.format(*texts)) for texts in cells]
    for row, line in zip(report.rows, lines, strict=True):
        line.stylize(RichStyle(bold=True, color=COLOURS.get(row.verdict)), 0, len(row.verdict))
        yield line
        yield from (Text(f"{GAP}{said}") for said in _said(row))


def plain(report: ModelReport, style: Style) -> Iterator[str]:
    """The verdict and the name, separated by a tab."""
    yield from (f"{row.verdict}\t{safe(row.name, SENTENCE)}\n" for row in report.rows)


def jsonl(report: ModelReport, style: Style) -> Iterator[str]:
    """One object a layer and line."""
    yield from (json_module.dumps(layer_object(row), allow_nan=False) + "\n" for row in report.rows)


def json(report: ModelReport, style: Style) -> Iterator[str]:
    """One document, described by schema.json: what was run, and the layers."""
    yield json_module.dumps(model_document(report), allow_nan=False, indent=1) + "\n"


def csv(report: ModelReport, style: Style) -> Iterator[str]:
    """A header, then a row a layer."""
    writer = csv_module.writer(Line(), lineterminator="\n")
    heads = ("verdict", "name", "layer", "input", "output", "dtype", "judged", "multiply_adds", "ratio", "bits")
    yield writer.writerow([*heads, "seconds", "reason"])
    for row in report.rows:
        shapes = by_x(row.spec.input_shape), by_x(row.spec.output_shape)
        texts = (row.verdict, row.name, row.spec.layer_text(), *shapes, row.dtype, _judged(row))
        numbers = [str(row.spec.macs), *("" if n is None else repr(n) for n in (row.ratio, row.bits))]
        cells = [text_cell(safe(text, SENTENCE)) for text in texts] + numbers
        yield writer.writerow([*cells, f"{row.seconds:.6f}", text_cell(safe(row.reason, SENTENCE))])


def markdown(report: ModelReport, style: Style) -> Iterator[str]:
    """A table, and the counts below it."""
    yield f"{prose(_head(report, style)[0].plain)}\n\n"
    yield "| name | layer | input | judged | verdict | x bound | bits | seconds | |\n"
    yield "|---|---|---|---|---|---:|---:|---:|---|\n"
    for row in report.rows:
        name, layer = prose(safe(row.name, SENTENCE)), f"`{row.spec.layer_text()}`"
        numbers = f"{_ratio(row)} | {_bits(row)} | {row.seconds:.3f}"
        said = prose("; ".join(_said(row)))
        shape = by_x(row.spec.input_shape)
        yield f"| {name} | {layer} | {shape} | {_judged(row)} | {row.verdict} | {numbers} | {said} |\n"
    yield f"\n{prose(_total(report).plain)}\n"


def sizes(spec: ConvSpec) -> str:
    """A layer in a few columns: `64->128 3x3 /2, 56x56`."""
    said = f"{spec.in_channels}->{spec.out_channels} {by_x(spec.kernel_size)}"
    if any(s != 1 for s in spec.stride):
        said += f" {'*' if spec.transposed else '/'}{_shortest(spec.stride)}"
    said += f" groups {spec.groups}" if spec.groups != 1 else ""
    said += f" dilation {_shortest(spec.dilation)}" if any(d != 1 for d in spec.dilation) else ""
    return f"{said}, {by_x(spec.input_size)}"


def _shortest(values: tuple[int, ...]) -> str:
    return by_x(values[:1] if len(set(values)) == 1 else values)


def html(report: ModelReport, style: Style) -> Iterator[str]:
    """One page to sort and to filter, in which each layer opens."""
    first, second = (text.plain for text in _head(report, style))
    title = safe(report.target, SENTENCE)
    facts = (GAP.join([first.removeprefix(title), second, _total(report).plain])).split(GAP)
    lines = [_roll_line(row, style) for row in report.rows]
    heads = ("module", "input"), ("x bound", "bits", "seconds", "multiply-adds")
    notes = () if style.quiet else report.notes
    roll = Roll("model", title, [fact.strip() for fact in facts if fact.strip()], "layers", *heads, lines, notes)
    yield from roll_page(roll, style)


def _roll_line(row: LayerRow, style: Style) -> Entry:
    layer, size = row.spec.layer_text(), by_x(row.spec.input_shape)
    numbers = (_ratio(row), _bits(row), f"{row.seconds:.3f}", f"{row.spec.macs:,}")
    facts = (("layer", f"{layer}, x {size}"), ("output", by_x(row.spec.output_shape)), ("judged", _judged(row)))
    again = f"{style.typed} --layer {shlex.quote(row.name)}" if style.typed else ""
    return Entry(row.name, row.verdict, _said(row), (layer, size), numbers, facts, row.verdicts, command=again)


def _head(report: ModelReport, style: Style) -> list[Text]:
    seed = "" if report.seed is None else f"  seed {report.seed}"
    first = Text(safe(report.target, SENTENCE), BOLD)
    first.append(f"  {report.mode} mode  {safe(report.dtype)}  {safe(report.device)}{seed}", DIM)
    second = [f"x {by_x(report.input_shape)}"] if report.input_shape else []
    second.append(f"{report.parameters:,} parameters")
    if report.loss_value is not None:
        value = number(stored(report.loss_value, report.dtype), style.precision)
        second.append(f"loss = {safe(report.loss)} = {value}")
    return [first, Text("   ".join(second))]


def _cells(row: LayerRow) -> tuple[str, ...]:
    name = safe(row.name, SENTENCE)
    judged = _judged(row).replace(" ", "")
    return row.verdict, name, sizes(row.spec), judged, _ratio(row), _bits(row), f"{row.seconds:.2f}"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    placed = (
        cell.rjust(width) if head in RIGHT else cell.ljust(width)
        for head, cell, width in zip(HEADS, cells, widths, strict=True)
    )
    return GAP.join(placed).rstrip()


def _said(row: LayerRow) -> list[str]:
    """Why a layer is not right, and where its NaN and infinities come from."""
    reason = [safe(row.reason, SENTENCE)] if row.verdict != "PASS" else []
    return reason + (brief(row.nonfinite) if row.nonfinite else [])


def _judged(row: LayerRow) -> str:
    return " ".join(LETTERS[verdict.tensor] for verdict in row.verdicts) or "-"


def _ratio(row: LayerRow) -> str:
    return "-" if row.ratio is None else f"{row.ratio:.2g}"


def _bits(row: LayerRow) -> str:
    return "-" if row.bits is None else f"{row.bits:.1f}"


def _total(report: ModelReport) -> Text:
    line = Text()
    for place, (verdict, count) in enumerate(report.counts.items()):
        line.append(", " if place else "").append(f"{count:,} {verdict}", RichStyle(color=COLOURS.get(verdict)))
    judged = sum(len(row.verdicts) for row in report.rows)
    if not report.rows:
        return Text("nothing was judged: no convolution ran with gradients that can be judged")
    return line.append(f"  {judged:,} gradients in {report.seconds:.1f} s")


RENDERERS: dict[str, Callable[[ModelReport, Style], Iterator[str]]] = {
    found.__name__: found for found in (table, plain, json, jsonl, csv, markdown, html)
}
