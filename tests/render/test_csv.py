"""CSV: tidy rows that read back exactly, whose expressions evaluate, and that no spreadsheet runs."""

import csv
import io
import math

import pytest
from render.samples import NAMES, elements_of, evaluate, large, namespace, same, sample, text_of

from convgrad_cli.render import csv as format_csv
from convgrad_cli.render.style import Style


def rows_of(report, **style) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(format_csv, report, **style))))


def test_the_notebook():
    lines = text_of(format_csv, sample("with_bias"), only=("grad_weight", "grad_bias")).split("\n")
    assert lines[0] == "tensor,index,autograd,by_hand,difference,bound,agrees,terms,expression"
    assert lines[1].startswith('grad_weight,"0,0,0,0",3.1997,3.1997,')
    assert lines[1].endswith(',true,4,"x[0,0,0:2,0:2].sum()"')
    assert lines[5].startswith("grad_bias,0,4,4,0,")
    assert lines[6:] == [""]


@pytest.mark.parametrize("name", NAMES)
def test_rows_read_back_and_their_expressions_evaluate(name):
    letters = namespace(sample(name))
    rows, elements = rows_of(sample(name)), elements_of(sample(name))
    assert len(rows) == len(elements)
    for row, element in zip(rows, elements, strict=True):
        assert (row["tensor"], row["index"]) == (element.tensor, ",".join(map(str, element.index)))
        assert same(float(row["by_hand"]), element.values["by_hand"])
        assert same(evaluate(row["expression"], letters), float(row["by_hand"]))
        assert float(row["difference"]) == element.difference
        assert row["agrees"] == str(element.agrees).lower()
        assert int(row["terms"]) == element.formula.count


@pytest.mark.parametrize("name", NAMES)
def test_no_cell_is_a_formula(name):
    text = text_of(format_csv, sample(name))
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert cell[:1] not in ("=", "+", "-", "@") or is_number(cell), cell
    assert text.endswith("\n")
    assert "\r" not in text
    assert text.isascii()


def is_number(cell: str) -> bool:
    try:
        return math.isnan(float(cell)) or True
    except ValueError:
        return False


def test_a_route_named_like_a_formula_is_text():
    assert "'=cmd|' /C calc'!A0" in rows_of(sample("differing"))[0]


def test_an_element_that_differs_says_so():
    agreed = [row["agrees"] for row in rows_of(sample("differing"), only=("grad_weight",))]
    assert agreed == ["true", "false", "true", "true"]


def test_rows_and_streaming():
    assert [row["index"] for row in rows_of(sample("large"), only=("grad_input",), rows=2)] == ["0,0,3", "0,0,1000"]
    made: list[int] = []
    pieces = format_csv.render(large(made), Style(only=("grad_input",)))
    next(pieces)
    next(pieces)
    assert set(made) == {0}
