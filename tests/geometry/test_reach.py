"""Where an entry goes: the same meetings that every element's formula lists, read the other way round."""

from __future__ import annotations

from collections import defaultdict
from itertools import product as every

import pytest
from cases import CASES, random_specs

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.formula import LETTERS
from convgrad_cli.geometry.reach import reach
from convgrad_cli.geometry.spec import ConvSpec, make_spec

SPECS = [*(case.spec for case in CASES), *random_specs(seed=3, count=40)]
SMALL = [spec for spec in SPECS if spec.macs < 3000]


def indices(spec: ConvSpec, tensor: str):
    return every(*map(range, spec.shape_of(tensor)))


def meetings(spec: ConvSpec) -> dict:
    """{(operand, index): {(tensor, element): the entries that it is multiplied with there}}, from every formula."""
    found = defaultdict(lambda: defaultdict(set))
    names = {letter: name for name, letter in LETTERS.items()}
    for tensor in ("output", "weight", "input", *(["bias"] if spec.bias else [])):
        for element in indices(spec, tensor):
            for term in formula(spec, tensor, element).terms():
                for place, (letter, at) in enumerate(term):
                    name, where = names[letter], at
                    if letter == "xp":
                        lead = len(spec.batch_shape) + 1
                        sites = (spec.border_source(a, i - spec.padding[a][0]) for a, i in enumerate(at[lead:]))
                        name, where = "input", (*at[:lead], *sites)
                    found[name, where][tensor, element].add(term[1 - place] if len(term) > 1 else None)
    return found


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: f"{spec.layer_text()} on {spec.input_shape}")
def test_what_an_entry_reaches_are_the_elements_that_it_is_a_term_of(spec):
    found = meetings(spec)
    for operand in ("input", "weight", "grad_output", *(["bias"] if spec.bias else [])):
        for index in indices(spec, operand):
            said = reach(spec, operand, index)
            reached = {(one.tensor, element) for one in said for element in every(*one.places)}
            assert reached == set(found[operand, index])
            assert sum(one.count for one in said) == len(reached)
            for one in said:
                assert one.of == len(list(indices(spec, one.tensor)))
                for element, partner in one.met:
                    assert partner in found[operand, index][one.tensor, element]


def test_an_entry_of_a_large_layer_is_as_quick():
    spec = make_spec(in_channels=512, out_channels=512, input_size=56, kernel_size=3, padding=1, batch_size=64)
    output, weight = reach(spec, "input", (3, 7, 0, 20))
    assert (output.tensor, output.count, output.of) == ("output", 512 * 2 * 3, 64 * 512 * 56 * 56)
    assert (weight.count, weight.of) == (512 * 2 * 3, 512 * 512 * 9)
    assert weight.met[0] == ((0, 7, 1, 2), ("g", (3, 0, 0, 19)))
    [bias] = [one for one in reach(make_spec(bias=True), "grad_output", (0, 0, 1, 1)) if one.tensor == "bias"]
    assert bias.met == (((0,), None),)


def test_a_term_is_found_by_its_number():
    for spec in SMALL[:20]:
        for tensor in ("output", "weight", "input"):
            index = tuple(n // 2 for n in spec.shape_of(tensor))
            found = formula(spec, tensor, index)
            assert [found.term(number) for number in range(found.count)] == list(found.terms())
            with pytest.raises(IndexError):
                found.term(found.count)
