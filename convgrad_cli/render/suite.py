"""A list of problems, a line for each as it is done, and what became of all of them, in every format that has lines.

`render(rows, tally, style)` reads the rows one by one; the tally has counted a row when it comes.
"""

from __future__ import annotations

import csv as csv_module
import json as json_module
from collections.abc import Callable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style as RichStyle
from rich.table import Column, Table
from rich.text import Text

from convgrad_cli import __version__
from convgrad_cli.geometry.validation import by_x
from convgrad_cli.render.check import COLOURS
from convgrad_cli.render.csv import Line, text_cell
from convgrad_cli.render.github import KINDS, command
from convgrad_cli.render.json import row_object
from convgrad_cli.render.latex import COLUMN, PAGE, PASTE
from convgrad_cli.render.latex import prose as latex_prose
from convgrad_cli.render.markdown import prose
from convgrad_cli.render.roll import Entry, Roll, roll_page
from convgrad_cli.render.rows import DIM
from convgrad_cli.render.style import SENTENCE, Style
from convgrad_cli.render.terminal import printed
from convgrad_cli.report import SCHEMA, Row, Tally
from convgrad_cli.safe import safe

LONGEST = 80  # columns of a label that others stand in line with, in a pipe
NUMBERS = 42  # columns of all that stands beside a label
NARROW = 72  # columns below which the numbers stand under the label
LISTED = 10  # problems that are named in the last line
STEP = 8  # characters of a label between which LaTeX may break it

Rows = Iterator[Row]


def table(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """A line a problem, what is wrong with it below, and the counts at the end."""
    longest = LONGEST if style.width is None else style.width - NUMBERS
    width = min(max(tally.width, 7), longest)
    narrow = style.width is not None and style.width < NARROW
    bad = []
    for number, row in enumerate(rows):
        if number == 0 and not narrow:
            yield printed(Text(f"{'':10}  {'problem'.ljust(width)}  {'x bound':>7}  {'seconds':>7}", DIM), style)
        below = narrow or (style.width is not None and len(safe(row.label, SENTENCE)) > width)
        yield from (printed(line, style) for line in _lines(row, width, below))
        bad += [row.label] if row.verdict != "PASS" else []
    yield printed(Text(), style)
    yield printed(_total(tally), style)
    if bad:
        more = f", and {len(bad) - LISTED:,} more" if len(bad) > LISTED else ""
        yield printed(Text(f"not PASS: {', '.join(safe(name) for name in bad[:LISTED])}{more}"), style)


def _lines(row: Row, width: int, below: bool) -> Iterator[RenderableType]:
    label, bold = safe(row.label, SENTENCE), RichStyle(bold=True, color=COLOURS.get(row.verdict))
    numbers = f"{_ratio(row):>7}  {row.seconds:7.3f}"
    sampled = f"{row.sampled} sampled" if row.sampled else ""
    if below:
        line = Table.grid(Column(width=10), Column(overflow="fold"), padding=(0, 2, 0, 0))
        line.add_row(Text(row.verdict, bold), Text(label))
        yield line
        bound = "" if row.ratio is None else f"{_ratio(row)} x bound, "
        yield _below(f"{bound}{row.seconds:.3f} s{', ' * bool(sampled)}{sampled}")
    else:
        start = Text().append(row.verdict.ljust(10), bold).append(f"  {label.ljust(width)}")
        yield start.append(f"  {numbers}").append("  " * bool(sampled) + sampled, DIM)
    if row.verdict != "PASS":
        yield from map(_below, _reasons(row))


def _below(text: str) -> Padding:
    """What belongs to the line above it, also where it takes several lines."""
    return Padding(Text(text), (0, 0, 0, 2), expand=False)


def _reasons(row: Row) -> Iterator[str]:
    """Why a row is not PASS, and what to type to hear more."""
    yield safe(row.reason, SENTENCE)
    if row.again:
        yield safe(row.again, SENTENCE)


def _said(row: Row) -> str:
    """Why a row is not PASS, or how much of it was looked at."""
    return safe(row.reason, SENTENCE) or (f"up to {row.sampled} elements of each tensor" if row.sampled else "")


def _total(tally: Tally) -> Text:
    counts = [(verdict, count) for verdict, count in tally.counts.items() if count]
    line = Text()
    for number, (verdict, count) in enumerate(counts):
        line.append(", " if number else "").append(f"{count:,} {verdict}", RichStyle(color=COLOURS.get(verdict)))
    return line.append(f"  {_words(tally)}")


def _words(tally: Tally) -> str:
    """How many of how many, in what time."""
    here = tally.done - tally.before
    of = f" of {tally.total:,}" if tally.done != tally.total else ""
    speed = f", {here / tally.seconds:.3g} a second" if here and tally.seconds > 0 else ""
    said = f"{tally.done:,}{of} problem{'s' * (tally.total != 1)} in {tally.seconds:.1f} s{speed}"
    said += f"; {tally.before:,} were done before" if tally.before else ""
    said += f"; {len(tally.unread):,} line{'s' * (len(tally.unread) > 1)} could not be read" if tally.unread else ""
    return said + (f"; {tally.sampled:,} by a sample of each tensor's elements" if tally.sampled else "")


def plain(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """The verdict and the label, separated by a tab."""
    yield from (f"{row.verdict}\t{safe(row.label, SENTENCE)}\n" for row in rows)


def jsonl(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """One object a line, as `--results` writes them."""
    yield from (json_module.dumps(row_object(row), allow_nan=False) + "\n" for row in rows)


def json(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """One document: the problems, then what there was by verdict."""
    yield f'{{\n  "schema": "{SCHEMA}",\n  "command": "suite",\n  "version": "{__version__}",\n  "problems": ['
    separator = "\n    "
    for row in rows:
        yield separator + json_module.dumps(row_object(row), allow_nan=False)
        separator = ",\n    "
    rest = {"total": tally.total, "counts": tally.counts, "seconds": tally.seconds}
    rest |= {"unread": [safe(line, SENTENCE) for line in tally.unread], "exit_code": tally.exit_code}
    yield "],\n  " + ",\n  ".join(f'"{key}": {json_module.dumps(value)}' for key, value in rest.items()) + "\n}\n"


def csv(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """A header, then a row a problem."""
    writer = csv_module.writer(Line(), lineterminator="\n")
    heads = ("verdict", "name", "problem", "place", "layer", "input", "dtype", "multiply_adds")
    yield writer.writerow([*heads, "ratio", "seconds", "sampled", "reason"])
    for row in rows:
        texts = (row.verdict, row.name, row.problem, row.place, row.spec.layer_text(), by_x(row.spec.input_shape))
        cells = [text_cell(safe(text, SENTENCE)) for text in (*texts, row.dtype)]
        numbers = ["" if row.ratio is None else repr(row.ratio), f"{row.seconds:.6f}", str(row.sampled)]
        yield writer.writerow([*cells, str(row.spec.macs), *numbers, text_cell(safe(row.reason, SENTENCE))])


def markdown(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """A table, and the counts below it."""
    yield "| problem | layer | input | verdict | x bound | seconds | |\n|---|---|---|---|---:|---:|---|\n"
    for row in rows:
        layer = f"`{row.spec.layer_text()}` | {by_x(row.spec.input_shape)}"
        label = prose(safe(row.label, SENTENCE))
        yield f"| {label} | {layer} | {row.verdict} | {_ratio(row)} | {row.seconds:.3f} | {prose(_said(row))} |\n"
    yield f"\n{prose(_total(tally).plain)}\n"


def latex(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """A table a page, and the counts below the last."""
    yield PASTE
    for page in _pages(rows):
        yield "\n{\\footnotesize\\noindent\\begin{tabular}{lrrp{0.45\\linewidth}}\\hline\n"
        yield "verdict & x bound & seconds & problem\\tabularnewline\\hline\n"
        for row in page:
            label = r"\texttt{" + _broken(safe(row.label, SENTENCE)) + "}"
            said = r"\newline ".join([label, *([_broken(_said(row))] if _said(row) else [])])
            cells = [row.verdict, latex_prose(_ratio(row)), f"{row.seconds:.3f}", r"\raggedright " + said]
            yield " & ".join(cells) + "\\tabularnewline\n"
        yield "\\hline\\end{tabular}\\par}\\medskip\n"
    yield f"\n{{\\raggedright\\noindent {latex_prose(_total(tally).plain)}\\par}}\n"


def html(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """One page to sort and to filter, in which each problem opens."""
    lines = [_roll_line(row) for row in rows]
    heads = ("layer", "input"), ("x bound", "seconds", "multiply-adds")
    facts = _total(tally).plain.split("  ")
    yield from roll_page(Roll("suite", f"{tally.done:,} problems", facts, "problems", *heads, lines), style)


def _roll_line(row: Row) -> Entry:
    layer, size = row.spec.layer_text(), by_x(row.spec.input_shape)
    numbers = (_ratio(row), f"{row.seconds:.3f}", f"{row.spec.macs:,}")
    sampled = f"up to {row.sampled} elements of each tensor" if row.sampled else ""
    facts = [("problem", row.problem), ("from", row.place), ("layer", f"{layer}, x {size}"), ("dtype", row.dtype)]
    facts += [("code", row.target), ("settings", row.settings), ("judged", sampled)]
    return Entry(
        row.label,
        row.verdict,
        [row.reason] if row.reason else [],
        (layer, size),
        numbers,
        facts,
        row.verdicts,
        row.conditions,
        row.again,
    )


def _pages(rows: Rows) -> Iterator[list[Row]]:
    """The rows in runs that fit a page of LaTeX, a line for each COLUMN characters."""
    page: list[Row] = []
    height = 0
    for row in rows:
        lines = sum(-(-len(text) // COLUMN) for text in (safe(row.label, SENTENCE), _said(row)))
        if page and height + lines > PAGE:
            yield page
            page, height = [], 0
        page.append(row)
        height += lines
    yield from [page] * bool(page)


def _broken(text: str) -> str:
    """For LaTeX, which would not break what has no spaces."""
    return r"\allowbreak{}".join(latex_prose(text[at : at + STEP]) for at in range(0, len(text), STEP))


def github(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """An error or a warning for whatever is not right, and the counts."""
    for row in rows:
        if row.verdict != "PASS":
            message = f"{safe(row.label, SENTENCE)} ({safe(row.place)}): " + "\n".join(_reasons(row))
            yield command(KINDS[row.verdict], row.verdict, message)
    yield from (command("error", "not read", safe(line, SENTENCE)) for line in tally.unread)
    worst = next((verdict for verdict in KINDS if tally.counts[verdict]), "ERROR" if tally.unread else "")
    yield command(KINDS.get(worst, "notice"), "convgrad suite", _total(tally).plain)


def junit(rows: Rows, tally: Tally, style: Style) -> Iterator[str]:
    """The document that CI systems read: a case a problem, with its time."""
    suite = Element("testsuite", {"name": "convgrad suite"})
    for row in rows:
        names = {"classname": safe(row.target, SENTENCE), "name": safe(row.label, SENTENCE)}
        case = SubElement(suite, "testcase", {**names, "time": f"{row.seconds:.6f}"})
        if row.verdict != "PASS":
            kind = "error" if row.verdict == "ERROR" else "failure"
            attributes = {"type": row.verdict, "message": safe(row.reason, SENTENCE)}
            SubElement(case, kind, attributes).text = "\n".join([*_reasons(row), safe(row.problem, SENTENCE)])
    for line in tally.unread:
        place, _, message = safe(line, SENTENCE).partition(": ")
        case = SubElement(suite, "testcase", {"classname": "not read", "name": place, "time": "0.000000"})
        SubElement(case, "error", {"type": "ERROR", "message": message})
    failures, unread = tally.done - tally.counts["PASS"] - tally.counts["ERROR"], len(tally.unread)
    counts = {"tests": tally.done + unread, "failures": failures, "errors": tally.counts["ERROR"] + unread}
    suite.attrib |= {name: str(count) for name, count in counts.items()}
    suite.attrib |= {"skipped": "0", "time": f"{tally.seconds:.3f}"}
    ElementTree.indent(suite)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield ElementTree.tostring(suite, encoding="us-ascii").decode("ascii") + "\n"


def _ratio(row: Row) -> str:
    return "-" if row.ratio is None else f"{row.ratio:.2g}"


RENDERERS: dict[str, Callable[[Rows, Tally, Style], Iterator[str]]] = {
    found.__name__: found for found in (table, plain, json, jsonl, csv, markdown, latex, html, junit, github)
}
