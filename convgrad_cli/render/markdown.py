"""A report in GitHub's Markdown, to be pasted into an issue or shown by a notebook. Nothing of it is live HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from convgrad_cli.render.article import Block, Fixed, Grid, Heading, Listing, Matrices, Matrix, Paragraph, Row, article
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report

SPECIAL = re.compile(r"[\\`*_\[\]|~#$]|^[-+=]|(?<=^\d)[.)]")  # what Markdown reads as markup inside or before a text
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(report: Report, style: Style) -> Iterator[str]:
    """The blocks of the report with an empty line between any two."""
    for number, block in enumerate(article(report, style)):
        yield from ["\n"] if number else []
        yield "\n".join(_lines(block)) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, code, text):
            yield f"{'#' * (level + 1)} {', '.join([_code(code)] * bool(code) + [prose(text)] * bool(text))}"
        case Paragraph(text):
            yield prose(text)
        case Fixed(lines):
            yield from _fenced(lines)
        case Matrices(matrices):
            yield from _fenced([line for matrix in matrices for line in ("", *_drawn(matrix))][1:])
        case Grid(routes, rows):
            yield _cells(["element", *map(prose, routes), "slice sum", "terms"])
            yield _cells(["---", *["---:"] * len(routes), "---", "---"])
            yield from (_cells([_code(row.name), *row.numbers, _code(row.expression), _origin(row)]) for row in rows)
        case Listing(heads, listed):
            yield _cells(list(map(prose, heads)))
            yield _cells(["---", "---", *["---:"] * (len(heads) - 3), "---"])
            yield from (_cells([_code(name), *cells, prose(last)]) for name, *cells, last in listed)


def _origin(row: Row) -> str:
    return "; ".join(([_code(row.terms)] if row.terms else []) + ([prose(row.remark)] if row.remark else []))


def _drawn(matrix: Matrix) -> Iterator[str]:
    """The label and one line a row; if cells are marked, those stand in brackets."""
    yield matrix.label
    width = max(len(text) for row in matrix.rows for text in row)
    plain, marked = (" {} ", "[{}]") if matrix.marked else (" {}", "")
    for r, row in enumerate(matrix.rows):
        frames = [marked if (r, c) in matrix.marked else plain for c in range(len(row))]
        yield " ".join(frame.format(text.rjust(width)) for frame, text in zip(frames, row, strict=True)).rstrip()


def _fenced(lines: Sequence[str]) -> Iterator[str]:
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}text", *lines, fence)


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _code(text: str) -> str:
    """A code span of a layer, a name or an expression: none of them has a backtick or a pipe."""
    return f"`{text}`"


def prose(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    marked = SPECIAL.sub(lambda found: "\\" + found[0], text)
    return re.sub("[&<>]", lambda found: ENTITIES[found[0]], marked)
