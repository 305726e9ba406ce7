"""A report as the blocks of a written document: what is said, in which order and words, whatever the markup.

`markdown` and `latex` write the blocks; they decide nothing but how each looks on the page.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from convgrad_cli.findings import Check
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.render import nonfinite, selection, verdicts
from convgrad_cli.render.matrices import pictures_of
from convgrad_cli.render.names import TITLES, closeness, distance, element_name, indexed, loss_text, route_name
from convgrad_cli.render.numbers import aligned, column, number, stored, sum_of_terms
from convgrad_cli.render.style import ROWS, SENTENCE, Style
from convgrad_cli.report import Element, Passage, Picture, Report, Table, TensorData
from convgrad_cli.safe import safe

LISTED = 8  # terms; a longer sum is counted


@dataclass(frozen=True)
class Heading:
    """`level` 1 is the document's; `code` comes before `text`, in a fixed-width font."""

    level: int
    code: str = ""
    text: str = ""


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Fixed:
    """Lines whose spaces count."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Matrix:
    label: str
    rows: Sequence[Sequence[str]]
    marked: Collection[tuple[int, int]] = ()


@dataclass(frozen=True)
class Matrices:
    matrices: Sequence[Matrix]


@dataclass(frozen=True)
class Row:
    """One element: its name, its number by each route ("" where that was not taken), and where it comes from."""

    name: str
    numbers: Sequence[str]
    expression: str
    terms: str
    remark: str


@dataclass(frozen=True)
class Grid:
    routes: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Listing:
    """A row a tensor: its name, a word, numbers, and a phrase, below `heads`."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


Block = Heading | Paragraph | Fixed | Matrices | Grid | Listing


def article(report: Report, style: Style) -> Iterator[Block]:
    """The report from top to bottom."""
    facts = f"{safe(report.dtype)}, {safe(report.device)}, seed {report.seed}"
    yield Heading(1, report.spec.layer_text(), facts)
    yield from _explained(report, style) if report.check is None else _judged(report, report.check, style)
    if not style.quiet:
        yield from (Paragraph(f"note: {safe(note, SENTENCE)}") for note in report.notes)


def _explained(report: Report, style: Style) -> Iterator[Block]:
    yield Paragraph(loss_text(report, style.precision))
    for passage in report.passages:
        yield from _passage(passage, report, style)
    tables = _tables(report, style)
    yield from _tensors(report, style, [table.tensor for table in tables])
    for table in tables:
        yield Heading(2, TITLES.get(table.tensor, table.tensor))
        yield from _grid(table, report, style)
    if report.nonfinite is not None:
        yield Heading(2, text=nonfinite.TITLE.capitalize())
        yield from map(Paragraph, nonfinite.sentences(report.nonfinite, report.dtype))
    if report.comparisons:
        yield Paragraph(agreement(report))


def _judged(report: Report, check: Check, style: Style) -> Iterator[Block]:
    """Operands only where they are asked for; elements of the tensors that are not right."""
    yield Paragraph(f"{safe(check.target, SENTENCE)}, {verdicts.declared(check)}")
    tabled = [verdict for verdict in check.verdicts if style.shows(verdict.tensor)]
    yield from _tensors(report, style, [verdict.tensor for verdict in tabled]) if style.only else ()
    if tabled:
        rows = [(TITLES[verdict.tensor], *verdicts.cells(verdict)) for verdict in tabled]
        yield Listing(("tensor", *verdicts.HEADS), rows)
    for verdict in verdicts.detailed(check, style):
        yield Heading(2, TITLES[verdict.tensor], verdict.verdict)
        yield from map(Paragraph, verdicts.remarks(verdict, check))
        elements = verdicts.worst(verdict, report, style)
        numbers = [texts[:2] for texts in verdicts.numbers(elements, report, style.precision)]
        rows_of = [_row(element, texts, report.dtype, style) for element, texts in zip(elements, numbers, strict=True)]
        yield from [Grid(("actual", "expected"), rows_of)] if elements else []
    if not style.only:
        yield from map(Paragraph, verdicts.conditions(check))
        yield from (Paragraph(f"not checked: {safe(text, SENTENCE)}") for text in check.unchecked)
    yield Paragraph(f"{check.verdict}: {safe(check.reason, SENTENCE)}")


def agreement(report: Report) -> str:
    """Whether the routes agree, on how many elements, and how far the worst one is off."""
    if report.exit_code == 0:
        gradients = [c for c in report.comparisons if c.tensor != "output"] or report.comparisons
        agreeing, total = sum(c.agreeing for c in gradients), sum(c.elements for c in gradients)
        return f"agree: {agreeing:,} of {total:,} gradient elements; {closeness(report)}"
    wrong = [c for c in report.comparisons if c.agreeing < c.elements]
    return "DIFFER: " + "; ".join(
        f"{c.elements - c.agreeing:,} of {c.elements:,} elements of {TITLES.get(c.tensor, c.tensor)}, the worst, "
        f"{indexed(c.tensor, c.worst or ())}, {distance(c.ratio)}"
        for c in wrong
    )


def _passage(passage: Passage, report: Report, style: Style) -> Iterator[Block]:
    yield Heading(2, text=safe(passage.title, SENTENCE))
    if passage.sentences:
        yield Paragraph(" ".join(safe(sentence, SENTENCE) for sentence in passage.sentences))
    if passage.pictures:
        yield _matrices(passage.pictures, style)
    if passage.rows:
        yield Fixed([safe(line, SENTENCE) for line in aligned(passage.rows, style.precision)])
    for table in passage.tables:
        if style.shows(table.tensor):
            yield from _grid(table, report, style)


def _tables(report: Report, style: Style) -> list[Table]:
    """The gradients, or what was asked for; a story has told its elements already."""
    if style.only:
        return [table for table in report.tables if style.shows(table.tensor)]
    return [table for table in report.tables if table.tensor != "output" and not report.passages]


def _tensors(report: Report, style: Style, tabled: Sequence[str]) -> Iterator[Block]:
    """The operands and the output as matrices, those too large in a sentence; the story draws its own."""
    for name, tensor in report.tensors.items():
        result = name in ("grad_input", "grad_weight", "grad_bias", "grad_grad_output")
        result = result or (name == "bias" and bool(report.second_order))  # which has no part in it
        told = bool(report.passages) or result or (name == "grad_output" and report.loss == "y.sum()")
        if not style.shows(name) or name in tabled or (told and not style.only):
            continue
        pictures = pictures_of(tensor, 0 if tensor.name in ("bias", "grad_grad_bias") else report.spec.dims)
        yield _matrices(pictures, style) if pictures else Paragraph(_summary(tensor, style))


def _matrices(pictures: Sequence[Picture], style: Style) -> Matrices:
    """The pictures with one number format for each operand."""
    found = []
    for _, group in groupby(pictures, key=lambda picture: picture.letter):
        alike = list(group)
        texts = iter(column([v for picture in alike for row in picture.values for v in row], style.precision))
        for picture in alike:
            found.append(Matrix(picture.label, [[next(texts) for _ in row] for row in picture.values], picture.marked))
    return Matrices(found)


def _summary(tensor: TensorData, style: Style) -> str:
    found = tensor.summary
    low, high, mean = (number(value, style.precision) for value in (found.minimum, found.maximum, found.mean))
    odd = f", {found.nonfinite:,} not finite" if found.nonfinite else ""
    return f"{tensor.letter} ({tensor.name}): {by_x(tensor.shape)}, {low} to {high}, mean {mean}{odd}"


def _grid(table: Table, report: Report, style: Style) -> Iterator[Block]:
    chosen = [table.elements[i] for i in selection.rows(table, style, ROWS)]
    routes = selection.routes(chosen)
    dtypes = {route: "float64" if route == "by_hand" else report.dtype for route in routes}
    values = [stored(e.values[r], dtypes[r]) for e in chosen for r in routes if r in e.values]
    texts = iter(column(values, style.precision))
    numbers = [[next(texts) if route in element.values else "" for route in routes] for element in chosen]
    names = [route_name(safe(route), table.tensor) for route in routes]
    yield Grid(
        names, [_row(element, texts, report.dtype, style) for element, texts in zip(chosen, numbers, strict=True)]
    )
    total = len(table.elements)
    if len(chosen) < total:
        yield Paragraph(f"{total - len(chosen):,} of {total:,} elements are not shown; --rows {total} shows all")


def _row(element: Element, numbers: Sequence[str], dtype: str, style: Style) -> Row:
    remarks = [safe(element.formula.reason, SENTENCE)] if element.formula.reason else []
    terms = ""
    if element.terms is not None and len(element.terms) <= LISTED:
        # A single number would only be repeated.
        exact = [[stored(factor, dtype) for factor in term] for term in element.terms]
        terms = sum_of_terms(exact, style.precision) if sum(map(len, exact)) > 1 else ""
    else:
        remarks.append(f"{element.formula.count:,} terms")
    if element.agrees is False and element.difference is not None and element.bound is not None:
        remarks.append(f"DIFFERS by {element.difference:.3g}, bound {element.bound:.3g}")
    return Row(element_name(element), numbers, element.expression, terms, "; ".join(remarks))
