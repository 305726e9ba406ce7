"""Inline values, .txt, .csv and .tsv: strict numbers, and messages that name line and column."""

import math
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal

import convgrad_cli
from convgrad_cli.tensors.files import read_file, read_text

TEXT_HINT = "write numbers such as -1.5e3, rows separated by ;"
CSV_HINT = "commas separate cells and numbers have decimal points: 1.5,2.5"
TSV_HINT = "tabs separate cells and numbers have decimal points: 1.5"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2 3; 4 5 6; 7 8 9", [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ("1,2,3;4,5,6", [[1, 2, 3], [4, 5, 6]]),
        (" 1 ,2 , 3 ;\t4, 5,6 ", [[1, 2, 3], [4, 5, 6]]),
        ("1 2\n3 4\r\n5 6\r7 8\n\n", [[1, 2], [3, 4], [5, 6], [7, 8]]),
        ("1 2;\n3 4;\n", [[1, 2], [3, 4]]),
        ("5", [5]),
        ("1;2", [[1], [2]]),
        ("+1 -2 .5 5. 1e3 1E-3 -1.25e+2", [1, -2, 0.5, 5, 1000, 0.001, -125]),
        ("nan NaN inf -inf Infinity", [math.nan, math.nan, math.inf, -math.inf, math.inf]),
        ("[1, 2]", [1, 2]),
        ('  [[1, "NaN"], [2, "-Infinity"]]', [[1, math.nan], [2, -math.inf]]),
    ],
)
def test_inline_values(text: str, expected: list[float]) -> None:
    numbers = read_text(text, "--x")
    numpy.testing.assert_array_equal(numbers.array, numpy.array(expected, numpy.float64))
    assert (numbers.array.dtype, numbers.dtype, numbers.where) == (numpy.float64, None, "--x")
    assert numbers.array.flags.c_contiguous
    assert numbers.array.flags.writeable


def test_where_is_safe_to_print() -> None:
    assert read_text("1", "\x1b[31m").where == "\\x1b[31m"


def test_minus_zero_stays() -> None:
    assert numpy.signbit(read_text("-0 -0.0", "--x").array).all()


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(st.floats(), min_size=width, max_size=width), min_size=1)
    ),
    st.sampled_from([" ", ", ", ","]),
    st.sampled_from(["; ", ";", "\n", "\r\n"]),
)
def test_inline_round_trip(rows: list[list[float]], between: str, after: str) -> None:
    text = after.join(between.join(map(repr, row)) for row in rows)
    expected = numpy.array(rows[0] if len(rows) == 1 else rows)
    numpy.testing.assert_array_equal(read_text(text, "--x").array, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"--x holds no numbers; {TEXT_HINT}"),
        (" ;", "--x line 1, column 1: no number where one should be; write 0, nan or a separator less"),
        ("1 2\n3 four", f"--x line 2, column 3: 'four' is not a number; {TEXT_HINT}"),
        ("1 2; 3", "--x line 1, column 6: row 2 has 1 numbers, row 1 has 2; make them equal"),
        ("1 2\n3 4 5\n", "--x line 2, column 5: row 2 has 3 numbers, row 1 has 2; make them equal"),
        ("1,,2", "--x line 1, column 3: no number where one should be; write 0, nan or a separator less"),
        ("1,2,", "--x line 1, column 5: no number where one should be; write 0, nan or a separator less"),
        ("1;;2", "--x line 1, column 3: no number where one should be; write 0, nan or a separator less"),
        (",1", "--x line 1, column 1: no number where one should be; write 0, nan or a separator less"),
        ("1,5 2,5", "--x line 1, column 7: commas and blanks are mixed; use one of them, and decimal points"),
        ("1,2\n3 4\n", "--x line 2, column 3: commas and blanks are mixed; use one of them, and decimal points"),
        (
            "1 1e999",
            "--x line 1, column 3: '1e999' is too large for float64 and would become inf; write inf if you mean it",
        ),
        (
            "-1e-999",
            "--x line 1, column 1: '-1e-999' is too small for float64 and would become 0; write 0 if you mean it",
        ),
        (
            "9" * 5000,
            f"--x line 1, column 1: '{'9' * 40}... (5000 characters)' has 5000 characters, a number at most 1000; "
            "round it",
        ),
        ("1 - 2", f"--x line 1, column 3: '-' is not a number; {TEXT_HINT}"),
        ("\x1b[31m1", f"--x line 1, column 1: '\\\\x1b[31m1' is not a number; {TEXT_HINT}"),
    ],
)
def test_inline_refusals(text: str, message: str) -> None:
    assert refusal(read_text, text, "--x") == message


@pytest.mark.parametrize(
    "cell", ["1_000", "0x10", "1d3", "1e", "1e1.5", ".", "--1", "١", "１", "1\u00a02", "+nan1", "(1"]
)
def test_what_python_or_others_might_read_as_a_number(cell: str) -> None:
    assert f"is not a number; {TEXT_HINT}" in refusal(read_text, cell, "--x")


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.csv", b"1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a.csv", b" 1 ,\t2\r\n\r\n3,4", [[1, 2], [3, 4]]),
        ("a.csv", b"x,y\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a.csv", b'"a b","c"\n"1","2"\n', [1, 2]),
        ("a.csv", b"\xef\xbb\xbf1,2\n", [1, 2]),
        ("a.csv", b"\xef\xbb\xbfx,y\n1,2\n", [1, 2]),
        ("a.csv", b"x\n1\n2\n", [[1], [2]]),
        ("a.csv", b"nan,inf\n1,-inf\n", [[math.nan, math.inf], [1, -math.inf]]),
        ("a.tsv", b"x\ty\n1\t2\n3\t4\n", [[1, 2], [3, 4]]),
        ("A.CSV", b"x,y\n1,2", [1, 2]),
        ("a.txt", b"1 2\n3 4\n", [[1, 2], [3, 4]]),
        ("a.txt", b"[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("a.dat", b"1 2\n3 4\n", [[1, 2], [3, 4]]),
        ("noext", b'{"x": [1]}', [1]),
    ],
)
def test_text_files(name: str, data: bytes, expected: list[float]) -> None:
    Path(name).write_bytes(data)
    numbers = read_file(name)
    numpy.testing.assert_array_equal(numbers.array, numpy.array(expected, numpy.float64))
    assert numbers.dtype is None


def test_numpy_savetxt_round_trip() -> None:
    values = numpy.random.default_rng(0).standard_normal((3, 4))
    numpy.savetxt("a.txt", values)
    numpy.savetxt("a.csv", values, delimiter=",", header="a,b,c,d")
    assert (read_file("a.txt").array == values).all()
    assert (read_file("a.csv").array == values).all()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"1,2\n3\n", "line 2, column 1: row 2 has 1 numbers, row 1 has 2; make them equal"),
        ("a.csv", b"1,\n3,4\n", "line 1, column 3: no number where one should be; write 0, nan or a separator less"),
        ("a.csv", b"1,5;2,5\n", f"line 1, column 3: '5;2' is not a number; {CSV_HINT}"),
        ("a.csv", b"1;2\n3;4\n", f"line 1, column 1: '1;2' is not a number; {CSV_HINT}"),
        ("a.csv", b"1,  x\n", f"line 1, column 5: 'x' is not a number; {CSV_HINT}"),
        ("a.tsv", b"1,5\t2,5\n", f"line 1, column 1: '1,5' is not a number; {TSV_HINT}"),
        ("a.csv", b"x,1\n2,3\n", f"line 1, column 1: 'x' is not a number; {CSV_HINT}"),
        ("a.csv", b"x,y\nu,v\n", f"line 2, column 1: 'u' is not a number; {CSV_HINT}"),
        ("a.csv", b"x,1.2.3\n1,2\n", f"line 1, column 1: 'x' is not a number; {CSV_HINT}"),
        (
            "a.csv",
            b",x\n0,1\n",
            "line 1, column 1: a column has no name, as the index of a table has none; save it without its index",
        ),
        ("a.csv", b'1,"2\n', f"line 1, column 3: '\"2' is not a number; {CSV_HINT}"),
        ("a.csv", b"1\n2,\x1b[31mred\n", f"line 2, column 3: '\\\\x1b[31mred' is not a number; {CSV_HINT}"),
        ("a.txt", b"# a\n1\n", f"line 1, column 1: '#' is not a number; {TEXT_HINT}"),
    ],
)
def test_text_file_refusals(name: str, data: bytes, message: str) -> None:
    Path(name).write_bytes(data)
    assert refusal(read_file, name) == f"{name} {message}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f"a.csv holds no numbers; {CSV_HINT}"),
        (b"x,y\n", f"a.csv holds no numbers; {CSV_HINT}"),
        (b"1,2\n3,\0\n", "a.csv has a NUL byte in line 2, so it is not text; save it as UTF-8, or as .npy"),
        ("1,2".encode("utf-16"), "a.csv is UTF-16 text; save it as UTF-8"),
        ("1,2".encode("utf-16-le"), "a.csv has a NUL byte in line 1, so it is not text; save it as UTF-8, or as .npy"),
        (b"1,2\n\xff", "a.csv is not UTF-8 text (the byte ff in line 2); save it as UTF-8"),
    ],
)
def test_what_is_not_text(data: bytes, message: str) -> None:
    Path("a.csv").write_bytes(data)
    assert refusal(read_file, "a.csv") == message


def test_a_key_needs_names() -> None:
    Path("a.csv").write_text("1,2")
    assert refusal(read_file, "a.csv", "w\x1b") == "a.csv holds a single array without a name; leave out ::w\\x1b"


def test_a_line_of_names_is_noted() -> None:
    Path("a.csv").write_text('"first","sec\x1bond"\n1,2\n')
    assert read_file("a.csv").notes == ('the first line of a.csv, "first","sec\\x1bond", was read as names of columns',)
    Path("b.csv").write_text("\n1,2\n")
    assert read_file("b.csv").notes == ()
    report = convgrad_cli.inspect(input="a.csv", kernel_size=1)
    assert [note for note in report.notes if "names" in note] == list(read_file("a.csv").notes)
