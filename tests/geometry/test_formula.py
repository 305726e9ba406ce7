"""Formulas: their exact text for layers that a reader can check by hand, and what count and terms() say of them."""

from itertools import product as every

import pytest
from cases import CASES, OPERANDS, integer_operands

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry.axis import Span, whole
from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import Factor, Formula, Product
from convgrad_cli.geometry.spec import make_spec

SPECS = {case.name: case.spec for case in CASES}

# Layer, operand, index, whether g is all ones, text.
TEXTS = [
    ("notebook", "weight", (0, 0, 0, 1), True, "x[0,0,0:2,1:3].sum()"),
    ("notebook", "weight", (0, 0, 0, 1), False, "(x[0,0,0:2,1:3] * g[0,0,0:2,0:2]).sum()"),
    ("notebook", "input", (0, 0, 0, 1), True, "w[:,0,0,0:2].sum()"),
    ("notebook", "input", (0, 0, 0, 1), False, "(w[:,0,0,0:2].flip(1) * g[0,:,0,0:2]).sum()"),
    ("notebook", "input", (0, 0, 1, 1), True, "w[:,0,0:2,0:2].sum()"),
    ("notebook", "input", (0, 0, 1, 1), False, "(w[:,0,0:2,0:2].flip(1,2) * g[0,:,0:2,0:2]).sum()"),
    ("notebook", "input", (0, 0, 2, 2), False, "(w[:,0,1,1] * g[0,:,1,1]).sum()"),
    ("notebook", "output", (0, 0, 1, 0), True, "(x[0,:,1:3,0:2] * w[0,:,0:2,0:2]).sum()"),
    ("notebook with bias", "bias", (0,), True, "g[:,0].sum()"),
    ("notebook with bias", "bias", (0,), False, "g[:,0].sum()"),
    ("notebook with bias", "output", (0, 0, 0, 0), True, "(x[0,:,0:2,0:2] * w[0,:,0:2,0:2]).sum() + b[0]"),
    ("unbatched", "weight", (1, 0, 0, 1), False, "(x[0,0:2,1:3] * g[1,0:2,0:2]).sum()"),
    ("unbatched", "input", (1, 0, 1), False, "(w[:,1,0,0:2].flip(1) * g[:,0,0:2]).sum()"),
    ("unbatched", "bias", (1,), True, "g[1].sum()"),
    ("batch", "weight", (0, 1, 0, 0), False, "(x[:,1,0:3,0:3] * g[:,0,1:4,1:4]).sum()"),
    ("batch", "input", (2, 1, 0, 0), False, "(w[:,1,0:2,0:2].flip(1,2) * g[2,:,0:2,0:2]).sum()"),
    ("groups", "weight", (2, 0, 0, 1), False, "(x[0,1,0:2,1:3] * g[0,2,0:2,0:2]).sum()"),
    ("groups", "input", (0, 1, 0, 1), False, "(w[2:4,0,0,0:2].flip(1) * g[0,2:4,0,0:2]).sum()"),
    ("groups", "output", (0, 2, 0, 0), False, "(x[0,1:2,0:2,0:2] * w[2,:,0:2,0:2]).sum()"),
    ("1-D", "weight", (0, 1, 2), False, "(x[0,1,1:6:2] * g[0,0,0:3]).sum()"),
    ("1-D", "input", (0, 1, 3), True, "w[:,1,0:3:2].sum()"),
    ("1-D", "input", (0, 1, 3), False, "(w[:,1,0:3:2].flip(1) * g[0,:,1:3]).sum()"),
    ("3-D", "weight", (0, 0, 0, 1, 0), False, "(x[0,0,0:3,0:3:2,0:2] * g[0,0,1:4,0:2,0:2]).sum()"),
    (
        "dilation without a common divisor",
        "input",
        (0, 0, 0, 7),
        False,
        "(w[:,0,1,0:4:3].flip(1) * g[0,:,0,1:4:2]).sum()",
    ),
    ("transposed", "weight", (0, 0, 1, 1), False, "(x[0,0,0:3,0:3] * g[0,0,1:4,1:4]).sum()"),
    ("transposed", "weight", (0, 0, 1, 1), True, "x[0,0,0:3,0:3].sum()"),
    ("transposed", "input", (0, 0, 1, 2), False, "(w[0,:,0:2,0:2] * g[0,:,1:3,2:4]).sum()"),
    ("transposed", "input", (0, 0, 1, 2), True, "w[0,:,0:2,0:2].sum()"),
    ("transposed", "output", (0, 0, 1, 0), True, "(w[:,0,0:2,0].flip(1) * x[0,:,0:2,0]).sum() + b[0]"),
    ("transposed, output padding", "output", (0, 0, 9, 9), True, "b[0]"),
    ("transposed, groups", "weight", (2, 0, 0, 1), False, "(x[:,2,0:3,0:2] * g[:,1,0:3,0:3:2]).sum()"),
    ("reflect", "weight", (0, 0, 2, 1), False, "(xp[0,0,2:8,1:7] * g[0,0,0:6,0:6]).sum()"),
    ("reflect", "weight", (0, 0, 2, 1), True, "xp[0,0,2:8,1:7].sum()"),
    (
        "reflect",
        "input",
        (0, 0, 0, 1),
        False,
        "(w[:,0,0:3,0:2].flip(1,2) * g[0,:,0:3,0:2]).sum() + (w[:,0,0:3,0:3].flip(1,2) * g[0,:,0:3,1:4]).sum()"
        " + (w[:,0,0:3,2].flip(1) * g[0,:,0:3,5]).sum()",
    ),
    (
        "reflect",
        "input",
        (0, 0, 0, 1),
        True,
        "w[:,0,0:3,0:2].sum() + w[:,0,0:3,0:3].sum() + w[:,0,0:3,2].sum()",
    ),
    ("circular same", "input", (0, 1, 1, 1), True, "w[1:2,0,0:2,0:2].sum()"),
    ("one number", "weight", (0, 0, 0), False, "x[0,0] * g[0,0]"),
    ("one number", "weight", (0, 0, 0), True, "x[0,0]"),
]

# Layer, operand, index, why the element is 0.
REASONS = [
    ("stride remainder", "input", (0, 0, 5, 0), "height: the kernel's last placement ends before position 5"),
    (
        "stride beyond the kernel",
        "input",
        (0, 0, 0, 2),
        "width: with stride 3 and dilation 1 no kernel entry lands on position 2",
    ),
    (
        "dilation shares a divisor with stride",
        "input",
        (0, 0, 1, 2),
        "width: stride 4 and dilation 2 share the divisor 2, and position + padding = 3 is not a multiple of it",
    ),
    (
        "negative back padding",
        "input",
        (0, 0, 4, 0),
        "height: the kernel's last placement ends before position 4",
    ),
    (
        "negative padding",
        "input",
        (0, 0, 1, 0),
        "width: negative padding puts position 0 before the kernel's first placement",
    ),
]


@pytest.mark.parametrize(("layer", "operand", "index", "ones", "text"), TEXTS)
def test_text(layer, operand, index, ones, text):
    assert str(formula(SPECS[layer], operand, index, ones=ones)) == text


@pytest.mark.parametrize(("layer", "operand", "index", "reason"), REASONS)
@pytest.mark.parametrize("ones", [True, False])
def test_nothing_is_0_with_its_reason(layer, operand, index, reason, ones):
    found = formula(SPECS[layer], operand, index, ones=ones)
    assert (str(found), found.reason, found.count, list(found.terms())) == ("0", reason, 0, [])


def test_a_1d_reason_names_no_axis():
    spec = make_spec(dims=1, input_size=5, kernel_size=1, stride=2)
    assert formula(spec, "input", (0, 0, 1)).reason == (
        "with stride 2 and dilation 1 no kernel entry lands on position 1"
    )


def test_a_kernel_entry_that_meets_only_padding():
    spec = make_spec(input_size=1, kernel_size=3, padding=1)
    found = formula(spec, "weight", (0, 0, 0, 1))
    assert (str(found), found.reason) == ("0", "this kernel entry only ever meets the padding")


@pytest.mark.parametrize(("transposed", "operand"), [(False, "output"), (True, "input")])
def test_a_placement_that_covers_nothing(transposed, operand):
    spec = make_spec(input_size=5, kernel_size=2, padding=2, transposed=transposed)
    found = formula(spec, operand, (0, 0, 0, 3))
    side = "output" if transposed else "input"
    reason = f"here the kernel covers nothing of the {side}, only what padding adds or crops"
    assert (str(found), found.reason) == ("0", reason)


def test_an_output_that_meets_nothing_is_its_bias_and_says_why():
    found = formula(SPECS["transposed, output padding"], "output", (0, 0, 9, 0))
    assert (str(found), found.reason, found.count) == (
        "b[0]",
        "height: the kernel's last placement ends before position 9",
        1,
    )


@pytest.mark.parametrize(
    ("operand", "index", "message"),
    [
        ("weight", (0, 0, 0, 2), "weight:0,0,0,2 is outside weight of shape 1x1x2x2"),
        ("input", (0, 0, -1, 0), "input:0,0,-1,0 is outside input of shape 1x1x3x3"),
        ("output", (0, 0, 0), "output:0,0,0 is outside output of shape 1x1x2x2"),
        ("bias", (), "bias: is outside bias of shape 1"),
    ],
)
def test_an_index_outside_is_refused(operand, index, message):
    with pytest.raises(SpecError) as refused:
        formula(SPECS["notebook"], operand, index)
    assert str(refused.value) == message


@pytest.mark.parametrize("ones", [False, True], ids=["g", "ones"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_count_and_terms_agree_with_the_evaluated_text(case, ones):
    spec = case.spec
    letters = integer_operands(spec, ones=ones).letters(spec)
    numbers = {letter: tensor.tolist() for letter, tensor in letters.items()}
    all_ones = {letter: tensor.new_ones(tensor.shape) for letter, tensor in letters.items()}
    for operand in OPERANDS if spec.bias else OPERANDS[:3]:
        for index in every(*map(range, spec.shape_of(operand))):
            found = formula(spec, operand, index, ones=ones)
            terms = list(found.terms())
            total = 0.0
            for term in terms:
                value = 1.0
                for letter, at in term:
                    entry = numbers[letter]
                    for i in at:
                        entry = entry[i]
                    value *= entry
                total += value
            assert total == float(eval(str(found), {"__builtins__": {}}, letters)), (operand, index, str(found))
            # With ones for numbers the sum is the number of terms.
            assert found.count == len(terms) == float(eval(str(found), {"__builtins__": {}}, all_ones))
            if ones and operand != "bias":
                assert "g" not in {letter for term in terms for letter, _ in term}
            else:
                assert len(set(terms)) == len(terms)


def test_a_factor_runs_backwards_where_it_says_so():
    forwards = Factor("w", (whole(2), 0, Span(1, 2, 2, 4)))
    backwards = Factor("w", (whole(2), 0, Span(1, 2, 2, 4)), flip=(1,))
    assert list(forwards.entries()) == [(0, 0, 1), (0, 0, 3), (1, 0, 1), (1, 0, 3)]
    assert list(backwards.entries()) == [(0, 0, 3), (0, 0, 1), (1, 0, 3), (1, 0, 1)]
    assert str(backwards) == "w[:,0,1:4:2].flip(1)"
    assert backwards.spans == (whole(2), Span(1, 2, 2, 4))


def test_factors_of_unequal_slices_are_no_product():
    unequal = Formula((Product((Factor("x", (Span(0, 2, 1, 3),)), Factor("g", (Span(0, 3, 1, 3),)))),))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        list(unequal.terms())


@pytest.mark.parametrize("name", SPECS)
def test_a_g_of_ones_is_left_out_of_the_text_and_stays_where_it_was(name):
    spec = SPECS[name]
    for operand in ("weight", "input"):
        index = tuple(size // 2 for size in spec.shape_of(operand))
        whole_text, short = (formula(spec, operand, index, ones=ones) for ones in (False, True))
        assert "g[" not in str(short)
        for full, product in zip(whole_text.products, short.products, strict=True):
            entries = [{(f.operand, at) for f in fs for at in f.entries()} for fs in (full.factors, product.factors)]
            assert entries[0] - entries[1] == {("g", at) for factor in product.ones for at in factor.entries()}
            assert len(product.ones) == 1
