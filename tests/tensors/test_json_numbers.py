"""Nested lists: .json files, inline lists, and the tensors of convgrad's own reports."""

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from refusals import memory_below, refusal

import convgrad_cli
from convgrad_cli.tensors.files import read_file, read_text


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(document: Any) -> str:
    Path("a.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return "a.json"


@given(
    arrays.arrays(
        numpy.float64,
        arrays.array_shapes(max_dims=5, max_side=4),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_round_trip_of_every_rank(array: numpy.ndarray[Any, Any]) -> None:
    numbers = read_text(json.dumps(array.tolist()), "--x")
    numpy.testing.assert_array_equal(numbers.array, array, strict=True)
    assert numbers.dtype is None


def test_minus_zero_and_integers() -> None:
    array = read_file(write("[-0, 12, 1e2]")).array
    assert array.tolist() == [0, 12, 100]
    assert math.copysign(1, array[0]) == -1


def test_a_single_number_has_rank_one() -> None:
    assert read_file(write("5")).array.shape == (1,)


def test_nonfinite_strings_as_the_reports_write_them() -> None:
    array = read_file(write(["NaN", "Infinity", "-Infinity"])).array
    numpy.testing.assert_array_equal(array, [math.nan, math.inf, -math.inf])


def test_objects_hold_arrays_under_dotted_names() -> None:
    write({"note": "n", "lr": 0.1, "tags": ["a"], "layer": {"w": [[1, 2]]}, "records": [{"w": [1]}]})
    assert read_file("a.json").array.tolist() == [[1, 2]]
    numbers = read_file("a.json", "layer.w")
    assert (numbers.array.tolist(), numbers.where) == ([[1, 2]], "a.json::layer.w")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_report_of_our_own_reads_back(dtype: str) -> None:
    layer = torch.nn.Conv2d(1, 2, 2)
    write(convgrad_cli.inspect(layer, input_size=(3, 3), dtype=dtype).to_dict())
    for name in ("weight", "bias"):
        numbers = read_file("a.json", name)
        expected = getattr(layer, name).detach().to(getattr(torch, dtype))
        assert numbers.array.tolist() == expected.to(torch.float64).tolist()
        assert numbers.dtype == dtype


def test_names_are_listed_tensors_first() -> None:
    tensor = {"shape": [1], "dtype": "float32", "values": [1]}
    write({"kernel_size": [2, 2], "input": tensor, "weight\x1b": tensor})
    listed = "input, weight\\x1b, kernel_size"
    assert refusal(read_file, "a.json") == f"a.json has 3 arrays; name one, as in FILE::input: it has {listed}"
    assert refusal(read_file, "a.json", "w") == f"a.json has no array named 'w'; it has {listed}"


@pytest.mark.parametrize(
    ("dtype", "stored"), [("float16", "f2"), ("float32", "f4"), ("float64", "f8"), ("bfloat16", "f4")]
)
def test_tensor_objects_fix_their_dtype(dtype: str, stored: str) -> None:
    expected = torch.tensor([[0.1, math.nan, -3]], dtype=getattr(torch, dtype))
    numbers = read_file(write({"w": {"shape": [1, 3], "dtype": dtype, "values": [[0.1, "NaN", -3]]}}), "w")
    assert (numbers.dtype, numbers.array.dtype) == (dtype, numpy.dtype(stored))
    numpy.testing.assert_array_equal(numbers.array, expected.to(torch.float64).numpy())
    assert read_file(write({"shape": [2], "dtype": dtype, "values": [1, 2]})).array.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            "[" * 200_000,
            " nests more than 64 brackets at line 1, column 65; a tensor is a list of at most 5 nested lists",
        ),
        (
            '{"a":' * 200_000,
            " nests more than 64 brackets at line 1, column 321; a tensor is a list of at most 5 nested lists",
        ),
        (
            "[" + "9" * 5000 + "]",
            f" line 1, column 2: '{'9' * 40}... (5000 characters)' has 5000 characters, a number at most 1000; "
            "round it",
        ),
        ('{"w": [1], "w": [2]}', " has two entries named 'w'; save it again with distinct names"),
        ('{"a": {"w": 1, "w": 1}, "b": [1]}', " has two entries named 'w'; save it again with distinct names"),
        ('{"a.w": [1], "a": {"w": [2]}}', " has two arrays named 'a.w'; save it again with distinct names"),
        ("[1,\n NaN]", ' line 2, column 2: NaN is not a number in JSON; write "NaN" in quotes'),
        ("[-Infinity]", ' line 1, column 2: -Infinity is not a number in JSON; write "-Infinity" in quotes'),
        (
            "[1, 1e999]",
            " line 1, column 5: '1e999' is too large for float64 and would become inf; write inf if you mean it",
        ),
        ("[1, 2", " line 1, column 6: not JSON (Expecting ',' delimiter); write lists: [[1, 2], [3, 4]]"),
        ("[1 2 3]", " line 1, column 4: not JSON (Expecting ',' delimiter); write lists: [[1, 2], [3, 4]]"),
        ("[[1, 2], [3]]", ": entry [1] has length 1, entry [0] has length 2; lists side by side need the same length"),
        (
            "[[[1], [2]], [[3], 4]]",
            ": entry [1][1] is not a list, entry [0][0] has length 1; lists side by side need the same length",
        ),
        ("[1, [2]]", ': entry [1] is [2.0], not a number; write a number, "NaN" or "Infinity"'),
        ("[1, true]", ': entry [1] is true, not a number; write a number, "NaN" or "Infinity"'),
        ("[[1], [null]]", ': entry [1][0] is null, not a number; write a number, "NaN" or "Infinity"'),
        ('["\\u001b"]', ': entry [0] is "\\u001b", not a number; write a number, "NaN" or "Infinity"'),
        ("[]", " has shape (0,), which holds no numbers; every axis needs a size of 1 or more"),
        ("[[], []]", " has shape (2, 0), which holds no numbers; every axis needs a size of 1 or more"),
        ("[[[[[[1]]]]]]", " has 6 axes, shape (1, 1, 1, 1, 1, 1); a tensor here has 1 to 5: drop axes of size 1"),
        ("{}", " holds no array of numbers; save at least one tensor in it"),
        (
            '{"shape": [2], "dtype": "float32", "values": [1, 2, 3]}',
            " has a shape other than [3], that of its values; correct it",
        ),
        (
            '{"shape": [1], "dtype": "float16", "values": [70000]}',
            " has numbers too large for its dtype float16; give it dtype float64",
        ),
        (
            '{"shape": [1], "dtype": "complex64", "values": [1]}',
            " has dtype 'complex64'; one of float16, float32, float64, bfloat16 can be read",
        ),
        (
            json.dumps({"k" * 999: {"w": [1]}}),
            " has a name that is not text of at most 1000 characters; save it with short names",
        ),
    ],
)
def test_refusals(document: str, message: str) -> None:
    assert refusal(read_file, write(document)) == f"a.json{message}"


def test_a_list_has_no_names() -> None:
    assert refusal(read_file, write([1]), "w") == "a.json holds a single array without a name; leave out ::w"


def test_an_unclosed_string_takes_linear_time_and_little_memory() -> None:
    text = '["' + '\\"' * 500_000
    with memory_below(30e6):
        assert "Unterminated string" in refusal(read_text, text, "--x")
