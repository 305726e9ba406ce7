"""Numbers written as text: inline values, .txt, .csv and .tsv. Strict: what is not plainly a number is refused.

Errors name the line and the column, both counted from 1, in the text as the user has it.
"""

from __future__ import annotations

import math
import re
from array import array
from typing import NoReturn

from convgrad_cli.errors import SourceError
from convgrad_cli.safe import safe
from convgrad_cli.tensors.numbers import Numbers, make_numbers

# A cell is everything up to a separator; the three groups after it say which separator that was.
_BREAK = r"(?P<row>\r\n?|\n)"
CELLS = {
    "text": re.compile(
        r"(?P<cell>[^ \t\r\n,;]*+)"
        rf"(?:[ \t]*+(?:(?P<comma>,)[ \t]*+|(?P<semicolon>;)[ \t]*+|{_BREAK}|\Z)|(?P<blank>[ \t]++))"
    ),
    "csv": re.compile(rf"(?P<cell>[^,\r\n]*+)(?:(?P<comma>,)|{_BREAK}|\Z)"),
    "tsv": re.compile(rf"(?P<cell>[^\t\r\n]*+)(?:(?P<comma>\t)|{_BREAK}|\Z)"),
}
_NUMBER = re.compile(
    r"[+-]?(?:(?P<digits>[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?|nan|inf(?:inity)?)", re.IGNORECASE
)
LONGEST_NUMBER = 1000  # characters; no float64 needs more than 770 digits, and reading them takes quadratic time

_HINTS = {
    "text": "write numbers such as -1.5e3, rows separated by ;",
    "csv": "commas separate cells and numbers have decimal points: 1.5,2.5",
    "tsv": "tabs separate cells and numbers have decimal points: 1.5",
}


def decode(data: bytes, where: str) -> str:
    """`data` as UTF-8, without its byte order mark; SourceError for other encodings and for what is no text at all."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError(f"{where} is UTF-16 text; save it as UTF-8")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise SourceError(f"{where} has a NUL byte in line {line}, so it is not text; save it as UTF-8, or as .npy")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"the byte {data[error.start]:02x} in line {line}"
        raise SourceError(f"{where} is not UTF-8 text ({found}); save it as UTF-8") from None


def parse_number(text: str, hint: str = "") -> float:
    """The float64 nearest to `text`. ValueError says why there is none; `hint` says how numbers are written here."""
    match = _NUMBER.fullmatch(text)
    if not match:
        raise ValueError(f"is not a number; {hint}")
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"has {len(text)} characters, a number at most {LONGEST_NUMBER}; round it")
    value = float(text)
    digits = match["digits"]
    if not digits or (value and math.isfinite(value)):
        return value
    if value:
        raise ValueError("is too large for float64 and would become inf; write inf if you mean it")
    if digits.strip("0."):
        raise ValueError("is too small for float64 and would become 0; write 0 if you mean it")
    return value


def read_table(text: str, dialect: str, where: str) -> Numbers:
    """The float64 rows of `text`, shape (columns) for one row and (rows, columns) for more.

    `dialect` is "text" (blanks or commas between numbers; a new line or ; starts a row), "csv" or "tsv" (one line of
    names may come first). Raises SourceError for ragged rows, empty cells and anything else than numbers.
    """
    import numpy

    numbers = array("d")
    width = rows = count = 0  # `count` numbers are read of the row that is not yet complete
    previous = ""
    kinds: set[str] = set()  # how numbers were separated
    start = 0 if dialect == "text" else _after_names(text, dialect, where)
    for match in CELLS[dialect].finditer(text, start):
        cell, kind = _bare(match["cell"]), str(match.lastgroup)
        if cell:
            numbers.append(_number(text, match, cell, dialect, where))
            count += 1
            kinds.add(kind)
        elif "comma" in (kind, previous) or (kind == "semicolon" and not count):
            _refuse(text, match.start(), where, "no number where one should be; write 0, nan or a separator less")
        previous = kind
        if kind in ("comma", "blank"):
            continue
        if {"comma", "blank"} <= kinds:
            _refuse(text, match.start(), where, "commas and blanks are mixed; use one of them, and decimal points")
        if count:
            rows, width = rows + 1, width or count
        if count not in (0, width):
            _refuse(text, match.start(), where, f"row {rows} has {count} numbers, row 1 has {width}; make them equal")
        count = 0
    if not rows:
        raise SourceError(f"{where} holds no numbers; {_HINTS[dialect]}")
    values = numpy.frombuffer(numbers, numpy.float64)
    notes = (f"the first line of {where}, {safe(text[:start].strip())}, was read as names of columns",) if start else ()
    return make_numbers(values if rows == 1 else values.reshape(rows, width), where, notes=notes)


def _after_names(text: str, dialect: str, where: str) -> int:
    """Where the numbers start: after the first line if that holds names and nothing that starts like a number."""
    start = re.match(r"\s*+", text).end()  # type: ignore[union-attr]
    empty = False
    for match in CELLS[dialect].finditer(text, start):
        cell = _bare(match["cell"])
        if _NUMBER.fullmatch(cell) or re.match(r"[+-]?\.?[0-9]", cell):
            return 0
        empty = empty or not cell
        if match.lastgroup != "comma":
            break
    if empty and start < len(text):
        _refuse(text, start, where, "a column has no name, as the index of a table has none; save it without its index")
    return match.end()


def _bare(cell: str) -> str:
    """A cell without the blanks around it and without the quotes that spreadsheets put around everything."""
    cell = cell.strip(" \t")
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _number(text: str, match: re.Match[str], cell: str, dialect: str, where: str) -> float:
    try:
        return parse_number(cell, _HINTS[dialect])
    except ValueError as error:
        start = match.start() + match["cell"].index(cell)
        _refuse(text, start, where, f"{safe(cell, 40)!r} {error}")


def _refuse(text: str, offset: int, where: str, why: str) -> NoReturn:
    raise SourceError(f"{where} {place(text, offset)}: {why}")


def place(text: str, offset: int) -> str:
    """`line 2, column 7` of the character at `offset`."""
    line, start = 1, 0
    for match in re.finditer(r"\r\n?|\n", text[:offset]):
        line, start = line + 1, match.end()
    return f"line {line}, column {offset - start + 1}"
