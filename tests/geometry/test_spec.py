"""ConvSpec against torch: the same sizes, the same refusals, and each refusal word by word with a repair that works."""

import ast
import random
import re
import warnings
from dataclasses import replace
from inspect import getsourcefile
from pathlib import Path
from traceback import extract_tb

import pytest
import torch
from cases import CASES, random_layers, random_specs
from oracle import output_size, padded_from

from convgrad_cli.errors import SpecError
from convgrad_cli.geometry import spec as spec_module
from convgrad_cli.geometry import validation
from convgrad_cli.geometry.spec import ConvSpec, make_spec

PLAIN = make_spec(input_size=3)

# What is asked for, and what is answered.
REFUSALS = [
    ({"dims": 4}, "a convolution has 1, 2 or 3 spatial axes, not 4; give --size as N, HxW or DxHxW"),
    (
        {"input_size": (3, 3, 3, 3)},
        "a convolution has 1, 2 or 3 spatial axes, not 4; give --size as N, HxW or DxHxW",
    ),
    (
        {"input_size": (3, 3), "kernel_size": (1, 2, 3)},
        "--kernel has 3 parts on a 2-D layer; give one number, or 2 joined by x",
    ),
    (
        {"dims": 1, "padding": (1, 2)},
        "--padding has 2 parts on a 1-D layer; give one number, or 1 joined by x",
    ),
    ({"padding": "some"}, "padding 'some' is neither numbers nor one of same, valid, full"),
    ({"padding": ((1, 2, 3),)}, "padding (1, 2, 3) must be a number, or a pair of numbers: before and after"),
    (
        {"transposed": True, "padding": "same"},
        "padding 'same' is not defined for a transposed convolution; give --padding as numbers",
    ),
    (
        {"transposed": True, "padding": "full"},
        "padding 'full' is not defined for a transposed convolution; give --padding as numbers",
    ),
    (
        {"padding": "same", "stride": (1, 2)},
        "padding 'same' needs stride 1, not 1x2; use --stride 1, or give --padding as numbers",
    ),
    ({"in_channels": 0}, "--in-channels must be 1 or more, not 0"),
    ({"out_channels": -1}, "--out-channels must be 1 or more, not -1"),
    ({"groups": 0}, "--groups must be 1 or more, not 0"),
    ({"batch_size": 0}, "--batch must be 1 or more, not 0"),
    ({"input_size": (3, 0)}, "--size must be 1 or more, not 0"),
    ({"kernel_size": (0, 2)}, "--kernel must be 1 or more, not 0"),
    ({"stride": 0}, "--stride must be 1 or more, not 0"),
    ({"dilation": (2, 0)}, "--dilation must be 1 or more, not 0"),
    (
        {"in_channels": 4, "out_channels": 3, "groups": 2},
        "--groups 2 must divide both 4 input channels and 3 output channels; "
        "set --in-channels and --out-channels to multiples of 2",
    ),
    (
        {"in_channels": 3, "out_channels": 4, "groups": 2},
        "--groups 2 must divide both 3 input channels and 4 output channels; "
        "set --in-channels and --out-channels to multiples of 2",
    ),
    ({"padding_mode": "mirror"}, "padding mode 'mirror' is not one of zeros, reflect, replicate, circular"),
    (
        {"transposed": True, "padding_mode": "reflect"},
        "a transposed convolution knows only --padding-mode zeros, not reflect",
    ),
    ({"output_padding": 1}, "--output-padding belongs to a transposed convolution; add --transposed or drop it"),
    (
        {"transposed": True, "stride": 2, "dilation": 3, "output_padding": 3},
        "--output-padding 3 must be 0 or more and less than stride or dilation (3)",
    ),
    (
        {"transposed": True, "output_padding": -1},
        "--output-padding -1 must be 0 or more and less than stride or dilation (1)",
    ),
    (
        {"padding": ((1, -2), (0, 0)), "padding_mode": "replicate"},
        "negative padding -2 needs --padding-mode zeros, not replicate",
    ),
    (
        {"input_size": 3, "padding": 3, "padding_mode": "reflect"},
        "padding 3 is too large for --padding-mode reflect on input size 3: "
        "at most 2; use --padding 2 or --size 4 or more",
    ),
    (
        {"input_size": 3, "padding": ((0, 5), (0, 0)), "padding_mode": "circular"},
        "padding 5 is too large for --padding-mode circular on input size 3: "
        "at most 3; use --padding 3 or --size 5x3 or more",
    ),
    (
        {"transposed": True, "input_size": 3, "kernel_size": 2, "padding": (1, 2)},
        "padding 1x2 crops all of this transposed layer: output would be 2x0; use a smaller --padding",
    ),
    (
        {"input_size": 3, "kernel_size": 5},
        "kernel 5x5 does not fit input 3x3 (padding 0x0, dilation 1x1): output would be -1x-1; "
        "use --size 5 or more, or --padding 1",
    ),
    (
        {"input_size": (9, 3), "kernel_size": (9, 5), "dilation": (1, 2), "padding": ((0, 0), (1, 2))},
        "kernel 9x5 does not fit input 9x3 (padding 0x(1,2), dilation 1x2): output would be 1x-2; "
        "use --size 9x6 or more, or --padding 3",
    ),
    (
        {"input_size": 2, "kernel_size": 5, "padding_mode": "reflect"},
        "kernel 5x5 does not fit input 2x2 (padding 0x0, dilation 1x1): output would be -2x-2; use --size 5 or more",
    ),
]


def refusal(make, *args, **kwargs) -> SpecError | None:
    try:
        make(*args, **kwargs)
    except SpecError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("layer", "message"), REFUSALS, ids=lambda value: None if isinstance(value, str) else str(value)
)
def test_a_refusal_word_by_word(layer, message):
    with pytest.raises(SpecError) as refused:
        make_spec(**layer)
    assert str(refused.value) == message


def test_a_spec_made_by_hand_is_checked_too():
    with pytest.raises(SpecError, match=r"^stride has 1 entries, kernel_size has 2$"):
        replace(PLAIN, stride=(1,))
    with pytest.raises(SpecError, match=r"^a convolution has 1, 2 or 3 spatial axes, not 0$"):
        replace(PLAIN, kernel_size=())
    tuples = r"^stride must be a tuple of whole numbers, one an axis; make_spec takes what PyTorch takes$"
    for stride in (1, [1, 1], (1.0, 1.0), (1, "1")):
        with pytest.raises(SpecError, match=tuples):
            replace(PLAIN, stride=stride)
    with pytest.raises(SpecError, match=r"^padding must be a tuple of pairs of whole numbers, "):
        replace(PLAIN, padding=(0, 0))


def test_every_refusal_is_in_the_table():
    in_source = set()
    for module in (spec_module, validation):
        path = Path(getsourcefile(module))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        in_source |= {(path.name, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.Raise)}
    errors = [refusal(make_spec, **layer) for layer, _ in REFUSALS]
    errors += [refusal(replace, PLAIN, **changes) for changes in ({"stride": (1,)}, {"kernel_size": ()}, {"stride": 1})]
    met = {
        (Path(frame.filename).name, frame.lineno) for error in errors for frame in extract_tb(error.__traceback__)[-1:]
    }
    assert met == in_source


def test_repairs_work():
    repaired = 0
    for layer in _wild_layers(seed=2, count=6000):
        message = str(refusal(make_spec, **layer) or "")
        for option, field in (("--size", "input_size"), ("--padding", "padding")):
            advice = re.search(rf"(?:use|or) {option} ([-\dx]+)", message)
            if advice:
                repaired += 1
                again = refusal(make_spec, **{**layer, field: [int(part) for part in advice[1].split("x")]})
                # A padding mode may be kept from its limit, and then find that the kernel does not fit.
                assert again is None or ("too large" in message and "does not fit" in str(again)), (message, str(again))
    assert repaired > 500


def _wild_layers(seed: int, count: int):
    """Layers of which many cannot be."""
    draw = random.Random(seed)
    for layer in random_layers(seed, count):
        axis = draw.randrange(layer["dims"])
        mutation = draw.randrange(8)
        if mutation == 0:
            layer["out_channels"] = draw.randint(1, 4)
        elif mutation == 1:
            layer[draw.choice(("stride", "kernel_size", "input_size"))][axis] = 0
        elif mutation == 2:
            layer["padding_mode"] = draw.choice(("reflect", "replicate", "circular"))
        elif mutation == 3:
            layer["output_padding"][axis] = draw.randint(-1, 4) if layer["transposed"] else 0
        elif mutation == 4:
            layer["groups"] = draw.randint(0, 3)
        else:
            layer[draw.choice(("kernel_size", "dilation"))][axis] += draw.randint(1, 3)
            layer["input_size"][axis] = draw.randint(1, 3)
        yield layer


def _torch_shape(layer) -> tuple[int, ...] | None:
    """The shape of what torch's module of this layer gives, or None where torch refuses."""
    kind = f"Conv{'Transpose' * layer['transposed']}{layer['dims']}d"
    names = ["stride", "padding", "dilation", "groups", "bias", "padding_mode"]
    settings = {name: layer[name] for name in names + ["output_padding"] * layer["transposed"]}
    batch = () if layer["batch_size"] is None else (layer["batch_size"],)
    try:
        with warnings.catch_warnings(action="ignore"):
            module = getattr(torch.nn, kind)(
                layer["in_channels"], layer["out_channels"], layer["kernel_size"], **settings
            )
            return tuple(module(torch.zeros(*batch, layer["in_channels"], *layer["input_size"])).shape)
    except (RuntimeError, ValueError):
        return None


def test_torch_gives_the_same_sizes_and_refuses_what_we_refuse():
    sizes, refusals = 0, 0
    for layer in _wild_layers(seed=1, count=4000):
        padding = layer["padding"]
        if isinstance(padding, str):
            comparable = padding == "same" or (padding == "valid" and not layer["transposed"])
        else:
            pads = [padding] if isinstance(padding, int) else padding
            comparable = not any(isinstance(pad, tuple) or pad < 0 for pad in pads)  # torch says these another way
        if not comparable:
            continue
        refused, shape = refusal(make_spec, **layer), _torch_shape(layer)
        if refused is None:
            sizes += 1
            assert make_spec(**layer).output_shape == shape, layer
        else:
            refusals += 1
            # Only an empty output, which explains nothing, is refused here and not there.
            assert shape is None or 0 in shape, (layer, str(refused))
    assert sizes > 800
    assert refusals > 500


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_in_pairs_gives_the_sizes_of_padding_and_then_convolving(mode):
    checked = 0
    for spec in random_specs(3, 1500):
        if spec.padding_mode == mode and not spec.transposed:
            checked += 1
            flat = [amount for pair in reversed(spec.padding) for amount in pair]
            padded = torch.nn.functional.pad(
                torch.zeros(1, spec.in_channels, *spec.input_size), flat, mode="constant" if mode == "zeros" else mode
            )
            assert padded.shape[2:] == spec.padded_size
            assert output_size(spec) == spec.output_size
    assert checked > 100


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shapes_of_the_named_layers(case):
    spec = case.spec
    assert spec.output_size == output_size(spec)
    for name, shape in (
        ("input", (*spec.batch_shape, spec.in_channels, *spec.input_size)),
        ("output", (*spec.batch_shape, spec.out_channels, *spec.output_size)),
        ("bias", (spec.out_channels,)),
    ):
        assert spec.shape_of(name) == spec.shape_of(f"grad_{name}") == shape
    first, second = (spec.in_channels, spec.out_channels) if spec.transposed else (spec.out_channels, spec.in_channels)
    assert spec.weight_shape == (first, second // spec.groups, *spec.kernel_size)


def test_padding_words():
    def pads(word, **layer):
        return make_spec(padding=word, **layer).padding

    assert pads("valid", input_size=5, kernel_size=3) == ((0, 0), (0, 0))
    assert pads("valid", input_size=5, kernel_size=3, transposed=True) == ((0, 0), (0, 0))
    assert pads("same", input_size=5, kernel_size=(3, 4)) == ((1, 1), (1, 2))
    assert pads("same", input_size=5, kernel_size=(3, 2), dilation=(2, 3)) == ((2, 2), (1, 2))
    assert pads("full", input_size=5, kernel_size=(3, 4), dilation=(1, 2)) == ((2, 2), (6, 6))
    assert make_spec(input_size=(5, 7), kernel_size=4, padding="same").output_size == (5, 7)
    assert make_spec(input_size=(5, 7), kernel_size=4, padding="full").output_size == (8, 10)


def test_make_spec_spreads_what_people_write():
    assert make_spec(kernel_size=2).input_size == (3, 3)
    assert make_spec(kernel_size=(2, 3), dilation=(1, 2)).input_size == (3, 6)
    assert make_spec(input_size=7, dims=1).kernel_size == (2,)
    assert make_spec(stride=(1, 2, 3), input_size=9).dims == 3
    assert make_spec(padding=((1, 0),), input_size=5, dims=2).padding == ((1, 0), (1, 0))
    assert make_spec(padding=(1, 2), input_size=5).padding == ((1, 1), (2, 2))
    assert make_spec(padding=((1, 0), (2, 3)), input_size=5).padding == ((1, 0), (2, 3))
    assert make_spec(batch_size=None).input_shape == (1, 3, 3)
    assert make_spec(groups=3).weight_shape == (3, 1, 2, 2)
    assert make_spec(groups=3, in_channels=6).weight_shape == (3, 2, 2, 2)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_the_padded_input_is_made_of_the_same_entries_as_torch_makes_it(mode):
    checked = 0
    for size in range(1, 7):
        for before in range(size if mode == "reflect" else size + 1):
            for after in range(size if mode == "reflect" else size + 1):
                spec = make_spec(dims=1, input_size=size, kernel_size=1, padding=((before, after),), padding_mode=mode)
                numbers = torch.arange(float(size)).view(1, 1, size)
                padded = torch.nn.functional.pad(numbers, (before, after), mode=mode).flatten().tolist()
                places = range(-before, size + after)
                assert [spec.border_source(0, i) for i in places] == padded
                assert spec.border_source(0, torch.tensor(places)).tolist() == padded
                assert padded == [padded_from(i, size, mode) for i in places]
                for index in range(size):
                    copies = spec.padded_copies(0, index)
                    assert [padded[position] for position in copies] == [index] * padded.count(index)
                checked += 1
    assert checked >= 91


@pytest.mark.parametrize("case", CASES, ids=str)
def test_to_dict_holds_what_make_spec_needs(case):
    described = case.spec.to_dict()
    text, size = described.pop("text"), described.pop("output_size")
    assert ConvSpec(**described) == case.spec
    assert size == case.spec.output_size
    assert text == case.spec.layer_text()


def test_macs_count_every_multiply_add_of_an_unpadded_layer():
    assert make_spec(input_size=3).macs == 2 * 2 * 2 * 2
    assert make_spec(input_size=3, in_channels=4, out_channels=6, groups=2, batch_size=5).macs == 16 * 2 * 6 * 5
    assert make_spec(input_size=3, transposed=True).macs == 9 * 4


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("padding", [-3, -1, 0, 2, 5])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(1, 1, 1), (2, 3, 1), (3, 2, 2)])
def test_the_size_that_nobody_gives_fits_whatever_padding_crops(transposed, padding, kernel, stride, dilation):
    layer = {"kernel_size": kernel, "stride": stride, "dilation": dilation, "transposed": transposed, "dims": 1}
    spec = make_spec(padding=padding, **layer)
    assert spec.output_size[0] >= 1
    if not transposed and padding >= 0:
        assert spec.input_size == make_spec(**layer).input_size
