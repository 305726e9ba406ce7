"""A report in LaTeX to be pasted between `\\begin{document}` and `\\end{document}` of any class: no package is needed.

The text is ASCII throughout, so that no input encoding matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from convgrad_cli.render.article import Block, Fixed, Grid, Heading, Listing, Matrices, Matrix, Paragraph, Row, article
from convgrad_cli.render.style import Style
from convgrad_cli.report import Report

PASTE = "% Paste this into any LaTeX document; it needs no package.\n"
PAGE = 40  # lines of a table that surely fit a page; a longer one goes on in a new table
LINE = 81  # characters of the small fixed-width font that fit a line
COLUMN = 36  # characters of the widest column that surely fit a line of it
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "-": "-{}", "`": "{`}", "'": "{'}", '"': "{''}",
    "×": r"$\times$", "·": r"$\cdot$", "→": r"$\to$", "≤": r"$\le$", "≥": r"$\ge$", "…": r"\ldots{}", "–": "--",
    "—": "---", "−": "$-$", "∂": r"$\partial$", "Σ": r"$\Sigma$", "∑": r"$\sum$",
}  # fmt: skip


def render(report: Report, style: Style) -> Iterator[str]:
    """The blocks of the report with an empty line between any two."""
    yield PASTE
    for block in article(report, style):
        yield "\n"
        yield "\n".join(_lines(block)) + "\n"


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, code, text):
            parts = [_code(code)] * bool(code) + [prose(text)] * bool(text)
            yield rf"\{'sub' * (level - 1)}section*{{\raggedright {', '.join(parts)}}}"
        case Paragraph(text):
            yield rf"{{\raggedright\noindent {prose(text)}\par}}"
        case Fixed(lines):
            yield r"\begin{flushleft}\footnotesize\ttfamily\frenchspacing"
            # The braces keep a line that begins with a bracket from being read as an option of \\.
            yield "\\\\\n".join("{}" + _spaced(line) for line in lines)
            yield r"\end{flushleft}"
        case Matrices(matrices):
            for matrix in matrices:
                yield from _display(matrix)
        case Grid(routes, rows):
            for chunk in _pages(rows):
                yield from _tabular(routes, chunk)
        case Listing(heads, listed):
            yield from _listing(heads, listed)


def _tabular(routes: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    width = max(0.25, 0.69 - 0.12 * len(routes))
    yield rf"{{\footnotesize\noindent\begin{{tabular}}{{l{'r' * len(routes)}p{{{width:.2f}\linewidth}}}}\hline"
    yield " & ".join(["element", *map(prose, routes), "slice sum"]) + r"\tabularnewline\hline"
    for row in rows:
        numbers = [f"${_math(text)}$" if text else "" for text in row.numbers]
        yield " & ".join([_code(row.name), *numbers, r"\raggedright " + _origin(row)]) + r"\tabularnewline"
    yield r"\hline\end{tabular}\par}\medskip"


def _listing(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    taken = sum(max(map(len, texts)) for texts in [*zip(heads, *rows, strict=True)][:-1])
    columns = rf"ll{'r' * (len(heads) - 3)}p{{{max(0.13, 0.75 - taken / LINE):.2f}\linewidth}}"
    yield rf"{{\footnotesize\noindent\begin{{tabular}}{{{columns}}}\hline"
    yield " & ".join(map(prose, heads)) + r"\tabularnewline\hline"
    for name, *cells, last in rows:
        yield " & ".join([_code(name), *map(prose, cells), r"\raggedright " + prose(last)]) + r"\tabularnewline"
    yield r"\hline\end{tabular}\par}\medskip"


def _origin(row: Row) -> str:
    """The slice sum, below it the numbers added, below these what else is to be said."""
    below = [f"${_math(row.terms)}$"] * bool(row.terms) + [prose(row.remark)] * bool(row.remark)
    return r"\newline ".join([_code(row.expression), *below])


def _pages(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows in runs that fit a page."""
    page: list[Row] = []
    height = 0
    for row in rows:
        lines = sum(-(-len(text) // COLUMN) for text in (row.expression, row.terms, row.remark))
        if page and height + lines > PAGE:
            yield page
            page, height = [], 0
        page.append(row)
        height += lines
    if page:
        yield page


def _display(matrix: Matrix) -> Iterator[str]:
    """The matrix as a formula of its own, the marked cells in frames."""
    yield r"{\footnotesize\arraycolsep=3pt"
    yield rf"\[{_code(matrix.label)} = \left(\begin{{array}}{{{'r' * len(matrix.rows[0])}}}"
    for r, row in enumerate(matrix.rows):
        cells = [rf"\fbox{{${_math(t)}$}}" if (r, c) in matrix.marked else _math(t) for c, t in enumerate(row)]
        yield " & ".join(cells) + r"\\"
    yield r"\end{array}\right)\]}"


def _math(text: str) -> str:
    r"""Numbers and sums of them as a formula: `1e-05*(-2)` becomes `1\mathrm{e}{-05}\cdot (-2)`."""

    def word(found: re.Match[str]) -> str:
        if found[0] == "*":
            return r"\cdot "
        return rf"\mathrm{{e}}{{{found[1]}}}" if found[1] else rf"\mathrm{{{found[0]}}}"

    return re.sub(r"\*|e([+-]\d+)|nan|inf", word, text)


def _spaced(line: str) -> str:
    """A line that keeps its spaces, or a long one that may break at each."""
    return re.sub("^ +|  +", lambda run: "~" * len(run[0]), prose(line)) if len(line) <= LINE else prose(line)


def _code(text: str) -> str:
    """Text in a fixed-width font, which may break before a method."""
    breaking = re.sub(r"[.](?=[a-z])", lambda _: r"\allowbreak.", prose(text))
    return rf"\texttt{{{breaking}}}"


def prose(text: str) -> str:
    """Text in which nothing is a command of TeX."""
    return "".join(
        SPECIAL.get(character) or (character if character.isascii() else _code_point(character)) for character in text
    )


def _code_point(character: str) -> str:
    return rf"\textbackslash{{}}u{ord(character):04x}"
