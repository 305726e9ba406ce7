"""Plain: the numbers alone, as shells want them."""

import pytest
from render.samples import NAMES, sample, text_of

from convgrad_cli.render import plain


def test_the_bias_gradient_is_one_number():
    assert text_of(plain, sample("with_bias"), only=("grad_bias",)) == "4\n"


def test_the_gradients_without_only():
    assert text_of(plain, sample("with_bias")) == (
        "3.1997\t-1.184\n2.5422\t0.5398\n"
        "\n"
        "0.0848\t0.0131\t-0.0717\n-0.1968\t0.063\t0.2598\n-0.2816\t0.0499\t0.3315\n"
        "\n"
        "4\n"
    )


def test_only_names_the_order():
    text = text_of(plain, sample("with_bias"), only=("grad_bias", "bias", "weight"))
    assert text == "4\n\n-0.0465\n\n0.0848\t-0.0717\n-0.2816\t0.3315\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_reads_back(name):
    report = sample(name)
    for key, data in report.tensors.items():
        text = text_of(plain, report, only=(key,))
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        blocks = [[line.split("\t") for line in block.splitlines()] for block in text.split("\n\n")]
        assert {len(row) for block in blocks for row in block} == {data.shape[-1]}
        assert {len(block) for block in blocks} == {(1, *data.shape)[-2]}
        numbers = [float(cell) for block in blocks for row in block for cell in row]
        assert list(map(repr, numbers)) == list(map(repr, data.values))


def test_words_for_what_is_not_finite():
    assert text_of(plain, sample("hostile"), only=("input",)).startswith("nan\tinf\t-inf\n1e+300\t-1e-300\t-0\n")


def test_a_story_without_gradient_tensors_gives_its_elements():
    assert text_of(plain, sample("story")) == "-1.184\n"
    assert text_of(plain, sample("story"), only=("grad_weight",)) == "-1.184\n"
    assert text_of(plain, sample("story"), only=("weight",)) == "0.0848\t-0.0717\n-0.2816\t0.3315\n"
