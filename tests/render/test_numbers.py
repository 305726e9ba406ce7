"""Numbers as text: exact where they are shortest, of equal precision in a column, never a false zero."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convgrad_cli.render.numbers import aligned, apart, column, number, shortest, sum_of_terms

# Beyond 1e308 a rounded number can be too large to read back.
ANY = st.one_of(st.floats(-1e308, 1e308), st.sampled_from([math.nan, math.inf, -math.inf]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4.0, "4"),
        (4, "4"),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (1e-5, "1e-05"),
        (1e16, "1e+16"),
        (123456789012345.0, "123456789012345"),
        (0.30000000000000004, "0.30000000000000004"),
        (-0.0, "-0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_shortest(value, text):
    assert shortest(value) == text


@given(st.floats(allow_nan=False))
def test_shortest_reads_back_to_the_last_bit(value):
    assert struct.pack("d", float(shortest(value))) == struct.pack("d", value)


@pytest.mark.parametrize(
    ("values", "precision", "texts"),
    [
        ([3.19974, -1.184], 4, ["3.1997", "-1.1840"]),
        ([4.0, -2.0, 0.0], 4, ["4", "-2", "0"]),
        ([4.0, 0.5], 2, ["4.00", "0.50"]),
        ([-0.0, 0.25], 4, ["0.0000", "0.2500"]),
        ([-0.0], 4, ["0"]),
        ([1.0, 2e-6], 4, ["1.0000e+00", "2.0000e-06"]),
        ([1.0, -0.00003], 4, ["1.0000e+00", "-3.0000e-05"]),
        ([1.0, 0.00006], 4, ["1.0000", "0.0001"]),
        ([0.0003, 0.0004], 4, ["3.0000e-04", "4.0000e-04"]),
        ([0.0, 0.25e-6], 2, ["0.00e+00", "2.50e-07"]),
        ([999999.5, 0.5], 1, ["999999.5", "0.5"]),
        ([1000000.5, 0.5], 1, ["1.0e+06", "5.0e-01"]),
        ([1000000.0, 3.0], 4, ["1000000", "3"]),
        ([1e300, 3.0], 4, ["1.0000e+300", "3.0000e+00"]),
        ([math.nan, math.inf, -math.inf, 3.0], 4, ["nan", "inf", "-inf", "3"]),
        ([math.nan, -math.inf, 0.5], 4, ["nan", "-inf", "0.5000"]),
        ([0.7, 12.2], 0, ["1", "12"]),
        ([0.3, 12.2], 0, ["3e-01", "1e+01"]),
        ([math.nan], 4, ["nan"]),
        ([], 4, []),
    ],
)
def test_column(values, precision, texts):
    assert column(values, precision) == texts
    assert all(number(value, precision) == column([value], precision)[0] for value in values)


@given(st.lists(ANY), st.integers(0, 17))
def test_a_column_reads_back_to_its_precision_and_never_lies_about_zero(values, precision):
    for value, text in zip(values, column(values, precision), strict=True):
        back = float(text)
        if not math.isfinite(value):
            assert text == str(value)
            continue
        slack = 0.5000001 * 10.0**-precision
        assert abs(back - value) <= max(slack, slack * abs(value), 1e-15 * abs(value))
        assert (back == 0) == (value == 0)
        assert not (back == 0 and text.startswith("-"))


@given(st.lists(ANY), st.integers(0, 17))
def test_a_column_has_one_notation(values, precision):
    finite = [t for v, t in zip(values, column(values, precision), strict=True) if math.isfinite(v)]
    shapes = {("e" in text, len(text.partition("e")[0].partition(".")[2])) for text in finite}
    assert len(shapes) <= 1


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ([(1.8676,), (-0.2631,), (1.0669,), (0.5283,)], "1.8676 - 0.2631 + 1.0669 + 0.5283"),
        ([(-0.2631,), (-0.238,)], "-0.2631 - 0.2380"),
        ([(1.0,), (1.0,), (-3.0,)], "1 + 1 - 3"),
        ([(1.8676, 0.5), (-0.2631, 2.0)], "1.8676*0.5000 - 0.2631*2.0000"),
        ([(1.8676, -0.5)], "1.8676*(-0.5000)"),
        ([(1.5, 2.0), (-2.5, -3.0)], "1.5000*2 - 2.5000*(-3)"),
        ([(1.5, 2.0), (2.5, 4.0), (-0.25,)], "1.5000*2 + 2.5000*4 - 0.2500"),
        ([(1e-7,), (-1.0,)], "1.0000e-07 - 1.0000e+00"),
        ([(math.nan,), (-math.inf,)], "nan - inf"),
        ([(-0.0,), (0.5,)], "0.0000 + 0.5000"),
        ([], "0"),
    ],
)
def test_sum_of_terms(terms, text):
    assert sum_of_terms(terms, 4) == text


def test_aligned_rows_have_columns_and_a_single_cell_stands_for_itself():
    rows = [("y1", "= x1", 0.5), ("a long remark, alone",), ("y10", "=", -12.25, "end"), ("", "", 3.0)]
    assert aligned(rows, 2) == ["y1  = x1   0.50", "a long remark, alone", "y10 =    -12.25 end", "           3.00"]
    assert aligned([], 4) == []


FINITE = st.floats(-1e5, 1e5)


@given(st.lists(st.one_of(st.tuples(FINITE), st.tuples(FINITE, FINITE))))
def test_a_sum_of_terms_evaluates_to_the_sum(terms):
    said = eval(sum_of_terms(terms, 17))
    scale = math.fsum(math.prod(map(abs, term)) for term in terms)
    written = 1e-17 * math.fsum(max(map(abs, term)) for term in terms)  # 17 decimals of one factor, times the other
    assert said == pytest.approx(math.fsum(map(math.prod, terms)), rel=1e-12, abs=1e-12 * scale + written + 1e-12)


@pytest.mark.parametrize(
    ("pairs", "precision", "found"),
    [
        ([(3.0, 4.0)], 4, 4),
        ([(3.0, 3.0)], 4, 4),
        ([(3.5, 3.5000002)], 4, 7),
        ([(0.1, 0.1 + 2**-56)], 0, 17),
        ([(1.25, 1.5), (100.0, 100.03125)], 0, 2),
        ([(math.nan, 3.0), (math.inf, -math.inf)], 2, 2),
    ],
)
def test_decimals_that_tell_numbers_apart(pairs, precision, found):
    assert apart(pairs, precision) == found
