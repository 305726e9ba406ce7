"""One matrix of a tensor on a page: a table whose cells are shaded by value, or plain lines of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from convgrad_cli.render.markup import Markup, tag
from convgrad_cli.render.palette import shade
from convgrad_cli.render.window import Index


@dataclass(frozen=True)
class Matrix:
    """The entries of a tensor at the leading index `lead`, as texts in row-major order.

    `runs` are the indices of its rows and columns, or of its columns alone.
    """

    label: str
    lead: Index
    runs: Sequence[range]
    texts: Sequence[str]

    @property
    def data_at(self) -> str:
        return ",".join(map(str, self.lead))


def table_of(matrix: Matrix, shades: Sequence[str], marks: Mapping[Index, str]) -> Markup:
    """A table with the index of each row and column; `marks` are further classes of single cells, by their index."""
    *above, columns = matrix.runs
    numbers = iter(zip(matrix.texts, shades, strict=True))
    body = []
    for row in above[0] if above else (None,):
        cells = [tag("td") if row is None else tag("th", str(row), scope="row")]
        for at in columns:
            text, kind = next(numbers)
            index = (*matrix.lead, *(() if row is None else (row,)), at)
            cells.append(tag("td", text, class_=f"{kind} {marks[index]}" if index in marks else kind))
        body.append(tag("tr", *cells))
    heads = tag("tr", tag("td"), *(tag("th", str(at), scope="col") for at in columns))
    return tag(
        "table",
        tag("caption", matrix.label),
        tag("thead", heads),
        tag("tbody", *body),
        data_at=matrix.data_at,
        class_="matrix",
    )


def lines_of(matrix: Matrix) -> Markup:
    """The numbers alone, a line a row; the script of the page makes a table of them when it is looked at."""
    columns = len(matrix.runs[-1])
    lines = [" ".join(matrix.texts[i : i + columns]) for i in range(0, len(matrix.texts), columns)]
    return tag("figure", tag("figcaption", matrix.label), tag("pre", "\n".join(lines)), data_at=matrix.data_at)


def shade_name(value: float, largest: float) -> str:
    """The class of a cell: n10 to n1, p0 to p10, or odd for what is not finite."""
    if not isfinite(value):
        return "odd"
    step = shade(value, largest) or 0
    return f"{'n' if step < 0 else 'p'}{abs(step)}"
