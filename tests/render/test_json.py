"""JSON: strict, as its schema says, streamed; its expressions and factors evaluate to the elements beside them."""

import json
from copy import deepcopy

import jsonschema
import pytest
from render.samples import HOSTILE, NAMES, elements_of, evaluate, large, namespace, notebook, same, sample, text_of

from convgrad_cli.render import json as format_json
from convgrad_cli.render import jsonl
from convgrad_cli.render.json import document, schema
from convgrad_cli.render.style import Style
from convgrad_cli.safe import safe

VALIDATOR = jsonschema.Draft202012Validator(schema())
WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def strict(text: str):
    def refuse(word: str):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def plain(value) -> float:
    return WORDS[value] if isinstance(value, str) else value


def objects(found: dict) -> list[dict]:
    return [*found["elements"], *(element for passage in found["passages"] for element in passage["elements"])]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_the_document_and_fits_the_schema(name):
    text = text_of(format_json, sample(name))
    found = strict(text)
    assert found == document(sample(name)) == sample(name).to_dict()
    VALIDATOR.validate(found)
    assert text.endswith("}\n")
    assert text.isascii()


@pytest.mark.parametrize("name", NAMES)
def test_expressions_factors_and_terms_evaluate_to_the_element(name):
    letters = namespace(sample(name))
    found = objects(document(sample(name)))
    assert [tuple(e["index"]) for e in found] == [e.index for e in elements_of(sample(name))]
    for element in found:
        value = plain(element["values"]["by_hand"])
        assert same(evaluate(element["expression"], letters), value)
        assert same(from_factors(element["factors"], letters), value)
        assert element["factors"] or element["reason"]
        if element["terms"] is not None:
            assert len(element["terms"]) == element["term_count"]
            assert same(sum(product(map(plain, term)) for term in element["terms"]) + 0.0, value)


def product(factors) -> float:
    found = 1.0
    for factor in factors:
        found *= factor
    return found


def from_factors(products: list, letters: dict) -> float:
    """The element from the factors alone, as a reader without Python would compute it."""
    total = 0.0
    for factors in products:
        slices = []
        for factor in factors:
            at = [part if isinstance(part, int) else slice(*part.values()) for part in factor["index"]]
            slices.append(letters[factor["operand"]][tuple(at)].flip(factor["flip"]))
        first, *others = slices
        for other in others:
            first = first * other
        total += float(first.sum())
    return total


@pytest.mark.parametrize("name", NAMES)
def test_a_line_of_jsonl_is_an_element_of_json(name):
    lines = text_of(jsonl, sample(name)).splitlines(keepends=True)
    assert all(line.endswith("}\n") for line in lines)
    assert [strict(line) for line in lines] == objects(document(sample(name)))
    element = VALIDATOR.evolve(schema={"$ref": "#/$defs/element", "$defs": schema()["$defs"]})
    for line in lines:
        element.validate(json.loads(line))


def test_numbers_keep_every_bit_and_non_finite_ones_are_words():
    found = document(sample("hostile"))
    values = [value for row in found["input"]["values"][0][0] for value in row]
    assert values[:3] == ["NaN", "Infinity", "-Infinity"]
    assert [float(repr(v)) for v in values[3:]] == list(sample("hostile").tensors["input"].values)[3:]
    assert found["loss"]["value"] == "NaN"


def test_tensors_are_nested_as_their_shape_says():
    import torch

    for name in ("sums_of_products", "gaps"):
        report = sample(name)
        found = document(report)
        for key, data in report.tensors.items():
            tensor = torch.tensor(found[key]["values"], dtype=torch.float64)
            assert list(tensor.shape) == found[key]["shape"] == list(data.shape)
            assert tensor.flatten().tolist() == list(data.values)


def test_text_from_outside_is_escaped():
    found = document(sample("hostile"))
    assert found["notes"] == [safe(note) for note in HOSTILE]
    assert found["notes"][3] == r"\x1b[31mred\x1b[0m \x9b2J"
    assert found["dtype"] == r"float64\x1b[2J\x0a`|$"
    assert found["device"] == r"cuda:0 \ [/x] \u202e"


def test_elements_are_written_as_they_are_made():
    made: list[int] = []
    pieces = format_json.render(large(made), Style(only=("grad_input",)))
    next(piece for piece in pieces if '"index"' in piece)
    assert made == [0]
    next(piece for piece in pieces if '"index"' in piece)
    assert made == [0, 1]
    made.clear()
    next(jsonl.render(large(made), Style(only=("grad_input",))))
    assert made == [0]


def test_only_restricts_tensors_and_elements():
    found = strict(text_of(format_json, sample("with_bias"), only=("grad_bias", "input")))
    VALIDATOR.validate(found)
    assert [key for key in found if key in sample("with_bias").tensors] == ["input", "grad_bias"]
    assert {element["tensor"] for element in found["elements"]} == {"grad_bias"}
    assert len(found["comparisons"]) == 4
    lines = text_of(jsonl, sample("with_bias"), only=("grad_bias",)).splitlines()
    assert [json.loads(line)["tensor"] for line in lines] == ["grad_bias"]


def test_rows_limit_the_elements_to_the_important_ones_first():
    def indices(**style):
        found = strict(text_of(format_json, sample("large"), only=("grad_input",), **style))
        return [element["index"][-1] for element in found["elements"]]

    assert indices() == list(range(1001))
    assert indices(rows=1001) == list(range(1001))
    assert indices(rows=2) == [3, 1000]
    assert indices(rows=3) == [3, 500, 1000]
    assert indices(rows=6) == [0, 1, 2, 3, 500, 1000]


def broken(change) -> dict:
    found = deepcopy(document(notebook()))
    change(found)
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(surprise=1),
        lambda d: d["layer"].update(surprise=1),
        lambda d: d["elements"][0].update(surprise=1),
        lambda d: d["elements"][0]["factors"][0][0].update(surprise=1),
        lambda d: d["elements"][0]["values"].update(autograd="nan"),
        lambda d: d["elements"][0].pop("expression"),
        lambda d: d["input"].update(values=["1.0"]),
        lambda d: d.update(schema="convgrad/2"),
        lambda d: d["layer"].update(padding=[1, 1]),
        lambda d: d.pop("exit_code"),
        lambda d: d["comparisons"][0].update(ratio=None),
    ],
)
def test_the_schema_refuses(change):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(broken(change))
