"""How numbers are written: the shortest text that reads back exactly, or columns of equal precision for people.

Whatever is written here, float() reads; only the sums of `sum_of_terms` are for eval. Nothing is ever `-0.0000`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import isfinite
from struct import pack, unpack

WIDEST = 1e6  # from here on a column is scientific, unless all of it is whole
LONGEST_CELL = 60  # a longer cell sticks out by itself, rather than push those of all other rows aside
DIGITS = 17  # they tell any two float64 numbers apart
WHOLE = 2.0**53  # up to here every whole number is a float

_PACKED = {"float32": "<f", "float16": "<e", "bfloat16": "<f"}  # others, float64 above all, are written as they are


def shortest(value: float) -> str:
    """The shortest text that reads back as exactly this number: 4, 0.1, 1e-05, nan, -inf."""
    text = repr(float(value))
    return text.removesuffix(".0")


def column(values: Sequence[float], precision: int) -> list[str]:
    """The numbers in one notation: whole where all are, else with `precision` decimals, else scientific.

    Scientific where decimals would write a number other than 0 as 0, or leave even the largest a single digit.
    """
    finite = [abs(value) for value in values if isfinite(value)]
    largest = max(finite, default=0.0)
    if largest <= WHOLE and all(float(value).is_integer() for value in finite):
        kind = ".0f"
    else:
        rounded_away = any(value and not float(f"{value:.{precision}f}") for value in finite)
        faint = largest < 10.0 ** -max(precision - 1, 1)
        kind = f".{precision}{'e' if rounded_away or faint or largest >= WIDEST else 'f'}"
    return [format(value + 0.0, kind) for value in values]  # -0.0 + 0.0 is 0.0


def apart(pairs: Sequence[tuple[float, float]], precision: int) -> int:
    """How many decimals, from `precision` on, tell the two numbers of each pair apart: 3 and 3.0000002 need seven."""
    differing = [i for i, (one, other) in enumerate(pairs) if one != other]
    flat = [value for pair in pairs for value in pair]
    while precision < DIGITS:
        texts = column(flat, precision)
        if all(texts[2 * i] != texts[2 * i + 1] for i in differing if isfinite(flat[2 * i])):
            break
        precision += 1
    return precision


def stored(value: float, dtype: str) -> float:
    """The number of `dtype` that the shortest text `value` stands for: 0.66113... for float16 0.661.

    Decimals are cut from this one; those of the shortest text, filled up with zeros, would be somebody else's.
    """
    if dtype not in _PACKED or not isfinite(value):
        return value
    if dtype == "bfloat16":
        bits = unpack("<I", pack("<f", value))[0]
        bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000  # to nearest, ties to even
        return float(unpack("<f", pack("<I", bits))[0])
    return float(unpack(_PACKED[dtype], pack(_PACKED[dtype], value))[0])


def aligned(rows: Sequence[Sequence[str | float]], precision: int) -> list[str]:
    """Rows of cells as lines: text to the left, numbers to the right and each column of them in one notation."""
    several = [row for row in rows if len(row) > 1]
    texts: list[list[str]] = []
    for cells in zip_longest(*several, fillvalue=""):
        written = iter(column([cell for cell in cells if not isinstance(cell, str)], precision))
        column_texts = [cell if isinstance(cell, str) else next(written) for cell in cells]
        wide = max((len(text) for text in column_texts if len(text) <= LONGEST_CELL), default=0)
        texts.append([
            text.ljust(wide) if isinstance(cell, str) else text.rjust(wide)
            for cell, text in zip(cells, column_texts, strict=True)
        ])  # fmt: skip
    lines = iter(" ".join(cells).rstrip() for cells in zip(*texts, strict=True))
    return [next(lines) if len(row) > 1 else str(row[0]) for row in rows]


def number(value: float, precision: int) -> str:
    """One number as a column of its own."""
    return column([value], precision)[0]


def sum_of_terms(terms: Sequence[Sequence[float]], precision: int) -> str:
    """The terms added up, each a product of its factors: `1.8676*0.5000 - 0.2631*(-2.0000)`; without any, `0`."""
    columns = [column([f for f in factors if f is not None], precision) for factors in zip_longest(*terms)]
    # Column k holds the k-th factors of those terms that have so many, in the order of the terms.
    remaining = [iter(texts) for texts in columns]
    pieces: list[str] = []
    for term in terms:
        first, *others = [next(texts) for texts, _ in zip(remaining, term, strict=False)]
        negative = first.startswith("-")
        sign = (" - " if negative else " + ") if pieces else ("-" if negative else "")
        factors = [first.removeprefix("-"), *(f"({f})" if f.startswith("-") else f for f in others)]
        pieces.append(sign + "*".join(factors))
    return "".join(pieces) or "0"
