"""What the dtype of a problem loses of given numbers is said: of which operand, how many, and where first."""

from __future__ import annotations

import numpy
import pytest

from convgrad_cli import inspect
from convgrad_cli.tensors import casting
from convgrad_cli.tensors.casting import cast
from convgrad_cli.tensors.numbers import make_numbers


def notes(values: object, dtype: str) -> list[str]:
    import torch

    return cast(make_numbers(numpy.array(values), "--x"), "x", getattr(torch, dtype))[1]


@pytest.mark.parametrize("block", [1, 2, 1 << 20])
@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        ([1.0, 65504.0, -0.0, 0.1], "float16", []),
        ([1.0, numpy.nan, -numpy.inf], "float16", ["x is not finite at 2 of its entries, first at x[1]"]),
        (
            [[1.0, 70000.0], [-1e9, 2.0]],
            "float16",
            [
                "x is too large for float16 at 2 of its entries, first 70000 at x[0,1], and infinite there; "
                "use a wider --dtype"
            ],
        ),
        (
            [1e39, 1e-60],
            "float32",
            [
                "x is too large for float32 at 1 of its entries, first 1e+39 at x[0], and infinite there; "
                "use a wider --dtype",
                "x is too small for float32 at 1 of its entries, first 1e-60 at x[1], and 0 there; use a wider --dtype",
            ],
        ),
        ([1e39], "bfloat16", ["x is too large for bfloat16 at 1 of its entries, first 1e+39 at x[0], and infinite "
                              "there; use a wider --dtype"]),
        (
            [2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1],
            "float64",
            ["x holds whole numbers that float64 rounds, 3 of them, first 9007199254740993 at x[1]"],
        ),
        ([2049, 2048], "float16", ["x holds whole numbers that float16 rounds, 1 of them, first 2049 at x[0]; "
                                   "use a wider --dtype"]),
        ([2049.0], "float16", ["x holds whole numbers that float16 rounds, 1 of them, first 2049 at x[0]; "
                               "use a wider --dtype"]),
        ([2049.0, 0.3], "float16", []),  # floats rounded like any others
        ([2.0**60 + 2.0**20], "float32", []),
        ([-(2**63), 2**62], "float32", []),
    ],
)  # fmt: skip
def test_what_a_dtype_cannot_hold_is_said(monkeypatch, block, values, dtype, said):
    monkeypatch.setattr(casting, "BLOCK", block)
    assert notes(values, dtype) == said


@pytest.mark.parametrize("kind", ["uint64", "int64", "uint32", "uint16", "int8"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_every_integer_type_is_told_apart(kind, dtype):
    extremes = [numpy.iinfo(kind).min, numpy.iinfo(kind).max]
    held = [float(value) == value for value in extremes] if dtype == "float64" else None
    found = notes(numpy.array(extremes, kind), dtype)
    if held:
        assert (found == []) == all(held)
    assert bool(found) == (
        extremes[1].bit_length() > {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}[dtype]
    )


def test_the_report_says_so_and_calls_nothing_the_users_own():
    report = inspect(input=[70000.0, 1.0], weight=[1.0], dtype="float16")
    assert report.notes == (
        "--x has shape 2; taken as 1x1x2",
        "--w has shape 1; taken as 1x1x1",
        "x is too large for float16 at 1 of its entries, first 70000 at x[0,0,0], and infinite there; "
        "use a wider --dtype",
    )


def test_a_ramp_longer_than_the_dtype_counts_is_said():
    assert inspect(input="ramp", input_size=16, kernel_size=1, dtype="bfloat16").notes == ()
    assert inspect(input="ramp", input_size=17, kernel_size=1, dtype="bfloat16").notes == (
        "x holds whole numbers that bfloat16 rounds, 17 of them, first 257 at x[0,0,15,1]; use a wider --dtype",
    )
