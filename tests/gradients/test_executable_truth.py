"""The promise of the project: every printed expression is Python that gives the element, bit for bit.

Two thousand random layers mix every option; each expression is evaluated with nothing but the operands in its
namespace, and must equal autograd, `element` and `by_hand` exactly, which integers of float64 allow.
"""

import random
from collections import Counter
from itertools import product as every

import pytest
import torch
from cases import OPERANDS, Layer, integer_operands, random_layers

from convgrad_cli.geometry.derivation import formula
from convgrad_cli.geometry.spec import make_spec
from convgrad_cli.gradients.autograd import autograd
from convgrad_cli.gradients.by_hand import by_hand, element

SEEDS, LAYERS, ELEMENTS = range(20), 100, 200


def options(layer: Layer) -> set[tuple[str, object]]:
    """The value of every option of a layer, in kinds that one can count."""
    padding, spec = layer["padding"], make_spec(**layer)
    pads = {pad for pair in spec.padding for pad in pair}
    kind = padding if isinstance(padding, str) else "numbers" if isinstance(padding, int) else "list"
    return {
        ("dims", spec.dims),
        ("batch_size", spec.batch_size),
        ("groups", spec.groups),
        ("depthwise", spec.groups == spec.in_channels == spec.out_channels > 1),
        ("Cin/G and Cout/G differ", spec.in_channels != spec.out_channels),
        ("bias", spec.bias),
        ("transposed", spec.transposed),
        ("padding", kind),
        ("padding_mode", spec.padding_mode),
        ("negative padding", min(pads) < 0),
        ("asymmetric padding", any(before != after for before, after in spec.padding)),
        ("padding beyond the kernel", any(p >= k for (p, _), k in zip(spec.padding, spec.kernel_size, strict=True))),
        ("stride beyond the kernel", any(s > k for s, k in zip(spec.stride, spec.kernel_size, strict=True))),
        *(("stride", s) for s in spec.stride),
        *(("dilation", d) for d in spec.dilation),
        *(("kernel_size", k) for k in spec.kernel_size),
        *(("output_padding", extra) for extra in spec.output_padding),
    }


EVERY_OPTION = {
    *(("dims", n) for n in (1, 2, 3)),
    *(("batch_size", n) for n in (None, 1, 2)),
    *(("groups", n) for n in (1, 2, 3)),
    *(("padding", kind) for kind in ("numbers", "list", "same", "valid", "full")),
    *(("padding_mode", mode) for mode in ("zeros", "reflect", "replicate", "circular")),
    *(("stride", n) for n in (1, 2, 3, 4)),
    *(("dilation", n) for n in (1, 2, 3, 4)),
    *(("kernel_size", n) for n in (1, 2, 3, 4, 5)),
    *(("output_padding", n) for n in (0, 1, 2)),
    *(
        (name, value)
        for value in (False, True)
        for name in (
            "depthwise",
            "Cin/G and Cout/G differ",
            "bias",
            "transposed",
            "negative padding",
            "asymmetric padding",
            "padding beyond the kernel",
            "stride beyond the kernel",
        )
    ),
}


def test_the_layers_are_two_thousand_and_mix_every_option():
    layers = [options(layer) for seed in SEEDS for layer in random_layers(seed, LAYERS)]
    assert len(layers) == 2000
    seen = Counter(option for layer in layers for option in layer)
    assert set(seen) == EVERY_OPTION
    assert min(seen.values()) >= 20, seen.most_common()[-1]
    # Options meet each other, and not only the plain value of the other.
    modes = {mode for layer in layers if ("groups", 3) in layer for name, mode in layer if name == "padding_mode"}
    assert modes == {"zeros", "reflect", "replicate", "circular"}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_expression_evaluates_to_its_element(seed):
    draw = random.Random(seed)
    layers, checked = 0, Counter()
    for number, layer in enumerate(random_layers(seed, LAYERS)):
        spec, ones = make_spec(**layer), number % 2 == 0
        operands = integer_operands(spec, seed=1000 * seed + number, ones=ones)
        letters = operands.letters(spec)
        without_g = {letter: tensor for letter, tensor in letters.items() if letter != "g"}
        expected, hand = autograd(spec, operands).named(), by_hand(spec, operands).named()
        assert list(expected) == list(hand) == [name for name in OPERANDS if spec.bias or name != "bias"]
        for name in expected:
            assert torch.equal(hand[name], expected[name]), (spec, name)
        values = {name: value.flatten().tolist() for name, value in expected.items()}
        indices = {name: list(every(*map(range, spec.shape_of(name)))) for name in expected}
        elements = [(name, at) for name in expected for at in range(len(indices[name]))]
        for name, at in draw.sample(elements, min(ELEMENTS, len(elements))):
            index, value = indices[name][at], values[name][at]
            found = formula(spec, name, index, ones=ones)
            # When g is all ones it must have dropped out, except from the bias gradient, which is the sum of g.
            namespace = without_g if ones and name != "bias" else letters
            evaluated = torch.as_tensor(eval(str(found), {"__builtins__": {}}, namespace))
            assert evaluated.shape == (), (spec, name, index, str(found))
            assert float(evaluated) == value, (spec, name, index, str(found))
            assert element(found, letters) == value, (spec, name, index, str(found))
            checked["nothing" if not found.products else "a sum" if len(found.products) > 1 else "one product"] += 1
            checked[name] += 1
        layers += 1
    assert layers == LAYERS
    assert min(checked[kind] for kind in ("nothing", "one product", "a sum", *OPERANDS)) >= 50, checked
